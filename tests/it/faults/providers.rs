//! F40, F42 to F45, F48: a provider that refuses, and one that answers with something else than an
//! answer. By both vendors' wires.

use std::time::Duration;

use tidegate::simulator::{Faults, OutageKind, Settings};
use tokio_util::sync::CancellationToken;

use super::tools::{arrived, short_lived};
use crate::support::fleet::{Fleet, a_model, simulated};

/// Ladders that begin at one vendor and end at the other. The first model is `first`, the last
/// `last`.
const LADDERS: [&[&str]; 2] = [&["oa/first", "sim/last"], &["sim/first", "oa/last"]];

const DONE_AT_ONCE: &str =
    "select count(*) from tidegate.tasks where state = 'done' and attempts = 1";
/// Calls that the provider has seen, by our ledger.
const SENT: &str = "select count(*) from tidegate.calls where sent";
const LEFT: &str = "select (select count(*) from tidegate.running) + (select count(*) from tidegate.calls where ended_at is null)";
const DONE: &str = "select count(*) from tidegate.tasks where state = 'done'";
const ANSWERS: &str = "select count(*) from tidegate.task_results";

fn models() -> Settings {
    let mut settings = simulated(["first", "last"].map(a_model).to_vec());
    settings.latency.median_ms = 20.0;
    settings
}

fn faulty(faults: Faults) -> Settings {
    Settings { faults, ..models() }
}

/// A fleet with so many articles on this ladder, worked off by so many processes at once.
async fn worked_off(
    settings: Settings,
    ladder: &[&str],
    articles: usize,
    before: impl Fn(&Fleet),
) -> Fleet {
    let fleet = Fleet::crossed(settings).await;
    fleet.articles(articles).await;
    let last = ladder[ladder.len() - 1];
    let loaded = fleet
        .load(Fleet::entity_extraction([ladder; 3], last))
        .await;
    before(&fleet);
    let stop = CancellationToken::new();
    let processes = [0, 1].map(|_| fleet.process_with(&stop, short_lived()));
    fleet.until_done(loaded.run).await;
    stop.cancel();
    for process in processes {
        process.await.expect("it ends");
    }
    assert_eq!(fleet.count(LEFT).await, 0, "nothing is left under way");
    fleet
}

fn calls_of(fleet: &Fleet, model: &str, outcome: &str) -> usize {
    let log = fleet.simulator.log();
    log.iter()
        .filter(|call| call.model == model && call.outcome == outcome)
        .count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f40_a_refusal_closes_the_model_on_every_process() {
    for ladder in LADDERS {
        let fleet = worked_off(models(), ladder, 40, |fleet| {
            let long = Duration::from_secs(600);
            fleet.simulator.outage("first", OutageKind::Minute, long);
        })
        .await;
        assert_eq!(fleet.count(DONE_AT_ONCE).await, 40, "{ladder:?}");
        // what was granted before the model was closed may still arrive; nothing is granted after
        let late = "select count(*) from tidegate.calls c join tidegate.model_cooldowns d on d.model = c.model where c.started_at > d.since + interval '1 second'";
        assert_eq!(fleet.count(late).await, 0, "{ladder:?}");
        let told = "select count(*) from tidegate.model_cooldowns where until > since + interval '9 minutes' and reason like 'refused (429)%'";
        assert_eq!(fleet.count(told).await, 1, "{ladder:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f42_a_429_that_means_no_money_parks_the_provider_and_burns_nothing() {
    for ladder in LADDERS {
        let fleet = worked_off(models(), ladder, 40, |fleet| {
            let long = Duration::from_secs(600);
            fleet.simulator.outage("first", OutageKind::Money, long);
        })
        .await;
        assert_eq!(fleet.count(DONE_AT_ONCE).await, 40, "{ladder:?}");
        let parked = "select count(*) from tidegate.providers where parked like '%credit%'";
        assert_eq!(fleet.count(parked).await, 1, "{ladder:?}");
        let cooled = "select count(*) from tidegate.model_cooldowns";
        assert_eq!(fleet.count(cooled).await, 0, "it is no rate limit");
        let refused = calls_of(&fleet, "first", "refused_outage");
        let slots = 3 * usize::try_from(short_lived().slots).expect("few");
        assert!((1..=slots).contains(&refused), "{ladder:?}: {refused}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f43_a_reset_after_the_request_was_sent_is_counted_and_asked_again() {
    for ladder in LADDERS {
        let reset = Faults {
            reset: 0.25,
            ..Faults::default()
        };
        let fleet = worked_off(faulty(reset), ladder, 40, |_| {}).await;
        let resets = calls_of(&fleet, "first", "reset") + calls_of(&fleet, "last", "reset");
        assert!(resets > 0);
        let resets = i64::try_from(resets).expect("few");
        assert_eq!(fleet.count(DONE).await, 40, "{ladder:?}");
        assert_eq!(arrived(&fleet), 40 + resets, "one more call for each");
        assert_eq!(fleet.count(SENT).await, 40 + resets, "the ledger has all");
        let unknown = "select count(*) from tidegate.calls where outcome = 'unknown_outcome' and cost_estimated and cost_microusd > 0";
        assert_eq!(fleet.count(unknown).await, resets);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f44_damaged_answers_are_never_stored_and_never_stick() {
    for ladder in LADDERS {
        let damage = Faults {
            cut_json: 0.1,
            short_body: 0.1,
            not_json: 0.1,
            ..Faults::default()
        };
        let fleet = worked_off(faulty(damage), ladder, 40, |_| {}).await;
        assert_eq!(fleet.count(DONE).await, 40, "{ladder:?}");
        assert_eq!(fleet.count(ANSWERS).await, 40);
        let damaged = "select count(*) from tidegate.calls where outcome in ('damaged', 'unknown_outcome') and error is not null and cost_estimated";
        assert_eq!(fleet.count(damaged).await, arrived(&fleet) - 40);
        assert!(arrived(&fleet) > 40);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f45_an_answer_that_is_cut_or_filtered_is_seen_and_not_stored() {
    let cut = Faults {
        max_tokens: 1.0,
        ..Faults::default()
    };
    let filtered = Faults {
        safety: 1.0,
        ..Faults::default()
    };
    for ladder in LADDERS {
        for faults in [&cut, &filtered] {
            let fleet = worked_off(faulty(faults.clone()), ladder, 8, |_| {}).await;
            let failed = "select count(*) from tidegate.tasks where state = 'failed' and error_class in ('truncated', 'filtered') and last_error <> '' and attempts = 1";
            assert_eq!(fleet.count(failed).await, 8, "{ladder:?}");
            assert_eq!(fleet.count(ANSWERS).await, 0);
            let counted =
                "select count(*) from tidegate.calls where input_tokens > 0 and not cost_estimated";
            assert_eq!(fleet.count(counted).await, 8, "what it cost is known");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f48_an_answer_without_usage_is_estimated_and_says_so() {
    for ladder in LADDERS {
        let silent = Faults {
            no_usage: 1.0,
            ..Faults::default()
        };
        let fleet = worked_off(faulty(silent), ladder, 12, |_| {}).await;
        assert_eq!(fleet.count(DONE_AT_ONCE).await, 12, "{ladder:?}");
        let estimated = "select count(*) from tidegate.calls where outcome = 'ok' and input_tokens is null and cost_estimated and cost_microusd > 0";
        assert_eq!(fleet.count(estimated).await, 12);
    }
}
