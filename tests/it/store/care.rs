//! Care: rescue, promote, ends of runs.

use std::time::Duration;

use super::{a_store, count};
use crate::support::work::{ONE_TIER, a_process, answered, claim, items, load};

const LEASE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn only_the_dead_are_rescued_and_a_death_counts() {
    let (db, store) = a_store(&[("a", None), ("b", None)]).await;
    load(&store, ONE_TIER, &items(10)).await.expect("a run");
    let (dead, alive) = (
        a_process(&store, LEASE).await,
        a_process(&store, LEASE).await,
    );
    claim(&store, dead, 4).await;
    claim(&store, alive, 3).await;
    assert_eq!(
        store
            .rescue(Duration::from_secs(10), true)
            .await
            .expect("looked"),
        0,
        "both beat"
    );
    sqlx::query(
        "update tidegate.processes set lease_until = now() - interval '11 s' where id = $1",
    )
    .bind(dead)
    .execute(db.pool())
    .await
    .expect("silent");
    assert_eq!(
        store
            .rescue(Duration::from_secs(10), true)
            .await
            .expect("rescued"),
        4
    );
    assert_eq!(
        store
            .rescue(Duration::from_secs(10), true)
            .await
            .expect("again"),
        0,
        "safe to run twice"
    );
    assert_eq!(count(&db, "select count(*) from tidegate.running").await, 3);
    assert_eq!(count(&db, "select count(*) from tidegate.tasks where state = 'ready' and attempts = 1 and rescues = 1").await, 4);
    assert_eq!(
        count(
            &db,
            "select count(*) from tidegate.task_attempts where outcome = 'lost'"
        )
        .await,
        4
    );
    assert_eq!(
        claim(&store, alive, 20).await.len(),
        7,
        "all are there again"
    );
}

#[tokio::test]
async fn f09_a_task_whose_process_died_three_times_is_set_aside_with_the_reason() {
    let (db, store) = a_store(&[("a", None), ("b", None)]).await;
    load(&store, ONE_TIER, &items(1)).await.expect("a run");
    let mut deaths = 0;
    loop {
        let process = a_process(&store, LEASE).await;
        if claim(&store, process, 1).await.is_empty() {
            break;
        }
        deaths += 1;
        sqlx::query("update tidegate.processes set lease_until = now() - interval '1 h'")
            .execute(db.pool())
            .await
            .expect("dead");
        store
            .rescue(Duration::from_secs(1), true)
            .await
            .expect("rescued");
    }
    assert_eq!(deaths, 3);
    assert_eq!(
        count(
            &db,
            "select count(*) from tidegate.tasks where state = 'failed' and error_class = 'quarantined' and rescues = 3 and last_error like '%3 processes died%'"
        )
        .await,
        1
    );
    assert_eq!(
        count(&db, "select count(*) from tidegate.open_keys").await,
        0
    );
}

#[tokio::test]
async fn a_run_ends_when_nothing_of_it_is_left() {
    let (db, store) = a_store(&[("a", None), ("b", None)]).await;
    let run = load(&store, ONE_TIER, &items(2)).await.expect("a run").run;
    let process = a_process(&store, LEASE).await;
    assert_eq!(store.finish_runs().await.expect("looked"), 0);
    let tasks = claim(&store, process, 2).await;
    assert_eq!(
        store.finish_runs().await.expect("looked"),
        0,
        "two are running"
    );
    let answers = tasks.iter().map(|task| answered(task, "x")).collect();
    store
        .settle_done(process, answers, None)
        .await
        .expect("settled");
    assert_eq!(store.finish_runs().await.expect("looked"), 1);
    let listed = store
        .runs(&tidegate::store::run::RunFilter::only(run), 1)
        .await
        .expect("listed");
    assert_eq!((listed[0].state.as_str(), listed[0].done), ("done", 2));
    assert_eq!(
        count(&db, "select count(*) from tidegate.lanes where open").await,
        0
    );
}

