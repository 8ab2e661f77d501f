//! Claiming is admission.

use std::{collections::HashSet, time::Duration};

use super::{a_row, a_store, count};
use crate::support::work::{
    ONE_TIER, THREE_TIERS, a_process, claim, items, load, load_with, named,
};

const LEASE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn ten_slots_are_dealt_four_to_five_to_one() {
    let (_db, store) = a_store(&[("a", None), ("b", None), ("c", None)]).await;
    load(&store, THREE_TIERS, &items(200)).await.expect("a run");
    let process = a_process(&store, LEASE).await;
    for _ in 0..4 {
        let mut tiers = [0; 3];
        for task in claim(&store, process, 10).await {
            tiers[usize::try_from(task.tier).expect("a tier")] += 1;
        }
        assert_eq!(tiers, [4, 5, 1]);
    }
}

#[tokio::test]
async fn an_empty_tier_leaves_its_share_to_the_others() {
    let (_db, store) = a_store(&[("a", None), ("b", None), ("c", None)]).await;
    load(&store, THREE_TIERS, &items(20)).await.expect("a run");
    let process = a_process(&store, LEASE).await;
    assert_eq!(
        claim(&store, process, 100).await.len(),
        20,
        "6, 10 and 4 tasks for 40, 50 and 10 slots"
    );
}

#[tokio::test]
async fn no_slot_stays_free_while_a_task_could_be_called_whatever_is_drawn() {
    let (db, store) = a_store(&[("a", None), ("b", None), ("c", None)]).await;
    load(&store, THREE_TIERS, &items(8)).await.expect("a run");
    let process = a_process(&store, LEASE).await;
    for twentieth in 0..20 {
        let mut claiming = db.pool().begin().await.expect("begun");
        let taken: i64 = sqlx::query_scalar(
            "select count(*) from tidegate.claim_v5($1, 8, 7, '{sim}', null, $2)",
        )
        .bind(process)
        .bind(f64::from(twentieth) / 20.0)
        .fetch_one(&mut *claiming)
        .await
        .expect("a claim");
        assert_eq!(taken, 8, "at {twentieth} twentieths");
        claiming.rollback().await.expect("as if it had not been");
    }
}

