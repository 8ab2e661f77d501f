//! Calls that go wrong on purpose.

use super::*;
use tidegate::simulator::Faults;

async fn faulty(faults: Faults) -> Fixture {
    Fixture::start(Settings { faults, ..open() }).await
}

async fn text_of(fixture: &Fixture) -> (StatusCode, String) {
    let answer = fixture.send(MODEL, &body("some words")).await.unwrap();
    (answer.status(), answer.text().await.unwrap())
}

fn faults_counted(fixture: &Fixture, word: &str) -> u64 {
    fixture.simulator.counters().models[MODEL].faults[word]
}

#[tokio::test]
async fn errors_of_the_server_come_in_geminis_shape() {
    let internal = Faults {
        http_500: 1.0,
        ..Faults::default()
    };
    let overloaded = Faults {
        http_503: 1.0,
        ..Faults::default()
    };
    for (faults, code, status) in [
        (internal, 500, "INTERNAL"),
        (overloaded, 503, "UNAVAILABLE"),
    ] {
        let fixture = faulty(faults).await;
        let (http, said) = fixture.ask("x").await;
        assert_eq!(http.as_u16(), code);
        assert_eq!(said["error"]["code"], code);
        assert_eq!(said["error"]["status"], status);
        assert_eq!(fixture.simulator.log()[0].status, code);
    }
}

#[tokio::test]
async fn a_reset_is_a_connection_error_of_a_call_that_counted() {
    let fixture = faulty(Faults {
        reset: 1.0,
        ..Faults::default()
    })
    .await;
    let error = fixture.send(MODEL, &body("x")).await.unwrap_err();
    assert!(error.is_request() && error.status().is_none(), "{error:?}");
    assert!(!error.is_connect(), "{error:?}");
    let counters = &fixture.simulator.counters().models[MODEL];
    assert_eq!((counters.accepted, counters.ok), (1, 0));
    assert_eq!(faults_counted(&fixture, "reset"), 1);
    let logged = &fixture.simulator.log()[0];
    assert_eq!((logged.status, logged.outcome.as_str()), (0, "reset"));
}

#[tokio::test]
async fn a_hanging_call_ends_as_a_reset_at_its_bound() {
    let fixture = faulty(Faults {
        hang: 1.0,
        hang_ms_max: 1,
        ..Faults::default()
    })
    .await;
    assert!(fixture.send(MODEL, &body("x")).await.is_err());
    assert_eq!(fixture.simulator.log()[0].outcome, "hang");
}

#[tokio::test]
async fn a_hanging_call_does_not_keep_the_server_up() {
    let fixture = faulty(Faults {
        hang: 1.0,
        ..Faults::default()
    })
    .await;
    let hanging = async { fixture.send(MODEL, &body("x")).await };
    let watch = async {
        while fixture.simulator.counters().models[MODEL].calls_in_flight == 0 {
            tokio::task::yield_now().await;
        }
        fixture.client.post(fixture.root("sim/reset")).send().await
    };
    tokio::select! {
        _ = hanging => panic!("it answered"),
        reset = watch => assert!(reset.unwrap().status().is_success()),
    }
    fixture.simulator.shutdown().await.unwrap();
}

#[tokio::test]
async fn cut_json_is_complete_http_and_no_json() {
    let fixture = faulty(Faults {
        cut_json: 1.0,
        ..Faults::default()
    })
    .await;
    let (status, text) = text_of(&fixture).await;
    assert_eq!(status, StatusCode::OK);
    assert!(text.starts_with('{') && serde_json::from_str::<Value>(&text).is_err());
}

#[tokio::test]
async fn a_short_body_breaks_off() {
    let fixture = faulty(Faults {
        short_body: 1.0,
        ..Faults::default()
    })
    .await;
    let answer = fixture.send(MODEL, &body("x")).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert!(answer.bytes().await.is_err());
}

#[tokio::test]
async fn a_page_of_html_is_no_json() {
    let fixture = faulty(Faults {
        not_json: 1.0,
        ..Faults::default()
    })
    .await;
    let (status, text) = text_of(&fixture).await;
    assert_eq!(status, StatusCode::OK);
    assert!(text.contains("<html>"));
}

#[tokio::test]
async fn a_filtered_answer_has_no_content_or_no_candidate() {
    let fixture = faulty(Faults {
        safety: 1.0,
        ..Faults::default()
    })
    .await;
    let (mut filtered, mut blocked) = (0, 0);
    for _ in 0..40 {
        let (status, said) = fixture.ask("x").await;
        assert_eq!(status, StatusCode::OK);
        match said.get("candidates") {
            Some(candidates) => {
                assert_eq!(candidates[0]["finishReason"], "SAFETY");
                assert!(candidates[0].get("content").is_none());
                filtered += 1;
            }
            None => {
                assert!(said["promptFeedback"]["blockReason"].is_string());
                blocked += 1;
            }
        }
    }
    assert!(filtered > blocked && blocked > 0, "{filtered} {blocked}");
}

#[tokio::test]
async fn cut_and_empty_answers_say_how_they_ended() {
    let fixture = faulty(Faults {
        max_tokens: 1.0,
        ..Faults::default()
    })
    .await;
    let (_, said) = fixture.ask("x").await;
    assert_eq!(said["candidates"][0]["finishReason"], "MAX_TOKENS");
    let fixture = faulty(Faults {
        empty: 1.0,
        ..Faults::default()
    })
    .await;
    let (_, said) = fixture.ask("x").await;
    assert_eq!(said["candidates"][0]["finishReason"], "STOP");
    assert!(said["candidates"][0]["content"].get("parts").is_none());
}

#[tokio::test]
async fn spoiled_text_arrives_as_json_writes_it() {
    let fixture = faulty(Faults {
        lone_surrogate: 1.0,
        ..Faults::default()
    })
    .await;
    assert!(text_of(&fixture).await.1.contains("\\ud800"));
    let fixture = faulty(Faults {
        u0000: 1.0,
        ..Faults::default()
    })
    .await;
    assert!(text_of(&fixture).await.1.contains("\\u0000"));
}

#[tokio::test]
async fn an_answer_may_lack_its_usage() {
    let fixture = faulty(Faults {
        no_usage: 1.0,
        ..Faults::default()
    })
    .await;
    let (status, said) = fixture.ask("x").await;
    assert_eq!(status, StatusCode::OK);
    assert!(said.get("usageMetadata").is_none());
}

#[tokio::test]
async fn the_same_seed_gives_the_same_faults() {
    let run = async || {
        let fixture = Fixture::start(Settings {
            seed: 11,
            faults: Faults {
                http_500: 0.3,
                http_503: 0.3,
                ..Faults::default()
            },
            ..open()
        })
        .await;
        let mut statuses = Vec::new();
        for _ in 0..20 {
            statuses.push(fixture.ask("x").await.0);
        }
        statuses
    };
    let statuses = run().await;
    assert_eq!(statuses, run().await);
    assert!(statuses.contains(&StatusCode::OK));
    assert!(statuses.contains(&StatusCode::INTERNAL_SERVER_ERROR));
}
