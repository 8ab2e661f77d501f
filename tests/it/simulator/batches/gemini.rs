//! Gemini's batches: what is told of them, and that they answer as calls do.

use super::*;

fn schema() -> Value {
    json!({
        "contents": [{"role": "user", "parts": [{"text": "What a bug!"}]}],
        "system_instruction": {"parts": [{"text": "Label it."}]},
        "generationConfig": {
            "responseMimeType": "application/json",
            "responseJsonSchema": {"type": "object", "required": ["label"], "properties": {
                "label": {"type": "string", "enum": ["bug", "praise"]}}},
        },
    })
}

/// What of an answer does not differ from call to call.
fn lasting(mut response: Value) -> Value {
    response.as_object_mut().unwrap().remove("responseId");
    response
}

#[tokio::test]
async fn an_inline_item_is_answered_as_a_call_is() {
    let fixture = Fixture::start(batches(BatchSettings::default())).await;
    let questions = [body("of the sea"), schema(), body("")];
    let item = |(at, request): (usize, &Value)| json!({"request": request, "metadata": {"key": at.to_string(), "more": [1]}});
    let items: Value = questions.iter().enumerate().map(item).collect();
    let (status, created) = fixture.inline("token-1", items).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(created["metadata"]["state"], "BATCH_STATE_PENDING");
    assert_eq!(created["metadata"]["displayName"], "token-1");
    assert!(created.get("done").is_none() && created.get("response").is_none());

    let ended = fixture.again(&created).await;
    assert_eq!(
        (&ended["done"], &ended["metadata"]["state"]),
        (&json!(true), &json!("BATCH_STATE_SUCCEEDED"))
    );
    let list = &ended["response"]["inlinedResponses"]["inlinedResponses"];
    assert_eq!(
        *list,
        ended["metadata"]["output"]["inlinedResponses"]["inlinedResponses"]
    );
    for (at, question) in questions.iter().enumerate() {
        let (status, alone) = read(fixture.send(MODEL, question).await.unwrap()).await;
        assert_eq!(
            list[at]["metadata"],
            json!({"key": at.to_string(), "more": [1]})
        );
        if status.is_success() {
            assert_eq!(lasting(list[at]["response"].clone()), lasting(alone));
        } else {
            assert_eq!(list[at]["error"]["message"], alone["error"]["message"]);
        }
    }
    assert_eq!(list[1]["response"]["usageMetadata"]["promptTokenCount"], 6);
}

#[tokio::test]
async fn a_file_is_answered_line_by_line_in_its_order() {
    let fixture = Fixture::start(batches(BatchSettings::default())).await;
    let lines = request_lines(&["of the sea", "of ships"])
        + "\n{\"key\": \"wrong\", \"request\": {\"contents\": []}}\n{\"request\": {\"contents\": [{\"parts\": [{\"text\": \"keyless\"}]}]}}";
    let file = fixture.gemini_upload(lines).await;
    let (_, created) = fixture.of_file(&file).await;
    let ended = fixture.again(&created).await;
    let told = parsed(&fixture.gemini_results(&ended).await);
    let keys: Vec<_> = told.iter().map(|line| line["key"].as_str()).collect();
    assert_eq!(keys, [Some("task-0"), Some("task-1"), Some("wrong"), None]);
    let (_, alone) = fixture.ask("of ships").await;
    assert_eq!(lasting(told[1]["response"].clone()), lasting(alone));
    assert_eq!(told[2]["error"]["code"], 3);
    assert!(said(&told[3]["response"]).ends_with("keyless"));
    let stats =
        json!({"requestCount": "4", "successfulRequestCount": "3", "failedRequestCount": "1"});
    assert_eq!(ended["metadata"]["batchStats"], stats);
    let listed = fixture
        .gemini_get(text(&ended["response"]["responsesFile"]))
        .await
        .1;
    assert_eq!(
        (&listed["source"], &listed["state"]),
        (&json!("GENERATED"), &json!("ACTIVE"))
    );
}

