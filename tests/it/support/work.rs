//! Small work for tests: a worker whose items are JSON lines, tasks claimed and settled by hand.

use std::time::Duration;

use tidegate::{
    client::{LoadError, LoadOptions, Loaded, Loader},
    definition::{Definition, Folder},
    engine::Registry,
    llm::Usage,
    store::{
        Store,
        claim::{ClaimRequest, Claimed},
        local::{LocalRequest, LocalTask},
        process::Registration,
        settle::{Answered, ClaimKey, Fate, Spent, Unanswered},
    },
    task::Answer,
};
use uuid::Uuid;

use super::TestFolder;

/// A worker of one tier over JSON lines, asking `sim/a`, then `sim/b`.
pub(crate) const ONE_TIER: &str = r#"
name = "small"
version = "1"
[source]
file = "items.jsonl"
id = "id"
score = "score"
[[tier]]
share = 1.0
mix = 1
model = "sim/a"
fallbacks = ["sim/b"]
[prompt]
template = "prompt.md"
"#;

/// A worker of one tier with another name, which shares no answers with others.
pub(crate) fn named(name: &str) -> String {
    let own = format!("[cache]\nversion = \"of {name}\"\n[prompt]");
    ONE_TIER
        .replace("\"small\"", &format!("\"{name}\""))
        .replace("[prompt]", &own)
}

/// The same with three tiers, each on a model of its own.
pub(crate) const THREE_TIERS: &str = r#"
name = "small"
version = "1"
[source]
file = "items.jsonl"
id = "id"
score = "score"
[[tier]]
share = 0.3
mix = 4
model = "sim/a"
[[tier]]
share = 0.5
mix = 5
model = "sim/b"
[[tier]]
share = 0.2
mix = 1
model = "sim/c"
[prompt]
template = "prompt.md"
"#;

/// So many items, the first with the highest score.
pub(crate) fn items(count: usize) -> String {
    (0..count)
        .map(|n| {
            format!(
                "{{\"id\": \"i{n:05}\", \"score\": {}, \"text\": \"Text {n}.\"}}\n",
                count - n
            )
        })
        .collect()
}

/// Loads a run of this worker over these lines.
pub(crate) async fn load(store: &Store, worker: &str, lines: &str) -> Result<Loaded, LoadError> {
    load_with(store, worker, lines, &[]).await
}

/// The same with overrides.
pub(crate) async fn load_with(
    store: &Store,
    worker: &str,
    lines: &str,
    overrides: &[(String, String)],
) -> Result<Loaded, LoadError> {
    let folder = TestFolder::new();
    std::fs::write(folder.join("items.jsonl"), lines).expect("the items are written");
    let mut texts = Folder::default();
    texts.insert("worker.toml", worker);
    texts.insert("prompt.md", "Read this: {{ text }}");
    texts.insert("sink.sql", "insert into answers select r.item_id, r.answer #>> '{}' from jsonb_to_recordset($1) as r(item_id text, answer jsonb)");
    let definition = Definition::check(&texts, overrides).expect("the worker holds");
    let handler = Registry::new().handler(&definition).expect("a handler");
    let options = LoadOptions {
        limit: None,
        weight: 1.0,
        budget_microusd: None,
        folder: folder.path().to_path_buf(),
        source_name: "items.jsonl".to_owned(),
    };
    Loader::new(store.clone(), definition, handler, options)?
        .load()
        .await
}

/// A process of the fleet, registered with a lease of so long.
pub(crate) async fn a_process(store: &Store, lease: Duration) -> Uuid {
    let process = Registration {
        id: Uuid::now_v7(),
        role: "work",
        host: "test".to_owned(),
        pid: std::process::id(),
        slots: 100,
        lease,
    };
    store.register(&process).await.expect("it is registered");
    process.id
}

/// Claims so many slots for a process that may call `sim`.
pub(crate) async fn claim(store: &Store, process: Uuid, slots: u32) -> Vec<Claimed> {
    let request = ClaimRequest {
        process,
        slots,
        nonce: rand::random(),
        providers: vec!["sim".to_owned()],
        workers: None,
        tasks: None,
    };
    store.claim(&request).await.expect("a claim").tasks
}

/// Tasks that call no model, kept answers among them.
pub(crate) async fn hits(store: &Store, process: Uuid) -> Vec<LocalTask> {
    let request = LocalRequest {
        process,
        slots: 1_000,
        nonce: rand::random(),
        programs: Vec::new(),
        workers: None,
        kept: false,
    };
    store.claim_local(&request).await.expect("a claim")
}

/// An accepted answer to a claimed task.
pub(crate) fn answered(claimed: &Claimed, answer: &str) -> Answered {
    Answered {
        claim: ClaimKey::from(claimed),
        item: claimed.item.clone(),
        version: None,
        answer: Answer::text(answer),
        spent: Spent {
            usage: Some(Usage {
                input_tokens: 10,
                output_tokens: 5,
                ..Usage::default()
            }),
            cost_microusd: Some(7),
            estimated: false,
            latency_ms: 12,
        },
        model_version: None,
        response_id: None,
        leads: None,
    }
}

/// An attempt that brought no answer.
pub(crate) fn unanswered(claimed: &Claimed, fate: Fate) -> Unanswered {
    Unanswered {
        claim: ClaimKey::from(claimed),
        fate,
        exhaust_rung: false,
        error_class: "provider_failed".to_owned(),
        error: "said a test".to_owned(),
        sent: true,
        http_status: Some(500),
        pack_most: None,
        leads: None,
        spent: Spent {
            latency_ms: 3,
            ..Spent::default()
        },
    }
}
