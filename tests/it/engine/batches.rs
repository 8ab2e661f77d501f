//! Laws of provider batches: each is there once, each item of it is settled once, and nothing is left behind.

use std::time::Duration;

use tidegate::{
    engine::{BatchSettings, Settings},
    simulator::{self, BatchSettings as Provided},
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::support::{
    fleet::{Fleet, a_model, simulated},
    work::{ONE_TIER, items, load},
};

/// Watched as closely as a test can wait.
fn watchful() -> Settings {
    Settings {
        lease: Duration::from_secs(6),
        batches: BatchSettings {
            poll: Duration::from_millis(20),
            poll_max: Duration::from_millis(50),
            lookup: Duration::from_millis(200),
        },
        ..Settings::default()
    }
}

fn by_batch(batches: Provided) -> simulator::Settings {
    simulator::Settings {
        batches,
        ..simulated(vec![a_model("a"), a_model("b")])
    }
}

async fn loaded(fleet: &Fleet, worker: &str, count: usize, strategy: &str) -> Uuid {
    let run = load(&fleet.store, worker, &items(count)).await;
    let run = run.expect("a run").run;
    sqlx::query("update tidegate.runs set strategy = $2 where id = $1")
        .bind(run)
        .bind(strategy)
        .execute(fleet.store.pool())
        .await
        .expect("a strategy");
    sqlx::query("update tidegate.lanes set held = true where run_id = $1")
        .bind(run)
        .execute(fleet.store.pool())
        .await
        .expect("held");
    run
}

async fn worked_off(fleet: &Fleet, run: Uuid) {
    let stop = CancellationToken::new();
    let process = fleet.process_with(&stop, watchful());
    fleet.until_done(run).await;
    fleet.until_count("select (count(*) = 0)::int::bigint from tidegate.provider_batches where state <> 'over'", 1).await;
    stop.cancel();
    process.await.expect("it ends");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_is_made_once_each_item_is_answered_once_and_nothing_is_left_behind() {
    let fleet = Fleet::crossed(by_batch(Provided::default())).await;
    for model in ["sim/a", "oa/a"] {
        let worker = ONE_TIER
            .replace("sim/a", model)
            .replace("\"small\"", &format!("\"w{}\"", &model[..2]))
            + "[cache]\nenabled = false\n";
        let run = loaded(&fleet, &worker, 40, "batch").await;
        worked_off(&fleet, run).await;
        let done = "select count(*) from tidegate.tasks t join tidegate.runs u on u.id = t.run_id where t.state = 'done'";
        assert_eq!(
            fleet.count(done).await,
            if model == "sim/a" { 40 } else { 80 }
        );
    }
    assert_eq!(fleet.simulator.log().len(), 0, "no call of its own");
    let batches = fleet.simulator.batches();
    assert_eq!(batches.len(), 2, "{batches:?}");
    assert!(
        fleet.simulator.files().iter().all(|it| it.deleted),
        "{:?}",
        fleet.simulator.files()
    );
}
