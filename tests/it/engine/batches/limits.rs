//! What bounds batches: tokens that may be enqueued, batches at once, budgets, models without a batch mode.

use tidegate::simulator::BatchSettings;

use super::scene::{PLAIN, Scene};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_more_tokens_are_enqueued_than_may_be() {
    let scene = Scene::new(BatchSettings {
        max_enqueued_tokens: Some(200),
        ..BatchSettings::default()
    })
    .await;
    for entry in ["sim", "oa"] {
        scene
            .say("update tidegate.models set batch_tokens = 150")
            .await;
        let run = scene.load(entry, 40, "batch", PLAIN).await;
        scene.work_off(run).await;
        scene.judge(run, 40).await;
        assert!(scene.batches(run).await.len() > 1, "parts that fit");
        let refused =
            "select count(*) from tidegate.models where batch_strikes > 0 or batch_mode is false";
        assert_eq!(scene.number(refused).await, 0, "no known limit is run into");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_model_without_a_batch_mode_is_asked_singly_and_that_is_said() {
    let scene = Scene::without_batches().await;
    for entry in ["sim", "oa"] {
        let run = scene.load(entry, 15, "batch", PLAIN).await;
        scene.work_off(run).await;
        scene.judge(run, 15).await;
        let said = format!(
            "select count(*) from tidegate.strategy_decisions where run_id = '{run}' and strategy = 'individual' and reason like '%no batch mode%'"
        );
        assert_eq!(scene.number(&said).await, 1);
        assert_eq!(scene.batches(run).await.len(), 0);
        let known = format!(
            "select count(*) from tidegate.models where batch_mode is false and model = '{entry}/a'"
        );
        assert_eq!(scene.number(&known).await, 1);
        let uncharged =
            format!("select count(*) from tidegate.tasks where run_id = '{run}' and attempts = 1");
        assert_eq!(
            scene.number(&uncharged).await,
            15,
            "finding out cost no attempt"
        );
    }
    let calls = scene.fleet.simulator.log();
    assert_eq!(calls.iter().filter(|it| it.status == 200).count(), 30);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_budget_bounds_what_batches_may_cost_and_what_they_did_not_cost_comes_back() {
    let scene = Scene::new(BatchSettings::default()).await;
    let run = scene.load("sim", 40, "batch", PLAIN).await;
    scene
        .say(&format!("select tidegate.set_budget('{run}', 2000)"))
        .await;
    scene.work_off(run).await;
    scene.judge(run, 40).await;
    let reserved = format!("select reserved_microusd from tidegate.budgets where run_id = '{run}'");
    assert_eq!(scene.number(&reserved).await, 0);
    let spent = format!(
        "select spent_microusd - (select sum(cost_microusd) from tidegate.calls where run_id = '{run}')::bigint from tidegate.budgets where run_id = '{run}'"
    );
    assert_eq!(scene.number(&spent).await, 0);
    assert!(
        scene.batches(run).await.len() > 1,
        "as many as the budget lets through at once"
    );
}
