//! Laws of the choice, case by case.

use proptest::{prelude::*, strategy::Strategy as _};

use super::*;
use crate::task::Strategy;

fn latency(p50_ms: u64, p90_ms: u64) -> Option<Latency> {
    Some(Latency {
        p50: Duration::from_millis(p50_ms),
        p90: Duration::from_millis(p90_ms),
        samples: 9,
        age: 0,
    })
}

/// Nothing known.
fn auto(items: u32) -> Case {
    Case {
        items,
        mode: Strategy::Auto,
        ..Case::default()
    }
}

/// Calls of 2 s, batches of 45 s at half the price.
fn known(items: u32, purpose: Purpose) -> Case {
    Case {
        purpose,
        individual: latency(2_000, 2_800),
        batch: latency(45_000, 57_000),
        individual_microusd: Some(1_000),
        batch_microusd: Some(500),
        ..auto(items)
    }
}

fn within(case: Case, seconds: u64) -> Case {
    Case {
        within: Some(Duration::from_secs(seconds)),
        ..case
    }
}

fn chosen(case: &Case) -> (Way, u32) {
    let choice = decide(case);
    (choice.strategy, choice.singles)
}

#[test]
fn until_latencies_are_known_nine_go_singly_and_ten_by_batch() {
    for purpose in Purpose::ALL {
        let case = |items| Case {
            purpose,
            ..auto(items)
        };
        assert_eq!(chosen(&case(9)), (Way::Individual, 9));
        assert_eq!(chosen(&case(10)), (Way::Batch, 0));
        assert_eq!(chosen(&case(50_000)), (Way::Batch, 0));
    }
}

#[test]
fn ten_to_thirty_whose_deadline_is_nearer_than_a_batch_are_a_hybrid() {
    assert_eq!(chosen(&within(auto(10), 59)), (Way::Hybrid, 5));
    assert_eq!(chosen(&within(auto(30), 59)), (Way::Hybrid, 5));
    assert_eq!(chosen(&within(auto(31), 59)), (Way::Batch, 0));
    assert_eq!(chosen(&within(auto(10), 60)), (Way::Batch, 0));
    assert_eq!(chosen(&within(auto(9), 59)), (Way::Individual, 9));
}

#[test]
fn what_was_asked_for_is_done() {
    let forced = |mode, items| Case {
        mode,
        items,
        ..known(0, Purpose::Bulk)
    };
    let all = [
        (Strategy::Individual, 50_000, (Way::Individual, 50_000)),
        (Strategy::Batch, 2, (Way::Batch, 0)),
        (Strategy::Batch, 1, (Way::Individual, 1)),
        (Strategy::Batch, 0, (Way::Individual, 0)),
        (Strategy::Hybrid, 7, (Way::Hybrid, 5)),
        (Strategy::Hybrid, 6, (Way::Individual, 6)),
    ];
    for (mode, items, wanted) in all {
        assert_eq!(chosen(&forced(mode, items)), wanted, "{mode} of {items}");
    }
}

#[test]
fn a_model_without_a_batch_mode_is_asked_singly_and_that_is_said() {
    for mode in [Strategy::Auto, Strategy::Batch, Strategy::Hybrid] {
        let choice = decide(&Case {
            mode,
            has_batch: false,
            ..known(1_000, Purpose::Bulk)
        });
        assert_eq!(choice.strategy, Way::Individual);
        assert_eq!(choice.reason.to_string(), "the model has no batch mode");
        assert_eq!(choice.batch_takes, None);
    }
}

#[test]
fn interactive_work_takes_what_takes_less_time() {
    let way = |items| decide(&known(items, Purpose::Interactive)).strategy;
    // 22 rounds of 2 s take 44.8 s, 23 take 46.8
    assert_eq!(way(110), Way::Individual);
    assert_eq!(way(111), Way::Batch);
    let said = decide(&known(1_000, Purpose::Interactive)).reason;
    assert_eq!(
        said.to_string(),
        "less time: 7 min singly, 45 s by batch".to_owned()
    );
}

