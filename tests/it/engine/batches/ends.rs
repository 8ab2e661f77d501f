//! However a batch ends, and whatever its results look like: what is there is kept, the rest is asked again.

use tidegate::simulator::{BatchEnd, BatchSettings, Damage};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::scene::{PLAIN, Scene, watchful};

/// The first batch of a run goes by these settings, what follows by the usual ones.
async fn first_by(scene: &Scene, entry: &str, items: usize, first: BatchSettings) -> Uuid {
    let before = scene.fleet.simulator.batches().len();
    scene.fleet.simulator.set_batches(first).expect("settings");
    let run = scene.load(entry, items, "batch", PLAIN).await;
    let stop = CancellationToken::new();
    let process = scene.fleet.process_with(&stop, watchful());
    scene.until_batches(before + 1).await;
    scene
        .fleet
        .simulator
        .set_batches(BatchSettings::default())
        .expect("settings");
    scene.fleet.until_done(run).await;
    scene.until_over().await;
    stop.cancel();
    process.await.expect("it ends");
    run
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f56_damaged_results_lose_and_double_nothing() {
    let scene = Scene::new(BatchSettings::default()).await;
    let damages = [
        vec![Damage::Reordered],
        vec![Damage::Missing],
        vec![Damage::Duplicate],
        vec![Damage::UnknownId],
        vec![Damage::Cut],
        vec![Damage::Empty],
        vec![
            Damage::Reordered,
            Damage::Missing,
            Damage::Duplicate,
            Damage::UnknownId,
        ],
    ];
    for entry in ["sim", "oa"] {
        for damage in damages.clone() {
            let settings = BatchSettings {
                damage: damage.clone(),
                ..BatchSettings::default()
            };
            let run = first_by(&scene, entry, 30, settings).await;
            scene.judge(run, 30).await;
            let again = format!(
                "select count(*) from tidegate.calls where run_id = '{run}' and outcome = 'batch_missing'"
            );
            let missed = scene.number(&again).await;
            match damage.as_slice() {
                [Damage::Missing | Damage::Cut | Damage::UnknownId, ..]
                | [_, Damage::Missing, ..] => {
                    assert!((1..30).contains(&missed), "{damage:?}: {missed}");
                }
                [Damage::Empty] => assert_eq!(missed, 30),
                _ => assert_eq!(missed, 0, "{damage:?}"),
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f57_of_a_batch_that_ends_at_two_fifths_what_is_finished_is_kept_and_the_rest_is_asked_again()
 {
    let scene = Scene::new(BatchSettings::default()).await;
    for entry in ["sim", "oa"] {
        for end in [BatchEnd::Failed, BatchEnd::Expired, BatchEnd::Cancelled] {
            let settings = BatchSettings {
                end,
                end_at: 0.4,
                ..BatchSettings::default()
            };
            let run = first_by(&scene, entry, 30, settings).await;
            scene.judge(run, 30).await;
            let kept = format!("select count(*) from tidegate.calls c where c.run_id = '{run}' and c.outcome = 'ok'
                 and c.batch_id = (select id from tidegate.provider_batches b where b.run_id = '{run}' order by created_at limit 1)");
            // Gemini hands out nothing of a batch that did not succeed
            let handed = entry == "oa" && end != BatchEnd::Failed;
            assert_eq!(
                scene.number(&kept).await,
                if handed { 12 } else { 0 },
                "{entry} {end:?}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn items_that_fail_alone_are_asked_again_and_cost_their_neighbours_nothing() {
    let scene = Scene::new(BatchSettings::default()).await;
    for entry in ["sim", "oa"] {
        let settings = BatchSettings {
            item_errors: 0.3,
            ..BatchSettings::default()
        };
        let run = first_by(&scene, entry, 40, settings).await;
        scene.judge(run, 40).await;
        let neighbours =
            format!("select count(*) from tidegate.tasks where run_id = '{run}' and attempts = 1");
        assert!((15..40).contains(&scene.number(&neighbours).await));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn results_that_come_after_the_word_that_all_is_done_are_waited_for() {
    let scene = Scene::new(BatchSettings::default()).await;
    let settings = BatchSettings {
        late_output_ms: 200,
        ..BatchSettings::default()
    };
    let run = first_by(&scene, "oa", 10, settings).await;
    scene.judge(run, 10).await;
    assert_eq!(scene.batches(run).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f59_a_task_that_is_cancelled_before_during_or_after_its_batch_ends_once_and_its_cost_is_kept()
 {
    let slow = BatchSettings {
        median_ms: 3_600_000.0,
        ..BatchSettings::default()
    };
    let scene = Scene::new(slow).await;
    for entry in ["sim", "oa"] {
        let run = scene.load(entry, 10, "batch", PLAIN).await;
        let cancel = async |n: i32| {
            let sql = format!(
                "select tidegate.cancel(array[(select id from tidegate.tasks where run_id = '{run}' and item_id = 'i{n:05}')])::bigint"
            );
            scene.number(&sql).await
        };
        assert_eq!(cancel(0).await, 1, "before");
        let before = scene.fleet.simulator.batches().len();
        let stop = CancellationToken::new();
        let process = scene.fleet.process_with(&stop, watchful());
        scene.until_batches(before + 1).await;
        let submitted = "select count(*) from tidegate.provider_batches where state = 'submitted' and remote_id is not null";
        scene.fleet.until_count(submitted, 1).await;
        assert_eq!(cancel(1).await, 1, "during");
        let batch = scene.batches(run).await.remove(0);
        scene.fleet.simulator.hasten(&batch.id);
        scene.fleet.until_done(run).await;
        scene.until_over().await;
        assert_eq!(cancel(2).await, 0, "after");
        stop.cancel();
        process.await.expect("it ends");
        scene.judge(run, 8).await;
        let states = format!(
            "select count(*) from tidegate.tasks where run_id = '{run}' and state = 'cancelled'"
        );
        assert_eq!(scene.number(&states).await, 2);
        let kept = format!(
            "select count(*) from tidegate.calls where run_id = '{run}' and outcome = 'superseded' and cost_microusd > 0"
        );
        assert_eq!(scene.number(&kept).await, 1, "it was paid for");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f59_a_batch_that_nobody_wants_any_more_is_cancelled_at_its_provider() {
    let slow = BatchSettings {
        median_ms: 3_600_000.0,
        ..BatchSettings::default()
    };
    let scene = Scene::new(slow).await;
    for entry in ["sim", "oa"] {
        let run = scene.load(entry, 10, "batch", PLAIN).await;
        let before = scene.fleet.simulator.batches().len();
        let stop = CancellationToken::new();
        let process = scene.fleet.process_with(&stop, watchful());
        scene.until_batches(before + 1).await;
        let all = format!(
            "select tidegate.cancel(array_agg(id))::bigint from tidegate.tasks where run_id = '{run}'"
        );
        assert_eq!(scene.number(&all).await, 10);
        scene.until_cancelled(run).await;
        scene.until_over().await;
        stop.cancel();
        process.await.expect("it ends");
        scene.judge(run, 0).await;
        assert!(scene.batches(run).await[0].cancelled);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_back_in_time_is_asked_singly_the_first_result_wins_and_the_loser_s_cost_is_counted()
 {
    let slow = BatchSettings {
        median_ms: 3_600_000.0,
        ..BatchSettings::default()
    };
    let scene = Scene::new(slow).await;
    for entry in ["sim", "oa"] {
        let run = scene.load(entry, 10, "batch", PLAIN).await;
        let before = scene.fleet.simulator.batches().len();
        let stop = CancellationToken::new();
        let process = scene.fleet.process_with(&stop, watchful());
        scene.until_batches(before + 1).await;
        let calls = scene.fleet.simulator.log().len();
        scene
            .say(&format!(
                "update tidegate.provider_batches set rescue_at = now() where run_id = '{run}'"
            ))
            .await;
        scene.fleet.until_done(run).await;
        assert_eq!(scene.fleet.simulator.log().len(), calls + 10, "each once");
        // nobody waits for it any more: it is cancelled, and what it did is paid for
        scene.until_cancelled(run).await;
        scene.until_over().await;
        stop.cancel();
        process.await.expect("it ends");
        scene.judge(run, 10).await;
        let uncharged =
            format!("select count(*) from tidegate.tasks where run_id = '{run}' and attempts = 1");
        assert_eq!(
            scene.number(&uncharged).await,
            10,
            "the batch cost no attempt"
        );
    }
}
