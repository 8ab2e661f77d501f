//! Loading a run.

use std::time::Duration;

use tidegate::client::LoadError;

use super::{a_store, count};
use crate::support::work::{ONE_TIER, a_process, answered, claim, items, load};

#[tokio::test]
async fn an_id_that_comes_twice_is_told_and_nothing_stays() {
    let (db, store) = a_store(&[("a", None), ("b", None)]).await;
    let lines = format!(
        "{}{{\"id\": \"i00001\", \"score\": 1, \"text\": \"again\"}}\n",
        items(3)
    );
    let error = load(&store, ONE_TIER, &lines).await.expect_err("refused");
    assert!(
        matches!(&error, LoadError::Duplicate { id, .. } if id == "i00001"),
        "{error}"
    );
    for table in ["runs", "items", "tasks", "lanes"] {
        let left: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(format!(
            "select count(*) from tidegate.{table}"
        )))
        .fetch_one(db.pool())
        .await
        .expect("a count");
        assert_eq!(left, 0, "{table}");
    }
}

#[tokio::test]
async fn a_bad_line_is_told_by_its_number_and_nothing_stays() {
    let (db, store) = a_store(&[("a", None), ("b", None)]).await;
    let lines = format!("{}{{\"id\": \"x\", \"score\": }}\n", items(2));
    let error = load(&store, ONE_TIER, &lines)
        .await
        .expect_err("refused")
        .to_string();
    assert!(error.contains("line 3") || error.contains(":3"), "{error}");
    assert_eq!(count(&db, "select count(*) from tidegate.runs").await, 0);
}

#[tokio::test]
async fn an_item_of_which_no_prompt_can_be_made_fails_alone() {
    let (db, store) = a_store(&[("a", None), ("b", None)]).await;
    let lines = format!(
        "{}{{\"id\": \"half\", \"score\": 1, \"text\": \"\\ud800\"}}\n{{\"id\": \"nul\", \"score\": 1, \"text\": \"a\\u0000b\"}}\n",
        items(2)
    );
    let loaded = load(&store, ONE_TIER, &lines).await.expect("a run");
    assert_eq!(
        (loaded.items, loaded.sum.enqueued, loaded.sum.refused),
        (4, 3, 1)
    );
    let reason: String = sqlx::query_scalar(
        "select last_error from tidegate.tasks where state = 'failed' and error_class = 'input'",
    )
    .fetch_one(db.pool())
    .await
    .expect("one");
    assert!(reason.contains("text"), "{reason}");
    let body: String = sqlx::query_scalar("select body from tidegate.items where item_id = 'nul'")
        .fetch_one(db.pool())
        .await
        .expect("kept");
    assert_eq!(
        body, r#"{"id": "nul", "score": 1, "text": "a\u0000b"}"#,
        "byte for byte"
    );
}

#[tokio::test]
async fn a_half_loaded_run_is_taken_up_where_its_dead_loader_left_it() {
    let (db, store) = a_store(&[("a", None), ("b", None)]).await;
    let first = load(&store, ONE_TIER, &items(2500)).await.expect("a run");
    // as if the loader had died after its first chunk of tasks
    sqlx::raw_sql(
        "create temporary table later as select id, item_id from tidegate.tasks where item_id >= 'i01000';
         delete from tidegate.ready where id in (select id from later);
         delete from tidegate.open_keys where task_id in (select id from later);
         delete from tidegate.tasks where id in (select id from later);
         delete from tidegate.run_counts;
         insert into tidegate.run_counts (run_id, tier, state, n) select run_id, tier, state, count(*) from tidegate.tasks group by 1, 2, 3;
         update tidegate.segments set open = exists (select from tidegate.ready r where r.lane = segments.lane and r.seg = segments.seg);
         update tidegate.runs set state = 'loading', ranked = 1000, loaded_at = null;
         drop table later",
    )
    .execute(db.pool())
    .await
    .expect("set back");
    let second = load(&store, ONE_TIER, &items(2500))
        .await
        .expect("taken up");
    assert_eq!(
        (second.run, second.resumed, second.sum.enqueued),
        (first.run, true, 1500)
    );
    assert_eq!(
        count(&db, "select count(distinct item_id) from tidegate.tasks").await,
        2500
    );
    assert_eq!(
        count(&db, "select count(*) from tidegate.ready").await,
        2500
    );
}

