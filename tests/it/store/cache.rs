//! Laws of kept answers: the same is asked once, whoever asks, whatever becomes of who asked first.

use std::time::Duration;

use tidegate::store::{
    Store,
    cache::{CacheBounds, Purge},
    claim::Claimed,
    local::{LocalDone, LocalTask},
    settle::Fate,
};
use uuid::Uuid;

use super::a_store;
use crate::support::{
    TestDb,
    work::{ONE_TIER, a_process, answered, claim, hits, load, named, unanswered},
};

const LEASE: Duration = Duration::from_secs(60);

/// So many items that ask the same, by names with this in front.
fn equal(prefix: &str, count: usize) -> String {
    (0..count)
        .map(|n| {
            format!(
                "{{\"id\": \"{prefix}{n}\", \"score\": {}, \"text\": \"same\"}}\n",
                count - n
            )
        })
        .collect()
}

async fn keep(store: &Store, process: Uuid, tasks: Vec<LocalTask>) {
    let done = tasks.into_iter().map(|task| {
        let answer = task.hit.as_ref().expect("it is a hit").answer.clone();
        (task, answer, 0)
    });
    let done = LocalDone::of(done.collect());
    store.settle_local(process, &done).await.expect("settled");
}

async fn settle(store: &Store, process: Uuid, task: &Claimed, answer: &str) {
    let answers = vec![answered(task, answer)];
    store
        .settle_done(process, answers, None)
        .await
        .expect("settled");
}

/// All that may be taken, put aside what is.
async fn claim_all(store: &Store, process: Uuid) -> Vec<Claimed> {
    let mut taken = Vec::new();
    loop {
        let more = claim(store, process, 10).await;
        let blocked = count(store, "select count(*) from tidegate.ready").await;
        taken.extend(more.iter().cloned());
        if more.is_empty() && blocked == 0 {
            return taken;
        }
    }
}

async fn count(store: &Store, sql: &'static str) -> i64 {
    sqlx::query_scalar(sql)
        .fetch_one(store.pool())
        .await
        .expect("a count")
}

const FOLLOWERS: &str = "select count(*) from tidegate.blocked where follows is not null";

async fn of_equal(items: usize) -> (TestDb, Store, Uuid) {
    let (db, store) = a_store(&[("a", None), ("b", None)]).await;
    load(&store, ONE_TIER, &equal("i", items))
        .await
        .expect("a run");
    let process = a_process(&store, LEASE).await;
    (db, store, process)
}

#[tokio::test]
async fn of_equal_tasks_one_is_asked_and_all_have_its_answer() {
    let (_db, store, process) = of_equal(25).await;
    let asked = claim_all(&store, process).await;
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].item.as_deref(), Some("i0"), "the best of them");
    assert_eq!(count(&store, FOLLOWERS).await, 24);
    settle(&store, process, &asked[0], "found").await;
    assert_eq!(count(&store, FOLLOWERS).await, 0);
    let rest = hits(&store, process).await;
    assert_eq!(rest.len(), 24);
    keep(&store, process, rest).await;
    let same =
        "select count(*) from tidegate.task_results where answer = '\"found\"' and model = 'sim/a'";
    assert_eq!(count(&store, same).await, 25);
    assert_eq!(
        count(
            &store,
            "select count(*) from tidegate.task_results where cached"
        )
        .await,
        24
    );
    assert_eq!(
        count(&store, "select count(*) from tidegate.calls").await,
        1
    );
    let stats = store.cache_stats().await.expect("stats");
    let [row] = stats.as_slice() else {
        panic!("{stats:?}")
    };
    assert_eq!((row.entries, row.hits, row.misses), (1, 24, 1));
}

