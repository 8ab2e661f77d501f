//! What people see of single calls and batches: while they run, at a run's end, by day.

use std::time::Duration;

use serde_json::Value;
use tidegate::{
    engine::{BatchSettings, Settings},
    simulator::{self, BatchSettings as Provided},
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::Program;
use crate::support::{
    fleet::{Fleet, a_model, simulated},
    work::{ONE_TIER, items, load},
};

/// A fleet whose provider's batches take so long, and a run of 20 by this strategy.
async fn scene(median_ms: f64, strategy: &str) -> (Fleet, Uuid) {
    let fleet = Fleet::over(simulator::Settings {
        batches: Provided {
            median_ms,
            ..Provided::default()
        },
        ..simulated(vec![a_model("a"), a_model("b")])
    })
    .await;
    let table = format!("{ONE_TIER}\n[strategy]\nmode = {strategy:?}\n");
    let run = load(&fleet.store, &table, &items(20)).await.expect("a run");
    (fleet, run.run)
}

fn watchful() -> Settings {
    Settings {
        lease: Duration::from_secs(6),
        batches: BatchSettings {
            poll: Duration::from_millis(20),
            poll_max: Duration::from_millis(50),
            lookup: Duration::from_millis(300),
        },
        ..Settings::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_s_report_and_the_table_by_day_tell_what_was_saved_and_why() {
    let (fleet, run) = scene(0.0, "hybrid").await;
    let stop = CancellationToken::new();
    let process = fleet.process_with(&stop, watchful());
    fleet.until_done(run).await;
    let over =
        "select (count(*) = 0)::int::bigint from tidegate.provider_batches where state <> 'over'";
    fleet.until_count(over, 1).await;
    stop.cancel();
    let worked = process.await.expect("it ends");
    assert_eq!((worked.done, worked.by_batch, worked.calls), (20, 15, 5));

    let program = Program::over(fleet.url());
    let id = run.to_string();
    let shown = program
        .run(&["--json", "runs", "show", &id])
        .ok()
        .objects()
        .remove(0);
    let saved = &shown["saved"];
    assert_eq!(
        (
            &shown["strategy"],
            &saved["batch_items"],
            &saved["individual_calls"]
        ),
        (&"hybrid".into(), &15.into(), &5.into())
    );
    assert_eq!(saved["last_decisions"][0]["reason"], "hybrid was asked for");
    let screen = program.run(&["runs", "show", &id]).ok().stdout;
    for words in [
        "5 calls for 5 tasks, 5 answered",
        "1 batch for 15 tasks, 15 answered",
        "beside always singly: $",
        "beside always by batch: -$",
        "hybrid for 20 tasks, the first 5 singly: hybrid was asked for",
    ] {
        assert!(screen.contains(words), "{words}: {screen}");
    }
    let rows = program
        .run(&["--json", "batches", "savings", "--days", "2"])
        .ok()
        .objects();
    let of_row = |key: &str| rows.iter().filter_map(|it| it[key].as_i64()).sum::<i64>();
    assert_eq!(
        Value::from(of_row("money_saved_against_individual_microusd")),
        saved["money_saved_against_individual_microusd"]
    );
    assert_eq!((of_row("batches"), of_row("individual_calls")), (1, 5));
    let table = program.run(&["batches", "savings"]).ok().stdout;
    assert!(table.contains("SAVED BESIDE SINGLY"), "{table}");
    let none = program.run(&["batches", "savings", "--days", "0"]);
    assert_eq!(none.code, Some(1), "{none:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tasks_in_a_batch_are_shown_as_such_and_an_end_that_nobody_knows_is_not_made_up() {
    let (fleet, run) = scene(3_600_000.0, "batch").await;
    let stop = CancellationToken::new();
    let process = fleet.process_with(&stop, watchful());
    let submitted = "select count(*) from tidegate.provider_batches where state = 'submitted'";
    fleet.until_count(submitted, 1).await;
    let program = Program::over(fleet.url());
    let id = run.to_string();
    let screen = program.run(&["runs", "show", &id]).ok().stdout;
    for words in [
        "20 in batches",
        "IN BATCH",
        "in a batch, its end is not known",
        "20 not back yet",
        "time unknown",
    ] {
        assert!(screen.contains(words), "{words}: {screen}");
    }
    let status = program.run(&["status"]).ok().stdout;
    assert!(status.contains("in a batch"), "{status}");
    stop.cancel();
    process.await.expect("it ends");
}
