use proptest::prelude::*;

use super::forecast;
use crate::{
    limits::{Book, Booking, Dimension, Limit, SECOND_US, Window},
    route::{
        Policy, Prices,
        forecast::{Ahead, LaneAhead, ModelAhead, Pool, RunAhead},
    },
};

fn per_minute(size: u64, burst: Option<u64>) -> Limit {
    Limit {
        burst,
        guard_ms: 0,
        ..Limit::per_minute(size)
    }
}

/// One run of one lane over models with these limits, untouched.
fn ahead(tasks: u64, limits: &[Vec<Limit>], policy: Policy) -> Ahead {
    let mut all = Ahead::default();
    for of_model in limits {
        let first = all.pools.len();
        let pools = of_model.iter().map(|it| Pool::of(it, &Book::default(), 0));
        all.pools.extend(pools);
        all.models.push(ModelAhead {
            provider: "p".to_owned(),
            pools: (first..all.pools.len()).collect(),
            opens_in: Some(0.0),
            latency: 0.0,
            prices: Prices::default(),
        });
    }
    all.runs.push(RunAhead {
        weight: 1.0,
        mix: vec![4.0, 5.0, 1.0],
        pools: Vec::new(),
        in_flight: 0,
    });
    let ladder: Vec<usize> = (0..limits.len()).collect();
    all.lanes.push(a_lane(tasks, &ladder, policy));
    all
}

fn a_lane(tasks: u64, ladder: &[usize], policy: Policy) -> LaneAhead {
    LaneAhead {
        run: 0,
        tier: 0,
        component_priority: 0,
        ladder: ladder.to_vec(),
        policy,
        patience: 60.0,
        tasks,
        pack: 1,
        input: 100.0,
        output: vec![20.0; ladder.len()],
    }
}

fn seconds(ahead: &Ahead) -> f64 {
    forecast(ahead).runs[0].seconds.expect("an end")
}

/// The most that a model can have been called by this moment, as `bench limits` has it.
fn granted_by(limit: &Limit, at: f64) -> f64 {
    let size = limit.size as f64;
    let minutes = ((at + 1e-6) / 60.0).floor();
    let rest = (at - minutes * 60.0).max(0.0);
    let burst = limit
        .burst
        .map_or(size, |burst| burst as f64 + size * rest / 60.0);
    (size * minutes + size.min(burst) + 1e-4).floor()
}

/// The least moment at which so many calls can have been made.
fn exact(tasks: u64, limits: &[Limit]) -> f64 {
    let enough = |at: f64| limits.iter().map(|it| granted_by(it, at)).sum::<f64>() >= tasks as f64;
    let (mut early, mut late) = (0.0, 1e7);
    if enough(early) {
        return early;
    }
    for _ in 0..80 {
        let middle = (early + late) / 2.0;
        if enough(middle) {
            late = middle
        } else {
            early = middle
        }
    }
    late
}

fn any_limit() -> impl Strategy<Value = Limit> {
    (1_u64..200, prop::option::of(1_u64..40))
        .prop_map(|(size, burst)| per_minute(size, burst.map(|it| it.min(size))))
}

