//! Pacing, for those who want it: by the whole fleet.

use super::{LEASE, a_process, a_store, claim, count, say, set};
use crate::support::work::{ONE_TIER, items, load_with};

const LATER: &str = "update tidegate.run_pacing set next_at = next_at - interval '10 s'";

#[tokio::test]
async fn starts_are_staggered_whoever_claims() {
    let (db, store) = a_store(&[("a", None), ("b", None)]).await;
    let stagger = set(&[("pacing.stagger_ms", "5000")]);
    let run = load_with(&store, ONE_TIER, &items(9), &stagger).await;
    run.expect("a run");
    let (one, two) = (
        a_process(&store, LEASE).await,
        a_process(&store, LEASE).await,
    );
    assert_eq!(claim(&store, one, 9).await.len(), 1);
    assert!(claim(&store, two, 9).await.is_empty());
    let told = "select count(*) from tidegate.task_waits where reason = 'its run is paced' and until > now()";
    assert_eq!(count(&db, told).await, 8);
    say(&db, LATER).await;
    assert_eq!(claim(&store, two, 9).await.len(), 1);
}

#[tokio::test]
async fn a_run_rests_after_so_many_tasks_of_the_fleet() {
    let (db, store) = a_store(&[("a", None), ("b", None)]).await;
    let rest = set(&[("pacing.cool_after", "10"), ("pacing.cool_s", "10")]);
    let run = load_with(&store, ONE_TIER, &items(30), &rest).await;
    run.expect("a run");
    let (one, two) = (
        a_process(&store, LEASE).await,
        a_process(&store, LEASE).await,
    );
    assert_eq!(claim(&store, one, 6).await.len(), 6);
    assert_eq!(claim(&store, two, 6).await.len(), 4, "ten in all");
    assert!(claim(&store, one, 6).await.is_empty());
    say(&db, LATER).await;
    assert_eq!(claim(&store, two, 20).await.len(), 10);
}
