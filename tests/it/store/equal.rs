//! Laws of equal tasks where two things happen at once, or one after a long time.

use std::time::Duration;

use tidegate::{
    client::retier,
    store::{
        Store,
        cache::{CacheBounds, Purge},
        claim::{ClaimRequest, Claimed},
        model::ProviderRow,
        settle::Settled,
    },
};
use uuid::Uuid;

use super::{a_row, a_store, count};
use crate::support::{
    TestDb,
    work::{ONE_TIER, a_process, answered, claim, hits, load},
};

const LEASE: Duration = Duration::from_secs(60);

const SAME: &str = "{\"id\": \"i0\", \"score\": 2, \"text\": \"same\"}\n";

async fn say(db: &TestDb, sql: &'static str) {
    sqlx::raw_sql(sql).execute(db.pool()).await.expect("said");
}

/// Claims tasks of one worker, as a process with keys for one provider.
async fn claim_of(
    store: &Store,
    process: Uuid,
    worker: &str,
    provider: &str,
) -> (Vec<Claimed>, u32) {
    let request = ClaimRequest {
        process,
        slots: 5,
        nonce: rand::random(),
        providers: vec![provider.to_owned()],
        workers: Some(vec![worker.to_owned()]),
        tasks: None,
    };
    let claim = store.claim(&request).await.expect("a claim");
    (claim.tasks, claim.put_aside)
}

async fn settle(store: &Store, process: Uuid, task: &Claimed, answer: &str) -> Settled {
    let answers = vec![answered(task, answer)];
    let fates = store.settle_done(process, answers, None).await;
    fates.expect("settled")[0].1
}

