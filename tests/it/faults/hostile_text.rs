//! F60: text that breaks parsers and columns, in answers, in a provider's errors and in items. Each
//! task ends, and what was answered is kept as it came.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::{Value, json};
use sqlx::Row;
use tidegate::{
    client::{LoadOptions, Loader},
    definition::{Definition, Folder},
    engine::{Engine, Registry, Settings},
    provider::{Kind, Provider, ProviderSettings, build},
    store,
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate, matchers::any};

use crate::support::{
    TestFolder,
    fleet::{Fleet, a_model},
};

const WORKER: &str = r#"
name = "hostile"
version = "1"
[source]
file = "items.jsonl"
id = "id"
[[tier]]
share = 1.0
mix = 1
model = "sim/m"
[prompt]
template = "prompt.md"
schema = "schema.json"
[sink]
sql = "sink.sql"
"#;

/// A provider that answers each case with its own bytes.
struct Hostile(Vec<(&'static str, u16, Vec<u8>)>);

impl Respond for Hostile {
    fn respond(&self, request: &Request) -> ResponseTemplate {
        let asked = String::from_utf8_lossy(&request.body);
        let case = self
            .0
            .iter()
            .find(|(name, ..)| asked.contains(&format!("CASE {name}.")));
        let (_, status, body) = case.expect("a case of the table");
        ResponseTemplate::new(*status).set_body_raw(body.clone(), "application/json")
    }
}

/// A complete answer saying this.
fn says(text: &str) -> Vec<u8> {
    let parts = json!([{"content": {"parts": [{"text": text}]}, "finishReason": "STOP"}]);
    json!({ "candidates": parts }).to_string().into_bytes()
}

/// The same bytes with each `?` made a byte that is no UTF-8.
fn broken(bytes: Vec<u8>) -> Vec<u8> {
    bytes
        .into_iter()
        .map(|byte| if byte == b'?' { 0xff } else { byte })
        .collect()
}

/// A fleet over a hostile provider, and the run it works: an item a case and those given.
struct Scene {
    fleet: Fleet,
    server: MockServer,
    run: Uuid,
}

impl Scene {
    async fn of(cases: Vec<(&'static str, u16, Vec<u8>)>, more: &str) -> Self {
        let fleet = Fleet::with(vec![a_model("m")]).await;
        sqlx::raw_sql("create table answers (item_id text primary key, answer jsonb)")
            .execute(fleet.store.pool())
            .await
            .expect("it is set up");
        let mut lines: String = cases
            .iter()
            .map(|(name, ..)| format!("{{\"id\": \"{name}\", \"text\": \"CASE {name}.\"}}\n"))
            .collect();
        lines.push_str(more);
        let server = MockServer::start().await;
        Mock::given(any())
            .respond_with(Hostile(cases))
            .mount(&server)
            .await;
        let run = load(&fleet, &lines).await;
        Self { fleet, server, run }
    }

    /// A process works the run to its end.
    async fn work(&self) {
        let mut settings = ProviderSettings::new("sim", Kind::Gemini, "a-test-key");
        settings.base_url = Some(self.server.uri());
        let provider: Arc<dyn Provider> = build(settings).expect("it is set up");
        let engine = Engine::new(
            self.fleet.store.clone(),
            store::Settings::new(self.fleet.url()),
            BTreeMap::from([("sim".to_owned(), provider)]),
            Registry::new(),
            Settings::default(),
        );
        let stop = CancellationToken::new();
        let process = tokio::spawn({
            let stop = stop.clone();
            async move { engine.run(stop).await }
        });
        self.fleet.until_done(self.run).await;
        stop.cancel();
        process.await.expect("it is set up").expect("it is set up");
    }

    /// What became of each item: state, error class, words, and the answer that is kept.
    async fn fates(&self) -> BTreeMap<String, Fate> {
        let rows = sqlx::query(
            "select t.item_id, t.state, coalesce(t.error_class, ''), coalesce(t.last_error, ''), r.answer
               from tidegate.tasks t left join tidegate.task_results r on r.task_id = t.id where t.run_id = $1",
        )
        .bind(self.run)
        .fetch_all(self.fleet.store.pool())
        .await
        .expect("it is set up");
        rows.iter()
            .map(|row| (row.get(0), (row.get(1), row.get(2), row.get(3), row.get(4))))
            .collect()
    }
}

type Fate = (String, String, String, Option<String>);

async fn load(fleet: &Fleet, lines: &str) -> Uuid {
    let folder = TestFolder::new();
    std::fs::write(folder.join("items.jsonl"), lines).expect("it is set up");
    let mut texts = Folder::default();
    texts.insert("worker.toml", WORKER);
    texts.insert("prompt.md", "{{ text }}");
    texts.insert("schema.json", "{}");
    texts.insert("sink.sql", "insert into answers select r.item_id, r.answer from jsonb_to_recordset($1) as r(item_id text, answer jsonb)");
    let definition = Definition::check(&texts, &[]).expect("it is set up");
    let handler = Registry::new().handler(&definition).expect("it is set up");
    let options = LoadOptions {
        limit: None,
        weight: 1.0,
        budget_microusd: None,
        folder: folder.path().to_path_buf(),
        source_name: "items.jsonl".to_owned(),
    };
    let loader =
        Loader::new(fleet.store.clone(), definition, handler, options).expect("it is set up");
    loader.load().await.expect("it is set up").run
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f60_an_answer_is_stored_and_read_back_byte_for_byte_or_refused_with_the_reason() {
    let deep = "[".repeat(10_000) + &"]".repeat(10_000);
    let numbers =
        "{\"n\": 1.0e2, \"m\": 9223372036854775809, \"n\": 1.50,\n \"b\": 12345678901234567890.10}";
    let tiny = "{\"n\": 1e-400000}";
    let nul = r#"{"a": "x\u0000y", "n": 1.0}"#;
    let scene = Scene::of(
        vec![
            ("numbers", 200, says(numbers)),
            ("fenced", 200, says("```json\n{\"a\":  1.0}\n```")),
            ("mark", 200, says("\u{feff}{\"a\": 1.0}")),
            ("half", 200, says(r#"{"a": "\ud800"}"#)),
            ("bytes", 200, broken(says(r#"{"a": "?"}"#))),
            ("nul", 200, says(nul)),
            ("tiny", 200, says(tiny)),
            ("huge", 200, says("{\"n\": 1e400000}")),
            ("deep", 200, says(&deep)),
            ("raw_nul", 200, says("{\"a\": \"\0\"}")),
        ],
        "",
    )
    .await;
    scene.work().await;
    let fates = scene.fates().await;
    let done = [
        ("numbers", numbers),
        ("fenced", "{\"a\":  1.0}"),
        ("mark", "{\"a\": 1.0}"),
        ("half", r#"{"a": "\ufffd"}"#),
        ("bytes", "{\"a\": \"\u{fffd}\"}"),
    ];
    for (item, answer) in done {
        let (state, _, words, kept) = &fates[item];
        assert_eq!(
            (state.as_str(), kept.as_deref()),
            ("done", Some(answer)),
            "{item}: {words}"
        );
    }
    // the sink's jsonb cannot take them: the answers stay
    for (item, answer) in [("nul", nul), ("tiny", tiny)] {
        let (state, class, words, kept) = &fates[item];
        assert_eq!(
            (state.as_str(), class.as_str()),
            ("failed", "sink"),
            "{item}: {words}"
        );
        assert_eq!(kept.as_deref(), Some(answer));
    }
    assert!(
        fates["nul"].2.contains("holds U+0000, which jsonb cannot"),
        "{}",
        fates["nul"].2
    );
    for item in ["huge", "deep", "raw_nul"] {
        let (state, class, words, kept) = &fates[item];
        let fate = (state.as_str(), class.as_str(), kept.as_deref());
        assert_eq!(fate, ("failed", "rejected_answer", None), "{item}: {words}");
    }
    assert_eq!(
        scene
            .fleet
            .count("select count(*) from tidegate.running")
            .await,
        0
    );
    assert_eq!(scene.fleet.count("select count(*) from answers").await, 5);
    let exact = "select count(*) from answers where answer -> 'm' = '9223372036854775809' and answer -> 'b' = '12345678901234567890.10'";
    assert_eq!(
        scene.fleet.count(exact).await,
        1,
        "jsonb keeps the numbers' values"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f60_a_providers_error_text_never_keeps_a_task_running() {
    let words = |message: &str| json!({"error": {"code": 400, "message": message, "status": "INVALID_ARGUMENT"}});
    let deep = "[".repeat(10_000) + &"]".repeat(10_000);
    let bytes = |value: Value| value.to_string().into_bytes();
    let mut half = bytes(words("half HERE of a pair"));
    let at = half.windows(4).position(|it| it == b"HERE").unwrap();
    half.splice(at..at + 4, *b"\\ud800");
    let cases = vec![
        ("nul", 400, bytes(words("a\0b\u{1b}[2J\u{202e}c"))),
        ("half", 400, half),
        ("bytes", 400, broken(bytes(words("what is ? this")))),
        ("deep", 400, deep.clone().into_bytes()),
        ("deep_answer", 200, deep.into_bytes()),
        (
            "number",
            400,
            br#"{"error": {"code": 1e400000, "message": "m", "code": 9223372036854775809}}"#
                .to_vec(),
        ),
        ("nothing", 400, vec![0; 3]),
        ("long", 400, bytes(words(&"\u{1f600}\0".repeat(100_000)))),
    ];
    let names: Vec<&str> = cases.iter().map(|(name, ..)| *name).collect();
    let scene = Scene::of(cases, "").await;
    scene.work().await;
    let fates = scene.fates().await;
    for name in names {
        let (state, class, words, kept) = &fates[name];
        assert_eq!(
            (state.as_str(), kept),
            ("failed", &None),
            "{name}: {class}: {words}"
        );
        assert!(
            !class.is_empty() && class != "unstorable",
            "{name}: {class}: {words}"
        );
        assert!(
            !words.contains(|c: char| c.is_control()),
            "{name}: {words:?}"
        );
        assert!(words.chars().count() <= 1_000, "{name}");
    }
    assert_eq!(
        scene
            .fleet
            .count("select count(*) from tidegate.running")
            .await,
        0
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f60_an_item_goes_to_the_model_as_it_is_or_fails_before_a_call() {
    let more = concat!(
        "{\"id\": \"nul\", \"text\": \"CASE fine. a\\u0000b\"}\n",
        "{\"id\": \"half\", \"text\": \"CASE fine. \\ud800\"}\n",
        "{\"id\": \"unseen\", \"text\": \"CASE fine. c\", \"rest\": [\"\\ud800\", 1e400000, 9223372036854775809], \"rest\": 1.0e2}\n",
    );
    let scene = Scene::of(vec![("fine", 200, says("{\"ok\": true}"))], more).await;
    let body = "select body from tidegate.items where item_id = 'unseen'";
    let body: String = sqlx::query_scalar(body)
        .fetch_one(scene.fleet.store.pool())
        .await
        .unwrap();
    assert_eq!(Some(body.as_str()), more.lines().last());
    scene.work().await;
    let fates = scene.fates().await;
    for item in ["fine", "nul", "unseen"] {
        assert_eq!(fates[item].0, "done", "{item}: {}", fates[item].2);
    }
    assert_eq!(
        (fates["half"].0.as_str(), fates["half"].1.as_str()),
        ("failed", "input")
    );
    let asked = scene.server.received_requests().await.unwrap();
    assert_eq!(asked.len(), 3);
    let sent = |text: &str| {
        asked
            .iter()
            .any(|it| String::from_utf8_lossy(&it.body).contains(text))
    };
    assert!(sent("CASE fine. a\\u0000b"), "U+0000 reaches the model");
}
