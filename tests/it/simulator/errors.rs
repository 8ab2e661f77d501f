//! What a wrong call gets.

use super::*;

#[tokio::test]
async fn a_wrong_key_is_400_and_none_is_403() {
    let fixture = Fixture::start(Settings {
        api_keys: vec!["good".to_owned()],
        ..open()
    })
    .await;
    let (status, said) = fixture.ask("x").await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert_eq!(said["error"]["status"], "INVALID_ARGUMENT");
    assert_eq!(said["error"]["details"][0]["reason"], "API_KEY_INVALID");

    let url = fixture.url(&format!("models/{MODEL}:generateContent"));
    let none = fixture.client.post(&url).json(&body("x")).send();
    let (status, said) = read(none.await.unwrap()).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    assert_eq!(said["error"]["status"], "PERMISSION_DENIED");

    let by_query = fixture.client.post(format!("{url}?key=good"));
    let answer = by_query.json(&body("x")).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(fixture.simulator.counters().bad_key, 2);
}

#[tokio::test]
async fn an_unknown_model_is_404_in_geminis_words() {
    let fixture = Fixture::start(open()).await;
    let (status, said) = read(fixture.send("gone", &body("x")).await.unwrap()).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert_eq!(said["error"]["code"], 404);
    assert_eq!(said["error"]["status"], "NOT_FOUND");
    let message = said["error"]["message"].as_str().unwrap();
    assert!(message.starts_with("models/gone is not found for API version v1beta"));
    assert_eq!(fixture.simulator.log()[0].outcome, "unknown_model");
}

#[tokio::test]
async fn a_wrong_body_is_400() {
    let fixture = Fixture::start(open()).await;
    for body in [json!({}), json!({"contents": [], "x": 1}), json!([])] {
        let (status, said) = read(fixture.send(MODEL, &body).await.unwrap()).await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
        assert_eq!(said["error"]["status"], "INVALID_ARGUMENT");
    }
    assert_eq!(fixture.simulator.counters().models[MODEL].bad_request, 3);
}

#[tokio::test]
async fn a_prompt_above_the_limit_is_400_with_both_numbers() {
    let fixture = Fixture::start(with(ModelSettings {
        input_token_limit: 1,
        ..ModelSettings::named(MODEL)
    }))
    .await;
    let (status, said) = fixture.ask("12345678").await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert_eq!(
        said["error"]["message"],
        "The input token count (2) exceeds the maximum number of tokens allowed (1)."
    );
}

#[tokio::test]
async fn a_path_that_is_none_is_404_in_geminis_shape() {
    let fixture = Fixture::start(open()).await;
    for path in ["nothing", "models/x/y"] {
        let answer = fixture.client.get(fixture.url(path)).send().await.unwrap();
        let (status, said) = read(answer).await;
        assert_eq!(
            (status, &said["error"]["code"]),
            (StatusCode::NOT_FOUND, &json!(404))
        );
    }
}

#[tokio::test]
async fn settings_that_make_no_sense_do_not_start() {
    let error = Simulator::start(Settings {
        models: Vec::new(),
        ..Settings::default()
    })
    .await
    .unwrap_err();
    assert!(error.to_string().contains("models"), "{error}");
}
