//! Laws of batches in the store: races of their books, attempts, and money.

use std::time::Duration;

use tidegate::store::{
    Store,
    batch::{
        Batch,
        choose::{Formed, NewBatch},
    },
    retention::Keep,
    settle::{Fate, Settled},
};
use uuid::Uuid;

use super::a_store;
use crate::support::{
    TestDb,
    work::{ONE_TIER, a_process, answered, claim, items, load, unanswered},
};

const LEASE: Duration = Duration::from_secs(60);
const PLAIN: &str = "[cache]\nenabled = false\n";

async fn say(db: &TestDb, sql: &str) {
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned()))
        .execute(db.pool())
        .await
        .expect("said");
}

async fn number(db: &TestDb, sql: &str) -> i64 {
    sqlx::query_scalar(sqlx::AssertSqlSafe(sql.to_owned()))
        .fetch_one(db.pool())
        .await
        .expect("a number")
}

/// A run of so many tasks that wait for the choice of how they are asked, and its process.
async fn a_run(count: usize) -> (TestDb, Store, Uuid) {
    let (db, store) = a_store(&[("a", None), ("b", None)]).await;
    load(&store, &(ONE_TIER.to_owned() + PLAIN), &items(count))
        .await
        .expect("a run");
    say(
        &db,
        "update tidegate.models set input_price_microusd = 1000000, output_price_microusd = 4000000;
         update tidegate.runs set strategy = 'batch'; update tidegate.lanes set held = true where ladder <> '{}'",
    )
    .await;
    let process = a_process(&store, LEASE).await;
    (db, store, process)
}

async fn formed(db: &TestDb, store: &Store, process: Uuid, tasks: usize) -> (Uuid, Formed) {
    let batch = Uuid::now_v7();
    let lane = number(
        db,
        "select lane::bigint from tidegate.lanes where ladder <> '{}'",
    )
    .await;
    let model = number(
        db,
        "select model_id::bigint from tidegate.models where model = 'sim/a'",
    )
    .await;
    let new = NewBatch {
        id: batch,
        token: &batch.to_string(),
        lane: lane.try_into().expect("a lane"),
        model_id: model.try_into().expect("a model"),
        rung: 1,
        skip: 0,
        items: tasks,
        rescue_after_s: Some(3_600.0),
        decision: Uuid::now_v7(),
        tasks: None,
    };
    let formed = store.form_batch(process, &new).await.expect("it is said");
    (batch, formed)
}

async fn owned(store: &Store, process: Uuid) -> Batch {
    let sim = ["sim".to_owned()];
    let batch = store
        .own_batch(process, &sim, None, LEASE)
        .await
        .expect("owned");
    batch.expect("one is due")
}

/// What is late is asked singly: one call under way.
async fn rescued_and_claimed(
    db: &TestDb,
    store: &Store,
    process: Uuid,
) -> tidegate::store::claim::Claimed {
    say(db, "update tidegate.provider_batches set rescue_at = now()").await;
    assert_eq!(store.rescue_batches().await.expect("rescued"), 1);
    claim(store, process, 1).await.remove(0)
}

#[tokio::test]
async fn what_may_not_go_by_a_batch_is_told_from_what_has_no_room_in_one() {
    let (db, store, process) = a_run(4).await;
    say(&db, "update tidegate.ready set tries = '{4}'").await;
    assert_eq!(formed(&db, &store, process, 10).await.1, Formed::Nothing);
    say(&db, "update tidegate.ready set tries = '{}'").await;
    say(&db, "update tidegate.providers set batch_jobs = 1").await;
    assert_eq!(formed(&db, &store, process, 3).await.1, Formed::Tasks(3));
    assert_eq!(formed(&db, &store, process, 3).await.1, Formed::NoRoom);
}

#[tokio::test]
async fn a_batch_takes_the_best_that_wait_whatever_segments_they_stand_in() {
    let (db, store, process) = a_run(1_500).await;
    // some come back, into a segment that is not sealed
    let taken = {
        say(&db, "update tidegate.lanes set held = false").await;
        claim(&store, process, 3).await
    };
    let back: Vec<_> = taken
        .iter()
        .map(|it| unanswered(it, Fate::Release))
        .collect();
    store.settle_open(process, &back).await.expect("given back");
    let (batch, formed) = formed(&db, &store, process, 1_200).await;
    assert_eq!(formed, Formed::Tasks(1_200));
    let best = format!(
        "select count(*) from tidegate.batch_items i join tidegate.tasks t on t.id = i.id where i.batch_id = '{batch}' and t.item_id < 'i01200'"
    );
    assert_eq!(number(&db, &best).await, 1_200);
}

#[tokio::test]
async fn an_answer_that_wins_over_a_single_call_ends_that_call_s_attempt_too() {
    let (db, store, process) = a_run(1).await;
    let (batch, _) = formed(&db, &store, process, 1).await;
    let item = store
        .batch_items(batch, i32::MIN, 1, None)
        .await
        .expect("items")
        .remove(0);
    let single = rescued_and_claimed(&db, &store, process).await;
    let other = a_process(&store, LEASE).await;
    let done = store
        .settle_done_batch(other, batch, vec![answered(&item.claimed, "\"b\"")], None)
        .await
        .expect("settled");
    assert_eq!(done[0].1, Settled::Done);
    let late = store
        .settle_done(process, vec![answered(&single, "\"s\"")], None)
        .await
        .expect("settled");
    assert_eq!(late[0].1, Settled::Superseded);
    let superseded = format!(
        "select count(*) from tidegate.task_attempts where call_id = '{}' and outcome = 'superseded' and charged and process_id = '{process}'",
        single.call
    );
    assert_eq!(number(&db, &superseded).await, 1);
    let closed = "select count(*) from tidegate.calls where (outcome = 'ok') = (batch_id is not null) and outcome in ('ok', 'superseded')";
    assert_eq!(number(&db, closed).await, 2);
}

