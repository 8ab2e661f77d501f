use proptest::prelude::*;
use uuid::Uuid;

use crate::{
    limits::{Dimension, Opening},
    route::{Board, Hold, Lane, Limit, Model, Pack, Policy, Prices, Run, Task, admit},
};

fn a_limit(dimension: Dimension, size: u64, room: u64) -> Limit {
    Limit {
        dimension,
        size,
        room,
        opens: Opening::At(if room > 0 { 0 } else { 30_000_000 }),
        is_per_minute: true,
        hold: None,
    }
}

/// A model of this provider with one limit, of requests.
fn a_model(board: &mut Board, provider: &str, room: u64) -> usize {
    board.limits.push(a_limit(Dimension::Requests, 1_000, room));
    board.models.push(Model {
        provider: provider.to_owned(),
        limits: vec![board.limits.len() - 1],
        closed: None,
        gate: None,
        asked_since: None,
        prices: Prices::default(),
    });
    board.models.len() - 1
}

fn a_run(board: &mut Board, mix: &[f64]) -> usize {
    board.runs.push(Run {
        id: id(900 + board.runs.len()),
        weight: 1.0,
        mix: mix.to_vec(),
        limits: Vec::new(),
        allowance: None,
    });
    board.runs.len() - 1
}

fn id(number: usize) -> Uuid {
    Uuid::from_u128(u128::try_from(number).expect("a small number"))
}

/// A lane of so many tasks, each of so many tokens, numbered from `first`.
fn a_lane(
    run: usize,
    tier: usize,
    ladder: &[usize],
    policy: Policy,
    tasks: std::ops::Range<usize>,
    est_input: u32,
) -> Lane {
    Lane {
        run,
        tier,
        component_priority: 0,
        ladder: ladder.to_vec(),
        policy,
        patience: 60_000_000,
        est_output: vec![10; ladder.len()],
        max_output: None,
        pack: Pack::default(),
        tasks: tasks
            .map(|number| Task {
                id: id(number),
                priority: 0.0,
                est_input,
                tries: Vec::new(),
                rescues: 0,
                most: None,
            })
            .collect(),
    }
}

fn taken_of(board: &Board, lane: usize, slots: u32, offset: f64) -> usize {
    let ids: Vec<Uuid> = board.lanes[lane].tasks.iter().map(|it| it.id).collect();
    let picks = admit(board, slots, offset).picks;
    picks.iter().filter(|it| ids.contains(&it.task)).count()
}

