//! What is found out about limits, and what follows from it.

use std::time::Duration;

use chrono::{DateTime, Utc};
use tidegate::{
    llm::{LimitNotice, QuotaWindow},
    store::{Store, learn::Notice},
};

use super::{LEASE, ONLY_A, a_process, a_store, answer, claim, count, of, say};
use crate::support::{
    TestDb,
    work::{ONE_TIER, items, load},
};

const SIZE: &str = "select size from tidegate.limits where name = 'a' and dimension = 'requests' and window_kind = 'minute'";
const AT_ONCE: &str = "select size from tidegate.limits where name = 'a' and adaptive";

async fn told(store: &Store, size: u64, remaining: Option<u64>, resets_in: Option<Duration>) {
    let notice = Notice {
        model: "sim/a".to_owned(),
        notice: LimitNotice {
            tokens: false,
            window: QuotaWindow::Minute,
            size: Some(size),
            remaining,
            resets_in,
        },
    };
    store.learn_notices(&[notice]).await.expect("it is learned");
}

async fn now(db: &TestDb) -> DateTime<Utc> {
    let now = sqlx::query_scalar("select clock_timestamp()");
    now.fetch_one(db.pool()).await.expect("a clock")
}

#[tokio::test]
async fn a_limit_that_nobody_told_is_taken_as_the_provider_says_it() {
    let (db, store) = a_store(&[("a", None), ("b", None)]).await;
    told(&store, 500, None, None).await;
    assert_eq!(count(&db, SIZE).await, 500);
    told(&store, 800, None, None).await;
    assert_eq!(count(&db, SIZE).await, 800, "and followed up and down");
    told(&store, 300, None, None).await;
    assert_eq!(count(&db, SIZE).await, 300);
    let kept = "select count(*) from tidegate.limit_adjustments where what = 'size' and reason like 'the provider says %'";
    assert_eq!(count(&db, kept).await, 3);
}

#[tokio::test]
async fn a_limit_that_was_told_is_lowered_by_the_provider_and_never_raised_above() {
    let (db, store) = a_store(&[("a", Some(100)), ("b", None)]).await;
    told(&store, 800, None, None).await;
    assert_eq!(count(&db, SIZE).await, 100);
    told(&store, 60, None, None).await;
    assert_eq!(count(&db, SIZE).await, 60);
    told(&store, 90, None, None).await;
    assert_eq!(count(&db, SIZE).await, 90);
}

#[tokio::test]
async fn somebody_else_on_the_same_key_is_noticed_and_left_room() {
    let (db, store) = a_store(&[("a", Some(100)), ("b", Some(1))]).await;
    load(&store, ONE_TIER, &items(200)).await.expect("a run");
    let process = a_process(&store, LEASE).await;
    assert_eq!(claim(&store, process, 30).await.len(), 30);
    let in_a_while = Some(Duration::from_secs(55));
    // 29 of ours, and 31 of theirs
    told(&store, 100, Some(40), in_a_while).await;
    let kept = "select count(*) from tidegate.limit_adjustments where what = 'foreign'";
    assert_eq!(count(&db, kept).await, 1);
    let taken = claim(&store, process, 90).await;
    assert_eq!(of(&taken, "sim/a"), 40);
    told(&store, 100, Some(0), in_a_while).await;
    assert_eq!(count(&db, kept).await, 1, "nothing more is missing");
}

#[tokio::test]
async fn what_comes_back_evenly_is_a_bucket() {
    let (db, store) = a_store(&[("a", None), ("b", None)]).await;
    told(&store, 600, Some(590), Some(Duration::from_secs(1))).await;
    let bucket = "select count(*) from tidegate.limits where counting = 'bucket' and burst = 600 and dimension = 'requests'";
    assert_eq!(count(&db, bucket).await, 1);
}

#[tokio::test]
async fn one_burst_of_overload_halves_calls_at_once_once() {
    let (db, store) = a_store(&[("a", None), ("b", None)]).await;
    say(&db, ONLY_A).await;
    load(&store, ONE_TIER, &items(200)).await.expect("a run");
    let process = a_process(&store, LEASE).await;
    assert_eq!(claim(&store, process, 40).await.len(), 40);
    let granted = now(&db).await;
    for _ in 0..20 {
        let cut = store.cut_concurrency("sim/a", granted, "overloaded").await;
        cut.expect("heard");
    }
    assert_eq!(count(&db, AT_ONCE).await, 20, "of the forty under way");
    assert!(claim(&store, process, 40).await.is_empty());
    let later = now(&db).await;
    let cut = store.cut_concurrency("sim/a", later, "overloaded").await;
    assert!(cut.expect("heard"), "a call granted after the cut");
    let kept = "select count(*) from tidegate.concurrency_adjustments where model = 'sim/a' and reason = 'overloaded' and old > new";
    assert_eq!(count(&db, kept).await, 2);
}