#[tokio::test]
async fn vectors_are_those_of_calls() {
    let fixture = Fixture::start(batches(BatchSettings::default())).await;
    let one = |text: &str| json!({"model": "models/embedding-x", "content": {"parts": [{"text": text}]}, "outputDimensionality": 8});
    let items = json!([{"request": one("a b"), "metadata": {"key": "e"}}, {"request": one("")}]);
    let batch = json!({"batch": {"display_name": "v", "input_config": {"requests": {"requests": items}}, "priority": "7"}});
    let path = "models/embedding-x:asyncBatchEmbedContent";
    let (_, created) = read(
        fixture
            .gemini(Method::POST, path)
            .json(&batch)
            .send()
            .await
            .unwrap(),
    )
    .await;
    let kind = text(&created["metadata"]["@type"]);
    assert!(kind.ends_with("EmbedContentBatch") && created["metadata"]["priority"] == "7");
    let ended = fixture.again(&created).await;
    let list = &ended["response"]["inlinedResponses"]["inlinedResponses"];
    let alone = fixture
        .gemini(Method::POST, "models/embedding-x:embedContent")
        .json(&one("a b"));
    let (_, alone) = read(alone.send().await.unwrap()).await;
    assert_eq!(list[0]["response"], alone);
    assert_eq!(
        (&list[0]["metadata"]["key"], &list[1]["error"]["code"]),
        (&json!("e"), &json!(3))
    );
    let (status, _) = fixture.inline("wrong model", json!([])).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_batch_under_way_says_neither_done_nor_zeros() {
    let fixture = Fixture::start(batches(slow())).await;
    let (_, created) = fixture.inline("t", requests(&["a", "b"])).await;
    let seen = fixture.again(&created).await;
    let mut keys: Vec<_> = seen.as_object().unwrap().keys().collect();
    keys.sort();
    assert_eq!(keys, ["metadata", "name"]);
    let stats = json!({"requestCount": "2", "pendingRequestCount": "2"});
    assert_eq!(seen["metadata"]["batchStats"], stats);
    assert!(seen["metadata"].get("endTime").is_none());
    assert_eq!(fixture.hasten(), 1);
    assert_eq!(fixture.again(&created).await["done"], true);
}

#[tokio::test]
async fn an_unreadable_line_fails_the_batch_by_its_number() {
    let fixture = Fixture::start(batches(BatchSettings::default())).await;
    let lines = request_lines(&["a"]) + "{\"key\": \"b\", \"request\":";
    let file = fixture.gemini_upload(lines).await;
    let (status, created) = fixture.of_file(&file).await;
    assert_eq!(status, StatusCode::OK);
    let ended = fixture.again(&created).await;
    assert_eq!(ended["metadata"]["state"], "BATCH_STATE_FAILED");
    assert_eq!(ended["error"]["code"], 3);
    assert!(
        text(&ended["error"]["message"]).contains("Line 2"),
        "{ended}"
    );
    assert!(ended.get("response").is_none());
}

#[tokio::test]
async fn a_cancelled_batch_has_no_results_and_stays_cancelled() {
    let fixture = Fixture::start(batches(slow())).await;
    let (_, created) = fixture.inline("t", requests(&["a"])).await;
    let path = format!("{}:cancel", text(&created["name"]));
    for _ in 0..2 {
        let answer = fixture.gemini(Method::POST, &path).json(&json!({})).send();
        assert_eq!(
            read(answer.await.unwrap()).await,
            (StatusCode::OK, json!({}))
        );
    }
    let ended = fixture.again(&created).await;
    assert_eq!(ended["metadata"]["state"], "BATCH_STATE_CANCELLED");
    assert_eq!(
        (&ended["done"], &ended["error"]["code"]),
        (&json!(true), &json!(1))
    );
    assert!(ended.get("response").is_none() && ended["metadata"].get("output").is_none());
    let counters = fixture.simulator.counters();
    assert_eq!(
        (
            counters.batches.cancelled,
            counters.models[MODEL].batch_items
        ),
        (1, 0)
    );
}

#[tokio::test]
async fn what_has_ended_is_not_cancelled() {
    let fixture = Fixture::start(batches(BatchSettings::default())).await;
    let (_, created) = fixture.inline("t", requests(&["a"])).await;
    let path = format!("{}:cancel", text(&created["name"]));
    let answer = fixture.gemini(Method::POST, &path).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    let ended = fixture.again(&created).await;
    assert_eq!(ended["metadata"]["state"], "BATCH_STATE_SUCCEEDED");
    assert!(!fixture.simulator.batches()[0].cancelled);
}

#[tokio::test]
async fn a_deleted_batch_is_gone_but_runs_to_its_end() {
    let fixture = Fixture::start(batches(slow())).await;
    let (_, created) = fixture.inline("t", requests(&["a"])).await;
    let name = text(&created["name"]);
    let deleting = fixture.gemini(Method::DELETE, name).send().await.unwrap();
    assert_eq!(read(deleting).await, (StatusCode::OK, json!({})));
    assert_eq!(fixture.gemini_get(name).await.0, StatusCode::NOT_FOUND);
    let again = fixture.gemini(Method::DELETE, name).send().await.unwrap();
    assert_eq!(again.status(), StatusCode::NOT_FOUND);
    assert_eq!(fixture.gemini_get("batches").await.1, json!({}));
    fixture.hasten();
    let record = &fixture.simulator.batches()[0];
    assert!(record.deleted && record.state == "succeeded" && !record.cancelled);
}

#[tokio::test]
async fn the_list_is_read_page_by_page_the_newest_first() {
    let fixture = Fixture::start(batches(slow())).await;
    for token in ["a", "b", "c"] {
        fixture.inline(token, requests(&["x"])).await;
    }
    let (mut seen, mut token) = (Vec::new(), String::new());
    loop {
        let path = format!("batches?pageSize=1&pageToken={token}");
        let (_, page) = fixture.gemini_get(&path).await;
        // what comes meanwhile moves nothing
        fixture.inline("later", requests(&["x"])).await;
        let operations = page["operations"].as_array().unwrap();
        seen.extend(
            operations
                .iter()
                .map(|it| text(&it["metadata"]["displayName"]).to_owned()),
        );
        match page["nextPageToken"].as_str() {
            Some(next) => token = next.to_owned(),
            None => break,
        }
    }
    assert_eq!(seen, ["c", "b", "a"]);
}

#[tokio::test]
async fn a_new_batch_shows_in_the_list_only_later() {
    let settings = BatchSettings {
        list_lag_ms: 100_000_000,
        ..BatchSettings::default()
    };
    let fixture = Fixture::start(batches(settings)).await;
    let (_, created) = fixture.inline("t", requests(&["a"])).await;
    assert_eq!(fixture.again(&created).await["done"], true);
    assert_eq!(fixture.gemini_get("batches").await.1, json!({}));
    let (_, other) = fixture.openai_batch(CHAT, &chat_lines(&["a"])).await;
    assert_eq!(fixture.again(&other).await["status"], "completed");
    assert_eq!(fixture.openai_get("batches").await.1["data"], json!([]));
}

#[tokio::test]
async fn the_stable_version_has_the_same() {
    let fixture = Fixture::start(batches(BatchSettings::default())).await;
    let url = fixture.root(&format!("v1/models/{MODEL}:batchGenerateContent"));
    let batch = json!({"batch": {"displayName": "t", "inputConfig": {"requests": {"requests": requests(&["a"])}}}});
    let request = fixture
        .client
        .post(url)
        .header("x-goog-api-key", "k")
        .json(&batch);
    let (status, created) = read(request.send().await.unwrap()).await;
    assert_eq!(status, StatusCode::OK);
    for path in [text(&created["name"]), "batches", "files"] {
        let request = fixture
            .client
            .get(fixture.root(&format!("v1/{path}?key=k")));
        let told = read(request.send().await.unwrap()).await.1;
        assert!(told.get("object").is_none(), "{path}: {told}");
    }
}
