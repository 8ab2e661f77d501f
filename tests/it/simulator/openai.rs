//! The same simulator by OpenAI's wire.

use super::*;
use reqwest::header::HeaderMap;
use tidegate::simulator::{Faults, OutageKind, RateHeaders, WindowKind};

fn limited() -> ModelSettings {
    ModelSettings {
        rpm: Some(2),
        tpm: Some(1_000),
        rpd: Some(200),
        window: WindowKind::Sliding,
        ..ModelSettings::named(MODEL)
    }
}

fn told(headers: &HeaderMap, name: &str) -> Option<String> {
    let value = headers.get(format!("x-ratelimit-{name}"))?;
    Some(String::from_utf8_lossy(value.as_bytes()).into_owned())
}

#[tokio::test]
async fn an_answer_has_text_usage_model_and_id() {
    let fixture = Fixture::start(open()).await;
    let answer = fixture.chat(&chat_body("How is the weather?")).await;
    assert!(answer.headers().contains_key("x-request-id"));
    assert!(
        told(answer.headers(), "limit-requests").is_none(),
        "no limit, no header"
    );
    let (status, said) = read(answer).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(
        (&said["object"], &said["model"]),
        (&json!("chat.completion"), &json!(MODEL))
    );
    let choice = &said["choices"][0];
    assert_eq!(choice["finish_reason"], "stop");
    assert_eq!(choice["message"]["role"], "assistant");
    let usage = &said["usage"];
    assert_eq!(usage["prompt_tokens"], 5);
    let completion = usage["completion_tokens"].as_u64().unwrap();
    assert_eq!(usage["total_tokens"], 5 + completion);
}

#[tokio::test]
async fn both_wires_give_the_same_answer_and_use_the_same_limit() {
    let fixture = Fixture::start(with(limited())).await;
    let (_, gemini) = fixture.ask("Hello").await;
    let (_, openai) = read(fixture.chat(&chat_body("Hello")).await).await;
    assert_eq!(
        gemini["candidates"][0]["content"]["parts"][0]["text"],
        openai["choices"][0]["message"]["content"]
    );
    assert_eq!(fixture.ask("Hello").await.0, StatusCode::TOO_MANY_REQUESTS);
    let refused = fixture.chat(&chat_body("Hello")).await;
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    let log = fixture.simulator.log();
    assert_eq!(log[0].prompt, log[1].prompt);
}