#[tokio::test]
async fn f66_the_failure_of_who_asked_lets_the_next_one_ask() {
    for fate in [
        Fate::Fail,
        Fate::Release,
        Fate::Reschedule {
            delay_ms: 3_600_000,
        },
    ] {
        let (_db, store, process) = of_equal(3).await;
        let asked = claim_all(&store, process).await;
        assert_eq!(asked.len(), 1);
        store
            .settle_open(process, &[unanswered(&asked[0], fate)])
            .await
            .expect("settled");
        assert_eq!(
            count(&store, "select count(*) from tidegate.result_cache").await,
            0
        );
        let next = claim_all(&store, process).await;
        assert_eq!(next.len(), 1, "{fate:?}");
        settle(&store, process, &next[0], "found").await;
        let rest = hits(&store, process).await;
        assert_eq!(
            rest.len(),
            if fate == Fate::Release { 2 } else { 1 },
            "{fate:?}"
        );
        keep(&store, process, rest).await;
    }
}

#[tokio::test]
async fn f66_the_cancel_and_the_death_of_who_asked_let_the_next_one_ask() {
    let (db, store, process) = of_equal(3).await;
    let asked = claim_all(&store, process).await;
    store.cancel(&[asked[0].task]).await.expect("cancelled");
    store.free_followers().await.expect("looked");
    let next = claim_all(&store, process).await;
    assert_eq!(next.len(), 1);
    let dead = "update tidegate.processes set lease_until = now() - interval '1 h'";
    sqlx::query(dead).execute(db.pool()).await.expect("it dies");
    let rescued = store.rescue(Duration::from_millis(1), false).await;
    assert_eq!(rescued.expect("rescued"), 1);
    store.free_followers().await.expect("looked");
    let other = a_process(&store, LEASE).await;
    let last = claim_all(&store, other).await;
    assert_eq!(last.len(), 1);
    settle(&store, other, &last[0], "found").await;
    let rest = hits(&store, other).await;
    assert_eq!(rest.len(), 1);
    keep(&store, other, rest).await;
}

#[tokio::test]
async fn f66_equal_tasks_of_two_runs_share_an_answer_and_those_of_another_cache_do_not() {
    let (_db, store, process) = of_equal(2).await;
    let other = ONE_TIER.replace("\"small\"", "\"second\"");
    load(&store, &other, &equal("o", 2)).await.expect("a run");
    load(&store, &named("third"), &equal("t", 2))
        .await
        .expect("a run");
    let asked = claim_all(&store, process).await;
    let workers: Vec<&str> = asked.iter().map(|task| task.worker.as_str()).collect();
    assert_eq!(asked.len(), 2, "{workers:?}");
    assert!(workers.contains(&"third"));
    for task in &asked {
        settle(&store, process, task, &task.worker).await;
    }
    let rest = hits(&store, process).await;
    assert_eq!(rest.len(), 4);
    for task in &rest {
        let own = task.worker == "third";
        let answer = &task.hit.as_ref().expect("a hit").answer;
        assert_eq!(answer == "\"third\"", own, "{} got {answer}", task.worker);
    }
    keep(&store, process, rest).await;
}

#[tokio::test]
async fn what_is_answered_already_is_loaded_as_that() {
    let (_db, store, process) = of_equal(1).await;
    let asked = claim_all(&store, process).await;
    settle(&store, process, &asked[0], "found").await;
    let again = ONE_TIER.replace("version = \"1\"", "version = \"2\"");
    load(&store, &again, &equal("n", 30)).await.expect("a run");
    assert!(
        claim(&store, process, 10).await.is_empty(),
        "no model is asked"
    );
    let ahead = store.ahead(&[]).await.expect("what waits");
    let asking: u64 = ahead.lanes.iter().map(|lane| lane.tasks).sum();
    assert_eq!(asking, 0, "and none is expected to be: {ahead:?}");
    let rest = hits(&store, process).await;
    assert_eq!(rest.len(), 30);
    keep(&store, process, rest).await;
}

#[tokio::test]
async fn with_the_cache_off_each_is_asked_for_itself() {
    let (_db, store) = a_store(&[("a", None), ("b", None)]).await;
    let off = ONE_TIER.replace("[prompt]", "[cache]\nenabled = false\n[prompt]");
    load(&store, &off, &equal("i", 9)).await.expect("a run");
    let process = a_process(&store, LEASE).await;
    let asked = claim(&store, process, 10).await;
    assert_eq!(asked.len(), 9);
    for task in &asked {
        settle(&store, process, task, "own").await;
    }
    assert_eq!(
        count(&store, "select count(*) from tidegate.result_cache").await,
        0
    );
}

