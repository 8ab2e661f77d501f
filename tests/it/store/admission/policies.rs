//! Which model of its ladder a task gets.

use std::time::Duration;

use super::{LEASE, a_process, a_store, another_provider, claim, count, of, say, set};
use crate::support::work::{ONE_TIER, items, load_with};
use tidegate::store::{Store, claim::ClaimRequest, claim::Claimed};
use uuid::Uuid;

async fn claim_of_both(store: &Store, process: Uuid, slots: u32) -> Vec<Claimed> {
    let request = ClaimRequest {
        process,
        slots,
        nonce: rand::random(),
        providers: vec!["sim".to_owned(), "other".to_owned()],
        workers: None,
        tasks: None,
    };
    store.claim(&request).await.expect("a claim").tasks
}

async fn close(store: &Store, model: &str, seconds: u64) {
    let wait = Some(Duration::from_secs(seconds));
    let closed = store.cool_down(model, wait, false, "a test", "test");
    closed.await.expect("closed");
}

#[tokio::test]
async fn a_ladder_fills_its_first_model_and_goes_on_with_the_next() {
    let (_db, store) = a_store(&[("a", Some(20)), ("b", Some(30))]).await;
    let ladder = set(&[("routing.policy", "ladder")]);
    let run = load_with(&store, ONE_TIER, &items(100), &ladder).await;
    run.expect("a run");
    let process = a_process(&store, LEASE).await;
    let taken = claim(&store, process, 100).await;
    assert_eq!((of(&taken, "sim/a"), of(&taken, "sim/b")), (20, 30));
}

#[tokio::test]
async fn a_spread_gives_in_proportion_to_what_is_left() {
    let (_db, store) = a_store(&[("a", Some(20)), ("b", Some(60))]).await;
    let spread = set(&[("routing.policy", "spread")]);
    let run = load_with(&store, ONE_TIER, &items(100), &spread).await;
    run.expect("a run");
    let process = a_process(&store, LEASE).await;
    let first = claim(&store, process, 40).await;
    assert_eq!((of(&first, "sim/a"), of(&first, "sim/b")), (10, 30));
    let rest = claim(&store, process, 100).await;
    assert_eq!((of(&rest, "sim/a"), of(&rest, "sim/b")), (10, 30));
}

#[tokio::test]
async fn the_patient_wait_for_a_model_that_opens_in_time_and_for_no_other() {
    for (seconds, taken) in [(30, 0), (90, 7)] {
        let (_db, store) = a_store(&[("a", None), ("b", None)]).await;
        let patient = set(&[("routing.policy", "patient"), ("routing.patience_s", "60")]);
        let run = load_with(&store, ONE_TIER, &items(50), &patient).await;
        run.expect("a run");
        close(&store, "sim/a", seconds).await;
        let process = a_process(&store, LEASE).await;
        let claimed = claim(&store, process, 7).await;
        assert_eq!(of(&claimed, "sim/b"), taken, "closed for {seconds} s");
    }
}

#[tokio::test]
async fn by_default_a_provider_is_left_only_for_what_does_not_open_within_a_minute() {
    let (db, store) = a_store(&[("a", None), ("b", None)]).await;
    another_provider(&store, None).await;
    say(
        &db,
        "update tidegate.limits set size = 1000, told = 1000 where adaptive",
    )
    .await;
    let ladder = set(&[("tier.0.fallbacks", "[\"sim/b\", \"other/z\"]")]);
    load_with(&store, ONE_TIER, &items(90), &ladder)
        .await
        .expect("a run");
    let process = a_process(&store, LEASE).await;
    close(&store, "sim/a", 30).await;
    let claimed = claim_of_both(&store, process, 5).await;
    assert_eq!(of(&claimed, "sim/b"), 5, "within a provider at once");
    close(&store, "sim/b", 40).await;
    assert!(
        claim_of_both(&store, process, 5).await.is_empty(),
        "it waits"
    );
    let told = "select count(*) from tidegate.task_waits where reason like 'the better model, which opens soon%'";
    assert!(count(&db, told).await > 0);
    close(&store, "sim/b", 400).await;
    assert!(
        claim_of_both(&store, process, 5).await.is_empty(),
        "the first still opens in time"
    );
    close(&store, "sim/a", 400).await;
    let crossed = claim_of_both(&store, process, 5).await;
    assert_eq!(of(&crossed, "other/z"), 5);
}

