//! Workers of many steps, worked off by a process before a simulated provider.

use tidegate::client::Loaded;
use tokio_util::sync::CancellationToken;

use crate::support::{
    fleet::{Fleet, a_model},
    steps::{PARTS, Picked},
};

async fn a_fleet() -> Fleet {
    let fleet = Fleet::with(vec![a_model("a"), a_model("b")]).await;
    sqlx::raw_sql(PARTS)
        .execute(fleet.store.pool())
        .await
        .expect("a table");
    fleet
}

/// Loads it, and one process works it off.
async fn work_off(fleet: &Fleet, picked: Picked<'_>) -> Loaded {
    let loaded = picked.load(&fleet.store).await.expect("a run");
    let stop = CancellationToken::new();
    let process = fleet.process(&stop);
    fleet.until_done(loaded.run).await;
    stop.cancel();
    process.await.expect("it ends");
    loaded
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_step_sees_the_answers_it_needs_and_reaches_the_sink_with_its_name() {
    let fleet = a_fleet().await;
    work_off(&fleet, Picked::default()).await;
    let parts =
        "select count(*) from parts p join parts d on d.item = p.item and d.component = 'draft'
                  where p.component = 'page' and p.answer = p.item || ': ' || d.answer";
    assert_eq!(fleet.count(parts).await, 4);
    assert_eq!(fleet.count("select count(*) from parts").await, 12);
    assert_eq!(fleet.simulator.log().len(), 8, "pages ask no model");
    let order =
        "select count(*) from tidegate.tasks t join tidegate.task_inputs i on i.task_id = t.id
                   join tidegate.tasks o on o.id = i.of_task where t.finished_at < o.finished_at";
    assert_eq!(fleet.count(order).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_that_fails_fails_no_other_and_is_done_alone_afterwards() {
    let fleet = a_fleet().await;
    let broken = Picked {
        title: "{{ results.draft.nothing.of_the_kind }}",
        ..Picked::default()
    };
    work_off(&fleet, broken).await;
    let failed = "select count(*) from tidegate.tasks where state = 'failed' and component = 'title' and error_class = 'input'
                   and last_error like 'title.md:1: %'";
    assert_eq!(fleet.count(failed).await, 4);
    let done = "select count(*) from tidegate.tasks where state = 'done' and component in ('draft', 'page')";
    assert_eq!(fleet.count(done).await, 8);
    let calls = fleet.simulator.log().len();
    let mended = Picked {
        only: &["title"],
        ..Picked::default()
    };
    work_off(&fleet, mended).await;
    assert_eq!(fleet.simulator.log().len(), calls + 4);
    let titles = "select count(*) from parts where component = 'title'";
    assert_eq!(fleet.count(titles).await, 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_whose_need_fails_does_not_start_and_the_run_ends() {
    let fleet = a_fleet().await;
    sqlx::raw_sql(
        "alter table parts add constraint refused check (item <> 'i00001' or component <> 'draft')",
    )
    .execute(fleet.store.pool())
    .await
    .expect("a constraint");
    work_off(&fleet, Picked::default()).await;
    let states: Vec<(String, String)> = sqlx::query_as(
        "select component, state from tidegate.tasks where item_id = 'i00001' order by component",
    )
    .fetch_all(fleet.store.pool())
    .await
    .expect("three tasks");
    let state = |at: usize| (states[at].0.as_str(), states[at].1.as_str());
    assert_eq!(state(0), ("draft", "failed"));
    assert_eq!(state(1), ("page", "cancelled"));
    assert_eq!(state(2), ("title", "cancelled"));
    assert_eq!(fleet.count("select count(*) from parts").await, 9);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_that_waits_in_another_run_is_asked_once_and_read_by_both() {
    let fleet = a_fleet().await;
    let draft = Picked {
        only: &["draft"],
        ..Picked::default()
    };
    let first = draft.load(&fleet.store).await.expect("a run");
    let whole = Picked::default().load(&fleet.store).await.expect("a run");
    assert_eq!((whole.sum.enqueued, whole.sum.skipped), (8, 4));
    let stop = CancellationToken::new();
    let process = fleet.process(&stop);
    fleet.until_done(first.run).await;
    fleet.until_done(whole.run).await;
    stop.cancel();
    process.await.expect("it ends");
    assert_eq!(fleet.count("select count(*) from parts").await, 12);
    assert_eq!(fleet.simulator.log().len(), 8);
}