#[tokio::test]
async fn an_empty_run_ends_at_once() {
    let (_db, store) = a_store(&[("a", None), ("b", None)]).await;
    load(&store, ONE_TIER, "").await.expect("a run");
    assert_eq!(store.finish_runs().await.expect("looked"), 1);
}

#[tokio::test]
async fn f23_a_claim_whose_answer_was_lost_is_given_back_unspent() {
    let (db, store) = a_store(&[("a", None), ("b", None)]).await;
    load(&store, ONE_TIER, &items(3)).await.expect("a run");
    let process = a_process(&store, LEASE).await;
    let nonce = claim(&store, process, 3).await[0].nonce;
    assert_eq!(
        store
            .release_unheard(process, nonce)
            .await
            .expect("released"),
        3
    );
    assert_eq!(
        store.release_unheard(process, nonce).await.expect("again"),
        0
    );
    assert_eq!(
        count(
            &db,
            "select count(*) from tidegate.tasks where state = 'ready' and attempts = 0"
        )
        .await,
        3
    );
    assert_eq!(
        count(&db, "select count(*) from tidegate.calls where not sent").await,
        3
    );
}

#[tokio::test]
async fn housekeeping_keeps_the_book_true_while_it_shrinks() {
    let (db, store) = a_store(&[("a", Some(1000)), ("b", None)]).await;
    sqlx::query(
        "insert into tidegate.limit_book (limit_id, at, total, full_at)
         select (select limit_id from tidegate.limits where size = 1000), now() - make_interval(secs => 3600 - n), n, now()
           from generate_series(1, 3599) n",
    )
    .execute(db.pool())
    .await
    .expect("an hour's book");
    // at the moment of the last use, so that a slow machine sees the same minute
    let room = "select o_room from (select max(at) as at from tidegate.limit_book) k, tidegate.limit_room_v2(array[(select limit_id from tidegate.limits where size = 1000)], k.at, k.at)";
    store.housekeeping().await.expect("kept");
    let left = count(&db, "select count(*) from tidegate.limit_book").await;
    assert!(
        left < 420,
        "{left} rows: five minutes in full, one a minute before"
    );
    let now = count(&db, room).await;
    assert!(
        (938..=942).contains(&now),
        "{now}: some sixty were used in the last minute"
    );
}

#[tokio::test]
async fn a_limit_that_rested_for_days_is_not_spent_by_its_first_call() {
    let (db, store) = a_store(&[("a", Some(15)), ("b", None)]).await;
    sqlx::query(
        "insert into tidegate.limit_book (limit_id, at, total, full_at)
         select limit_id, z.at, z.total, z.at from tidegate.limits,
                (values (now() - interval '5 days', 1500), (now() - interval '4 days', 1501), (now(), 1502)) z (at, total)
          where size = 15",
    )
    .execute(db.pool())
    .await
    .expect("an old book");
    store.housekeeping().await.expect("kept");
    let room = "select o_room from tidegate.limit_room_v2(array[(select limit_id from tidegate.limits where size = 15)], now(), now())";
    assert_eq!(count(&db, room).await, 14);
    assert_eq!(
        count(&db, "select count(*) from tidegate.limit_book").await,
        2
    );
}

#[tokio::test]
async fn days_without_partitions_are_made_good_beside_a_reader() {
    let (db, store) = a_store(&[("a", None), ("b", None)]).await;
    let mut reader = db.pool().begin().await.expect("a reader");
    sqlx::query("select count(*) from tidegate.calls")
        .execute(&mut *reader)
        .await
        .expect("it reads");
    sqlx::raw_sql("drop table tidegate.event_batches cascade; create table tidegate.event_batches (at timestamptz not null default clock_timestamp(), kind text not null, process_id uuid, detail text, task_ids uuid[] not null) partition by range (at)")
        .execute(db.pool())
        .await
        .expect("no partitions");
    store.housekeeping().await.expect("made beside the reader");
    load(&store, ONE_TIER, &items(1))
        .await
        .expect("events can be written");
}