// a call is an event at a limit of one, and after 3,000 events the end is smoothed
proptest! {
    #[test]
    fn one_model_is_exact(limit in any_limit(), tasks in 1_u64..2_500) {
        let told = seconds(&ahead(tasks, &[vec![limit]], Policy::Auto));
        let exact = exact(tasks, &[limit]);
        prop_assert!((told - exact).abs() < 1e-2, "told {}, exact {}", told, exact);
    }

    #[test]
    fn four_models_are_exact_and_never_too_early(limits in prop::collection::vec(any_limit(), 4), tasks in 1_u64..2_500, spread in any::<bool>()) {
        let policy = if spread { Policy::Spread } else { Policy::Ladder };
        let models: Vec<Vec<Limit>> = limits.iter().map(|it| vec![*it]).collect();
        let told = seconds(&ahead(tasks, &models, policy));
        let exact = exact(tasks, &limits);
        prop_assert!((told - exact).abs() < 1e-2, "told {}, exact {}", told, exact);
    }

    #[test]
    fn all_calls_are_counted(limits in prop::collection::vec(any_limit(), 1..4), tasks in 1_u64..3_000) {
        let models: Vec<Vec<Limit>> = limits.iter().map(|it| vec![*it]).collect();
        let calls: u64 = forecast(&ahead(tasks, &models, Policy::Ladder)).calls.iter().sum();
        prop_assert!(calls.abs_diff(tasks) <= 4, "{} calls for {} tasks", calls, tasks);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_run_of_weeks_costs_no_more_and_is_told_within_a_minute(limit in any_limit(), tasks in 1_000_000_u64..9_000_000) {
        // within ten years
        let limit = Limit { size: limit.size + 1, ..limit };
        let told = seconds(&ahead(tasks, &[vec![limit]], Policy::Auto));
        let minutes = (tasks as f64 / limit.size as f64).floor();
        prop_assert!(told >= (minutes - 1.0) * 60.0 - 1.0 && told <= (minutes + 2.0) * 60.0, "told {}, {} minutes", told, minutes);
    }
}

#[test]
fn a_day_that_is_spent_goes_on_after_midnight() {
    let day = Limit {
        window: Window::Day {
            began_at: -1,
            ends_at: 100 * SECOND_US,
        },
        ..per_minute(50, None)
    };
    let ahead = ahead(80, &[vec![per_minute(30, None), day]], Policy::Auto);
    // 30 at once, 20 at a minute, then none; at midnight the minute has room for 10, and 20 s later for 20
    let told = forecast(&ahead);
    assert!((told.runs[0].seconds.expect("an end") - 120.0).abs() < 1e-3);
    assert_eq!(told.binding.expect("a limit").pool, 0, "60 s against 40");
}

#[test]
fn tokens_bind_where_prompts_are_large() {
    let tokens = Limit {
        dimension: Dimension::InputTokens,
        ..per_minute(1_000, None)
    };
    let told = forecast(&ahead(
        40,
        &[vec![per_minute(60, Some(10)), tokens]],
        Policy::Auto,
    ));
    // ten prompts of 100 a minute
    assert!((told.runs[0].seconds.expect("an end") - 180.0).abs() < 1e-3);
    assert_eq!(told.binding.expect("a limit").pool, 1);
}

#[test]
fn what_was_used_before_counts() {
    let mut ahead = ahead(5, &[vec![]], Policy::Auto);
    let used = Book {
        debits: vec![Booking {
            at: -20 * SECOND_US,
            amount: 8,
        }],
        ..Book::default()
    };
    ahead.pools.push(Pool::of(&per_minute(10, None), &used, 0));
    ahead.models[0].pools.push(0);
    assert!(
        (seconds(&ahead) - 40.0).abs() < 1e-3,
        "two now, three when the eight have left"
    );
}

#[test]
fn a_better_model_is_waited_for_and_a_closed_one_is_not() {
    let two = [vec![per_minute(10, None)], vec![per_minute(100, None)]];
    let mut ahead = ahead(20, &two, Policy::Patient);
    assert_eq!(forecast(&ahead).calls, [20, 0]);
    ahead.models[0].opens_in = Some(300.0);
    assert_eq!(forecast(&ahead).calls, [0, 20]);
    ahead.models[0].opens_in = None;
    assert_eq!(forecast(&ahead).calls, [0, 20]);
    ahead.models[1].opens_in = None;
    assert_eq!(
        forecast(&ahead).runs[0].seconds,
        None,
        "not before a person acts"
    );
}

#[test]
fn a_fallbacks_own_tasks_come_first() {
    let two = [vec![per_minute(10, None)], vec![per_minute(20, None)]];
    let mut ahead = ahead(30, &two, Policy::Ladder);
    ahead.runs.push(ahead.runs[0].clone());
    ahead.lanes.push(LaneAhead {
        run: 1,
        ..a_lane(20, &[1], Policy::Ladder)
    });
    let told = forecast(&ahead);
    assert_eq!(told.runs[1].seconds, Some(0.0));
    assert!((told.runs[0].seconds.expect("an end") - 60.0).abs() < 1e-3);
}

#[test]
fn a_budget_ends_what_it_does_not_cover_and_cost_is_told_where_prices_are() {
    let mut ahead = ahead(10, &[vec![per_minute(60, None)]], Policy::Auto);
    assert_eq!(forecast(&ahead).runs[0].cost_microusd, None, "no price");
    ahead.models[0].prices = Prices {
        input: Some(1_000_000),
        output: Some(5_000_000),
    };
    assert_eq!(
        forecast(&ahead).runs[0].cost_microusd,
        Some(2_000),
        "200 each"
    );
    let budget = Limit {
        dimension: Dimension::Money,
        window: Window::Run,
        ..per_minute(900, None)
    };
    ahead.pools.push(Pool::of(&budget, &Book::default(), 0));
    ahead.runs[0].pools.push(1);
    let told = forecast(&ahead);
    assert_eq!(told.runs[0].seconds, None);
    assert_eq!(told.runs[0].cost_microusd, Some(900), "and no more");
}

#[test]
fn calls_at_once_are_a_pace() {
    let mut ahead = ahead(100, &[vec![]], Policy::Auto);
    ahead.models[0].latency = 2.0;
    ahead.pools.push(Pool::at_once(10, 0, 2.0));
    ahead.models[0].pools.push(0);
    // ten at once, then five a second, and the last takes its two seconds
    assert!((seconds(&ahead) - 20.0).abs() < 1e-3);
}

#[test]
fn runs_share_by_weight_and_tiers_by_mix() {
    let mut ahead = ahead(40, &[vec![per_minute(40, None)]], Policy::Auto);
    ahead.runs.push(RunAhead {
        weight: 3.0,
        ..ahead.runs[0].clone()
    });
    ahead.lanes.push(LaneAhead {
        run: 1,
        ..a_lane(60, &[0], Policy::Auto)
    });
    // 10 and 30 in each of the first two minutes, then the rest of the first run
    let told = forecast(&ahead);
    assert!((told.runs[1].seconds.expect("an end") - 60.0).abs() < 1e-3);
    assert!((told.runs[0].seconds.expect("an end") - 120.0).abs() < 1e-3);
}

proptest! {
    #[test]
    fn a_pack_is_one_request(limit in any_limit(), tasks in 1_u64..5_000, pack in 1_u64..20) {
        let mut ahead = ahead(tasks, &[vec![limit]], Policy::Auto);
        ahead.lanes[0].pack = pack;
        let told = forecast(&ahead);
        let calls = tasks.div_ceil(pack);
        prop_assert_eq!(&told.calls, &[calls]);
        if calls < 2_500 {
            let (told, exact) = (told.runs[0].seconds.expect("an end"), exact(calls, &[limit]));
            prop_assert!((told - exact).abs() < 1e-2, "told {}, exact {}", told, exact);
        }
    }
}

#[test]
fn a_pack_takes_one_slot_and_the_tokens_of_its_tasks() {
    let tokens = Limit {
        dimension: Dimension::InputTokens,
        ..per_minute(1_000, None)
    };
    let mut all = ahead(100, &[vec![tokens]], Policy::Auto);
    all.models[0].prices = Prices {
        input: Some(1_000_000),
        output: Some(5_000_000),
    };
    let alone = forecast(&all);
    all.lanes[0].pack = 5;
    let packed = forecast(&all);
    assert_eq!((&alone.calls, &packed.calls), (&vec![100], &vec![20]));
    // ten tasks a minute, however they travel
    assert_eq!(alone.runs[0].cost_microusd, packed.runs[0].cost_microusd);
    let (one, other) = (alone.runs[0].seconds, packed.runs[0].seconds);
    assert!((one.expect("an end") - 540.0).abs() < 1e-3, "{one:?}");
    assert!((other.expect("an end") - 540.0).abs() < 1e-3, "{other:?}");

    let mut all = ahead(100, &[vec![]], Policy::Auto);
    all.lanes[0].pack = 5;
    all.models[0].latency = 2.0;
    all.pools.push(Pool::at_once(10, 0, 2.0));
    all.models[0].pools.push(0);
    // twenty calls: ten at once, then five a second
    assert!((seconds(&all) - 4.0).abs() < 1e-3);
}
