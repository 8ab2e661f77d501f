//! The control surface of batches and files, and what is counted.

use super::*;
use tidegate::simulator::{BatchEnd, BatchRecord, Counters, FileRecord};

async fn lines<T: serde::de::DeserializeOwned>(fixture: &Fixture, path: &str) -> Vec<T> {
    let answer = fixture.client.get(fixture.root(path)).send().await.unwrap();
    let text = answer.text().await.unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[tokio::test]
async fn every_batch_is_told_with_what_was_asked() {
    let fixture = Fixture::start(batches(slow())).await;
    fixture.inline("token-1", requests(&["hello", "you"])).await;
    fixture.openai_batch(CHAT, &chat_lines(&["hello"])).await;
    let told: Vec<BatchRecord> = lines(&fixture, "sim/batches").await;
    assert_eq!(told, fixture.simulator.batches());
    let first = &told[0];
    assert_eq!(
        (first.seq, first.vendor.as_str(), first.token.as_str()),
        (1, "gemini", "token-1")
    );
    assert_eq!(
        (first.items, first.state.as_str(), first.ended_unix_ms),
        (2, "waiting", None)
    );
    assert_eq!(first.keys, ["task-0", "task-1"]);
    assert_eq!(
        (told[1].vendor.as_str(), told[1].token.as_str()),
        ("openai", "token")
    );
    assert!(told[1].input_file.is_some() && first.input_file.is_none());
    // the hash is that of the call log, by either wire
    fixture.ask("hello").await;
    let logged = &fixture.simulator.log()[0].prompt;
    assert_eq!((&first.prompts[0], &told[1].prompts[0]), (logged, logged));
    fixture.hasten();
    let told: Vec<BatchRecord> = lines(&fixture, "sim/batches").await;
    assert!(
        told.iter()
            .all(|batch| batch.state == "succeeded" && batch.done == batch.items)
    );
}

#[tokio::test]
async fn every_file_is_told_with_its_batch() {
    let fixture = Fixture::start(batches(BatchSettings::default())).await;
    let file = fixture.gemini_upload(request_lines(&["a"])).await;
    let (_, created) = fixture.of_file(&file).await;
    fixture.again(&created).await;
    fixture.gemini(Method::DELETE, &file).send().await.unwrap();
    let told: Vec<FileRecord> = lines(&fixture, "sim/files").await;
    assert_eq!(told, fixture.simulator.files());
    assert_eq!(
        (told.len(), told[0].deleted, told[0].batch.as_ref()),
        (2, true, None)
    );
    assert_eq!(told[0].bytes, Some(request_lines(&["a"]).len()));
    assert_eq!(
        told[1].batch.as_deref(),
        Some(&text(&created["name"])["batches/".len()..])
    );
}

#[tokio::test]
async fn an_order_changes_batches_to_come_and_no_others() {
    let fixture = Fixture::start(batches(slow())).await;
    let (_, before) = fixture.inline("before", requests(&["a"])).await;
    let order = json!({"median_ms": 0, "end": "expired", "max_enqueued_tokens": 99});
    let (status, told) = fixture.order("sim/batches", order).await;
    assert_eq!(
        (status, &told["end"], &told["max_jobs"]),
        (StatusCode::OK, &json!("expired"), &json!(100))
    );
    let (_, after) = fixture.inline("after", requests(&["a"])).await;
    assert_eq!(
        fixture.again(&after).await["metadata"]["state"],
        "BATCH_STATE_EXPIRED"
    );
    let (_, told) = fixture
        .order("sim/batches", json!({"max_enqueued_tokens": null}))
        .await;
    assert_eq!(
        (&told["end"], &told["max_enqueued_tokens"]),
        (&json!("expired"), &Value::Null)
    );
    for wrong in [json!({"ends": "failed"}), json!({"end_at": 7}), json!([])] {
        assert!(
            fixture
                .order("sim/batches", wrong)
                .await
                .0
                .is_client_error()
        );
    }
    let order = json!({"batch": "*"});
    assert_eq!(
        fixture.order("sim/batches/hasten", order).await.1["batches"],
        1
    );
    assert_eq!(
        fixture.again(&before).await["metadata"]["state"],
        "BATCH_STATE_SUCCEEDED"
    );
    let settings = BatchSettings {
        end: BatchEnd::Failed,
        ..BatchSettings::default()
    };
    fixture.simulator.set_batches(settings.clone()).unwrap();
    let (_, failing) = fixture.inline("failing", requests(&["a"])).await;
    assert_eq!(
        fixture.again(&failing).await["metadata"]["state"],
        "BATCH_STATE_FAILED"
    );
    let wrong = BatchSettings {
        max_jobs: 0,
        ..settings
    };
    assert!(fixture.simulator.set_batches(wrong).is_err());
}

#[tokio::test]
async fn items_are_counted_once_with_the_tokens_of_single_calls() {
    let fixture = Fixture::start(batches(BatchSettings::default())).await;
    fixture
        .inline("t", requests(&["of the sea", "of ships"]))
        .await;
    fixture
        .openai_batch(CHAT, &chat_lines(&["of the sea"]))
        .await;
    for prompt in ["of the sea", "of ships", "of the sea"] {
        fixture.ask(prompt).await;
    }
    let answer = fixture.client.get(fixture.root("sim/counters")).send();
    let told: Counters = answer.await.unwrap().json().await.unwrap();
    let counted = &told.models[MODEL];
    assert_eq!((counted.calls, counted.batch_items), (3, 3));
    assert_eq!(counted.batch_input_tokens, counted.input_tokens);
    assert_eq!(counted.batch_output_tokens, counted.output_tokens);
    assert_eq!(
        (
            told.batches.accepted,
            told.batches.succeeded,
            told.batches.uploads
        ),
        (2, 2, 1)
    );
    assert_eq!(fixture.simulator.counters().models, told.models);
}

#[tokio::test]
async fn batches_use_nothing_of_the_minute_and_the_day() {
    let fixture = Fixture::start(with(ModelSettings {
        rpm: Some(1),
        tpm: Some(20),
        rpd: Some(1),
        ..ModelSettings::named(MODEL)
    }))
    .await;
    let prompts = hundred();
    for _ in 0..2 {
        let (status, created) = fixture.inline("t", requests(&borrowed(&prompts))).await;
        assert_eq!(status, StatusCode::OK);
        assert_eq!(
            fixture.again(&created).await["metadata"]["batchStats"]["successfulRequestCount"],
            "100"
        );
    }
    assert_eq!(fixture.ask("x").await.0, StatusCode::OK);
    assert_eq!(
        fixture.simulator.counters().models[MODEL].max_requests_in_any_60s,
        1
    );
    assert_eq!(fixture.simulator.log().len(), 1);
}

#[tokio::test]
async fn a_reset_forgets_batches_and_files() {
    let fixture = Fixture::start(batches(BatchSettings::default())).await;
    let file = fixture.gemini_upload(request_lines(&["a"])).await;
    let (_, created) = fixture.of_file(&file).await;
    fixture
        .order("sim/batches", json!({"median_ms": 5000}))
        .await;
    fixture.order("sim/reset", json!({})).await;
    assert_eq!(
        fixture.gemini_get(text(&created["name"])).await.0,
        StatusCode::NOT_FOUND
    );
    assert_eq!(fixture.gemini_get(&file).await.0, StatusCode::FORBIDDEN);
    assert!(fixture.simulator.batches().is_empty() && fixture.simulator.files().is_empty());
    let counters = fixture.simulator.counters();
    assert_eq!(
        (
            counters.batches.accepted,
            counters.models[MODEL].batch_items
        ),
        (0, 0)
    );
    // what was ordered stays, as limits do
    let (_, told) = fixture.order("sim/batches", json!({})).await;
    assert_eq!(told["median_ms"], 5000.0);
}
