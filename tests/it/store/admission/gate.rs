//! After a cooldown: one call asks whether the model answers again, then a ramp.

use std::time::Duration;

use super::{LEASE, ONLY_A, a_process, a_store, answer, claim, count, say};
use crate::support::work::{ONE_TIER, items, load};

const ENDED: &str =
    "update tidegate.model_cooldowns set until = clock_timestamp() - interval '1 ms'";

#[tokio::test]
async fn one_call_asks_before_any_other_and_its_answer_opens_a_ramp() {
    let (db, store) = a_store(&[("a", None), ("b", None)]).await;
    load(&store, ONE_TIER, &items(400)).await.expect("a run");
    say(&db, ONLY_A).await;
    let wait = Some(Duration::from_secs(60));
    let closed = store.cool_down("sim/a", wait, false, "a test", "test");
    closed.await.expect("closed");
    let process = a_process(&store, LEASE).await;
    assert!(claim(&store, process, 50).await.is_empty());
    say(&db, ENDED).await;
    let probe = claim(&store, process, 50).await;
    assert_eq!(probe.len(), 1);
    let other = a_process(&store, LEASE).await;
    assert!(claim(&store, other, 50).await.is_empty(), "while it asks");
    let told = "select count(*) from tidegate.model_status where model = 'sim/a' and closed_by like 'cooldown ended: one call asks%'";
    assert_eq!(count(&db, told).await, 1);

    answer(&store, process, &probe).await;
    say(
        &db,
        "update tidegate.model_cooldowns set proven_at = clock_timestamp()",
    )
    .await;
    assert_eq!(claim(&store, process, 50).await.len(), 2, "a ramp begins");
    say(
        &db,
        "update tidegate.model_cooldowns set proven_at = clock_timestamp() - interval '2100 ms'",
    )
    .await;
    assert_eq!(
        claim(&store, process, 50).await.len(),
        30,
        "2^5 less the 2 in flight"
    );
    say(
        &db,
        "update tidegate.model_cooldowns set proven_at = clock_timestamp() - interval '5 s'",
    )
    .await;
    assert_eq!(claim(&store, process, 50).await.len(), 50, "and ends");
}

#[tokio::test]
async fn an_answer_to_a_call_from_before_the_cooldown_proves_nothing() {
    let (db, store) = a_store(&[("a", None), ("b", None)]).await;
    load(&store, ONE_TIER, &items(40)).await.expect("a run");
    say(&db, ONLY_A).await;
    let process = a_process(&store, LEASE).await;
    let before = claim(&store, process, 3).await;
    let wait = Some(Duration::from_secs(60));
    let closed = store.cool_down("sim/a", wait, false, "a test", "test");
    closed.await.expect("closed");
    say(&db, ENDED).await;
    answer(&store, process, &before).await;
    assert_eq!(
        claim(&store, process, 9).await.len(),
        1,
        "the gate still holds"
    );
}

#[tokio::test]
async fn a_probe_whose_process_died_is_asked_again() {
    let (db, store) = a_store(&[("a", None), ("b", None)]).await;
    load(&store, ONE_TIER, &items(9)).await.expect("a run");
    say(&db, ONLY_A).await;
    let closed = store.cool_down(
        "sim/a",
        Some(Duration::from_secs(60)),
        false,
        "a test",
        "test",
    );
    closed.await.expect("closed");
    say(&db, ENDED).await;
    let dies = a_process(&store, LEASE).await;
    assert_eq!(claim(&store, dies, 9).await.len(), 1);
    store.unregister(dies).await.expect("gone");
    let rescued = store.rescue(Duration::from_secs(1), false).await;
    assert_eq!(rescued.expect("rescued"), 1);
    let heir = a_process(&store, LEASE).await;
    assert_eq!(claim(&store, heir, 9).await.len(), 1);
}

#[tokio::test]
async fn a_refused_probe_waits_twice_as_long_and_an_answer_begins_anew() {
    let (db, store) = a_store(&[("a", None), ("b", None)]).await;
    let refuse = async || {
        let until = store.cool_down("sim/a", None, false, "refused", "test");
        until.await.expect("closed");
        count(
            &db,
            "select round(extract(epoch from until - clock_timestamp()))::bigint from tidegate.model_cooldowns",
        )
        .await
    };
    assert_eq!(refuse().await, 5);
    for doubled in [10, 20, 40] {
        say(&db, ENDED).await;
        assert_eq!(refuse().await, doubled);
    }
    say(&db, ENDED).await;
    say(&db, "update tidegate.model_cooldowns set proven_at = now()").await;
    assert_eq!(refuse().await, 5, "it had answered");
}

#[tokio::test]
async fn models_that_share_their_limits_are_closed_together() {
    let (db, store) = a_store(&[("a", Some(60)), ("b", None)]).await;
    say(
        &db,
        "select tidegate.set_model('sim/b', '{\"shares\": \"sim/a\"}')",
    )
    .await;
    let closed = store.cool_down("sim/b", None, false, "refused", "test");
    closed.await.expect("closed");
    let both = "select count(*) from tidegate.model_cooldowns where wire_name in ('a', 'b') and until > now()";
    assert_eq!(count(&db, both).await, 2);
}
