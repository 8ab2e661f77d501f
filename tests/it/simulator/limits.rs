//! Limits, kept and told.

use super::*;
use tidegate::simulator::{Outage, OutageKind, WindowKind};

fn limited(rpm: u64) -> ModelSettings {
    ModelSettings {
        rpm: Some(rpm),
        // The last minute, so that no turn of the wall clock helps.
        window: WindowKind::Sliding,
        ..ModelSettings::named(MODEL)
    }
}

#[tokio::test]
async fn a_spent_minute_is_told_with_quota_and_delay() {
    let fixture = Fixture::start(with(limited(2))).await;
    assert_eq!(fixture.ask("a").await.0, StatusCode::OK);
    assert_eq!(fixture.ask("b").await.0, StatusCode::OK);
    let (status, said) = fixture.ask("c").await;
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
    let error = &said["error"];
    assert_eq!(error["status"], "RESOURCE_EXHAUSTED");
    let violation = &error["details"][1]["violations"][0];
    assert_eq!(
        violation["quotaId"],
        "GenerateRequestsPerMinutePerProjectPerModel-FreeTier"
    );
    assert_eq!(violation["quotaValue"], "2");
    let delay = error["details"][2]["retryDelay"].as_str().unwrap();
    let told = format!("Please retry in {delay}.");
    assert!(error["message"].as_str().unwrap().ends_with(&told));

    let counters = &fixture.simulator.counters().models[MODEL];
    assert_eq!(
        (counters.calls, counters.ok, counters.refused_429),
        (3, 2, 1)
    );
    assert_eq!(counters.refused.requests, 1);
    assert_eq!(counters.max_requests_in_any_60s, 2);
    assert_eq!(
        (counters.input_tokens, counters.max_input_tokens_in_any_60s),
        (2, 2)
    );
}

#[tokio::test]
async fn of_many_calls_at_once_only_the_limit_is_let_in() {
    let fixture = Fixture::start(with(limited(15))).await;
    let asked = (0..60).map(|at| {
        let fixture = &fixture;
        async move { fixture.ask(&format!("call {at}")).await.0 }
    });
    let statuses = futures_util::future::join_all(asked).await;
    let good = statuses.iter().filter(|s| **s == StatusCode::OK).count();
    assert_eq!(good, 15);
    let counters = &fixture.simulator.counters().models[MODEL];
    assert_eq!((counters.accepted, counters.refused_429), (15, 45));
    assert_eq!(counters.max_requests_in_any_60s, 15);
    assert_eq!(counters.calls_in_flight, 0);
}

#[tokio::test]
async fn a_spent_day_is_told_with_its_quota_and_a_short_delay() {
    let fixture = Fixture::start(with(ModelSettings {
        rpd: Some(0),
        ..ModelSettings::named(MODEL)
    }))
    .await;
    let (status, said) = fixture.ask("a").await;
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
    let details = &said["error"]["details"];
    assert_eq!(
        details[1]["violations"][0]["quotaId"],
        "GenerateRequestsPerDayPerProjectPerModel-FreeTier"
    );
    assert!(
        said["error"]["message"]
            .as_str()
            .unwrap()
            .contains("limit: 0")
    );
    let delay = details[2]["retryDelay"].as_str().unwrap();
    let seconds: f64 = delay.trim_end_matches('s').parse().unwrap();
    assert!(seconds > 0.0 && seconds <= 60.0, "{delay}");
}

#[tokio::test]
async fn tokens_have_a_limit_of_their_own() {
    let fixture = Fixture::start(with(ModelSettings {
        tpm: Some(3),
        window: WindowKind::Sliding,
        ..ModelSettings::named(MODEL)
    }))
    .await;
    assert_eq!(fixture.ask("12345678").await.0, StatusCode::OK);
    let (status, said) = fixture.ask("12345678").await;
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(
        said["error"]["details"][1]["violations"][0]["quotaId"],
        "GenerateContentInputTokensPerModelPerMinute-FreeTier"
    );
    assert_eq!(fixture.ask("1234").await.0, StatusCode::OK);
}

#[tokio::test]
async fn a_bare_429_says_nothing() {
    let fixture = Fixture::start(Settings {
        bare_429: true,
        ..with(limited(0))
    })
    .await;
    let (status, said) = fixture.ask("a").await;
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
    assert!(said["error"].get("details").is_none());
}

#[tokio::test]
async fn refused_calls_eat_quota_when_told_to() {
    let fixture = Fixture::start(Settings {
        count_refused: true,
        ..with(ModelSettings {
            rpm: Some(0),
            rpd: Some(1),
            ..ModelSettings::named(MODEL)
        })
    })
    .await;
    fixture.ask("a").await;
    fixture.ask("b").await;
    let refused = &fixture.simulator.counters().models[MODEL].refused;
    assert_eq!((refused.requests, refused.day), (2, 1));
}

#[tokio::test]
async fn an_outage_closes_the_model_it_names() {
    for (kind, status, word) in [
        (OutageKind::Minute, 429, "refused_outage"),
        (OutageKind::Day, 429, "refused_outage"),
        (OutageKind::Overloaded, 503, "outage_503"),
    ] {
        let fixture = Fixture::start(with(ModelSettings {
            outages: vec![Outage {
                from_s: 0.0,
                to_s: 3600.0,
                kind,
            }],
            ..ModelSettings::named(MODEL)
        }))
        .await;
        assert_eq!(fixture.ask("a").await.0.as_u16(), status);
        assert_eq!(fixture.simulator.log()[0].outcome, word);
        assert_eq!(fixture.simulator.counters().models[MODEL].accepted, 0);
    }
}
