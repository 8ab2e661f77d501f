//! Batches that are not accepted, or not as they were handed in.

use super::*;

async fn both(fixture: &Fixture) -> [(StatusCode, Value); 2] {
    let gemini = fixture
        .inline("t", requests(&["a prompt of some length"]))
        .await;
    let openai = fixture
        .openai_batch(CHAT, &chat_lines(&["a prompt of some length"]))
        .await;
    [gemini, openai]
}

#[tokio::test]
async fn a_model_without_batches_is_not_found() {
    let without = |name: &str| ModelSettings {
        batch: false,
        ..ModelSettings::named(name)
    };
    let other = ModelSettings::named("other");
    for models in [vec![without(MODEL), other], vec![without(MODEL)]] {
        let fixture = Fixture::start(Settings {
            models,
            ..Settings::default()
        })
        .await;
        for (status, said) in both(&fixture).await {
            assert_eq!(status, StatusCode::NOT_FOUND, "{said}");
        }
        assert_eq!(fixture.ask("a").await.0, StatusCode::OK);
        assert!(fixture.simulator.batches().is_empty());
    }
}

#[tokio::test]
async fn an_unknown_model_is_not_found_at_gemini_and_fails_at_openai() {
    let fixture = Fixture::start(batches(BatchSettings::default())).await;
    for (path, kind) in [
        ("models/gone", "batchGenerateContent"),
        ("models/embedding-x", "batchGenerateContent"),
        ("models/gemini-test", "asyncBatchEmbedContent"),
    ] {
        let request = fixture
            .gemini(Method::POST, &format!("{path}:{kind}"))
            .json(&json!({}));
        assert_eq!(
            request.send().await.unwrap().status(),
            StatusCode::NOT_FOUND
        );
    }
    let line = chat_line(
        "a",
        json!({"model": "gone", "messages": [{"role": "user", "content": "x"}]}),
    );
    let (status, created) = fixture.openai_batch(CHAT, &[line]).await;
    assert_eq!(status, StatusCode::OK);
    let ended = fixture.again(&created).await;
    assert_eq!(ended["errors"]["data"][0]["code"], "model_not_found");
}