#[tokio::test]
async fn a_probe_that_does_not_come_back_is_waited_for_no_longer_than_the_patience() {
    let (db, store) = a_store(&[("a", None), ("b", None)]).await;
    another_provider(&store, None).await;
    say(
        &db,
        "update tidegate.limits set size = 1000, told = 1000 where adaptive",
    )
    .await;
    let ladder = set(&[
        ("tier.0.fallbacks", "[\"other/z\"]"),
        ("routing.patience_s", "60"),
    ]);
    load_with(&store, ONE_TIER, &items(60), &ladder)
        .await
        .expect("a run");
    let process = a_process(&store, LEASE).await;
    close(&store, "sim/a", 60).await;
    let ended = "update tidegate.model_cooldowns set until = clock_timestamp() - interval '1 s'";
    say(&db, ended).await;
    let probe = claim_of_both(&store, process, 5).await;
    assert_eq!((of(&probe, "sim/a"), of(&probe, "other/z")), (1, 0));
    assert!(
        claim_of_both(&store, process, 5).await.is_empty(),
        "its answer is waited for"
    );
    let better = "select count(*) from tidegate.lane_waits where kind = 'better_model'";
    assert_eq!(count(&db, better).await, 1);
    let long_ago = "update tidegate.model_cooldowns set until = until - interval '60 s'";
    say(&db, long_ago).await;
    assert_eq!(count(&db, better).await, 0);
    let crossed = claim_of_both(&store, process, 5).await;
    assert_eq!(of(&crossed, "other/z"), 5, "no longer than the patience");

    // and a claim that sends the probe itself leaves none of its slots unused
    let moved = "update tidegate.model_cooldowns set until = clock_timestamp() - interval '61 s'";
    say(&db, moved).await;
    let before = "update tidegate.running set granted_at = granted_at - interval '1 h'";
    say(&db, before).await;
    let both = claim_of_both(&store, process, 5).await;
    assert_eq!((of(&both, "sim/a"), of(&both, "other/z")), (1, 4));
}

#[tokio::test]
async fn a_spent_day_and_a_parked_provider_are_not_waited_for() {
    let (db, store) = a_store(&[("a", None), ("b", None)]).await;
    another_provider(&store, None).await;
    say(
        &db,
        "update tidegate.limits set size = 1000, told = 1000 where adaptive",
    )
    .await;
    let ladder = set(&[("tier.0.fallbacks", "[\"other/z\"]")]);
    load_with(&store, ONE_TIER, &items(30), &ladder)
        .await
        .expect("a run");
    let process = a_process(&store, LEASE).await;
    let closed = store.cool_down("sim/a", None, true, "the day is spent", "test");
    closed.await.expect("closed");
    let crossed = claim_of_both(&store, process, 5).await;
    assert_eq!(of(&crossed, "other/z"), 5, "at once");
    store.clear_cooldown("sim/a").await.expect("open");
    store
        .park_provider("sim", "no money")
        .await
        .expect("parked");
    let crossed = claim_of_both(&store, process, 5).await;
    assert_eq!(of(&crossed, "other/z"), 5, "at once");
}

#[tokio::test]
async fn who_has_the_model_for_its_first_comes_before_those_that_fall_back_to_it() {
    let (_db, store) = a_store(&[("a", Some(5)), ("b", Some(10))]).await;
    let own = ONE_TIER.replace("name = \"small\"", "name = \"own\"");
    let own = own.replace(
        "model = \"sim/a\"\nfallbacks = [\"sim/b\"]",
        "model = \"sim/b\"",
    );
    load_with(&store, ONE_TIER, &items(60), &[])
        .await
        .expect("a run");
    load_with(&store, &own, &items(60), &[])
        .await
        .expect("a run");
    let process = a_process(&store, LEASE).await;
    let taken = claim(&store, process, 20).await;
    let own_first = taken
        .iter()
        .filter(|task| task.model == "sim/b" && task.rung == 1)
        .count();
    assert_eq!(own_first, 10, "its own share is ten of twenty slots");
    assert_eq!(of(&taken, "sim/a"), 5);
}
