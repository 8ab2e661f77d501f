//! A scene as the specification sees it.

use std::collections::BTreeMap;

use tidegate::{
    limits::{
        Book, Booking, Cooldown, Dimension, Limit, Opening, SECOND_US, Window, opens_at, room,
    },
    route::{
        Admission, Board, HOLD_AFTER, HOLD_FOR, Hold, Lane, Model, Pack, Prices, Run, SUSPECT_AT,
        Task,
    },
};
use uuid::Uuid;

use super::{
    id,
    scene::{ALane, ALimit, MIDNIGHT, PROVIDERS, Scene, Sort},
};

/// Kinds of ids.
pub(super) const RUN: u8 = 1;
pub(super) const TASK: u8 = 2;
pub(super) const FLYING: u8 = 3;
pub(super) const PROCESS: u8 = 4;

/// Whose a limit is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Owner {
    Model(usize),
    Worker(usize),
    Run(usize),
    Everything,
}

/// A limit of a scene with its book; its number is its place, from 1.
#[derive(Clone, Debug)]
pub(super) struct Numbered {
    pub(super) owner: Owner,
    pub(super) limit: Limit,
    pub(super) book: Book,
}

/// All limits of a scene, in order of their numbers.
pub(super) fn numbered(scene: &Scene) -> Vec<Numbered> {
    let mut all = Vec::new();
    for (model, it) in scene.models.iter().enumerate() {
        let flying = scene
            .flying
            .iter()
            .filter(|it| model_of(scene, it.model) == model);
        all.push(at_once(Owner::Model(model), it.at_once, flying.count()));
        let own = it.limits.iter().map(|limit| {
            let zone = if it.provider == 0 {
                Zone::Pacific
            } else {
                Zone::Utc
            };
            counted(
                scene,
                Owner::Model(model),
                limit,
                window(scene.now, limit.day, zone),
            )
        });
        all.extend(own);
    }
    for (worker, size) in scene.workers.iter().enumerate() {
        let of_worker = |lane: &ALane| scene.runs[run_of(scene, lane)].worker == worker;
        let flying = scene
            .flying
            .iter()
            .filter(|it| of_worker(lane_of(scene, it.lane)));
        all.extend(size.map(|size| at_once(Owner::Worker(worker), size, flying.count())));
    }
    for (run, it) in scene.runs.iter().enumerate() {
        let budget = it.budget.as_ref();
        all.extend(budget.map(|it| counted(scene, Owner::Run(run), it, Window::Run)));
    }
    let day = window(scene.now, true, Zone::Utc);
    let budget = scene.day_budget.as_ref();
    all.extend(budget.map(|it| counted(scene, Owner::Everything, it, day)));
    all
}

enum Zone {
    Pacific,
    Utc,
}

fn window(now: i64, day: bool, zone: Zone) -> Window {
    const HOUR: i64 = 3_600 * SECOND_US;
    // the clocks go forward on this day: it has 23 hours there
    let days = match zone {
        Zone::Utc => [-24, 0, 24],
        Zone::Pacific => [-16, 8, 31],
    };
    let [first, second, third] = days.map(|hours| MIDNIGHT + hours * HOUR);
    match day {
        false => Window::Minute,
        true if now < second => Window::Day {
            began_at: first,
            ends_at: second,
        },
        true => Window::Day {
            began_at: second,
            ends_at: third,
        },
    }
}

fn at_once(owner: Owner, size: u64, in_flight: usize) -> Numbered {
    Numbered {
        owner,
        limit: Limit {
            dimension: Dimension::Concurrency,
            window: Window::None,
            ..Limit::per_minute(size)
        },
        book: Book {
            in_flight: u64::try_from(in_flight).expect("a few"),
            ..Book::default()
        },
    }
}

pub(super) fn counted(scene: &Scene, owner: Owner, it: &ALimit, window: Window) -> Numbered {
    let mut book = Book::default();
    let mut at = scene.now;
    for (sort, step_ms, permille) in &it.entries {
        at -= step_ms * 1_000;
        let amount = i64::try_from(it.size * permille / 1_000).expect("a small amount");
        let (list, amount) = match sort {
            Sort::Debit => (&mut book.debits, amount),
            Sort::More => (&mut book.corrections, amount),
            Sort::Less => (&mut book.corrections, -amount),
            Sort::Foreign => (&mut book.foreign, amount),
        };
        if amount != 0 {
            list.insert(0, Booking { at, amount });
        }
    }
    let limit = Limit {
        dimension: it.dimension,
        window,
        size: it.size,
        burst: it.burst,
        guard_ms: it.guard_ms,
        interactive_at: it.interactive_ago_s.map(|ago| scene.now - ago * SECOND_US),
    };
    Numbered { owner, limit, book }
}

