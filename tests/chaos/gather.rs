//! Collects what was seen: the tables, the provider's log, and what clients were told.

use std::{
    collections::{BTreeMap, HashMap},
    sync::atomic::Ordering,
};

use sha2::{Digest, Sha256};
use sqlx::{AssertSqlSafe, FromRow, postgres::PgRow};

use crate::{
    fleet::Fleet,
    history::{Answer, Arrival, Attempt, Batch, Booked, Call, Event, History, Run, Sunk, Task},
    world::{SLOTS, World, lock, prompt},
};

/// Everything, after everything has ended.
pub(crate) async fn history(world: &World, fleet: &Fleet) -> History {
    let lost: (i64,) = one(
        world,
        "select count(*) from tidegate.processes where lost_at is not null",
    )
    .await;
    let signalled = fleet.counts.stops.load(Ordering::Relaxed);
    History {
        acts: lock(&world.acts).clone(),
        arrivals: arrivals(world).await,
        runs: runs(world).await,
        tasks: tasks(world).await,
        books: books(world).await,
        open_keys: ids(world, "select task_id from tidegate.open_keys").await,
        attempts: attempts(world).await,
        results: results(world).await,
        calls: calls(world).await,
        events: events(world).await,
        sink: ids(world, "select task_id from answers")
            .await
            .into_iter()
            .map(|task| Sunk { task })
            .collect(),
        spend: spend(world).await,
        limits: World::limits(),
        cooldowns: Vec::new(),
        batches: batches(world).await,
        files_left: files_left(world),
        lives_ended: usize::try_from(lost.0).unwrap_or(0) + signalled,
        slots: SLOTS,
    }
}

async fn all<T: for<'r> FromRow<'r, PgRow> + Send + Unpin>(world: &World, sql: &str) -> Vec<T> {
    sqlx::query_as(AssertSqlSafe(sql.to_owned()))
        .fetch_all(&world.admin)
        .await
        .unwrap_or_else(|error| panic!("{sql}: {error}"))
}

async fn one<T: for<'r> FromRow<'r, PgRow> + Send + Unpin>(world: &World, sql: &str) -> T {
    all(world, sql).await.pop().expect("one row")
}

async fn ids(world: &World, sql: &str) -> Vec<uuid::Uuid> {
    let rows: Vec<(uuid::Uuid,)> = all(world, sql).await;
    rows.into_iter().map(|(id,)| id).collect()
}

async fn runs(world: &World) -> Vec<Run> {
    let rows: Vec<(uuid::Uuid, String)> = all(world, "select id, state from tidegate.runs").await;
    rows.into_iter()
        .map(|(id, state)| Run { id, state })
        .collect()
}

#[derive(FromRow)]
struct TaskRow {
    id: uuid::Uuid,
    run_id: uuid::Uuid,
    item_id: String,
    state: String,
    generation: i32,
    attempts: i32,
    max_attempts: i32,
    claims: i32,
    error_class: Option<String>,
}

async fn tasks(world: &World) -> Vec<Task> {
    let rows: Vec<TaskRow> = all(
        world,
        "select id, run_id, item_id, state, generation, attempts, max_attempts, claims, error_class from tidegate.tasks",
    )
    .await;
    rows.into_iter()
        .map(|row| Task {
            id: row.id,
            run: row.run_id,
            item: row.item_id,
            state: row.state,
            generation: row.generation,
            attempts: row.attempts,
            max_attempts: row.max_attempts,
            claims: row.claims,
            error_class: row.error_class,
        })
        .collect()
}

/// The rows of every book there is: a later version of the schema may have more.
async fn books(world: &World) -> Vec<Booked> {
    let mut booked = Vec::new();
    for book in ["ready", "running", "scheduled", "failed", "blocked"] {
        let there: (bool,) = one(
            world,
            &format!("select to_regclass('tidegate.{book}') is not null"),
        )
        .await;
        if there.0 {
            let rows = ids(world, &format!("select id from tidegate.{book}")).await;
            booked.extend(rows.into_iter().map(|task| Booked {
                book: book.to_owned(),
                task,
            }));
        }
    }
    // what waits in a batch stands in the book of batches
    let rows = ids(world, "select id from tidegate.batch_items where waits").await;
    booked.extend(rows.into_iter().map(|task| Booked {
        book: "in_batch".to_owned(),
        task,
    }));
    booked
}