proptest! {
    #[test]
    fn no_room_is_crossed_and_no_task_is_taken_twice(
        rooms in prop::collection::vec((0_u64..20, 0_u64..900, 0_u64..6), 1..4),
        lanes in prop::collection::vec((0_usize..3, 0_usize..3, 0_usize..4, 0_usize..25, 1_u32..300), 1..5),
        slots in 0_u32..60,
        offset in 0.0_f64..1.0,
    ) {
        let mut board = Board::default();
        for (requests, tokens, at_once) in &rooms {
            let model = a_model(&mut board, "p", *requests);
            for limit in [a_limit(Dimension::TotalTokens, 1_000, *tokens), a_limit(Dimension::Concurrency, 6, *at_once)] {
                board.limits.push(limit);
                board.models[model].limits.push(board.limits.len() - 1);
            }
        }
        let run = a_run(&mut board, &[4.0, 5.0, 1.0]);
        let policies = [Policy::Auto, Policy::Ladder, Policy::Spread, Policy::Patient];
        for (number, (tier, first, policy, tasks, est_input)) in lanes.iter().enumerate() {
            let ladder: Vec<usize> = (0..rooms.len()).map(|rung| (first + rung) % rooms.len()).collect();
            let tasks = number * 100..number * 100 + tasks;
            board.lanes.push(a_lane(run, *tier, &ladder, policies[*policy], tasks, *est_input));
        }
        let picks = admit(&board, slots, offset).picks;
        prop_assert!(picks.len() <= usize::try_from(slots).unwrap());
        let mut ids: Vec<Uuid> = picks.iter().map(|pick| pick.task).collect();
        ids.sort();
        ids.dedup();
        prop_assert_eq!(ids.len(), picks.len());
        for (model, (requests, tokens, at_once)) in rooms.iter().enumerate() {
            let mine: Vec<_> = picks.iter().filter(|pick| pick.model == model).collect();
            let count = u64::try_from(mine.len()).unwrap();
            let est_input = |task: Uuid| board.lanes.iter().flat_map(|it| &it.tasks).find(|it| it.id == task).unwrap().est_input;
            let used: u64 = mine.iter().map(|pick| u64::from(est_input(pick.task)) + 10).sum();
            prop_assert!(count <= *requests && count <= *at_once && used <= *tokens);
        }
    }

    #[test]
    fn spread_is_in_proportion_to_what_they_have_left(one in 1_u64..60, other in 1_u64..60, slots in 1_u32..60, offset in 0.0_f64..1.0) {
        let mut board = Board::default();
        let models = [a_model(&mut board, "p", one), a_model(&mut board, "p", other)];
        let run = a_run(&mut board, &[1.0]);
        board.lanes.push(a_lane(run, 0, &models, Policy::Spread, 0..200, 10));
        let picks = admit(&board, slots, offset).picks;
        let given = picks.iter().filter(|pick| pick.model == models[0]).count() as f64;
        let exact = picks.len() as f64 * one as f64 / (one + other) as f64;
        prop_assert!((given - exact).abs() <= 1.0, "{} of {} for {} : {}", given, picks.len(), one, other);
    }

    #[test]
    fn a_fallbacks_own_tasks_have_their_share_before_those_that_fall_back_to_it(
        room in 1_u64..40, slots in 1_u32..40, own in 1_usize..40, others in 1_usize..40, offset in 0.0_f64..1.0,
    ) {
        let mut board = Board::default();
        let (first, second) = (a_model(&mut board, "p", 0), a_model(&mut board, "p", room));
        let run = a_run(&mut board, &[1.0, 1.0]);
        board.lanes.push(a_lane(run, 0, &[first, second], Policy::Ladder, 0..others, 10));
        board.lanes.push(a_lane(run, 1, &[second], Policy::Ladder, 100..100 + own, 10));
        let share = usize::try_from(slots / 2).unwrap();
        let room = usize::try_from(room).unwrap();
        prop_assert!(taken_of(&board, 1, slots, offset) >= own.min(share).min(room));
        // and no slot stays free while a task could be called
        let all = usize::try_from(slots).unwrap().min(room).min(own + others);
        prop_assert_eq!(admit(&board, slots, offset).picks.len(), all);
    }
}

#[test]
fn the_mix_holds_on_average_for_any_number_of_slots() {
    let mut board = Board::default();
    let model = a_model(&mut board, "p", 900);
    let run = a_run(&mut board, &[4.0, 5.0, 1.0]);
    for tier in 0..3 {
        let tasks = tier * 100..tier * 100 + 50;
        board
            .lanes
            .push(a_lane(run, tier, &[model], Policy::Ladder, tasks, 10));
    }
    for slots in [1, 3, 10] {
        let sum = |lane| {
            (0..10)
                .map(|n| taken_of(&board, lane, slots, (f64::from(n) + 0.5) / 10.0))
                .sum()
        };
        let sums: [usize; 3] = [0, 1, 2].map(sum);
        assert_eq!(
            sums,
            [4, 5, 1].map(|part| part * usize::try_from(slots).unwrap())
        );
    }
}