const KNOWING: &str = "update tidegate.upkeep set done_at = '-infinity' where job = 'learn'";

#[tokio::test]
async fn where_nothing_is_known_calls_at_once_double_per_clean_round_until_ten() {
    let (db, store) = a_store(&[("a", None), ("b", None)]).await;
    say(&db, ONLY_A).await;
    say(
        &db,
        "update tidegate.limits set size = 3, told = null where adaptive",
    )
    .await;
    load(&store, ONE_TIER, &items(200)).await.expect("a run");
    let process = a_process(&store, LEASE).await;
    for at_once in [3, 6, 10, 10] {
        let taken = claim(&store, process, 50).await;
        assert_eq!(taken.len(), at_once);
        answer(&store, process, &taken).await;
        // used to the full again, when it is looked at
        let flying = claim(&store, process, 50).await;
        say(&db, KNOWING).await;
        store.learn().await.expect("learned");
        answer(&store, process, &flying).await;
    }
}

#[tokio::test]
async fn calls_at_once_that_were_cut_grow_only_after_quiet_and_only_where_they_are_used() {
    let (db, store) = a_store(&[("a", None), ("b", None)]).await;
    say(&db, ONLY_A).await;
    load(&store, ONE_TIER, &items(200)).await.expect("a run");
    let process = a_process(&store, LEASE).await;
    answer(&store, process, &claim(&store, process, 5).await).await;
    say(&db, "update tidegate.limits set size = 20, cut_at = now() - interval '4 min', changed_at = now() - interval '4 min' where adaptive").await;
    let learned = async || {
        say(&db, KNOWING).await;
        store.learn().await.expect("learned");
        count(&db, AT_ONCE).await
    };
    let flying = claim(&store, process, 20).await;
    assert_eq!(learned().await, 20, "four minutes are not quiet enough");
    say(&db, "update tidegate.limits set cut_at = now() - interval '6 min', changed_at = now() - interval '6 min' where adaptive").await;
    assert_eq!(learned().await, 24, "x 1.2");
    answer(&store, process, &flying).await;
    say(&db, "update tidegate.limits set cut_at = now() - interval '6 min', changed_at = now() - interval '6 min' where adaptive").await;
    assert_eq!(learned().await, 24, "nobody needs more");
}

#[tokio::test]
async fn a_refusal_without_words_teaches_the_rate_between_two_of_them() {
    let (db, store) = a_store(&[("a", None), ("b", None)]).await;
    say(&db, ONLY_A).await;
    load(&store, ONE_TIER, &items(200)).await.expect("a run");
    let process = a_process(&store, LEASE).await;
    answer(&store, process, &claim(&store, process, 20).await).await;
    let first = store.learn_refusal("sim/a", now(&db).await, false).await;
    assert!(first.expect("learned"), "the limit is known from now on");
    assert_eq!(count(&db, SIZE).await, 120, "20 in less than ten seconds");
    // ten seconds later, with 20 more calls taken
    say(&db, "update tidegate.limits set refused_at = now() - interval '10 s' where dimension = 'requests'").await;
    say(
        &db,
        "update tidegate.calls set started_at = now() - interval '5 s'",
    )
    .await;
    let again = store.learn_refusal("sim/a", now(&db).await, false).await;
    again.expect("learned");
    let size = count(&db, SIZE).await;
    assert!(
        (112..=114).contains(&size),
        "{size}: two a second, less a twentieth"
    );
}

#[tokio::test]
async fn a_refusal_that_no_limit_explains_lowers_it_and_it_grows_back() {
    let (db, store) = a_store(&[("a", Some(600)), ("b", None)]).await;
    say(&db, ONLY_A).await;
    load(&store, ONE_TIER, &items(200)).await.expect("a run");
    let process = a_process(&store, LEASE).await;
    answer(&store, process, &claim(&store, process, 30).await).await;
    say(
        &db,
        "update tidegate.calls set started_at = now() - interval '30 s'",
    )
    .await;
    let explained = store.learn_refusal("sim/a", now(&db).await, false).await;
    assert!(!explained.expect("learned"));
    let size = count(&db, SIZE).await;
    assert_eq!(
        size, 300,
        "thirty in thirty seconds, but no more than half at a time"
    );
    // a clean minute, used to the full
    say(&db, "update tidegate.limits set refused_at = now() - interval '61 s', changed_at = now() - interval '61 s' where dimension = 'requests'").await;
    say(
        &db,
        "update tidegate.limits set size = 57 where dimension = 'requests'",
    )
    .await;
    claim(&store, process, 100).await;
    say(&db, KNOWING).await;
    store.learn().await.expect("learned");
    assert_eq!(count(&db, SIZE).await, 62, "a tenth more");
}

