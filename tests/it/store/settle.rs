//! Settling: once, fenced, with the sink, and nothing paid for is thrown away.

use std::time::Duration;

use tidegate::store::settle::{Fate, Settled};

use super::{a_store, count};
use crate::support::work::{ONE_TIER, a_process, answered, claim, items, load, unanswered};

const LEASE: Duration = Duration::from_secs(60);
const SINK: &str = "insert into answers select r.item_id, r.answer #>> '{}' from jsonb_to_recordset($1) as r(item_id text, answer jsonb)";

#[tokio::test]
async fn f23_an_answer_handed_in_twice_is_settled_once() {
    let (db, store) = a_store(&[("a", None), ("b", None)]).await;
    load(&store, ONE_TIER, &items(1)).await.expect("a run");
    let process = a_process(&store, LEASE).await;
    let task = claim(&store, process, 1).await.remove(0);
    let answer = answered(&task, "yes");
    let first = store
        .settle_done(process, vec![answer.clone()], None)
        .await
        .expect("settled");
    let second = store
        .settle_done(process, vec![answer], None)
        .await
        .expect("no error");
    assert_eq!(
        (first[0].1, second[0].1),
        (Settled::Done, Settled::Superseded)
    );
    assert_eq!(
        count(&db, "select count(*) from tidegate.task_results").await,
        1
    );
    assert_eq!(
        count(&db, "select sum(cost_microusd)::bigint from tidegate.spend").await,
        7
    );
}

#[tokio::test]
async fn f05_a_late_answer_completes_a_task_that_waits_again() {
    let (db, store) = a_store(&[("a", None), ("b", None)]).await;
    load(&store, ONE_TIER, &items(1)).await.expect("a run");
    let dead = a_process(&store, Duration::ZERO).await;
    sqlx::query("update tidegate.processes set lease_until = now() + interval '1 h'")
        .execute(db.pool())
        .await
        .expect("a lease");
    let task = claim(&store, dead, 1).await.remove(0);
    sqlx::query("update tidegate.processes set lease_until = now() - interval '1 h'")
        .execute(db.pool())
        .await
        .expect("over");
    assert_eq!(
        store
            .rescue(Duration::from_secs(1), true)
            .await
            .expect("rescued"),
        1
    );
    let late = store
        .settle_done(dead, vec![answered(&task, "late")], None)
        .await
        .expect("settled");
    assert_eq!(late[0].1, Settled::Salvaged);
    assert_eq!(count(&db, "select count(*) from tidegate.ready").await, 0);
    assert_eq!(
        count(
            &db,
            "select count(*) from tidegate.tasks where state = 'done' and rescues = 1"
        )
        .await,
        1
    );
    let other = a_process(&store, LEASE).await;
    assert!(
        claim(&store, other, 5).await.is_empty(),
        "it is not asked again"
    );
}

#[tokio::test]
async fn f05_a_late_answer_never_overwrites_another_holders_work() {
    let (db, store) = a_store(&[("a", None), ("b", None)]).await;
    load(&store, ONE_TIER, &items(1)).await.expect("a run");
    let dead = a_process(&store, LEASE).await;
    let task = claim(&store, dead, 1).await.remove(0);
    sqlx::query("update tidegate.processes set lease_until = now() - interval '1 h'")
        .execute(db.pool())
        .await
        .expect("over");
    store
        .rescue(Duration::from_secs(1), true)
        .await
        .expect("rescued");
    let other = a_process(&store, LEASE).await;
    let again = claim(&store, other, 1).await.remove(0);
    assert_eq!(
        (again.task, again.epoch, again.attempt),
        (task.task, task.epoch + 1, 2)
    );
    let late = store
        .settle_done(dead, vec![answered(&task, "late")], None)
        .await
        .expect("no error");
    assert_eq!(late[0].1, Settled::Superseded);
    let held = store
        .settle_open(dead, &[unanswered(&task, Fate::Fail)])
        .await
        .expect("no error");
    assert!(held.is_empty(), "a lost lease changes nothing");
    let done = store
        .settle_done(other, vec![answered(&again, "mine")], None)
        .await
        .expect("settled");
    assert_eq!(done[0].1, Settled::Done);
    let answer: String = sqlx::query_scalar("select answer from tidegate.task_results")
        .fetch_one(db.pool())
        .await
        .expect("one");
    assert_eq!(answer, "\"mine\"");
    assert_eq!(
        count(&db, "select sum(cost_microusd)::bigint from tidegate.spend").await,
        7 + 7,
        "both calls cost"
    );
}

