//! How it is chosen, end to end: by number, by both ways at once, a rest that is too small.

use tidegate::simulator::BatchSettings;
use tokio_util::sync::CancellationToken;

use super::scene::{PLAIN, Scene, watchful};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn until_latencies_are_known_nine_go_singly_and_ten_by_batch() {
    let scene = Scene::new(BatchSettings::default()).await;
    let few = scene.load("sim", 9, "auto", PLAIN).await;
    scene.work_off(few).await;
    scene.judge(few, 9).await;
    assert_eq!(scene.fleet.simulator.log().len(), 9);
    assert_eq!(scene.batches(few).await.len(), 0);
    let many = scene.load("oa", 10, "auto", PLAIN).await;
    scene.work_off(many).await;
    scene.judge(many, 10).await;
    assert_eq!(scene.fleet.simulator.log().len(), 9);
    assert_eq!(scene.batches(many).await.len(), 1);
    let told =
        "select count(*) from tidegate.strategy_decisions where reason <> '' and facts ? 'known'";
    assert_eq!(scene.number(told).await, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_hybrid_the_first_five_go_at_once_and_the_rest_by_batch() {
    let scene = Scene::new(BatchSettings::default()).await;
    for entry in ["sim", "oa"] {
        let calls = scene.fleet.simulator.log().len();
        let run = scene.load(entry, 20, "hybrid", PLAIN).await;
        scene.work_off(run).await;
        scene.judge(run, 20).await;
        assert_eq!(scene.fleet.simulator.log().len(), calls + 5);
        assert_eq!(scene.batches(run).await[0].items, 15);
        let best = format!(
            "select count(*) from tidegate.calls c join tidegate.tasks t on t.id = c.task_id
            where c.run_id = '{run}' and c.batch_id is null and t.item_id <= 'i00004'"
        );
        assert_eq!(scene.number(&best).await, 5, "the important ones first");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_of_one_goes_singly() {
    let scene = Scene::new(BatchSettings::default()).await;
    let run = scene.load("sim", 1, "batch", PLAIN).await;
    scene.work_off(run).await;
    scene.judge(run, 1).await;
    assert_eq!(scene.fleet.simulator.log().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn how_long_calls_and_batches_take_is_learned() {
    let scene = Scene::new(BatchSettings::default()).await;
    let run = scene.load("sim", 20, "hybrid", PLAIN).await;
    scene.work_off(run).await;
    scene.fleet.store.learn_latencies().await.expect("learned");
    let known = "select count(*) from tidegate.latencies where samples > 0 and p50_ms <= p90_ms";
    assert_eq!(scene.number(known).await, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_nobody_has_the_key_of_the_first_model_a_fallback_is_called_after_a_minute() {
    let scene = Scene::new(BatchSettings::default()).await;
    let run = scene.load("oa", 12, "batch", PLAIN).await;
    scene
        .say(&format!("update tidegate.lanes set ladder = ladder || (select model_id from tidegate.models where model = 'sim/a') where run_id = '{run}'"))
        .await;
    scene
        .say(&format!(
            "update tidegate.runs set loaded_at = loaded_at - interval '2 min' where id = '{run}'"
        ))
        .await;
    let mut providers = scene.fleet.providers();
    providers.remove("oa");
    let stop = CancellationToken::new();
    let process = scene.fleet.process_over(&stop, watchful(), providers);
    scene.fleet.until_done(run).await;
    stop.cancel();
    process.await.expect("it ends");
    scene.judge(run, 12).await;
    let said = format!(
        "select count(*) from tidegate.strategy_decisions where run_id = '{run}' and strategy = 'individual' and reason like 'no process with a key for oa%'"
    );
    assert_eq!(scene.number(&said).await, 1);
}