#[test]
fn a_limit_of_calls_a_minute_makes_single_calls_slow_and_is_named() {
    let case = Case {
        per_minute: Some(15),
        ..known(40, Purpose::Interactive)
    };
    let choice = decide(&case);
    // two full minutes before the last call begins
    assert_eq!(choice.individual_takes, Some(Duration::from_secs(122)));
    assert_eq!(choice.strategy, Way::Batch);
    let said = choice.reason.to_string();
    assert!(said.ends_with("15 calls a minute bind"), "{said}");
}

#[test]
fn bulk_takes_what_costs_less_if_the_deadline_allows() {
    assert_eq!(chosen(&known(2, Purpose::Bulk)), (Way::Batch, 0));
    assert_eq!(chosen(&known(1, Purpose::Bulk)), (Way::Individual, 1));
    // nine of ten batches are back after 57 s
    let tight = decide(&within(known(50, Purpose::Bulk), 56));
    assert_eq!(tight.strategy, Way::Individual);
    assert_eq!(
        tight.reason.to_string(),
        "the cheaper way takes up to 57 s, and the deadline is in 56 s"
    );
    assert_eq!(
        chosen(&within(known(50, Purpose::Bulk), 120)),
        (Way::Batch, 0)
    );
    let dear = Case {
        batch_microusd: Some(2_000),
        ..known(1_000, Purpose::Bulk)
    };
    assert_eq!(chosen(&dear), (Way::Individual, 1_000));
}

#[test]
fn bulk_at_equal_or_unknown_prices_takes_what_takes_less_time() {
    for batch_microusd in [Some(1_000), None] {
        let case = |items| Case {
            batch_microusd,
            ..known(items, Purpose::Bulk)
        };
        assert_eq!(decide(&case(50)).strategy, Way::Individual);
        assert_eq!(decide(&case(1_000)).strategy, Way::Batch);
    }
}

#[test]
fn a_deadline_that_leaves_no_time_for_a_batch_is_met_singly() {
    // 200 rounds of 2.8 s, and a quarter: 700 s
    let choice = decide(&within(known(1_000, Purpose::Bulk), 720));
    assert_eq!(choice.strategy, Way::Individual);
    let within_s = Duration::from_secs(720);
    assert_eq!(choice.reason, Reason::NoTimeForBatch { within: within_s });
}

#[test]
fn a_way_that_was_not_taken_for_long_is_tried_where_that_costs_little() {
    let aged = |items, purpose, single, batch| {
        let mut case = known(items, purpose);
        case.individual.as_mut().expect("known").age = single;
        case.batch.as_mut().expect("known").age = batch;
        case
    };
    let learns = |case: &Case| match decide(case).reason {
        Reason::Explores { side, .. } => Some(side),
        _ => None,
    };
    // beside a batch, five single calls cost no time
    let batches = |age| aged(1_000, Purpose::Interactive, age, 0);
    assert_eq!(learns(&batches(STALE)), None);
    assert_eq!(learns(&batches(STALE + 1)), Some(Side::Individual));
    assert_eq!(decide(&batches(STALE + 1)).singles, 5);
    // beside single calls, 2 by batch, which are asked singly too once the others should be back
    let calls = |items| aged(items, Purpose::Interactive, 0, STALE + 1);
    assert_eq!(learns(&calls(6)), None);
    let probe = decide(&calls(60));
    assert_eq!(learns(&calls(60)), Some(Side::Batch));
    assert_eq!((probe.strategy, probe.singles), (Way::Hybrid, 58));
    assert_eq!(probe.rescue_after, probe_ends());
    // the dearer way is of no use without a deadline
    assert_eq!(learns(&aged(1_000, Purpose::Bulk, 1_000, 0)), None);
    let late = within(aged(100, Purpose::Bulk, STALE + 1, 0), 600);
    assert_eq!(learns(&late), Some(Side::Individual));
    assert_eq!(decide(&late).singles, 5, "5 of 100 are a twentieth");
}