#[tokio::test]
async fn given_back_costs_no_attempt_and_tried_again_costs_one() {
    let (db, store) = a_store(&[("a", None), ("b", None)]).await;
    load(&store, ONE_TIER, &items(2)).await.expect("a run");
    let process = a_process(&store, LEASE).await;
    let tasks = claim(&store, process, 2).await;
    let closings = [
        unanswered(&tasks[0], Fate::Release),
        unanswered(
            &tasks[1],
            Fate::Reschedule {
                delay_ms: 3_600_000,
            },
        ),
    ];
    assert_eq!(
        store
            .settle_open(process, &closings)
            .await
            .expect("settled")
            .len(),
        2
    );
    let states: Vec<(String, i32, i32)> =
        sqlx::query_as("select state, attempts, deferrals from tidegate.tasks order by state")
            .fetch_all(db.pool())
            .await
            .expect("states");
    assert_eq!(
        states,
        [("ready".to_owned(), 0, 1), ("scheduled".to_owned(), 1, 0)]
    );
    assert_eq!(
        claim(&store, process, 5).await.len(),
        1,
        "only the one given back is there at once"
    );
    sqlx::query("update tidegate.scheduled set run_at = now()")
        .execute(db.pool())
        .await
        .expect("due");
    assert_eq!(store.promote().await.expect("promoted"), 1);
    let again = claim(&store, process, 5).await.remove(0);
    assert_eq!((again.attempt, again.tries.as_slice()), (2, &[1_i16][..]));
}

#[tokio::test]
async fn a_model_used_up_for_a_task_gives_way_to_the_next() {
    let (_db, store) = a_store(&[("a", None), ("b", None)]).await;
    load(&store, ONE_TIER, &items(1)).await.expect("a run");
    let process = a_process(&store, LEASE).await;
    let task = claim(&store, process, 1).await.remove(0);
    assert_eq!(task.model, "sim/a");
    let mut closing = unanswered(&task, Fate::Reschedule { delay_ms: 0 });
    closing.exhaust_rung = true;
    store
        .settle_open(process, &[closing])
        .await
        .expect("settled");
    store.promote().await.expect("promoted");
    assert_eq!(claim(&store, process, 1).await.remove(0).model, "sim/b");
}

#[tokio::test]
async fn a_failed_task_frees_its_item_for_another_run() {
    let (db, store) = a_store(&[("a", None), ("b", None)]).await;
    load(&store, ONE_TIER, &items(1)).await.expect("a run");
    let process = a_process(&store, LEASE).await;
    let again = load(&store, ONE_TIER, &items(1))
        .await
        .expect("a second run");
    assert_eq!(
        (again.sum.enqueued, again.sum.skipped),
        (0, 1),
        "it waits in the first"
    );
    let task = claim(&store, process, 1).await.remove(0);
    store
        .settle_open(process, &[unanswered(&task, Fate::Fail)])
        .await
        .expect("settled");
    let third = load(&store, ONE_TIER, &items(1))
        .await
        .expect("a third run");
    assert_eq!((third.sum.enqueued, third.sum.skipped), (1, 0));
    assert_eq!(count(&db, "select count(*) from tidegate.failed").await, 1);
}

#[tokio::test]
async fn a_row_the_sink_refuses_fails_alone_and_keeps_its_answer() {
    let (db, store) = a_store(&[("a", None), ("b", None)]).await;
    sqlx::query(
        "create table answers (item_id text primary key, answer text check (answer <> 'bad'))",
    )
    .execute(db.pool())
    .await
    .expect("the user's table");
    let worker = format!("{ONE_TIER}[sink]\nsql = \"sink.sql\"\n");
    load(&store, &worker, &items(3)).await.expect("a run");
    let process = a_process(&store, LEASE).await;
    let tasks = claim(&store, process, 3).await;
    let answers = vec![
        answered(&tasks[0], "good"),
        answered(&tasks[1], "bad"),
        answered(&tasks[2], "fine"),
    ];
    let fates = store
        .settle_done(process, answers, Some(SINK.to_owned()))
        .await
        .expect("settled");
    let failed: Vec<_> = fates
        .iter()
        .filter(|(_, fate)| *fate == Settled::SinkFailed)
        .map(|(task, _)| *task)
        .collect();
    assert_eq!(failed, [tasks[1].task]);
    assert_eq!(count(&db, "select count(*) from answers").await, 2);
    assert_eq!(
        count(
            &db,
            "select count(*) from tidegate.tasks where state = 'failed' and error_class = 'sink'"
        )
        .await,
        1
    );
    assert_eq!(
        count(&db, "select count(*) from tidegate.task_results").await,
        3,
        "the answer is kept"
    );

    sqlx::query("alter table answers drop constraint answers_answer_check")
        .execute(db.pool())
        .await
        .expect("mended");
    let retried = tidegate::client::retry(&store, &failed)
        .await
        .expect("retried");
    assert_eq!(
        (retried.sink_applied, retried.ready),
        (1, 0),
        "applied again without a call"
    );
    assert_eq!(count(&db, "select count(*) from answers").await, 3);
    assert_eq!(count(&db, "select count(*) from tidegate.calls").await, 3);
}