/// Batches by their tokens: what the provider has, and what the fleet knows.
async fn batches(world: &World) -> Vec<Batch> {
    let sql = "select token, state from tidegate.provider_batches";
    let known: Vec<(String, String)> = all(world, sql).await;
    let there = world.simulator.batches();
    let mut batches: BTreeMap<String, Batch> = BTreeMap::new();
    for (token, state) in known {
        let batch = batches.entry(token.clone()).or_default();
        (batch.token, batch.known) = (token, Some(state));
    }
    for remote in there {
        let batch = batches.entry(remote.token.clone()).or_default();
        batch.token = remote.token;
        batch.kept += usize::from(!remote.cancelled);
        batch.under_way += usize::from(remote.ended_unix_ms.is_none());
    }
    batches.into_values().collect()
}

/// Files at the provider that nobody removed.
fn files_left(world: &World) -> Vec<String> {
    let files = world.simulator.files().into_iter();
    files
        .filter(|it| !it.deleted)
        .map(|it| format!("{it:?}"))
        .collect()
}

async fn attempts(world: &World) -> Vec<Attempt> {
    let rows: Vec<(uuid::Uuid, i32, i32, String, bool)> = all(
        world,
        "select task_id, generation, epoch, outcome, charged from tidegate.task_attempts",
    )
    .await;
    rows.into_iter()
        .map(|(task, generation, epoch, outcome, charged)| Attempt {
            task,
            generation,
            epoch,
            outcome,
            charged,
        })
        .collect()
}

async fn results(world: &World) -> Vec<Answer> {
    let sql = "select task_id, generation from tidegate.task_results";
    let rows: Vec<(uuid::Uuid, i32)> = all(world, sql).await;
    rows.into_iter()
        .map(|(task, generation)| Answer { task, generation })
        .collect()
}

async fn calls(world: &World) -> Vec<Call> {
    type Row = (uuid::Uuid, String, bool, Option<String>, Option<i64>, i64);
    let rows: Vec<Row> = all(
        world,
        "select task_id, model, sent, case when ended_at is not null then coalesce(outcome, 'ended') end, cost_microusd, est_cost_microusd from tidegate.calls",
    )
    .await;
    rows.into_iter()
        .map(|(task, model, sent, outcome, cost, estimate)| Call {
            task,
            model,
            sent,
            outcome,
            cost,
            estimate,
        })
        .collect()
}

async fn events(world: &World) -> Vec<Event> {
    let rows: Vec<(uuid::Uuid, i64, String)> = all(
        world,
        "select task_id, (extract(epoch from at) * 1000000)::bigint, kind from tidegate.events",
    )
    .await;
    rows.into_iter()
        .map(|(task, at_us, kind)| Event { task, at_us, kind })
        .collect()
}

async fn spend(world: &World) -> BTreeMap<String, i64> {
    let rows: Vec<(String, i64)> = all(
        world,
        "select model, sum(cost_microusd)::bigint from tidegate.spend group by model",
    )
    .await;
    rows.into_iter().collect()
}

/// The provider's log, each call with the item it asked about.
async fn arrivals(world: &World) -> Vec<Arrival> {
    let questions: Vec<(String, String)> = all(world, "select item_id, body from questions").await;
    let items: HashMap<String, String> = questions
        .into_iter()
        .map(|(item, body)| {
            let digest = Sha256::digest(prompt(&item, &body));
            (hex::encode(&digest[..16]), item)
        })
        .collect();
    let log = world.simulator.log().into_iter();
    log.map(|call| {
        let tokens = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        Arrival {
            model: World::model(&call.model),
            at_ms: tokens(call.unix_ms),
            item: Some(items.get(&call.prompt).cloned().unwrap_or(call.prompt)),
            bill: World::bill(tokens(call.input_tokens), tokens(call.output_tokens)),
            input_tokens: tokens(call.input_tokens),
            outcome: call.outcome,
        }
    })
    .collect()
}
