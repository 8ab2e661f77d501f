//! Laws of the store, against a real Postgres.

mod admission;
mod batches;
mod by_hand;
mod cache;
mod care;
mod claim;
mod enqueue;
mod equal;
mod forecast;
mod limits;
mod load;
mod migrate;
mod packs;
mod settle;
mod steps;

use tidegate::{
    simulator::ModelSettings,
    store::{
        Store,
        model::{ModelRow, ProviderRow},
    },
};

use crate::support::TestDb;

/// A database that knows the provider entry `sim` and these models, with requests per minute.
async fn a_store(models: &[(&str, Option<u32>)]) -> (TestDb, Store) {
    let db = TestDb::new().await;
    let store = Store::over(db.pool().clone());
    let provider = ProviderRow {
        name: "sim".to_owned(),
        kind: "gemini".to_owned(),
        base_url: "http://127.0.0.1:9/v1beta".to_owned(),
        quota_scope: "sim".to_owned(),
        day_zone: "America/Los_Angeles".to_owned(),
        batch_jobs: None,
    };
    let rows: Vec<ModelRow> = models.iter().map(|(name, rpm)| a_row(name, *rpm)).collect();
    store
        .sync_models(&[provider], &rows)
        .await
        .expect("models are told");
    crate::support::many_at_once(db.pool()).await;
    (db, store)
}

fn a_row(name: &str, rpm: Option<u32>) -> ModelRow {
    ModelRow {
        model: format!("sim/{}", ModelSettings::named(name).name),
        hash: b"a test".to_vec(),
        output_tpm: None,
        tpd: None,
        shares: None,
        batch: None,
        batch_price_percent: None,
        batch_enqueued_tokens: None,
        rpm,
        tpm: None,
        rpd: None,
        max_concurrency: None,
        counting: Some("sliding"),
        burst: None,
        input_price_microusd: None,
        output_price_microusd: None,
    }
}

/// One number.
async fn count(db: &TestDb, sql: &'static str) -> i64 {
    sqlx::query_scalar(sql)
        .fetch_one(db.pool())
        .await
        .expect("a count")
}