#[tokio::test]
async fn an_answer_that_was_forgotten_meanwhile_is_asked_for_again() {
    let (_db, store, process) = of_equal(3).await;
    let asked = claim_all(&store, process).await;
    settle(&store, process, &asked[0], "found").await;
    let gone = store.purge_cache(&Purge::default()).await.expect("purged");
    assert_eq!(gone, 1);
    assert!(hits(&store, process).await.is_empty());
    let again = claim_all(&store, process).await;
    assert_eq!(again.len(), 1);
    settle(&store, process, &again[0], "found again").await;
    let rest = hits(&store, process).await;
    assert_eq!(rest.len(), 1);
    keep(&store, process, rest).await;
}

#[tokio::test]
async fn whoever_was_used_longest_ago_is_forgotten_first_and_the_books_agree() {
    let (db, store) = a_store(&[("a", None), ("b", None)]).await;
    load(&store, ONE_TIER, &crate::support::work::items(40))
        .await
        .expect("a run");
    let process = a_process(&store, LEASE).await;
    for task in claim(&store, process, 40).await {
        settle(&store, process, &task, "0123456789").await;
    }
    let aged = "update tidegate.result_cache c set used_at = now() - (select t.priority from tidegate.tasks t where t.id = c.task_id) * interval '1 h'";
    sqlx::query(aged).execute(db.pool()).await.expect("aged");
    let bounds = CacheBounds {
        entries: 30,
        bytes: u64::MAX,
    };
    let mut gone = 0;
    loop {
        match store.trim_cache(&bounds).await.expect("trimmed") {
            0 => break,
            some => gone += some,
        }
    }
    assert_eq!(gone, 10);
    let kept = "select count(*) from tidegate.result_cache c join tidegate.tasks t on t.id = c.task_id where t.priority <= 30";
    assert_eq!(count(&store, kept).await, 30);
    let few = CacheBounds {
        entries: 30,
        bytes: 12 * 5,
    };
    while store.trim_cache(&few).await.expect("trimmed") > 0 {}
    let held = "select coalesce(sum(octet_length(answer)), 0)::bigint from tidegate.result_cache";
    assert!(count(&store, held).await <= 60);
    let booked = "select sum(entries - (select count(*) from tidegate.result_cache))::bigint from tidegate.cache_stats";
    assert_eq!(
        count(&store, booked).await,
        0,
        "what is booked is what is there"
    );
}

#[tokio::test]
async fn a_purge_forgets_what_was_named_and_nothing_else() {
    let (_db, store) = a_store(&[("a", None), ("b", None)]).await;
    for name in ["one", "two"] {
        load(&store, &named(name), &equal("i", 1))
            .await
            .expect("a run");
    }
    let process = a_process(&store, LEASE).await;
    for task in claim(&store, process, 9).await {
        settle(&store, process, &task, "x").await;
    }
    let purge = async |purge: Purge| store.purge_cache(&purge).await.expect("purged");
    let of = |worker: &str| Purge {
        worker: Some(worker.to_owned()),
        ..Purge::default()
    };
    assert_eq!(purge(of("nobody")).await, 0);
    let older = Purge {
        older: Some(Duration::from_secs(3_600)),
        ..Purge::default()
    };
    assert_eq!(purge(older).await, 0);
    let by_model = Purge {
        model: Some("sim/b".to_owned()),
        ..Purge::default()
    };
    assert_eq!(purge(by_model).await, 0);
    let by_version = Purge {
        version: Some("of two".to_owned()),
        ..Purge::default()
    };
    assert_eq!(purge(by_version).await, 1);
    assert_eq!(purge(of("two")).await, 0);
    assert_eq!(purge(of("one")).await, 1);
}