#[tokio::test]
async fn the_highest_score_goes_first_and_ties_go_by_age() {
    let (_db, store) = a_store(&[("a", None), ("b", None)]).await;
    let lines: String = [("low", 1), ("tie-1", 5), ("high", 9), ("tie-2", 5)]
        .map(|(id, score)| {
            format!("{{\"id\": \"{id}\", \"score\": {score}, \"text\": \"{id}\"}}\n")
        })
        .concat();
    load(&store, ONE_TIER, &lines).await.expect("a run");
    let process = a_process(&store, LEASE).await;
    let mut order = Vec::new();
    for _ in 0..4 {
        let taken = claim(&store, process, 1).await;
        order.push(taken[0].item.clone().expect("an item"));
    }
    assert_eq!(order, ["high", "tie-1", "tie-2", "low"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_holds_against_claimers_that_race() {
    let (db, store) = a_store(&[("a", Some(57)), ("b", Some(31))]).await;
    load(&store, ONE_TIER, &items(400)).await.expect("a run");
    let mut racers = Vec::new();
    for _ in 0..8 {
        let store = store.clone();
        racers.push(tokio::spawn(async move {
            let process = a_process(&store, LEASE).await;
            let mut taken = Vec::new();
            for _ in 0..6 {
                taken.extend(claim(&store, process, 9).await);
            }
            taken
        }));
    }
    let mut all = Vec::new();
    for racer in racers {
        all.extend(racer.await.expect("a racer"));
    }
    let of = |model: &str| all.iter().filter(|task| task.model == model).count();
    assert_eq!(
        (of("sim/a"), of("sim/b")),
        (57, 31),
        "both spent to the last, neither crossed"
    );
    let distinct: HashSet<_> = all.iter().map(|task| task.task).collect();
    assert_eq!(distinct.len(), all.len(), "no task is taken twice");
    assert_eq!(
        count(&db, "select count(*) from tidegate.calls").await,
        88,
        "each call's intent is a row"
    );
    assert_eq!(
        count(&db, "select count(*) from tidegate.ready").await,
        400 - 88
    );
}

#[tokio::test]
async fn what_may_not_be_called_is_not_claimed_and_says_until_when() {
    let (db, store) = a_store(&[("a", Some(0)), ("b", None)]).await;
    store
        .cool_down(
            "sim/b",
            Some(Duration::from_secs(120)),
            false,
            "a test",
            "test",
        )
        .await
        .expect("closed");
    load(&store, ONE_TIER, &items(3)).await.expect("a run");
    let process = a_process(&store, LEASE).await;
    assert!(claim(&store, process, 10).await.is_empty());
    let told = count(
        &db,
        "select count(*) from tidegate.task_waits
          where reason like '%sim/b (cooldown: a test)%' and until between now() + interval '60 s' and now() + interval '121 s'",
    )
    .await;
    assert_eq!(told, 3);
    assert_eq!(
        count(
            &db,
            "select count(*) from tidegate.tasks where state = 'ready' and attempts = 0"
        )
        .await,
        3
    );
}

#[tokio::test]
async fn a_longer_cooldown_is_not_shortened_by_a_shorter_one() {
    let (_db, store) = a_store(&[("a", None)]).await;
    let long = store
        .cool_down(
            "sim/a",
            Some(Duration::from_secs(500)),
            false,
            "long",
            "test",
        )
        .await
        .expect("closed");
    let after = store
        .cool_down(
            "sim/a",
            Some(Duration::from_secs(5)),
            false,
            "short",
            "test",
        )
        .await
        .expect("closed");
    assert_eq!(long, after);
    assert!(store.clear_cooldown("sim/a").await.expect("cleared"));
    assert!(
        !store
            .clear_cooldown("sim/a")
            .await
            .expect("nothing to clear")
    );
}

#[tokio::test]
async fn a_run_that_loads_or_rests_is_not_claimable() {
    let (db, store) = a_store(&[("a", None), ("b", None)]).await;
    let run = load(&store, ONE_TIER, &items(5)).await.expect("a run").run;
    let process = a_process(&store, LEASE).await;
    sqlx::query("select tidegate.pause_run($1)")
        .bind(run)
        .execute(db.pool())
        .await
        .expect("paused");
    assert!(claim(&store, process, 10).await.is_empty());
    sqlx::query("select tidegate.resume_run($1)")
        .bind(run)
        .execute(db.pool())
        .await
        .expect("resumed");
    assert_eq!(claim(&store, process, 10).await.len(), 5);
}

#[tokio::test]
async fn a_process_without_a_lease_takes_nothing() {
    let (db, store) = a_store(&[("a", None), ("b", None)]).await;
    load(&store, ONE_TIER, &items(5)).await.expect("a run");
    let process = a_process(&store, LEASE).await;
    sqlx::query("update tidegate.processes set lost_at = now() where id = $1")
        .bind(process)
        .execute(db.pool())
        .await
        .expect("declared lost");
    let request = tidegate::store::claim::ClaimRequest {
        process,
        slots: 5,
        nonce: 1,
        providers: vec!["sim".to_owned()],
        workers: None,
        tasks: None,
    };
    assert!(matches!(
        store.claim(&request).await,
        Err(tidegate::store::StoreError::LeaseLost)
    ));
}

#[tokio::test]
async fn a_process_takes_only_what_it_has_a_key_for() {
    let (_db, store) = a_store(&[("a", None), ("b", None)]).await;
    load(&store, ONE_TIER, &items(5)).await.expect("a run");
    let process = a_process(&store, LEASE).await;
    let request = tidegate::store::claim::ClaimRequest {
        process,
        slots: 5,
        nonce: 1,
        providers: vec!["other".to_owned()],
        workers: None,
        tasks: None,
    };
    assert!(
        store
            .claim(&request)
            .await
            .expect("a claim")
            .tasks
            .is_empty()
    );
}

#[tokio::test]
async fn a_workers_own_limit_of_calls_at_once_holds_over_all_models() {
    let (_db, store) = a_store(&[("a", None), ("b", None)]).await;
    let own = [("limits.max_concurrency".to_owned(), "4".to_owned())];
    load_with(&store, ONE_TIER, &items(20), &own)
        .await
        .expect("a run");
    let process = a_process(&store, LEASE).await;
    assert_eq!(claim(&store, process, 10).await.len(), 4);
    assert!(claim(&store, process, 10).await.is_empty());
}

#[tokio::test]
async fn tokens_are_a_limit_of_their_own_and_a_long_prompt_lets_short_ones_pass() {
    let (_db, store) = a_store(&[]).await;
    let mut row = a_row("a", None);
    row.tpm = Some(200);
    store
        .sync_models(&[], &[row, a_row("b", Some(0))])
        .await
        .expect("told");
    let long = "word ".repeat(120);
    let lines = format!(
        "{{\"id\": \"long\", \"score\": 5, \"text\": \"{long}\"}}\n{{\"id\": \"first\", \"score\": 9, \"text\": \"x\"}}\n{{\"id\": \"short\", \"score\": 1, \"text\": \"y\"}}\n"
    );
    load(&store, ONE_TIER, &lines).await.expect("a run");
    let process = a_process(&store, LEASE).await;
    let ids: Vec<_> = claim(&store, process, 10)
        .await
        .into_iter()
        .filter_map(|task| task.item)
        .collect();
    assert!(
        ids.contains(&"first".to_owned()) && ids.contains(&"short".to_owned()),
        "{ids:?}"
    );
}

#[tokio::test]
async fn f52_a_share_of_claims_goes_to_each_run_by_its_weight() {
    let (db, store) = a_store(&[("a", None), ("b", None)]).await;
    load(&store, ONE_TIER, &items(300)).await.expect("a run");
    let other = named("other");
    let run = load(&store, &other, &items(300))
        .await
        .expect("another")
        .run;
    sqlx::query("update tidegate.runs set weight = 3 where id = $1")
        .bind(run)
        .execute(db.pool())
        .await
        .expect("weighed");
    let process = a_process(&store, LEASE).await;
    let taken = claim(&store, process, 40).await;
    assert_eq!(taken.iter().filter(|task| task.run == run).count(), 30);
}

#[tokio::test]
async fn f51_tasks_that_no_open_model_may_take_do_not_stand_before_others() {
    let (db, store) = a_store(&[("a", None), ("b", Some(0))]).await;
    load(&store, ONE_TIER, &items(60)).await.expect("a run");
    sqlx::query("update tidegate.ready set tries = '{4}' where priority > 20")
        .execute(db.pool())
        .await
        .expect("the best forty have used up their first model");
    let process = a_process(&store, LEASE).await;
    assert_eq!(claim(&store, process, 4).await.len(), 4);
}

#[tokio::test]
async fn a_limit_of_nothing_is_told_as_closed_without_an_end() {
    let (_db, store) = a_store(&[("a", Some(0))]).await;
    let status = store.model_status(None).await.expect("told");
    assert_eq!(
        status[0].closed_by.as_deref(),
        Some("limit: requests per minute")
    );
    assert_eq!(status[0].until, None);
}