#[tokio::test]
async fn f60_an_answer_that_jsonb_cannot_hold_is_kept_to_the_letter_and_fails_alone_by_its_sink() {
    let (db, store) = a_store(&[("a", None), ("b", None)]).await;
    sqlx::query("create table answers (item_id text primary key, answer text)")
        .execute(db.pool())
        .await
        .expect("the user's table");
    load(&store, ONE_TIER, &items(2)).await.expect("a run");
    let process = a_process(&store, LEASE).await;
    let tasks = claim(&store, process, 2).await;
    let fates = store
        .settle_done(
            process,
            vec![answered(&tasks[0], "a\0b"), answered(&tasks[1], "fine")],
            Some(SINK.to_owned()),
        )
        .await
        .expect("settled");
    assert_eq!(
        (fates[0].1, fates[1].1),
        (Settled::SinkFailed, Settled::Done)
    );
    let (kept, words): (String, String) = sqlx::query_as(
        "select r.answer, t.last_error from tidegate.task_results r join tidegate.tasks t on t.id = r.task_id
          where t.state = 'failed' and t.error_class = 'sink'",
    )
    .fetch_one(db.pool())
    .await
    .expect("kept");
    assert_eq!(kept, r#""a\u0000b""#);
    assert!(words.contains("U+0000"), "{words}");
    let sunk: Vec<String> = sqlx::query_scalar("select answer from answers")
        .fetch_all(db.pool())
        .await
        .expect("sunk");
    assert_eq!(sunk, ["fine"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_meets_a_rescue_in_progress_is_not_thrown_away() {
    let (db, store) = a_store(&[("a", None), ("b", None)]).await;
    load(&store, ONE_TIER, &items(1)).await.expect("a run");
    let process = a_process(&store, LEASE).await;
    let task = claim(&store, process, 1).await.remove(0);
    sqlx::query("update tidegate.processes set lost_at = now()")
        .execute(db.pool())
        .await
        .expect("declared lost");
    let mut rescue = db.pool().begin().await.expect("a rescuer");
    sqlx::query("select tidegate.rescue_v2(10, true)")
        .execute(&mut *rescue)
        .await
        .expect("it moves the row");
    let settling = tokio::spawn({
        let (store, answer) = (store.clone(), answered(&task, "late"));
        async move { store.settle_done(process, vec![answer], None).await }
    });
    let waits = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
    let mut looks = 0;
    while count(&db, waits).await == 0 {
        looks += 1;
        assert!(looks < 100_000, "the settle waits for the rescue");
        tokio::task::yield_now().await;
    }
    rescue.commit().await.expect("rescued");
    let fates = settling.await.expect("it ends").expect("settled");
    assert_eq!(fates[0].1, Settled::Salvaged);
    assert_eq!(
        count(
            &db,
            "select count(*) from tidegate.calls where outcome = 'ok' and cost_microusd = 7"
        )
        .await,
        1
    );
    assert_eq!(count(&db, "select count(*) from tidegate.ready").await, 0);
}

#[tokio::test]
async fn a_sink_that_runs_out_of_time_refuses_and_holds_nobody_up() {
    let (db, store) = a_store(&[("a", None), ("b", None)]).await;
    load(&store, ONE_TIER, &items(1)).await.expect("a run");
    let process = a_process(&store, LEASE).await;
    let task = claim(&store, process, 1).await.remove(0);
    sqlx::raw_sql("create function slow(jsonb) returns void language plpgsql as $$ begin raise exception 'too slow' using errcode = '57014'; end $$")
        .execute(db.pool())
        .await
        .expect("the user's function");
    let fates = store
        .settle_done(
            process,
            vec![answered(&task, "x")],
            Some("select slow($1)".to_owned()),
        )
        .await
        .expect("settled");
    assert_eq!(fates[0].1, Settled::SinkFailed);
}
