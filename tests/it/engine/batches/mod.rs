//! Laws of provider batches: each is there once, each item of it is settled once, and nothing is left
//! behind. Judged by the provider's own account.

mod choices;
mod ends;
mod figures;
mod kills;
mod limits;
mod savings;
mod scene;
mod sizes;
mod trouble;

use scene::{PLAIN, Scene};
use tidegate::simulator::BatchSettings;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_is_made_once_each_item_is_answered_once_at_half_the_price_and_nothing_is_left_behind()
 {
    let scene = Scene::new(BatchSettings::default()).await;
    for entry in ["sim", "oa"] {
        let run = scene.load(entry, 40, "batch", PLAIN).await;
        scene.work_off(run).await;
        scene.judge(run, 40).await;
        assert_eq!(scene.batches(run).await.len(), 1);
    }
    assert_eq!(scene.fleet.simulator.log().len(), 0, "no call of its own");
    let prices = "select count(*) from tidegate.calls where cost_microusd <> ceil((input_tokens * 50000 + output_tokens * 200000) / 1e6)";
    assert_eq!(scene.fleet.count(prices).await, 0);
    let counted = "select count(*) from tidegate.calls where outcome = 'ok' and batch_id is not null and not lead";
    assert_eq!(scene.fleet.count(counted).await, 80);
    let books = "select count(*) from tidegate.limit_settlements";
    assert_eq!(
        scene.fleet.count(books).await,
        0,
        "batches have limits of their own"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_of_a_batch_is_that_of_a_single_call() {
    let scene = Scene::new(BatchSettings::default()).await;
    for entry in ["sim", "oa"] {
        let by_batch = scene.load(entry, 12, "batch", PLAIN).await;
        scene.work_off(by_batch).await;
        let singly = scene.load(entry, 12, "individual", PLAIN).await;
        scene.work_off(singly).await;
        let (one, other) = (scene.answers(by_batch).await, scene.answers(singly).await);
        assert_eq!(one.len(), 12);
        assert_eq!(one, other);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn vectors_come_by_batch_too() {
    let scene = Scene::new(BatchSettings::default()).await;
    let embeds = "[cache]\nenabled = false\n[embed]\ntask_type = \"clustering\"\ndimensions = 16\ntag = \"t\"\n";
    for entry in ["sim", "oa"] {
        let by_batch = scene.load_of(entry, "embedding", 30, "batch", embeds).await;
        scene.work_off(by_batch).await;
        scene.judge(by_batch, 30).await;
        let singly = scene
            .load_of(entry, "embedding", 30, "individual", embeds)
            .await;
        scene.work_off(singly).await;
        let (one, other) = (scene.answers(by_batch).await, scene.answers(singly).await);
        assert_eq!(one.len(), 30);
        assert_eq!(one, other);
    }
    assert!(
        scene
            .fleet
            .simulator
            .batches()
            .iter()
            .all(|it| it.kind == "vectors"),
        "{:?}",
        scene.fleet.simulator.batches()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_equal_task_is_asked_once_in_a_batch_and_given_to_all() {
    let scene = Scene::new(BatchSettings::default()).await;
    let kept = "";
    let first = scene.load("sim", 20, "batch", kept).await;
    scene.work_off(first).await;
    // kept answers are not asked again
    let second = scene.load("sim", 30, "batch", kept).await;
    scene.work_off(second).await;
    scene.judge(second, 30).await;
    let asked: usize = scene
        .fleet
        .simulator
        .batches()
        .iter()
        .map(|it| it.items)
        .sum();
    assert_eq!(asked, 30, "{:?}", scene.fleet.simulator.batches());
}