#[tokio::test]
async fn too_many_tokens_are_refused_at_gemini_and_fail_at_openai() {
    let settings = BatchSettings {
        max_enqueued_tokens: Some(10),
        ..slow()
    };
    let fixture = Fixture::start(batches(settings)).await;
    let filling = || fixture.inline("fills", requests(&["a prompt of some length"]));
    assert_eq!(filling().await.0, StatusCode::OK);
    let [gemini, openai] = both(&fixture).await;
    assert_eq!(gemini.0, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(gemini.1["error"]["status"], "RESOURCE_EXHAUSTED");
    assert_eq!(openai.0, StatusCode::OK);
    fixture.hasten();
    let failed = fixture.again(&openai.1).await;
    assert_eq!(
        (&failed["status"], &failed["errors"]["data"][0]["code"]),
        (&json!("failed"), &json!("token_limit_exceeded"))
    );
    assert!(failed["errors"]["data"][0]["line"].is_null());
    // what has ended no longer waits
    assert_eq!(filling().await.0, StatusCode::OK);
    assert_eq!(fixture.simulator.counters().batches.refused_tokens, 2);
}

#[tokio::test]
async fn too_many_batches_at_once_are_refused() {
    let settings = BatchSettings {
        max_jobs: 2,
        ..slow()
    };
    let fixture = Fixture::start(batches(settings)).await;
    for _ in 0..2 {
        assert!(
            both(&fixture)
                .await
                .iter()
                .all(|(status, _)| status.is_success())
        );
    }
    assert!(
        both(&fixture)
            .await
            .iter()
            .all(|it| it.0 == StatusCode::TOO_MANY_REQUESTS)
    );
    fixture.hasten();
    assert!(
        both(&fixture)
            .await
            .iter()
            .all(|(status, _)| status.is_success())
    );
}

#[tokio::test]
async fn an_overloaded_desk_accepts_nothing() {
    let settings = BatchSettings {
        create_503: 1.0,
        ..BatchSettings::default()
    };
    let fixture = Fixture::start(batches(settings)).await;
    assert!(
        both(&fixture)
            .await
            .iter()
            .all(|it| it.0 == StatusCode::SERVICE_UNAVAILABLE)
    );
    assert!(fixture.simulator.batches().is_empty());
    assert_eq!(fixture.simulator.counters().batches.refused_503, 2);
}

#[tokio::test]
async fn an_account_without_money_gets_no_batch() {
    let fixture = Fixture::start(batches(BatchSettings::default())).await;
    let order = json!({"model": MODEL, "kind": "money", "seconds": 600});
    fixture.order("sim/outage", order).await;
    let [gemini, openai] = both(&fixture).await;
    assert_eq!((gemini.0.as_u16(), openai.0.as_u16()), (429, 429));
    assert_eq!(openai.1["error"]["code"], "insufficient_quota");
}

#[tokio::test]
async fn wrong_bodies_are_told_so() {
    let fixture = Fixture::start(batches(BatchSettings::default())).await;
    let path = format!("models/{MODEL}:batchGenerateContent");
    let items = json!({"requests": requests(&["a"])});
    for wrong in [
        json!({}),
        json!({"batch": {"displayName": "t"}}),
        json!({"batch": {"inputConfig": {}}}),
        json!({"batch": {"inputConfig": {"requests": items, "fileName": "files/a"}}}),
        json!({"batch": {"inputConfig": {"requests": {}}}}),
        json!({"batch": {"inputConfig": {"requests": items}, "title": "t"}}),
        json!({"batch": {"inputConfig": {"requests": {"requests": [{"key": "a", "request": {}}]}}}}),
    ] {
        let answer = fixture
            .gemini(Method::POST, &path)
            .json(&wrong)
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST, "{wrong}");
    }
    let (_, file) = read(
        fixture
            .openai_upload("x", &chat_lines(&["a"])[0].to_string())
            .await
            .unwrap(),
    )
    .await;
    let with = |key: &str, value: Value| {
        let mut body =
            json!({"input_file_id": file["id"], "endpoint": CHAT, "completion_window": "24h"});
        body[key] = value;
        body
    };
    for wrong in [
        json!({}),
        with("input_file_id", json!("file-gone")),
        with("endpoint", json!("/v1/fun")),
        with("completion_window", json!("1h")),
        with("metadata", json!({"a": 1})),
        with("metadata", json!({"a": "x".repeat(513)})),
        with(
            "output_expires_after",
            json!({"anchor": "created_at", "seconds": 1}),
        ),
    ] {
        let answer = fixture
            .openai(Method::POST, "batches")
            .json(&wrong)
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST, "{wrong}");
    }
    assert!(fixture.simulator.batches().is_empty());
}

#[tokio::test]
async fn a_wrong_key_is_told_so_everywhere() {
    let fixture = Fixture::start(Settings {
        api_keys: vec!["the key".to_owned()],
        ..batches(BatchSettings::default())
    })
    .await;
    for path in [
        "batches",
        "batches/x",
        "files",
        "files/x",
        "files/x:download?alt=media",
    ] {
        assert_eq!(
            fixture.gemini_get(path).await.0,
            StatusCode::BAD_REQUEST,
            "{path}"
        );
    }
    for path in [
        "batches",
        "batches/x",
        "files",
        "files/x",
        "files/x/content",
    ] {
        assert_eq!(
            fixture.openai_get(path).await.0,
            StatusCode::UNAUTHORIZED,
            "{path}"
        );
    }
    assert_eq!(
        fixture.inline("t", requests(&["a"])).await.0,
        StatusCode::BAD_REQUEST
    );
    assert!(fixture.begin_upload(json!({})).await.is_err());
    assert_eq!(
        fixture.openai_create(&json!("x"), CHAT).await.0,
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(fixture.simulator.counters().bad_key, 2);
}
