//! Laws of the admission, each against a real Postgres: gates, policies, budgets, large prompts, what
//! is learned and what is told.

mod budgets;
mod gate;
mod large;
mod learning;
mod pacing;
mod policies;
mod told;

use std::time::Duration;

use tidegate::store::{Store, claim::Claimed, model::ProviderRow};
use uuid::Uuid;

use super::{a_row, a_store, count};
use crate::support::{
    TestDb,
    work::{a_process, answered, claim},
};

const LEASE: Duration = Duration::from_secs(60);

/// Leaves `sim/a` alone to be asked.
const ONLY_A: &str = "update tidegate.models set parked = 'a test' where model = 'sim/b'";

/// Overrides of a worker's keys.
fn set(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    let owned = pairs
        .iter()
        .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
    owned.collect()
}

/// One statement of the test's own making.
async fn say(db: &TestDb, sql: &'static str) {
    let said = sqlx::query(sql).execute(db.pool()).await;
    said.expect("it can be said");
}

/// How many of these were given to a model.
fn of(claimed: &[Claimed], model: &str) -> usize {
    claimed.iter().filter(|task| task.model == model).count()
}

/// Answers all of these.
async fn answer(store: &Store, process: Uuid, claimed: &[Claimed]) {
    let answers = claimed.iter().map(|task| answered(task, "done")).collect();
    let settled = store.settle_done(process, answers, None).await;
    settled.expect("answers are stored");
}

/// Another provider entry, `other`, with a model `z` of so many requests per minute.
async fn another_provider(store: &Store, rpm: Option<u32>) {
    let provider = ProviderRow {
        name: "other".to_owned(),
        kind: "openai".to_owned(),
        base_url: "http://127.0.0.1:9/v1".to_owned(),
        quota_scope: "other".to_owned(),
        day_zone: "UTC".to_owned(),
        batch_jobs: None,
    };
    let mut row = a_row("z", rpm);
    row.model = "other/z".to_owned();
    let told = store.sync_models(&[provider], &[row]).await;
    told.expect("it is told");
}
