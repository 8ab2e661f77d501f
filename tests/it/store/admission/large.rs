//! Prompts of all sizes under a limit of tokens: none blocks the others for ever, nor is blocked.

use super::{LEASE, ONLY_A, a_process, a_store, claim, count, say};
use crate::support::many_at_once;
use crate::support::work::{ONE_TIER, items, load};

/// 1,000 tokens a minute; the first task wants 900 of them, the others 100 each.
async fn a_large_one_first() -> (crate::support::TestDb, tidegate::store::Store) {
    let (db, store) = a_store(&[("a", None), ("b", None)]).await;
    say(&db, ONLY_A).await;
    say(&db, "select tidegate.set_model('sim/a', '{\"tpm\": 1000}')").await;
    many_at_once(db.pool()).await;
    load(&store, ONE_TIER, &items(40)).await.expect("a run");
    say(
        &db,
        "update tidegate.ready r set est_input = case when t.item_id = 'i00000' then 900 else 100 end
           from tidegate.tasks t where t.id = r.id",
    )
    .await;
    (db, store)
}

const SPENT: &str = "insert into tidegate.limit_book (limit_id, at, total, full_at)
    select limit_id, now() - make_interval(secs => 30), 500, now() from tidegate.limits where dimension = 'input_tokens'";
const LEFT_THE_WINDOW: &str =
    "update tidegate.limit_book set at = at - interval '40 s' where total = 500";

#[tokio::test]
async fn small_prompts_fill_the_gap_before_one_that_does_not_fit() {
    let (db, store) = a_large_one_first().await;
    say(&db, SPENT).await;
    let process = a_process(&store, LEASE).await;
    let taken = claim(&store, process, 3).await;
    assert_eq!(taken.len(), 3);
    assert!(taken.iter().all(|task| task.est_input == 100));
}

#[tokio::test]
async fn one_that_was_passed_over_long_enough_is_left_room_and_served() {
    let (db, store) = a_large_one_first().await;
    say(&db, SPENT).await;
    let process = a_process(&store, LEASE).await;
    assert_eq!(claim(&store, process, 1).await.len(), 1);
    say(
        &db,
        "update tidegate.limit_holds set since = since - interval '6 s'",
    )
    .await;
    assert!(
        claim(&store, process, 3).await.is_empty(),
        "400 are left, and wait for it"
    );
    say(&db, LEFT_THE_WINDOW).await;
    let taken = claim(&store, process, 3).await;
    assert_eq!(
        taken.iter().map(|task| task.est_input).collect::<Vec<_>>(),
        [900]
    );
    say(
        &db,
        "update tidegate.limit_book set at = at - interval '65 s'",
    )
    .await;
    assert_eq!(
        claim(&store, process, 10).await.len(),
        10,
        "nothing waits for it any more"
    );
}

#[tokio::test]
async fn no_room_is_kept_for_a_task_that_its_worker_may_not_start_nor_of_a_day() {
    const HOLDS: &str = "select count(*) from tidegate.limit_holds";
    const WORKER: &str = "insert into tidegate.limits (quota_scope, name, dimension, window_kind, size, counting, worker)
      select 'worker', 'worker:' || u.worker, 'concurrency', 'none', 0, 'sliding', u.worker from tidegate.runs u";
    let (db, store) = a_large_one_first().await;
    say(&db, SPENT).await;
    let process = a_process(&store, LEASE).await;
    say(&db, WORKER).await;
    assert!(claim(&store, process, 3).await.is_empty());
    assert_eq!(count(&db, HOLDS).await, 0, "its worker may start none");
    say(&db, "delete from tidegate.limits where worker is not null").await;
    let budget = "insert into tidegate.limits (quota_scope, name, dimension, window_kind, size, counting, run_id)
      select 'money', 'run:' || u.id, 'money', 'run', 0, 'sliding', u.id from tidegate.runs u";
    say(&db, budget).await;
    assert!(claim(&store, process, 3).await.is_empty());
    assert_eq!(count(&db, HOLDS).await, 0, "its run may spend nothing");
    say(&db, "delete from tidegate.limits where run_id is not null").await;
    let day = "update tidegate.limits set window_kind = 'day' where dimension = 'input_tokens'";
    say(&db, day).await;
    assert_eq!(claim(&store, process, 1).await.len(), 1);
    assert_eq!(count(&db, HOLDS).await, 0, "a day is no minute");
    let minute =
        "update tidegate.limits set window_kind = 'minute' where dimension = 'input_tokens'";
    say(&db, minute).await;
    assert_eq!(claim(&store, process, 1).await.len(), 1);
    assert_eq!(count(&db, HOLDS).await, 1);
}

#[tokio::test]
async fn prompts_that_no_open_model_ever_takes_stand_before_none_that_it_does() {
    let (db, store) = a_large_one_first().await;
    // more of them than a claim looks at beyond what it wants, and all before the two small ones
    say(
        &db,
        "update tidegate.ready r set est_input = case when t.item_id >= 'i00038' then 100 else 1251 end
           from tidegate.tasks t where t.id = r.id",
    )
    .await;
    let process = a_process(&store, LEASE).await;
    let taken = claim(&store, process, 2).await;
    assert_eq!(taken.len(), 2);
    assert!(taken.iter().all(|task| task.est_input == 100));
    assert!(claim(&store, process, 2).await.is_empty());
    // another model of their ladder takes them
    say(&db, "select tidegate.set_model('sim/b', '{\"tpm\": 1001}')").await;
    say(&db, "update tidegate.models set parked = null").await;
    let taken = claim(&store, process, 1).await;
    assert_eq!(taken.len(), 1);
    assert_eq!(
        (taken[0].est_input, taken[0].model.as_str()),
        (1251, "sim/b")
    );
}