#[test]
fn a_large_prompt_is_passed_over_then_left_room_then_served() {
    let mut board = Board::default();
    let model = a_model(&mut board, "p", 900);
    board.limits[0] = a_limit(Dimension::InputTokens, 1_000, 500);
    let run = a_run(&mut board, &[1.0]);
    let mut lane = a_lane(run, 0, &[model], Policy::Ladder, 0..40, 100);
    lane.tasks[0].est_input = 800;
    board.lanes.push(lane);
    let large = id(0);
    let at_first = admit(&board, 10, 0.0);
    assert_eq!(at_first.picks.len(), 5, "small ones fill what is left");
    assert_eq!(at_first.passed_over[0].task, large);
    assert_eq!(at_first.passed_over[0].need, 800);

    board.limits[0].hold = Some(Hold {
        task: large,
        need: 800,
    });
    assert!(
        admit(&board, 10, 0.0).picks.is_empty(),
        "others leave it room"
    );
    board.limits[0].room = 1_000;
    let later = admit(&board, 10, 0.0);
    assert_eq!(later.picks[0].task, large);
    assert_eq!(later.picks.len(), 3, "and may have the rest");
    assert_ne!(later.passed_over[0].task, large, "now another is the first");
}

#[test]
fn room_is_kept_for_no_task_that_could_not_use_it_and_of_no_day() {
    let mut board = Board::default();
    let model = a_model(&mut board, "p", 900);
    board.limits[0] = a_limit(Dimension::InputTokens, 1_000, 500);
    let run = a_run(&mut board, &[1.0]);
    board
        .lanes
        .push(a_lane(run, 0, &[model], Policy::Ladder, 0..1, 800));
    assert_eq!(admit(&board, 10, 0.0).passed_over.len(), 1);
    board.limits[0].is_per_minute = false;
    assert!(admit(&board, 10, 0.0).passed_over.is_empty(), "a day");
    board.limits[0].is_per_minute = true;
    board.limits.push(a_limit(Dimension::Concurrency, 1, 0));
    board.runs[run].limits.push(1);
    assert!(admit(&board, 10, 0.0).passed_over.is_empty(), "its worker");
    board.limits[1] = a_limit(Dimension::Money, 1_000, 0);
    assert!(admit(&board, 10, 0.0).passed_over.is_empty(), "its budget");
    board.runs[run].limits.clear();
    board.runs[run].allowance = Some(0);
    assert!(admit(&board, 10, 0.0).passed_over.is_empty(), "its pace");
    board.runs[run].allowance = None;
    let smaller = a_limit(Dimension::TotalTokens, 600, 600);
    board.limits.push(smaller);
    board.models[model].limits.push(2);
    assert!(admit(&board, 10, 0.0).passed_over.is_empty(), "too large");
}

#[test]
fn patience_is_within_a_provider_for_auto_nothing_and_beyond_it_the_time_set() {
    let mut board = Board::default();
    let (first, near, far) = (
        a_model(&mut board, "p", 0),
        a_model(&mut board, "p", 9),
        a_model(&mut board, "q", 9),
    );
    let run = a_run(&mut board, &[1.0]);
    let mut taken = |policy, ladder: &[usize], patience_s: i64| {
        let mut lane = a_lane(run, 0, ladder, policy, 0..2, 10);
        lane.patience = patience_s * 1_000_000;
        board.lanes = vec![lane];
        admit(&board, 1, 0.0).picks.first().map(|pick| pick.model)
    };
    // the first model opens in 30 s
    assert_eq!(taken(Policy::Auto, &[first, near], 60), Some(near));
    assert_eq!(taken(Policy::Auto, &[first, far], 60), None);
    assert_eq!(taken(Policy::Auto, &[first, far], 29), Some(far));
    assert_eq!(taken(Policy::Patient, &[first, near], 60), None);
    assert_eq!(taken(Policy::Patient, &[first, near], 29), Some(near));
    assert_eq!(taken(Policy::Ladder, &[first, far], 60), Some(far));
}

#[test]
fn a_probe_that_does_not_come_back_is_waited_for_no_longer_than_the_patience() {
    let mut board = Board::default();
    let (first, far) = (a_model(&mut board, "p", 9), a_model(&mut board, "q", 9));
    let run = a_run(&mut board, &[1.0]);
    board.now = 100_000_000;
    board.models[first].gate = Some(0);
    let mut taken = |asked_for_s: i64| {
        board.models[first].asked_since = Some(board.now - asked_for_s * 1_000_000);
        board.lanes = vec![a_lane(run, 0, &[first, far], Policy::Auto, 0..2, 10)];
        admit(&board, 1, 0.0).picks.first().map(|pick| pick.model)
    };
    assert_eq!(taken(60), None);
    assert_eq!(taken(61), Some(far));
}