#[tokio::test]
async fn a_run_whose_source_was_half_read_is_read_anew() {
    let (db, store) = a_store(&[("a", None), ("b", None)]).await;
    let first = load(&store, ONE_TIER, &items(5)).await.expect("a run");
    sqlx::raw_sql(
        "delete from tidegate.ready; delete from tidegate.open_keys; delete from tidegate.tasks; delete from tidegate.run_counts;
         delete from tidegate.items where item_id > 'i00002';
         update tidegate.segments set open = false;
         update tidegate.runs set state = 'loading', ranked = 0, source_read = false, loaded_at = null",
    )
    .execute(db.pool())
    .await
    .expect("set back");
    let second = load(&store, ONE_TIER, &items(5)).await.expect("taken up");
    assert_eq!(
        (second.run, second.items, second.sum.enqueued),
        (first.run, 5, 5)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_loads_of_the_same_at_once_ask_about_each_item_once() {
    let (db, store) = a_store(&[("a", None), ("b", None)]).await;
    let lines = items(1500);
    let (one, two) = tokio::join!(
        load(&store, ONE_TIER, &lines),
        load(&store, ONE_TIER, &lines)
    );
    let enqueued = one.expect("loaded").sum.enqueued + two.expect("loaded").sum.enqueued;
    assert_eq!(enqueued, 1500);
    assert_eq!(
        count(&db, "select count(*) from tidegate.ready").await,
        1500
    );
}

#[tokio::test]
async fn what_a_dead_loader_left_half_loaded_does_not_keep_its_items_for_ever() {
    let (db, store) = a_store(&[("a", None), ("b", None)]).await;
    load(&store, ONE_TIER, &items(5)).await.expect("a run");
    sqlx::query("update tidegate.runs set state = 'loading', loaded_at = null")
        .execute(db.pool())
        .await
        .expect("as if its loader had died");
    let changed = ONE_TIER.replace("version = \"1\"", "version = \"2\"");
    let loaded = load(&store, &changed, &items(5))
        .await
        .expect("another definition");
    assert_eq!(loaded.sum.enqueued, 5);
    assert_eq!(
        count(
            &db,
            "select count(*) from tidegate.tasks where state = 'cancelled'"
        )
        .await,
        5
    );
}

#[tokio::test]
async fn a_sink_that_cannot_work_is_told_before_anything_is_stored() {
    let (db, store) = a_store(&[("a", None), ("b", None)]).await;
    let worker = format!("{ONE_TIER}[sink]\nsql = \"sink.sql\"\n");
    let error = load(&store, &worker, &items(1))
        .await
        .expect_err("no such table");
    assert!(
        error.to_string().contains("sink.sql: relation \"answers\""),
        "{error}"
    );
    for sink in ["commit", "select $1::jsonb, $2::text"] {
        let error = store.check_sink(sink).await.expect_err("not one parameter");
        assert!(error.to_string().contains("$1::jsonb"), "{error}");
    }
    assert_eq!(count(&db, "select count(*) from tidegate.runs").await, 0);
}

#[tokio::test]
async fn a_prompt_larger_than_a_whole_minute_of_every_model_fails_alone_at_once() {
    let (db, store) = a_store(&[]).await;
    let (mut small, mut large) = (super::a_row("a", None), super::a_row("b", None));
    (small.tpm, large.tpm) = (Some(50), Some(400));
    store.sync_models(&[], &[small, large]).await.expect("told");
    let huge = "word ".repeat(2_000);
    let lines = format!(
        "{}{{\"id\": \"huge\", \"score\": 9, \"text\": \"{huge}\"}}\n",
        items(2)
    );
    let loaded = load(&store, ONE_TIER, &lines).await.expect("a run");
    assert_eq!((loaded.sum.enqueued, loaded.sum.refused), (2, 1));
    let told = "select count(*) from tidegate.tasks where state = 'failed' and last_error like '%larger than what any model%(400)'";
    assert_eq!(count(&db, told).await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "it is: the rule knows when an answer was stamped, and not when its commit was seen"]
async fn i2_an_item_whose_answer_is_being_stored_as_the_next_run_begins_is_not_asked_again() {
    let (db, store) = a_store(&[("a", None), ("b", None)]).await;
    load(&store, ONE_TIER, &items(1)).await.expect("a run");
    let process = a_process(&store, Duration::from_secs(60)).await;
    let claimed = claim(&store, process, 1).await;
    let mut holder = db.pool().acquire().await.expect("a connection");
    let hold = sqlx::query("select pg_advisory_lock(42)");
    hold.execute(&mut *holder).await.expect("it is free");
    let waiting = async |statements: i64| {
        let sql = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
        while count(&db, sql).await < statements {
            tokio::task::yield_now().await;
        }
    };

    // the answer is stamped, and its transaction waits in the sink
    let (behind, answers) = (store.clone(), vec![answered(&claimed[0], "yes")]);
    let sink = "select pg_advisory_xact_lock(42) where $1::jsonb is not null".to_owned();
    let settling =
        tokio::spawn(async move { behind.settle_done(process, answers, Some(sink)).await });
    waiting(1).await;
    // a run begins, reads its source without that answer, and waits for the item's key
    let lines = items(1);
    let release = async {
        waiting(2).await;
        let release = sqlx::query("select pg_advisory_unlock(42)");
        release.execute(&mut *holder).await.expect("it was held");
    };
    let (loaded, ()) = tokio::join!(load(&store, ONE_TIER, &lines), release);
    settling.await.expect("it ends").expect("it is settled");
    let sum = loaded.expect("a run").sum;
    assert_eq!((sum.enqueued, sum.skipped), (0, 1));
}