#[tokio::test]
async fn headers_tell_what_is_left_and_a_refusal_when_to_come_back() {
    let fixture = Fixture::start(with(limited())).await;
    let mut body = chat_body("Hello");
    body["max_tokens"] = json!(300);
    let answer = fixture.chat(&body).await;
    let seen = |name: &str| told(answer.headers(), name);
    for (name, value) in [
        ("limit-requests", "2"),
        ("remaining-requests", "1"),
        ("reset-requests", "1m0s"),
        ("limit-tokens", "1000"),
        // the larger of the prompt and of what the answer may have
        ("remaining-tokens", "700"),
        ("limit-requests-day", "200"),
        ("remaining-requests-day", "199"),
    ] {
        assert_eq!(seen(name).as_deref(), Some(value), "{name}");
    }
    fixture.chat(&body).await;
    let refused = fixture.chat(&body).await;
    assert_eq!(
        told(refused.headers(), "remaining-requests").as_deref(),
        Some("0")
    );
    let seconds: u64 = refused.headers()["retry-after"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!((1..=60).contains(&seconds), "{seconds}");
    let (status, said) = read(refused).await;
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
    let error = &said["error"];
    assert_eq!(
        (&error["type"], &error["code"]),
        (&json!("requests"), &json!("rate_limit_exceeded"))
    );
    let message = error["message"].as_str().unwrap();
    assert!(
        message.contains("requests per min (RPM): Limit 2, Used 2, Requested 1."),
        "{message}"
    );

    body["max_tokens"] = json!(5_000);
    fixture
        .order("sim/limits", json!({"model": MODEL, "rpm": null}))
        .await;
    let (_, said) = read(fixture.chat(&body).await).await;
    let message = said["error"]["message"].as_str().unwrap();
    assert!(message.starts_with("Request too large"), "{message}");
}

#[tokio::test]
async fn headers_can_be_off_or_garbage() {
    let start = async |rate_headers| {
        Fixture::start(Settings {
            rate_headers,
            ..with(limited())
        })
        .await
    };
    let fixture = start(RateHeaders::Off).await;
    let answer = fixture.chat(&chat_body("a")).await;
    assert!(told(answer.headers(), "limit-requests").is_none());
    let fixture = start(RateHeaders::Garbage).await;
    let answer = fixture.chat(&chat_body("a")).await;
    assert_ne!(told(answer.headers(), "limit-requests").unwrap(), "2");
    assert_eq!(answer.status(), StatusCode::OK);
}

#[tokio::test]
async fn wrong_calls_are_told_so_in_openais_envelope() {
    let fixture = Fixture::start(Settings {
        api_keys: vec!["key-1".to_owned()],
        ..open()
    })
    .await;
    let base = fixture.simulator.openai_base_url();
    let send = async |path: &str, key: &str| {
        let request = fixture
            .client
            .post(format!("{base}/{path}"))
            .json(&chat_body("x"));
        read(request.bearer_auth(key).send().await.unwrap()).await
    };
    let (status, said) = send("chat/completions", "bad").await;
    assert_eq!(
        (status, &said["error"]["code"]),
        (StatusCode::UNAUTHORIZED, &json!("invalid_api_key"))
    );
    let (status, said) = send("responses", "key-1").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert_eq!(said["error"]["type"], "invalid_request_error");

    let mut gone = chat_body("x");
    gone["model"] = json!("gone");
    let (status, said) = read(fixture.chat(&gone).await).await;
    assert_eq!(
        (status, &said["error"]["code"]),
        (StatusCode::NOT_FOUND, &json!("model_not_found"))
    );
    let (status, said) = read(fixture.chat(&json!({"model": MODEL})).await).await;
    assert_eq!(
        (status, &said["error"]["param"]),
        (StatusCode::BAD_REQUEST, &json!("messages"))
    );
    for key in ["message", "type", "param", "code"] {
        assert!(said["error"].get(key).is_some(), "{key} is always there");
    }
    let counters = fixture.simulator.counters();
    assert_eq!((counters.bad_key, counters.unknown_model), (1, 1));
    assert_eq!(counters.models[MODEL].bad_request, 1);
}

#[tokio::test]
async fn models_are_listed_in_the_words_of_whoever_asks() {
    let fixture = Fixture::start(open()).await;
    let get = async |path: &str, header: (&str, &str)| {
        let request = fixture
            .client
            .get(fixture.root(path))
            .header(header.0, header.1);
        read(request.send().await.unwrap()).await
    };
    let (openai, gemini) = (("authorization", "Bearer k"), ("x-goog-api-key", "k"));
    assert_eq!(get("v1/models", openai).await.1["data"][0]["id"], MODEL);
    assert_eq!(
        get(&format!("v1/models/{MODEL}"), openai).await.1["object"],
        "model"
    );
    assert_eq!(get("v1/models/gone", openai).await.0, StatusCode::NOT_FOUND);
    let name = format!("models/{MODEL}");
    assert_eq!(get("v1/models", gemini).await.1["models"][0]["name"], name);
    assert_eq!(
        get("v1beta/models", gemini).await.1["models"][0]["name"],
        name
    );
}

#[tokio::test]
async fn an_answer_has_the_form_that_is_asked_for() {
    let fixture = Fixture::start(open()).await;
    let mut body = chat_body("List.\n<article>\nToday Ada Lovelace left.\n</article>");
    body["response_format"] = json!({"type": "json_schema", "json_schema": {
        "name": "answer", "strict": true, "schema": {
            "type": "object", "required": ["entities"], "additionalProperties": false,
            "properties": {"entities": {"type": "array", "items": {
                "type": "object", "required": ["name", "kind"], "additionalProperties": false,
                "properties": {
                    "name": {"type": "string"},
                    "kind": {"type": "string", "enum": ["person", "place"]},
            }}}},
    }}});
    let (_, said) = read(fixture.chat(&body).await).await;
    let text = said["choices"][0]["message"]["content"].as_str().unwrap();
    assert_eq!(
        serde_json::from_str::<Value>(text).unwrap(),
        json!({"entities": [{"name": "Ada Lovelace", "kind": "person"}]})
    );
    let mut short = chat_body("a long story");
    short["max_completion_tokens"] = json!(2);
    let (_, said) = read(fixture.chat(&short).await).await;
    assert_eq!(said["choices"][0]["finish_reason"], "length");
}

#[tokio::test]
async fn faults_and_outages_come_in_openais_words() {
    let faulty = async |faults| {
        let fixture = Fixture::start(Settings { faults, ..open() }).await;
        read(fixture.chat(&chat_body("x")).await).await
    };
    let with_fault = |set: fn(&mut Faults)| {
        let mut faults = Faults::default();
        set(&mut faults);
        faults
    };
    let (status, said) = faulty(with_fault(|it| it.http_500 = 1.0)).await;
    assert_eq!(
        (status.as_u16(), &said["error"]["type"]),
        (500, &json!("server_error"))
    );
    let (status, said) = faulty(with_fault(|it| it.http_503 = 1.0)).await;
    assert_eq!(
        (status.as_u16(), &said["error"]["code"]),
        (503, &json!("server_is_overloaded"))
    );
    let (_, said) = faulty(with_fault(|it| it.safety = 1.0)).await;
    let choice = &said["choices"][0];
    assert!(
        choice["finish_reason"] == "content_filter" || choice["message"]["refusal"].is_string()
    );
    let (_, said) = faulty(with_fault(|it| it.no_usage = 1.0)).await;
    assert!(said.get("usage").is_none());

    let fixture = Fixture::start(open()).await;
    for (kind, status, code) in [
        (OutageKind::Minute, 429, "rate_limit_exceeded"),
        (OutageKind::Day, 429, "rate_limit_exceeded"),
        (OutageKind::Money, 429, "insufficient_quota"),
        (OutageKind::Overloaded, 503, "server_is_overloaded"),
    ] {
        fixture
            .simulator
            .outage(MODEL, kind, std::time::Duration::from_secs(60));
        let (seen, said) = read(fixture.chat(&chat_body("x")).await).await;
        assert_eq!(
            (seen.as_u16(), &said["error"]["code"]),
            (status, &json!(code)),
            "{kind:?}"
        );
    }
    let (_, said) = fixture.ask("x").await;
    assert_eq!(
        said["error"]["status"], "UNAVAILABLE",
        "the model is closed by either wire"
    );
}
