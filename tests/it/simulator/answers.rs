//! What a good call gets.

use super::*;

#[tokio::test]
async fn an_answer_has_text_usage_version_and_id() {
    let fixture = Fixture::start(open()).await;
    let (status, said) = fixture.ask("How is the weather?").await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(said["candidates"][0]["finishReason"], "STOP");
    assert_eq!(said["candidates"][0]["content"]["role"], "model");
    assert_eq!(said["modelVersion"], MODEL);
    assert!(said["responseId"].is_string());
    let usage = &said["usageMetadata"];
    assert_eq!(usage["promptTokenCount"], 5);
    assert_eq!(
        usage["totalTokenCount"],
        5 + usage["candidatesTokenCount"].as_u64().unwrap()
    );
}

#[tokio::test]
async fn the_same_question_gets_the_same_answer() {
    let fixture = Fixture::start(open()).await;
    let (_, one) = fixture.ask("Hello").await;
    let (_, same) = fixture.ask("Hello").await;
    assert_eq!(one["candidates"], same["candidates"]);
    assert_ne!(one["responseId"], same["responseId"]);
}

#[tokio::test]
async fn entities_come_as_the_schema_asks_for_them() {
    let fixture = Fixture::start(open()).await;
    let mut body = body("List.\n<article>\nToday Ada Lovelace left.\n</article>");
    body["generationConfig"] = json!({
        "responseMimeType": "application/json",
        "responseSchema": {"type": "OBJECT", "properties": {"entities": {"type": "ARRAY", "items": {
            "type": "OBJECT", "properties": {
                "name": {"type": "STRING"},
                "kind": {"type": "STRING", "enum": ["person", "place"]},
                "span": {"type": "ARRAY", "items": {"type": "INTEGER"}},
        }}}}},
    });
    let (_, said) = read(fixture.send(MODEL, &body).await.unwrap()).await;
    let text = said["candidates"][0]["content"]["parts"][0]["text"].as_str();
    assert_eq!(
        serde_json::from_str::<Value>(text.unwrap()).unwrap(),
        json!({"entities": [{"name": "Ada Lovelace", "kind": "person", "span": [6, 18]}]})
    );
}

#[tokio::test]
async fn an_answer_stops_at_the_callers_limit() {
    let fixture = Fixture::start(open()).await;
    let mut body = body("a long story");
    body["generationConfig"] = json!({"maxOutputTokens": 2});
    let (_, said) = read(fixture.send(MODEL, &body).await.unwrap()).await;
    assert_eq!(said["candidates"][0]["finishReason"], "MAX_TOKENS");
    assert_eq!(said["usageMetadata"]["candidatesTokenCount"], 2);
    assert_eq!(fixture.simulator.log()[0].outcome, "cut");
}

#[tokio::test]
async fn models_are_listed_page_by_page_and_shown_one_by_one() {
    let names = ["a", "b", "c"];
    let models = names.map(ModelSettings::named).to_vec();
    let fixture = Fixture::start(Settings {
        models,
        ..Settings::default()
    })
    .await;
    let get = async |path: &str| {
        let request = fixture.client.get(fixture.url(path));
        read(request.header("x-goog-api-key", "k").send().await.unwrap()).await
    };
    let (_, first) = get("models?pageSize=2").await;
    assert_eq!(first["models"][1]["name"], "models/b");
    let token = first["nextPageToken"].as_str().unwrap();
    let (_, second) = get(&format!("models?pageSize=2&pageToken={token}")).await;
    assert_eq!(second["models"][0]["name"], "models/c");
    assert!(second.get("nextPageToken").is_none());
    let (status, one) = get("models/a").await;
    assert_eq!((status, &one["name"]), (StatusCode::OK, &json!("models/a")));
    let (status, _) = get("models/z").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn tokens_are_counted_for_free() {
    let fixture = Fixture::start(with(ModelSettings {
        rpm: Some(0),
        ..ModelSettings::named(MODEL)
    }))
    .await;
    let request = fixture
        .client
        .post(fixture.url(&format!("models/{MODEL}:countTokens?key=k")))
        .json(&body("12345678"));
    let (status, counted) = read(request.send().await.unwrap()).await;
    assert_eq!(
        (status, &counted["totalTokens"]),
        (StatusCode::OK, &json!(2))
    );
}
