//! F41, F49, F50: what the provider sees when a model reopens, when many processes race for one
//! quota, and when some of them die.

use std::time::Duration;

use tidegate::{
    engine::Settings,
    simulator::{ModelSettings, WindowKind},
};
use tokio_util::sync::CancellationToken;

use super::tools::{LADDERS, short_lived};
use crate::support::fleet::{Fleet, a_model, simulated};

/// Moments at which calls arrived, in milliseconds.
fn arrivals(fleet: &Fleet) -> Vec<u64> {
    let log = fleet.simulator.log();
    let mut at: Vec<u64> = log.iter().map(|call| call.at_ms).collect();
    at.sort_unstable();
    at
}

/// The most arrivals in any span of so many milliseconds.
fn most_within(arrivals: &[u64], span_ms: u64) -> usize {
    let within = |from: &u64| {
        arrivals
            .iter()
            .filter(|at| (*from..from + span_ms).contains(at))
            .count()
    };
    arrivals.iter().map(within).max().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f41_after_a_cooldown_one_call_asks_and_then_a_ramp_though_hundreds_wait() {
    let mut settings = simulated(vec![a_model("best")]);
    settings.latency.median_ms = 150.0;
    settings.latency.min_ms = 100.0;
    let fleet = Fleet::over(settings).await;
    fleet.articles(300).await;
    let only: [&[&str]; 3] = [&["sim/best"], &["sim/best"], &["sim/best"]];
    let run = fleet
        .load(Fleet::entity_extraction(only, "sim/best"))
        .await
        .run;
    let closed = fleet.store.cool_down(
        "sim/best",
        Some(Duration::from_secs(2)),
        false,
        "a test",
        "test",
    );
    closed.await.expect("closed");
    let stop = CancellationToken::new();
    let processes: Vec<_> = (0..3)
        .map(|_| {
            let settings = Settings {
                slots: 100,
                ..short_lived()
            };
            fleet.process_with(&stop, settings)
        })
        .collect();
    fleet.until_done(run).await;
    stop.cancel();
    for process in processes {
        process.await.expect("it ends");
    }
    let at = arrivals(&fleet);
    assert_eq!(at.len(), 300, "one call a task");
    // every answer takes a tenth of a second at least: the second call waited for the first one's
    assert!(at[1] - at[0] >= 100, "{:?}", &at[..6]);
    // two at once in the half second after it, then four: a slow machine may let the steps run into one another, but no
    // herd of hundreds comes
    let step = at[1]..at[1] + 300;
    let first_step = at.iter().filter(|it| step.contains(it)).count();
    assert!(
        first_step <= 24,
        "{first_step} calls at the beginning of the ramp"
    );
    assert!(most_within(&at, 10) <= 100, "never the herd");
}

fn limited(rpm: u64) -> ModelSettings {
    ModelSettings {
        rpm: Some(rpm),
        window: WindowKind::Sliding,
        ..a_model("best")
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f49_eight_processes_that_race_for_sixty_a_minute_get_sixty() {
    let fleet = Fleet::with(vec![limited(60), a_model("good")]).await;
    fleet.articles(200).await;
    let run = fleet
        .load(Fleet::entity_extraction(LADDERS, "sim/good"))
        .await
        .run;
    let stop = CancellationToken::new();
    let processes: Vec<_> = (0..8)
        .map(|_| fleet.process_with(&stop, short_lived()))
        .collect();
    fleet.until_done(run).await;
    stop.cancel();
    for process in processes {
        process.await.expect("it ends");
    }
    let log = fleet.simulator.log();
    let best = log.iter().filter(|call| call.model == "best").count();
    assert!(best <= 60, "{best} in less than a minute");
    assert!(log.iter().all(|call| call.status == 200), "none refused");
    assert_eq!(log.len(), 200, "one call a task");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f50_what_the_dead_held_is_not_given_out_again_within_its_window() {
    let mut settings = simulated(vec![limited(40), a_model("good")]);
    settings.latency.median_ms = 300.0;
    let fleet = Fleet::over(settings).await;
    fleet.articles(160).await;
    let run = fleet
        .load(Fleet::entity_extraction(LADDERS, "sim/good"))
        .await
        .run;
    let mut dying: Vec<_> = (0..4).map(|_| fleet.real_process(5)).collect();
    fleet.until_calls(20).await;
    dying
        .iter_mut()
        .for_each(crate::support::fleet::RealProcess::kill);
    let stop = CancellationToken::new();
    let heirs: Vec<_> = (0..2)
        .map(|_| fleet.process_with(&stop, short_lived()))
        .collect();
    fleet.until_done(run).await;
    stop.cancel();
    for heir in heirs {
        heir.await.expect("it ends");
    }
    let log = fleet.simulator.log();
    let best: Vec<u64> = log
        .iter()
        .filter(|call| call.model == "best")
        .map(|call| call.at_ms)
        .collect();
    assert!(most_within(&best, 60_000) <= 40);
    assert!(log.iter().all(|call| call.status != 429), "none refused");
    let held = fleet
        .count("select count(*) from tidegate.limit_book b join tidegate.limits l on l.limit_id = b.limit_id where l.name = 'best' and l.dimension = 'requests'")
        .await;
    assert!(held > 0, "the book was kept");
}