#[tokio::test]
async fn a_refusal_within_a_limit_that_is_used_up_widens_the_guard() {
    let (db, store) = a_store(&[("a", Some(30)), ("b", None)]).await;
    say(&db, ONLY_A).await;
    load(&store, ONE_TIER, &items(200)).await.expect("a run");
    let process = a_process(&store, LEASE).await;
    assert_eq!(claim(&store, process, 100).await.len(), 30);
    let explained = store.learn_refusal("sim/a", now(&db).await, false).await;
    assert!(explained.expect("learned"));
    let guard =
        "select guard_ms::bigint from tidegate.limits where dimension = 'requests' and name = 'a'";
    assert_eq!(count(&db, guard).await, 750);
}

#[tokio::test]
async fn answers_teach_how_many_tokens_to_reserve() {
    let (db, store) = a_store(&[("a", None), ("b", None)]).await;
    load(&store, ONE_TIER, &items(60)).await.expect("a run");
    let process = a_process(&store, LEASE).await;
    let first = claim(&store, process, 30).await;
    assert!(first.iter().all(|task| task.est_output == 256), "a guess");
    answer(&store, process, &first).await;
    store.learn_outputs().await.expect("learned");
    let then = claim(&store, process, 30).await;
    assert!(then.iter().all(|task| task.est_output == 5), "as they are");
    assert_eq!(
        count(&db, "select answers::bigint from tidegate.output_quantiles").await,
        30
    );
}

#[tokio::test]
async fn a_refusal_after_idle_hours_is_no_rate_and_none_lowers_by_more_than_half() {
    let (db, store) = a_store(&[("a", Some(600)), ("b", None)]).await;
    say(&db, ONLY_A).await;
    load(&store, ONE_TIER, &items(200)).await.expect("a run");
    say(&db, "update tidegate.limits set refused_at = now() - interval '20 h' where dimension = 'requests'").await;
    let process = a_process(&store, LEASE).await;
    answer(&store, process, &claim(&store, process, 30).await).await;
    say(
        &db,
        "update tidegate.calls set started_at = now() - interval '30 s'",
    )
    .await;
    let learned = store.learn_refusal("sim/a", now(&db).await, false).await;
    learned.expect("learned");
    assert_eq!(count(&db, SIZE).await, 300);
}

#[tokio::test]
async fn what_a_person_told_is_never_outgrown() {
    let (db, store) = a_store(&[("a", Some(100)), ("b", None)]).await;
    say(&db, ONLY_A).await;
    told(&store, 1000, None, None).await;
    load(&store, ONE_TIER, &items(200)).await.expect("a run");
    let process = a_process(&store, LEASE).await;
    assert_eq!(claim(&store, process, 150).await.len(), 100);
    for _ in 0..3 {
        say(&db, "update tidegate.limits set refused_at = now() - interval '61 s', changed_at = now() - interval '61 s' where dimension = 'requests'").await;
        say(&db, KNOWING).await;
        store.learn().await.expect("learned");
        assert_eq!(count(&db, SIZE).await, 100);
    }
}

#[tokio::test]
async fn a_stray_overload_in_a_lull_leaves_some_calls_at_once() {
    let (db, store) = a_store(&[("a", None), ("b", None)]).await;
    let cut = store.cut_concurrency("sim/a", now(&db).await, "overloaded");
    assert!(cut.await.expect("heard"));
    assert_eq!(count(&db, AT_ONCE).await, 5);
}

#[tokio::test]
async fn settlements_of_a_second_become_one_and_leave_no_window_early() {
    let (db, store) = a_store(&[("a", Some(100)), ("b", None)]).await;
    say(&db, "insert into tidegate.limit_settlements (limit_id, at, delta)
              select limit_id, date_trunc('second', now()) - interval '10 s' + make_interval(secs => n / 100.0), 1
                from tidegate.limits, generate_series(1, 90) n where dimension = 'requests' and name = 'a'").await;
    say(&db, KNOWING).await;
    store.learn().await.expect("learned");
    let (rows, sum) = (
        "select count(*) from tidegate.limit_settlements",
        "select sum(delta)::bigint from tidegate.limit_settlements where at = date_trunc('second', at)",
    );
    assert_eq!(count(&db, rows).await, 1);
    assert_eq!(count(&db, sum).await, 90);
}
