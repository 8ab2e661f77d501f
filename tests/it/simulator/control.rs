//! The control surface.

use super::*;
use tidegate::simulator::{CallRecord, Counters, Faults};
use tokio_util::sync::CancellationToken;

#[tokio::test]
async fn the_log_names_every_call() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let fixture = Fixture::start(Settings {
        call_log: Some(file.path().to_owned()),
        ..open()
    })
    .await;
    fixture.ask("hello").await;
    fixture.send("gone", &body("x")).await.unwrap();
    let url = fixture.root("sim/log");
    let text = fixture.client.get(url).send().await.unwrap().text().await;
    let text = text.unwrap();
    let told: Vec<CallRecord> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(told, fixture.simulator.log());
    assert_eq!((told[0].seq, told[0].status, told[1].status), (1, 200, 404));
    assert_eq!(told[0].outcome, "ok");
    assert_eq!(told[0].prompt, "2cf24dba5fb0a30e26e83b2ac5b9e29e");
    assert_eq!(told[0].key, told[1].key);
    assert_eq!(std::fs::read_to_string(file.path()).unwrap(), text);
}

#[tokio::test]
async fn counters_over_http_are_those_of_the_handle() {
    let fixture = Fixture::start(open()).await;
    fixture.ask("hello").await;
    let answer = fixture.client.get(fixture.root("sim/counters")).send();
    let told: Counters = answer.await.unwrap().json().await.unwrap();
    assert_eq!(told.models, fixture.simulator.counters().models);
    assert_eq!(told.models[MODEL].max_concurrency, 1);
}

#[tokio::test]
async fn an_outage_can_be_ordered_and_called_off() {
    let fixture = Fixture::start(open()).await;
    for (kind, status) in [("429", 429), ("503", 503), ("day", 429)] {
        let order = json!({"model": MODEL, "kind": kind, "seconds": 600});
        assert_eq!(fixture.order("sim/outage", order).await.0, StatusCode::OK);
        assert_eq!(fixture.ask("x").await.0.as_u16(), status);
    }
    let over = json!({"model": "*", "kind": "day", "seconds": 0});
    fixture.order("sim/outage", over).await;
    assert_eq!(fixture.ask("x").await.0, StatusCode::OK);

    let wrong = json!({"model": "gone", "kind": "day", "seconds": 1});
    assert_eq!(
        fixture.order("sim/outage", wrong).await.0,
        StatusCode::NOT_FOUND
    );
    let wrong = json!({"model": MODEL, "kind": "night", "seconds": 1});
    let (status, said) = fixture.order("sim/outage", wrong).await;
    assert!(status.is_client_error() && said["error"].as_str().unwrap().contains("night"));
}

#[tokio::test]
async fn limits_can_be_changed_and_lifted() {
    let fixture = Fixture::start(open()).await;
    fixture.ask("x").await;
    let (_, limits) = fixture
        .order(
            "sim/limits",
            json!({"model": MODEL, "rpm": 0, "window": "sliding"}),
        )
        .await;
    assert_eq!(
        (&limits["rpm"], &limits["window"]),
        (&json!(0), &json!("sliding"))
    );
    assert_eq!(fixture.ask("x").await.0, StatusCode::TOO_MANY_REQUESTS);
    fixture
        .order("sim/limits", json!({"model": MODEL, "rpm": null}))
        .await;
    assert_eq!(fixture.ask("x").await.0, StatusCode::OK);
}

#[tokio::test]
async fn a_reset_forgets_what_was() {
    let fixture = Fixture::start(with(ModelSettings {
        rpd: Some(1),
        ..ModelSettings::named(MODEL)
    }))
    .await;
    fixture.ask("x").await;
    assert_eq!(fixture.ask("x").await.0, StatusCode::TOO_MANY_REQUESTS);
    fixture.order("sim/reset", json!({})).await;
    assert!(fixture.simulator.log().is_empty());
    assert_eq!(fixture.simulator.counters().models[MODEL].calls, 0);
    assert_eq!(fixture.ask("x").await.0, StatusCode::OK);
}

#[tokio::test]
async fn a_client_that_goes_away_is_noted() {
    let fixture = Fixture::start(Settings {
        latency: tidegate::simulator::Latency {
            median_ms: 600_000.0,
            ..Default::default()
        },
        faults: Faults::default(),
        ..open()
    })
    .await;
    let counters = || fixture.simulator.counters().models[MODEL].clone();
    let arrived = async {
        while counters().calls_in_flight == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        _ = fixture.ask("hello") => panic!("it answered"),
        () = arrived => {}
    }
    while counters().calls_in_flight > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!((counters().accepted, counters().abandoned), (1, 1));
    let logged = &fixture.simulator.log()[0];
    assert_eq!((logged.status, logged.outcome.as_str()), (499, "abandoned"));
}

#[tokio::test]
async fn a_process_can_serve_until_it_is_told_to_stop() {
    let stop = CancellationToken::new();
    let (tell, told) = tokio::sync::oneshot::channel();
    let serving = tidegate::simulator::serve(open(), stop.clone(), |addr| {
        tell.send(addr).unwrap();
    });
    let client = async {
        let addr = told.await.unwrap();
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder().no_proxy().build().unwrap();
        let url = format!("http://{addr}/sim/counters");
        assert!(client.get(url).send().await.unwrap().status().is_success());
        stop.cancel();
    };
    let (served, ()) = tokio::join!(serving, client);
    served.unwrap();
}