/// Until a statement of this database waits for another transaction.
async fn until_one_waits(db: &TestDb) {
    let sql = "select count(*) from pg_stat_activity where datname = current_database() and wait_event = 'transactionid'";
    for _ in 0..500 {
        if count(db, sql).await > 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("nobody waits");
}

fn second() -> String {
    ONE_TIER.replace("\"small\"", "\"second\"")
}

#[tokio::test]
async fn f66_of_two_claims_that_take_equal_tasks_at_once_one_stands_back() {
    let (db, store) = a_store(&[("a", None)]).await;
    let provider = ProviderRow {
        name: "other".to_owned(),
        kind: "openai".to_owned(),
        base_url: "http://127.0.0.1:9/v1".to_owned(),
        quota_scope: "other".to_owned(),
        day_zone: "UTC".to_owned(),
        batch_jobs: None,
    };
    let mut row = a_row("z", None);
    row.model = "other/z".to_owned();
    store
        .sync_models(&[provider], &[row])
        .await
        .expect("it is told");
    for worker in [ONE_TIER.to_owned(), second()] {
        let both = worker.replace("sim/b", "other/z") + "[routing]\npolicy = \"ladder\"\n";
        load(&store, &both, SAME).await.expect("a run");
    }
    let (one, other) = (
        a_process(&store, LEASE).await,
        a_process(&store, LEASE).await,
    );
    let mut first = db.pool().begin().await.expect("begun");
    let sql = "select count(*) from tidegate.claim_v5($1, 5, 1, '{sim}', '{small}')";
    let taken: i64 = sqlx::query_scalar(sql)
        .bind(one)
        .fetch_one(&mut *first)
        .await
        .expect("a claim");
    assert_eq!(taken, 1);
    // they share no limit, so the second does not wait for the first before it comes to the key
    let claiming = tokio::spawn({
        let store = store.clone();
        async move { claim_of(&store, other, "second", "other").await }
    });
    until_one_waits(&db).await;
    first.commit().await.expect("committed");
    let (tasks, put_aside) = claiming.await.expect("no trouble");
    assert_eq!((tasks.len(), put_aside), (0, 1));
}

#[tokio::test]
async fn f66_a_late_paid_answer_completes_a_task_that_waits_for_an_equal_one() {
    let (db, store) = a_store(&[("a", None), ("b", None)]).await;
    load(&store, ONE_TIER, SAME).await.expect("a run");
    load(&store, &second(), SAME).await.expect("a run");
    let (dies, lives) = (
        a_process(&store, LEASE).await,
        a_process(&store, LEASE).await,
    );
    let late = claim_of(&store, dies, "small", "sim").await.0.remove(0);
    sqlx::query("update tidegate.processes set lease_until = now() - interval '1 h' where id = $1")
        .bind(dies)
        .execute(db.pool())
        .await
        .expect("it dies");
    let rescued = store.rescue(Duration::from_millis(1), false).await;
    assert_eq!(rescued.expect("rescued"), 1);
    let asked = claim_of(&store, lives, "second", "sim").await.0.remove(0);
    assert_eq!(claim_of(&store, lives, "small", "sim").await.1, 1);
    let follows = "select count(*) from tidegate.blocked where follows is not null";
    assert_eq!(count(&db, follows).await, 1);
    assert_eq!(settle(&store, dies, &late, "late").await, Settled::Salvaged);
    assert_eq!(settle(&store, lives, &asked, "own").await, Settled::Done);
    let answers = "select count(distinct answer) from tidegate.task_results";
    assert_eq!(count(&db, answers).await, 2);
}

#[tokio::test]
async fn what_is_put_back_in_an_ended_run_and_was_forgotten_is_asked() {
    let (db, store) = a_store(&[("a", None), ("b", None)]).await;
    load(&store, ONE_TIER, SAME).await.expect("a run");
    let process = a_process(&store, LEASE).await;
    let asked = claim(&store, process, 1).await.remove(0);
    settle(&store, process, &asked, "found").await;
    load(&store, &second(), SAME).await.expect("a run");
    let sql = "select id from tidegate.tasks where state = 'ready'";
    let task: Uuid = sqlx::query_scalar(sql)
        .fetch_one(db.pool())
        .await
        .expect("a task");
    assert_eq!(store.cancel(&[task]).await.expect("cancelled"), 1);
    assert!(store.finish_runs().await.expect("ended") > 0);
    store.purge_cache(&Purge::default()).await.expect("purged");
    assert_eq!(store.retry(&[task]).await.expect("retried"), 1);
    assert_eq!(hits(&store, process).await, []);
    assert_eq!(claim(&store, process, 1).await.len(), 1);
}

#[tokio::test]
async fn a_cache_that_is_a_byte_too_large_forgets_no_more_than_it_must() {
    let (db, store) = a_store(&[("a", None), ("b", None)]).await;
    load(&store, ONE_TIER, &crate::support::work::items(20))
        .await
        .expect("a run");
    let process = a_process(&store, LEASE).await;
    for task in claim(&store, process, 20).await {
        settle(&store, process, &task, "0123456789").await;
    }
    let bounds = CacheBounds {
        entries: 30,
        bytes: 20 * 12 - 1,
    };
    assert_eq!(store.trim_cache(&bounds).await.expect("trimmed"), 1);
    assert_eq!(store.trim_cache(&bounds).await.expect("trimmed"), 0);
    assert_eq!(
        count(&db, "select count(*) from tidegate.result_cache").await,
        19
    );
}

#[tokio::test]
async fn i13_an_answer_of_another_ladder_is_not_kept_as_that_of_the_former_one() {
    let (db, store) = a_store(&[("a", None), ("b", None), ("c", None)]).await;
    let run = load(&store, ONE_TIER, SAME).await.expect("a run").run;
    let set = [("tier.0.model".to_owned(), "sim/c".to_owned())];
    let moved = retier(&store, run, &set, false).await.expect("moved");
    assert_eq!(moved.moved(), 1);
    let process = a_process(&store, LEASE).await;
    let asked = claim(&store, process, 1).await.remove(0);
    assert_eq!(asked.model, "sim/c");
    settle(&store, process, &asked, "by c").await;
    load(&store, &second(), SAME).await.expect("a run");
    let asked = claim(&store, process, 1).await;
    assert_eq!(asked.len(), 1, "its ladder was never asked");
    let kept = "select count(*) from tidegate.result_cache where model = 'sim/c'";
    assert_eq!(count(&db, kept).await, 0);
}

#[tokio::test]
async fn what_is_answered_already_stays_so_when_its_ladder_does() {
    let (_db, store) = a_store(&[("a", None), ("b", None)]).await;
    load(&store, ONE_TIER, SAME).await.expect("a run");
    let process = a_process(&store, LEASE).await;
    let asked = claim(&store, process, 1).await.remove(0);
    settle(&store, process, &asked, "found").await;
    let run = load(&store, &second(), SAME).await.expect("a run").run;
    for dry_run in [true, false] {
        let moved = retier(&store, run, &[], dry_run).await.expect("looked");
        assert_eq!((moved.moved(), moved.stay), (0, 1));
    }
    assert_eq!(hits(&store, process).await.len(), 1);
}

#[tokio::test]
async fn lanes_of_kept_answers_that_hold_nothing_start_nothing() {
    let (db, store) = a_store(&[("a", None), ("b", None)]).await;
    let lines = format!("{SAME}{}", SAME.replace("i0", "i1"));
    load(&store, ONE_TIER, &lines).await.expect("a run");
    let process = a_process(&store, LEASE).await;
    let asked = claim(&store, process, 1).await.remove(0);
    settle(&store, process, &asked, "found").await;
    assert_eq!(claim(&store, process, 1).await, []);
    let found = hits(&store, process).await;
    assert_eq!(found.len(), 1);
    let more = format!("{SAME}{}", SAME.replace("same", "new").replace("i0", "i2"));
    load(&store, &second(), &more).await.expect("a run");
    assert_eq!(hits(&store, process).await.len(), 1);
    say(&db, "update tidegate.models set parked = 'a test'").await;
    let could =
        "select coalesce(sum(startable), 0)::bigint from tidegate.scaling where worker = 'second'";
    assert_eq!(count(&db, could).await, 0);
}
