//! OpenAI's batches: what is told of them, and that they answer as calls do.

use super::*;

/// What of an answer does not differ from call to call.
fn lasting(mut response: Value) -> Value {
    let members = response.as_object_mut().unwrap();
    members.remove("id");
    members.remove("created");
    response
}

fn of<'a>(lines: &'a [Value], id: &str) -> &'a Value {
    lines.iter().find(|line| line["custom_id"] == id).unwrap()
}

#[tokio::test]
async fn a_line_is_answered_as_a_call_is() {
    let fixture = Fixture::start(batches(BatchSettings::default())).await;
    let mut lines = chat_lines(&["of the sea", "of ships"]);
    let mut wrong = chat_body("x");
    wrong["n"] = json!(2);
    lines.push(chat_line("wrong", wrong.clone()));
    let mut streamed = chat_body("x");
    streamed["stream"] = json!(true);
    lines.push(chat_line("streamed", streamed));
    let (status, created) = fixture.openai_batch(CHAT, &lines).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(
        (&created["status"], &created["object"]),
        (&json!("validating"), &json!("batch"))
    );
    assert_eq!(
        created["request_counts"],
        json!({"total": 0, "completed": 0, "failed": 0})
    );
    assert_eq!(created["metadata"], json!({"submission": "token"}));

    let ended = fixture.again(&created).await;
    assert_eq!(ended["status"], "completed");
    assert_eq!(
        ended["request_counts"],
        json!({"total": 4, "completed": 2, "failed": 2})
    );
    let good = parsed(&fixture.openai_results(&ended["output_file_id"]).await);
    let bad = parsed(&fixture.openai_results(&ended["error_file_id"]).await);
    assert_eq!((good.len(), bad.len()), (2, 2));
    let (_, alone) = read(fixture.chat(&chat_body("of ships")).await).await;
    let response = &of(&good, "task-1")["response"];
    assert_eq!(response["status_code"], 200);
    assert_eq!(lasting(response["body"].clone()), lasting(alone));
    let (status, alone) = read(fixture.chat(&wrong).await).await;
    let response = &of(&bad, "wrong")["response"];
    assert_eq!(
        (&response["status_code"], &response["body"]),
        (&json!(status.as_u16()), &alone)
    );
    assert_eq!(of(&bad, "streamed")["response"]["status_code"], 400);
}

#[tokio::test]
async fn vectors_are_those_of_calls() {
    let fixture = Fixture::start(batches(BatchSettings::default())).await;
    let body = json!({"model": "text-embedding-x", "input": ["a b", "c"], "dimensions": 8});
    let line = json!({"custom_id": "e", "method": "POST", "url": "/v1/embeddings", "body": body});
    let (_, created) = fixture.openai_batch("/v1/embeddings", &[line]).await;
    let ended = fixture.again(&created).await;
    assert_eq!(
        (&ended["endpoint"], &ended["error_file_id"]),
        (&json!("/v1/embeddings"), &Value::Null)
    );
    let good = parsed(&fixture.openai_results(&ended["output_file_id"]).await);
    let alone = fixture
        .openai(Method::POST, "embeddings")
        .json(&body)
        .send()
        .await
        .unwrap();
    assert_eq!(good[0]["response"]["body"], read(alone).await.1);
}

#[tokio::test]
async fn the_order_of_results_is_not_that_of_lines() {
    let fixture = Fixture::start(batches(BatchSettings::default())).await;
    let prompts = hundred();
    let (_, created) = fixture
        .openai_batch(CHAT, &chat_lines(&borrowed(&prompts)))
        .await;
    let ended = fixture.again(&created).await;
    let good = parsed(&fixture.openai_results(&ended["output_file_id"]).await);
    let mut ids: Vec<_> = good.iter().map(|line| text(&line["custom_id"])).collect();
    let sent: Vec<_> = (0..100).map(|at| format!("task-{at}")).collect();
    assert_ne!(ids, sent);
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 100);
}

