//! What people do by hand.

use std::time::Duration;

use super::{a_store, count};
use crate::support::work::{ONE_TIER, a_process, answered, claim, items, load};
use tidegate::store::settle::Settled;

const LEASE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn cancel_ends_what_waits_and_what_runs_and_leaves_what_ended() {
    let (db, store) = a_store(&[("a", None), ("b", None)]).await;
    load(&store, ONE_TIER, &items(3)).await.expect("a run");
    let process = a_process(&store, LEASE).await;
    let done = claim(&store, process, 1).await.remove(0);
    store
        .settle_done(process, vec![answered(&done, "x")], None)
        .await
        .expect("settled");
    let running = claim(&store, process, 1).await.remove(0);
    let all: Vec<uuid::Uuid> = sqlx::query_scalar("select id from tidegate.tasks")
        .fetch_all(db.pool())
        .await
        .expect("ids");
    assert_eq!(store.cancel(&all).await.expect("cancelled"), 2);
    assert_eq!(store.cancel(&all).await.expect("again"), 0);
    let late = store
        .settle_done(process, vec![answered(&running, "late")], None)
        .await
        .expect("no error");
    assert_eq!(late[0].1, Settled::Superseded);
    assert_eq!(
        count(
            &db,
            "select count(*) from tidegate.tasks where state = 'cancelled'"
        )
        .await,
        2
    );
    assert!(claim(&store, process, 5).await.is_empty());
    assert_eq!(
        count(&db, "select count(*) from tidegate.open_keys").await,
        0
    );
}

#[tokio::test]
async fn retry_opens_the_next_generation_and_its_run() {
    let (db, store) = a_store(&[("a", None), ("b", None)]).await;
    load(&store, ONE_TIER, &items(2)).await.expect("a run");
    let process = a_process(&store, LEASE).await;
    let all: Vec<uuid::Uuid> = sqlx::query_scalar("select id from tidegate.tasks")
        .fetch_all(db.pool())
        .await
        .expect("ids");
    store.cancel(&all).await.expect("cancelled");
    store.finish_runs().await.expect("ended");
    assert_eq!(store.retry(&all).await.expect("retried"), 2);
    assert_eq!(store.retry(&all).await.expect("again"), 0);
    let tasks = claim(&store, process, 5).await;
    assert_eq!(
        tasks
            .iter()
            .map(|task| (task.generation, task.attempt))
            .collect::<Vec<_>>(),
        [(2, 1), (2, 1)]
    );
    let answers = tasks.iter().map(|task| answered(task, "x")).collect();
    store
        .settle_done(process, answers, None)
        .await
        .expect("settled");
    assert_eq!(store.finish_runs().await.expect("ended"), 1);
    assert_eq!(
        count(
            &db,
            "select count(*) from tidegate.events where kind = 'retried'"
        )
        .await,
        2
    );
}

#[tokio::test]
async fn a_rolled_back_cancel_never_was() {
    let (db, store) = a_store(&[("a", None), ("b", None)]).await;
    load(&store, ONE_TIER, &items(1)).await.expect("a run");
    let mut transaction = db.pool().begin().await.expect("the user's own transaction");
    sqlx::query("select tidegate.cancel(array(select id from tidegate.tasks))")
        .execute(&mut *transaction)
        .await
        .expect("cancelled");
    transaction.rollback().await.expect("rolled back");
    let process = a_process(&store, LEASE).await;
    assert_eq!(claim(&store, process, 1).await.len(), 1);
}
