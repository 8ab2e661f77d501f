//! The ladder, decided at the claim.

use std::time::Duration;

use tidegate::simulator::OutageKind;
use tokio_util::sync::CancellationToken;

use crate::support::fleet::{Fleet, a_model};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_closed_primary_sends_its_tier_to_the_fallback_at_once() {
    let fleet = Fleet::with(["best", "good"].map(a_model).to_vec()).await;
    fleet.articles(40).await;
    fleet
        .store
        .cool_down(
            "sim/best",
            Some(Duration::from_secs(600)),
            false,
            "closed by a test",
            "test",
        )
        .await
        .expect("a cooldown");
    let loaded = fleet
        .load(Fleet::entity_extraction(
            [&["sim/best", "sim/good"], &["sim/good"], &["sim/good"]],
            "sim/good",
        ))
        .await;
    let stop = CancellationToken::new();
    let process = fleet.process(&stop);
    fleet.until_done(loaded.run).await;
    stop.cancel();
    process.await.expect("it ends");
    assert_eq!(
        fleet
            .count("select count(*) from tidegate.tasks where tier = 0 and model_used = 'sim/good'")
            .await,
        12
    );
    assert!(
        fleet
            .simulator
            .log()
            .iter()
            .all(|call| call.model == "good")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_closes_the_model_for_all_and_costs_no_attempt() {
    let fleet = Fleet::with(["best", "good"].map(a_model).to_vec()).await;
    fleet.articles(40).await;
    fleet
        .simulator
        .outage("best", OutageKind::Minute, Duration::from_secs(600));
    let loaded = fleet
        .load(Fleet::entity_extraction(
            [&["sim/best", "sim/good"], &["sim/good"], &["sim/good"]],
            "sim/good",
        ))
        .await;
    let stop = CancellationToken::new();
    let process = fleet.process(&stop);
    fleet.until_done(loaded.run).await;
    stop.cancel();
    process.await.expect("it ends");
    assert_eq!(
        fleet
            .count("select count(*) from tidegate.tasks where state = 'done' and attempts = 1")
            .await,
        40
    );
    assert!(
        fleet
            .count("select count(*) from tidegate.tasks where deferrals > 0")
            .await
            > 0
    );
    assert_eq!(
        fleet
            .count("select count(*) from tidegate.model_cooldowns where until > now()")
            .await,
        1
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_model_the_provider_does_not_know_is_parked_and_burns_nothing() {
    let fleet = Fleet::with(vec![a_model("good")]).await;
    fleet.articles(20).await;
    let loaded = fleet
        .load(Fleet::entity_extraction(
            [&["sim/never-was", "sim/good"], &["sim/good"], &["sim/good"]],
            "sim/good",
        ))
        .await;
    let stop = CancellationToken::new();
    let process = fleet.process(&stop);
    fleet.until_done(loaded.run).await;
    stop.cancel();
    process.await.expect("it ends");
    assert_eq!(
        fleet
            .count("select count(*) from tidegate.tasks where state = 'done' and attempts = 1")
            .await,
        20
    );
    assert_eq!(
        fleet
            .count("select count(*) from tidegate.models where parked is not null")
            .await,
        1
    );
}