#[tokio::test]
async fn a_late_answer_of_a_former_batch_neither_ends_nor_disturbs_the_task_in_its_next_one() {
    let (db, store, process) = a_run(1).await;
    let (first, _) = formed(&db, &store, process, 1).await;
    let item = store
        .batch_items(first, i32::MIN, 1, None)
        .await
        .expect("items")
        .remove(0);
    say(
        &db,
        "select tidegate.cancel(array_agg(id)) from tidegate.tasks",
    )
    .await;
    say(
        &db,
        "select tidegate.retry(array_agg(id)) from tidegate.tasks",
    )
    .await;
    let (second, again) = formed(&db, &store, process, 1).await;
    assert_eq!(again, Formed::Tasks(1));
    let late = store
        .settle_done_batch(process, first, vec![answered(&item.claimed, "\"1\"")], None)
        .await
        .expect("settled");
    assert_eq!(late[0].1, Settled::Superseded);
    let items = store
        .batch_items(second, i32::MIN, 1, None)
        .await
        .expect("items");
    let done = store
        .settle_done_batch(
            process,
            second,
            vec![answered(&items[0].claimed, "\"2\"")],
            None,
        )
        .await
        .expect("settled");
    assert_eq!(done[0].1, Settled::Done);
    let owed = "select count(*) from tidegate.batch_items";
    assert_eq!(number(&db, owed).await, 0);
}

#[tokio::test]
async fn what_certainly_never_left_costs_a_budget_nothing_and_what_may_have_stays_flagged() {
    let (db, store, process) = a_run(4).await;
    say(
        &db,
        "select tidegate.set_budget(id, 1000000) from tidegate.runs",
    )
    .await;
    let reserved = "select coalesce(sum(reserved_microusd), 0)::bigint from tidegate.budgets";
    for billed in [false, true] {
        let (batch, two) = formed(&db, &store, process, 2).await;
        assert_eq!(two, Formed::Tasks(2));
        say(
            &db,
            &format!("select tidegate.cancel(array_agg(id)) from tidegate.batch_items where batch_id = '{batch}'"),
        )
        .await;
        let gone = store
            .forget_unheard(batch, billed)
            .await
            .expect("forgotten");
        assert_eq!(gone, 2);
        let flagged = format!(
            "select count(*) from tidegate.calls where batch_id = '{batch}' and outcome = 'lost' and cost_estimated = {billed} and (cost_microusd > 0) = {billed}"
        );
        assert_eq!(number(&db, &flagged).await, 2);
        if !billed {
            assert_eq!(number(&db, reserved).await, 0);
        }
    }
    let all = "select sum(reserved_microusd + spent_microusd)::bigint from tidegate.budgets";
    let calls = "select sum(cost_microusd)::bigint from tidegate.calls";
    assert_eq!(number(&db, all).await, number(&db, calls).await);
    say(&db, "delete from tidegate.provider_batches").await;
}

#[tokio::test]
async fn an_answer_of_a_batch_does_not_open_the_gate_after_a_cooldown() {
    let (db, store, process) = a_run(1).await;
    say(
        &db,
        "select tidegate.cool_down('sim/a', interval '1 s'); update tidegate.model_cooldowns set until = now() - interval '1 s'",
    )
    .await;
    let (batch, _) = formed(&db, &store, process, 1).await;
    let item = store
        .batch_items(batch, i32::MIN, 1, None)
        .await
        .expect("items")
        .remove(0);
    store
        .settle_done_batch(process, batch, vec![answered(&item.claimed, "\"b\"")], None)
        .await
        .expect("settled");
    let proven = "select count(*) from tidegate.model_cooldowns where proven_at is not null";
    assert_eq!(number(&db, proven).await, 0);
}

#[tokio::test]
async fn batches_and_choices_go_with_history_and_with_their_run() {
    let (db, store, process) = a_run(2).await;
    let (batch, _) = formed(&db, &store, process, 2).await;
    let mine = owned(&store, process).await;
    say(
        &db,
        "insert into tidegate.strategy_decisions (id, at, run_id, worker, model, items, mode, purpose, strategy, singles, reason, facts)
         select gen_random_uuid(), now() - interval '91 days', id, worker, 'sim/a', 2, 'batch', 'bulk', 'batch', 0, 'a test', '{}'::jsonb from tidegate.runs
         union all select gen_random_uuid(), now(), id, worker, 'sim/a', 2, 'batch', 'bulk', 'batch', 0, 'a test', '{}'::jsonb from tidegate.runs;
         select tidegate.cancel(array_agg(id)) from tidegate.tasks",
    )
    .await;
    store.tidy_history(&Keep::default()).await.expect("tidied");
    let choices = "select count(*) from tidegate.strategy_decisions";
    let batches = "select count(*) from tidegate.provider_batches";
    assert_eq!(number(&db, choices).await, 1);
    assert_eq!(number(&db, batches).await, 1);
    // its run goes, and what is at the provider is still to be cancelled there
    store.finish_runs().await.expect("it ends");
    let run = mine.run_id;
    while store.delete_run(run, 10).await.expect("deleted").is_some() {}
    assert_eq!(number(&db, choices).await, 0);
    let wanted = "select count(*) from tidegate.provider_batches where cancel_wanted";
    assert_eq!(number(&db, wanted).await, 1);
    store.forget_unheard(batch, true).await.expect("forgotten");
    say(
        &db,
        "update tidegate.provider_batches set state = 'over', over_at = now()",
    )
    .await;
    store.tidy_history(&Keep::default()).await.expect("tidied");
    assert_eq!(number(&db, batches).await, 0);
}