/// 58 in 12 rounds.
fn probe_ends() -> Option<Duration> {
    Some(Duration::from_millis(11 * 2_000 + 2_800))
}

#[test]
fn a_cheaper_way_that_the_defaults_never_take_is_tried_after_ten_choices() {
    let case = |decisions| Case {
        batch: None,
        decisions,
        ..known(3, Purpose::Bulk)
    };
    assert_eq!(decide(&case(9)).strategy, Way::Individual);
    assert_eq!(decide(&case(10)).strategy, Way::Batch);
}

fn any_latency() -> impl proptest::strategy::Strategy<Value = Option<Latency>> {
    prop::option::of(
        (1_u64..7_200_000, 0_u64..600_000, 0_u32..100).prop_map(|(p50, more, age)| Latency {
            p50: Duration::from_millis(p50),
            p90: Duration::from_millis(p50 + more),
            samples: 1,
            age,
        }),
    )
}

fn any_case() -> impl proptest::strategy::Strategy<Value = Case> {
    let money = || prop::option::of(0_u64..10_000);
    let asked = (
        0_u32..2_000,
        prop::sample::select(Strategy::ALL.to_vec()),
        prop::sample::select(Purpose::ALL.to_vec()),
        prop::option::of((1_u64..604_800).prop_map(Duration::from_secs)),
    );
    let seen = (
        any_latency(),
        any_latency(),
        0_u32..100,
        0_u32..50,
        prop::option::of(0_u32..5_000),
        any::<bool>(),
    );
    (asked, seen, money(), money()).prop_map(|(asked, seen, single, batch)| Case {
        items: asked.0,
        mode: asked.1,
        purpose: asked.2,
        within: asked.3,
        individual: seen.0,
        batch: seen.1,
        decisions: seen.2,
        parallel: seen.3,
        per_minute: seen.4,
        has_batch: seen.5,
        individual_microusd: single,
        batch_microusd: batch,
    })
}

proptest! {
    #[test]
    fn a_batch_has_two_tasks_at_least_and_every_task_goes_one_way(case in any_case()) {
        let choice = decide(&case);
        let batched = choice.batched(case.items);
        prop_assert!(choice.singles <= case.items);
        match choice.strategy {
            Way::Individual => prop_assert_eq!(batched, 0),
            Way::Batch => prop_assert_eq!(choice.singles, 0),
            Way::Hybrid => prop_assert!((1..=SINGLES).contains(&choice.singles) || batched == BATCH_MIN),
        }
        prop_assert!(batched != 1, "{:?}", choice);
        prop_assert!(batched == 0 || case.has_batch && case.mode != Strategy::Individual);
    }

    #[test]
    fn what_is_rescued_still_ends_within_the_deadline(case in any_case()) {
        let choice = decide(&case);
        prop_assert!(choice.rescue_after.is_some() || case.within.is_none() || choice.strategy == Way::Individual);
        prop_assert!(choice.rescue_after.is_none() || choice.strategy != Way::Individual);
        if let (Some(within), Some(rescue)) = (case.within, choice.rescue_after) {
            let batched = choice.batched(case.items);
            let ends = rescue + case.singly_guessed(batched, Quantile::NineOfTen);
            prop_assert!(ends <= within || case.mode != Strategy::Auto, "{:?}", choice);
            prop_assert!(rescue <= within, "{:?}", choice);
        }
    }

    #[test]
    fn a_reason_is_one_plain_line_and_an_object(case in any_case()) {
        let choice = decide(&case);
        let line = choice.reason.to_string();
        prop_assert!(!line.is_empty() && !line.contains('\n'));
        let json = serde_json::to_value(&choice).expect("it is data");
        prop_assert!(json["reason"]["why"].is_string());
        prop_assert_eq!(json["strategy"].as_str(), Some(choice.strategy.as_str()));
    }
}