#[test]
fn a_rung_whose_calls_are_used_up_is_as_if_it_were_not_there() {
    let mut board = Board::default();
    let models = [a_model(&mut board, "p", 9), a_model(&mut board, "q", 9)];
    let run = a_run(&mut board, &[1.0]);
    let mut lane = a_lane(run, 0, &models, Policy::Patient, 0..1, 10);
    lane.tasks[0].tries = vec![4];
    board.lanes.push(lane);
    assert_eq!(admit(&board, 1, 0.0).picks[0].model, models[1]);
}

#[test]
fn a_budget_holds_only_where_the_price_is_known() {
    let mut board = Board::default();
    let model = a_model(&mut board, "p", 9);
    board.limits.push(a_limit(Dimension::Money, 100, 100));
    let run = a_run(&mut board, &[1.0]);
    board.runs[run].limits.push(1);
    board
        .lanes
        .push(a_lane(run, 0, &[model], Policy::Ladder, 0..9, 1_000));
    assert_eq!(admit(&board, 9, 0.0).picks.len(), 0, "no price, no call");
    board.models[model].prices = Prices {
        input: Some(30_000),
        output: Some(0),
    };
    assert_eq!(
        admit(&board, 9, 0.0).picks.len(),
        3,
        "30 micro-dollars each"
    );
}

#[test]
fn suspects_are_taken_one_at_a_time() {
    let mut board = Board::default();
    let model = a_model(&mut board, "p", 9);
    let run = a_run(&mut board, &[1.0]);
    let mut lane = a_lane(run, 0, &[model], Policy::Ladder, 0..5, 10);
    lane.tasks[0].rescues = 2;
    lane.tasks[1].rescues = 2;
    board.lanes.push(lane);
    let taken = |board: &Board| {
        let picks = admit(board, 9, 0.0).picks;
        picks.iter().filter(|it| it.task < id(2)).count()
    };
    assert_eq!(taken(&board), 1);
    board.holds_suspect = true;
    assert_eq!(taken(&board), 0);
}

#[test]
fn a_gate_and_a_pace_let_so_many_through() {
    let mut board = Board::default();
    let model = a_model(&mut board, "p", 9);
    let run = a_run(&mut board, &[1.0]);
    board
        .lanes
        .push(a_lane(run, 0, &[model], Policy::Ladder, 0..9, 10));
    board.models[model].gate = Some(4);
    assert_eq!(admit(&board, 9, 0.0).picks.len(), 4);
    board.runs[run].allowance = Some(1);
    assert_eq!(admit(&board, 9, 0.0).picks.len(), 1);
    board.models[model].gate = Some(0);
    assert!(admit(&board, 9, 0.0).picks.is_empty());
}

#[test]
fn a_slot_takes_a_pack_and_what_has_a_death_behind_it_goes_alone() {
    let mut board = Board::default();
    let model = a_model(&mut board, "p", 2);
    let run = a_run(&mut board, &[1.0]);
    let mut lane = a_lane(run, 0, &[model], Policy::Ladder, 0..8, 10);
    lane.pack = Pack {
        size: 3,
        tokens: 1_000,
    };
    lane.tasks[1].rescues = 1;
    lane.tasks[2].most = Some(2);
    board.lanes.push(lane);
    let picks = admit(&board, 5, 0.0).picks;
    let calls: Vec<(Uuid, Uuid)> = picks.iter().map(|it| (it.task, it.lead)).collect();
    // the second goes alone; with the third but one travels, whatever the lane allows
    let of = |task: usize, lead: usize| (id(task), id(lead));
    assert_eq!(calls, [of(0, 0), of(1, 1), of(2, 0)]);
}
