//! What is to be expected, from what the database says.

use std::time::Duration;

use tidegate::client::{Expected, expected};
use uuid::Uuid;

use super::a_store;
use crate::support::work::{ONE_TIER, THREE_TIERS, a_process, claim, items, load};

/// Seconds of a call of a model that was never called.
const LATENCY: f64 = 5.0;

fn seconds(expected: &Expected, run: Uuid) -> Option<f64> {
    expected.run(run).expect("a run that waits").seconds
}

fn is_about(seconds: Option<f64>, exact: f64) -> bool {
    seconds.is_some_and(|it| it >= exact - 1e-3 && it < exact + 3.0)
}

#[tokio::test]
async fn a_run_is_told_when_its_limits_let_it_end_before_and_while_it_runs() {
    let (_db, store) = a_store(&[("a", Some(10)), ("b", Some(30))]).await;
    let run = load(&store, ONE_TIER, &items(100))
        .await
        .expect("a run")
        .run;
    let before = expected(&store).await.expect("told");
    // 40 in each window of 60 s and the guard of half a one
    assert!(
        is_about(seconds(&before, run), 121.0 + LATENCY),
        "{before:?}"
    );
    let binding = before.binding.expect("a limit");
    assert_eq!(
        (binding.model.as_deref(), binding.limit.as_str()),
        (Some("sim/a"), "requests per minute")
    );
    let calls = before.calls.iter().map(|it| it.calls);
    assert_eq!(calls.sum::<u64>(), 100);

    let process = a_process(&store, Duration::from_secs(60)).await;
    assert_eq!(claim(&store, process, 40).await.len(), 40);
    let later = expected(&store).await.expect("told");
    assert!(is_about(seconds(&later, run), 121.0 + LATENCY), "{later:?}");
}

#[tokio::test]
async fn a_closed_model_and_a_budget_without_a_price_are_told_as_no_end() {
    let (db, store) = a_store(&[("a", Some(10)), ("b", None), ("c", None)]).await;
    let run = load(&store, THREE_TIERS, &items(20))
        .await
        .expect("a run")
        .run;
    assert!(seconds(&expected(&store).await.expect("told"), run).is_some());
    sqlx::query("update tidegate.models set parked = 'a test' where model = 'sim/b'")
        .execute(db.pool())
        .await
        .expect("parked");
    assert_eq!(seconds(&expected(&store).await.expect("told"), run), None);
    sqlx::query("update tidegate.models set parked = null")
        .execute(db.pool())
        .await
        .expect("opened");
    store
        .set_budget(Some(run), Some(1_000_000))
        .await
        .expect("a budget");
    let told = expected(&store).await.expect("told");
    assert_eq!(seconds(&told, run), None);
    sqlx::query("update tidegate.models set input_price_microusd = 1000000, output_price_microusd = 1000000")
        .execute(db.pool())
        .await
        .expect("priced");
    let told = expected(&store).await.expect("told");
    assert!(
        told.run(run)
            .is_some_and(|it| it.seconds.is_some() && it.cost_microusd > Some(0))
    );
}

#[tokio::test]
async fn nothing_is_expected_of_nothing() {
    let (_db, store) = a_store(&[("a", None)]).await;
    let told = expected(&store).await.expect("told");
    assert!(told.runs.is_empty() && told.binding.is_none() && told.calls.is_empty());
}