/// Places of a model's limits: its own, and those of the first model that it shares.
pub(super) fn limits_of(scene: &Scene, all: &[Numbered], model: usize) -> Vec<usize> {
    let shares = scene.models[model].shares;
    let places = all.iter().enumerate().filter(|(_, it)| {
        let shared = it.owner == Owner::Model(0) && it.limit.dimension != Dimension::Concurrency;
        it.owner == Owner::Model(model) || shares && shared
    });
    places.map(|(place, _)| place).collect()
}

pub(super) fn model_of(scene: &Scene, pick: usize) -> usize {
    pick % scene.models.len()
}

pub(super) fn lane_of(scene: &Scene, pick: usize) -> &ALane {
    &scene.lanes[pick % scene.lanes.len()]
}

pub(super) fn run_of(scene: &Scene, lane: &ALane) -> usize {
    lane.run % scene.runs.len()
}

pub(super) fn ladder_of(scene: &Scene, lane: &ALane) -> Vec<usize> {
    let mut ladder = Vec::new();
    for pick in &lane.ladder {
        let model = model_of(scene, *pick);
        if !ladder.contains(&model) {
            ladder.push(model);
        }
    }
    ladder
}

pub(super) fn task_id(lane: usize, task: usize) -> Uuid {
    id(TASK, lane * 100 + task)
}

/// A hold of a scene.
#[derive(Clone, Copy, Debug)]
pub(super) struct Held {
    pub(super) hold: Hold,
    pub(super) ago_ms: i64,
    /// Others leave it room now.
    binds: bool,
    /// It has had its time.
    is_over: bool,
}

/// Holds by the place of their limit.
pub(super) fn holds_of(scene: &Scene) -> BTreeMap<usize, Held> {
    let all = numbered(scene);
    let of_tokens = |it: &Numbered| it.limit.dimension.counts_tokens();
    let places: Vec<usize> = (0..all.len()).filter(|&it| of_tokens(&all[it])).collect();
    let millis = |it: std::time::Duration| i64::try_from(it.as_millis()).expect("minutes");
    let mut holds = BTreeMap::new();
    for hold in &scene.holds {
        let Some(place) = places.get(hold.limit % places.len().max(1)) else {
            break;
        };
        let number = hold.lane % scene.lanes.len();
        let lane = &scene.lanes[number];
        let task = hold.task % lane.tasks.len();
        let is_over = hold.ago_ms >= millis(HOLD_FOR);
        let is_young = hold.ago_ms <= millis(HOLD_AFTER);
        let held = Held {
            hold: Hold {
                task: task_id(number, task),
                need: u64::from(lane.tasks[task].est_input) + 10,
            },
            ago_ms: hold.ago_ms,
            binds: !is_young && !is_over && !scene.runs[run_of(scene, lane)].paused,
            is_over,
        };
        holds.entry(*place).or_insert(held);
    }
    holds
}

/// The scene as a board.
pub(super) fn of(scene: &Scene) -> Board {
    let all = numbered(scene);
    let holds = holds_of(scene);
    let limits = all.iter().enumerate().map(|(place, it)| {
        let hold = holds.get(&place).filter(|it| it.binds);
        tidegate::route::Limit {
            dimension: it.limit.dimension,
            size: it.limit.size,
            room: room(&it.limit, &it.book, scene.now, scene.interactive),
            opens: opens_at(&it.limit, &it.book, 1, scene.now),
            is_per_minute: it.limit.window == Window::Minute,
            hold: hold.map(|it| it.hold),
        }
    });
    let ours = |it: &super::scene::Flying| it.suspect_of_ours;
    Board {
        now: scene.now,
        limits: limits.collect(),
        models: (0..scene.models.len())
            .map(|it| model(scene, &all, it))
            .collect(),
        runs: (0..scene.runs.len())
            .map(|it| run(scene, &all, it))
            .collect(),
        lanes: lanes(scene),
        holds_suspect: scene.flying.iter().any(ours),
    }
}