#[tokio::test]
async fn input_that_cannot_be_used_fails_the_batch_line_by_line() {
    let fixture = Fixture::start(batches(BatchSettings::default())).await;
    let mut lines = chat_lines(&["a", "b", "c"]);
    lines[1]["custom_id"] = json!("task-0");
    lines[2]["url"] = json!("/v1/embeddings");
    lines.push(chat_line(
        "other",
        json!({"model": "embedding-x", "messages": []}),
    ));
    let (status, created) = fixture.openai_batch(CHAT, &lines).await;
    assert_eq!(
        (status, &created["status"]),
        (StatusCode::OK, &json!("validating"))
    );
    let ended = fixture.again(&created).await;
    assert_eq!(ended["status"], "failed");
    assert!(ended["failed_at"].is_u64() && ended["output_file_id"].is_null());
    let told: Vec<_> = ended["errors"]["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| (text(&error["code"]), error["line"].as_u64().unwrap()))
        .collect();
    assert_eq!(
        told,
        [
            ("duplicate_custom_id", 2),
            ("invalid_url", 3),
            ("mismatched_model", 4)
        ]
    );
    assert_eq!(fixture.simulator.counters().models[MODEL].batch_items, 0);
    assert!(
        fixture
            .simulator
            .files()
            .iter()
            .all(|file| file.batch.is_none())
    );
}

#[tokio::test]
async fn a_cancelled_batch_is_cancelling_first() {
    let fixture = Fixture::start(batches(slow())).await;
    let (_, created) = fixture.openai_batch(CHAT, &chat_lines(&["a", "b"])).await;
    let path = format!("batches/{}/cancel", text(&created["id"]));
    let (status, told) = read(fixture.openai(Method::POST, &path).send().await.unwrap()).await;
    assert_eq!(
        (status, &told["status"]),
        (StatusCode::OK, &json!("cancelling"))
    );
    assert_eq!(fixture.again(&created).await["status"], "cancelling");
    fixture.hasten();
    let ended = fixture.again(&created).await;
    assert_eq!(
        (&ended["status"], &ended["output_file_id"]),
        (&json!("cancelled"), &Value::Null)
    );
    assert!(ended["cancelled_at"].is_u64() && ended["cancelling_at"].is_u64());
    let bad = parsed(&fixture.openai_results(&ended["error_file_id"]).await);
    assert_eq!(bad.len(), 2);
    assert!(
        bad.iter()
            .all(|line| line["error"]["code"] == "batch_cancelled" && line["response"].is_null())
    );
    let again = fixture.openai(Method::POST, &path).send().await.unwrap();
    assert_eq!(again.status(), StatusCode::CONFLICT);
}

#[tokio::test]
async fn the_list_is_read_page_by_page_the_newest_first() {
    let fixture = Fixture::start(batches(slow())).await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        let (_, created) = fixture.openai_batch(CHAT, &chat_lines(&["a"])).await;
        ids.insert(0, text(&created["id"]).to_owned());
    }
    let (_, first) = fixture.openai_get("batches?limit=2").await;
    assert_eq!(
        (&first["first_id"], &first["last_id"]),
        (&json!(ids[0]), &json!(ids[1]))
    );
    assert_eq!(first["has_more"], true);
    let (_, second) = fixture
        .openai_get(&format!("batches?limit=2&after={}", ids[1]))
        .await;
    assert_eq!(second["data"].as_array().unwrap().len(), 1);
    assert_eq!(
        (&second["data"][0]["id"], &second["has_more"]),
        (&json!(ids[2]), &json!(false))
    );
}

#[tokio::test]
async fn completed_may_come_before_the_files_are_named() {
    let settings = BatchSettings {
        late_output_ms: 100_000_000,
        ..BatchSettings::default()
    };
    let fixture = Fixture::start(batches(settings)).await;
    let (_, created) = fixture.openai_batch(CHAT, &chat_lines(&["a"])).await;
    let ended = fixture.again(&created).await;
    assert_eq!(
        (&ended["status"], &ended["output_file_id"]),
        (&json!("completed"), &Value::Null)
    );
    assert_eq!(ended["request_counts"]["completed"], 1);
}