fn model(scene: &Scene, all: &[Numbered], number: usize) -> Model {
    let it = &scene.models[number];
    let cooldown = it.cooldown.map(|cooldown| {
        let until = scene.now + cooldown.until_ms * 1_000;
        let since = scene.flying.iter().filter(|call| {
            model_of(scene, call.model) == number && scene.now - call.ago_ms * 1_000 >= until
        });
        Cooldown {
            until,
            proven_at: cooldown.proven_ms.map(|after| until + after * 1_000),
            granted_since: u32::try_from(since.count()).expect("a few"),
        }
    });
    let cooling = cooldown.filter(|it| it.until > scene.now);
    let asked = cooldown.filter(|it| it.until <= scene.now && it.proven_at.is_none());
    let closed = if it.parked || !scene.has_key[it.provider] {
        Some(Opening::Never)
    } else {
        cooling.map(|it| Opening::At(it.until))
    };
    Model {
        provider: PROVIDERS[it.provider].to_owned(),
        limits: limits_of(scene, all, number),
        closed,
        gate: cooldown.and_then(|it| it.left(scene.now)),
        asked_since: asked.map(|it| it.until),
        prices: Prices {
            input: it.input_price,
            output: it.output_price,
        },
    }
}

fn run(scene: &Scene, all: &[Numbered], number: usize) -> Run {
    let it = &scene.runs[number];
    let is_its = |owner: Owner| {
        owner == Owner::Worker(it.worker)
            || owner == Owner::Run(number)
            || owner == Owner::Everything
    };
    let limits = all.iter().enumerate().filter(|(_, it)| is_its(it.owner));
    let since_rest = it.paced.map_or(0, |(_, since)| since);
    let until_rest = it.cool_after.map(|after| match since_rest >= after {
        true => after,
        false => after - since_rest,
    });
    let allowance = [it.stagger_ms.map(|_| 1), until_rest];
    let allowance = allowance.into_iter().flatten().min();
    Run {
        id: id(RUN, number),
        weight: f64::from(it.weight),
        mix: it.mix.iter().copied().map(f64::from).collect(),
        limits: limits.map(|(place, _)| place).collect(),
        allowance: allowance.map(|it| u32::try_from(it).expect("a few")),
    }
}

fn lanes(scene: &Scene) -> Vec<Lane> {
    let is_awake = |run: usize| {
        let it = &scene.runs[run];
        !it.paused && it.paced.is_none_or(|(next_ms, _)| next_ms <= 0)
    };
    let lanes = scene.lanes.iter().enumerate();
    let awake = lanes.filter(|(_, lane)| is_awake(run_of(scene, lane)));
    awake.map(|(number, it)| lane(scene, number, it)).collect()
}

fn lane(scene: &Scene, number: usize, it: &ALane) -> Lane {
    let ladder = ladder_of(scene, it);
    let mut est_output = vec![it.est_output; ladder.len()];
    est_output[0] = it.quantile.unwrap_or(it.est_output);
    let tasks = it.tasks.iter().enumerate().map(|(place, task)| Task {
        id: task_id(number, place),
        priority: f64::from(task.priority),
        est_input: task.est_input,
        tries: task.tries.clone(),
        rescues: task.rescues.min(SUSPECT_AT),
        most: task.most.map(|most| most.unsigned_abs().into()),
    });
    Lane {
        run: run_of(scene, it),
        tier: it.tier,
        component_priority: it.component_priority,
        policy: it.policy,
        patience: it.patience_ms * 1_000,
        est_output,
        max_output: it.max_output,
        pack: Pack {
            size: it.pack.0.unsigned_abs().into(),
            tokens: it.pack.1.into(),
        },
        tasks: tasks.collect(),
        ladder,
    }
}

/// Who is held for after such a claim, by the number of the limit.
pub(super) fn holds_after(
    scene: &Scene,
    board: &Board,
    admission: &Admission,
) -> Vec<(i32, Uuid, i64)> {
    assert_eq!(board.now, scene.now);
    let before = holds_of(scene);
    let mut held: BTreeMap<usize, Hold> =
        before.iter().map(|(&it, held)| (it, held.hold)).collect();
    let taken = |task: Uuid| admission.picks.iter().any(|pick| pick.task == task);
    for it in &admission.passed_over {
        // one at a time, until it has been served or has had its time
        let is_over = before.get(&it.limit).is_some_and(|it| it.is_over);
        if is_over || held.get(&it.limit).is_none_or(|hold| taken(hold.task)) {
            let (task, need) = (it.task, it.need);
            held.insert(it.limit, Hold { task, need });
        }
    }
    let number = |limit: usize| i32::try_from(limit + 1).expect("a small number");
    let held = held.into_iter().map(|(limit, hold)| {
        let need = i64::try_from(hold.need).expect("a small need");
        (number(limit), hold.task, need)
    });
    held.collect()
}
