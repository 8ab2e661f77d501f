//! Trouble around batches: what cannot go by one, owners cut short at odd moments, runs that are deleted, what
//! is left at a provider.

use tidegate::{
    engine::Settings,
    simulator::{BatchSettings, Damage},
    store::batch::step::Owner,
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::scene::{PLAIN, Scene, watchful};
use crate::support::work::a_process;

fn slow() -> BatchSettings {
    BatchSettings {
        median_ms: 3_600_000.0,
        ..BatchSettings::default()
    }
}

/// A process with a run's batch at the provider, and its end.
async fn submitted(scene: &Scene, run: Uuid) {
    let stop = CancellationToken::new();
    let process = scene.fleet.process_with(&stop, watchful());
    let there = format!(
        "select count(*) from tidegate.provider_batches where run_id = '{run}' and state = 'submitted'"
    );
    scene.until(&there).await;
    stop.cancel();
    process.await.expect("it ends");
}

async fn cancel_all(scene: &Scene, run: Uuid) {
    let all = format!(
        "select tidegate.cancel(array_agg(id))::bigint from tidegate.tasks where run_id = '{run}'"
    );
    assert!(scene.number(&all).await > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_no_batch_takes_is_asked_one_by_one_and_that_is_said() {
    let scene = Scene::new(BatchSettings::default()).await;
    let run = scene.load("sim", 4, "batch", PLAIN).await;
    scene.say("update tidegate.ready set rescues = 2").await;
    scene.work_off(run).await;
    scene.judge(run, 4).await;
    assert_eq!(scene.batches(run).await.len(), 0);
    let said = format!(
        "select count(*) from tidegate.strategy_decisions where run_id = '{run}' and strategy = 'individual' and reason like '%cannot go by batch%'"
    );
    assert!(scene.number(&said).await >= 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_all_its_models_are_parked_a_lane_stays_held_and_says_why() {
    let scene = Scene::new(BatchSettings::default()).await;
    let parked = scene.load("sim", 12, "batch", PLAIN).await;
    scene
        .say("select tidegate.pause_model('sim/a', 'a test')")
        .await;
    let run = scene.load("oa", 12, "batch", PLAIN).await;
    scene.work_off(run).await;
    let held = format!(
        "select count(*) from tidegate.lanes where run_id = '{parked}' and held and decided_at is null"
    );
    assert_eq!(scene.number(&held).await, 1);
    let told = format!(
        "select count(*) from tidegate.task_waits where run_id = '{parked}' and reason like '%parked: a test%'"
    );
    assert_eq!(scene.number(&told).await, 12);
    scene.say("select tidegate.resume_model('sim/a')").await;
    scene.work_off(parked).await;
    scene.judge(parked, 12).await;
    assert_eq!(scene.fleet.simulator.log().len(), 0, "none went singly");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_hybrid_the_rest_waits_for_room_and_does_not_go_singly() {
    let scene = Scene::new(BatchSettings::default()).await;
    scene
        .say("update tidegate.models set batch_tokens = 150")
        .await;
    let run = scene.load("sim", 40, "hybrid", PLAIN).await;
    scene.work_off(run).await;
    scene.judge(run, 40).await;
    let singles = scene.fleet.simulator.log().len();
    assert!(singles <= 10, "{singles} of 40 went singly");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lane_that_cannot_be_chosen_for_holds_nothing_else_back() {
    let scene = Scene::new(BatchSettings::default()).await;
    let stuck = scene.load("sim", 10, "batch", PLAIN).await;
    let run = scene.load("sim", 10, "batch", PLAIN).await;
    scene
        .say(&format!(
            "create function public.refuses() returns trigger language plpgsql as $$ begin
               if new.run_id = '{stuck}' then raise exception 'not this one'; end if; return new; end $$"
        ))
        .await;
    scene
        .say("create trigger refuses before insert on tidegate.provider_batches for each row execute function public.refuses()")
        .await;
    scene.work_off(run).await;
    let done =
        format!("select count(*) from tidegate.tasks where run_id = '{run}' and state = 'done'");
    assert_eq!(scene.number(&done).await, 10);
    let waits =
        format!("select count(*) from tidegate.tasks where run_id = '{stuck}' and state = 'ready'");
    assert_eq!(scene.number(&waits).await, 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_cut_short_while_it_gives_a_refused_batch_back_charges_nobody() {
    let scene = Scene::new(slow()).await;
    let run = scene.load("sim", 10, "batch", PLAIN).await;
    submitted(&scene, run).await;
    let store = &scene.fleet.store;
    let dead = a_process(store, watchful().lease).await;
    scene
        .say("update tidegate.provider_batches set state = 'intended', next_at = now()")
        .await;
    let sim = ["sim".to_owned()];
    let batch = store.own_batch(dead, &sim, None, watchful().lease).await;
    let batch = batch.expect("owned").expect("it is due").id;
    let owner = Owner {
        batch,
        process: dead,
    };
    store
        .batch_ended(owner, "refused", "", &[], None)
        .await
        .expect("it is written");
    scene
        .say(&format!(
            "update tidegate.processes set lost_at = now() where id = '{dead}'"
        ))
        .await;
    let settings = BatchSettings::default();
    scene
        .fleet
        .simulator
        .set_batches(settings)
        .expect("settings");
    scene.fleet.simulator.hasten("*");
    scene.work_off(run).await;
    let charged =
        format!("select count(*) from tidegate.tasks where run_id = '{run}' and attempts <> 1");
    assert_eq!(scene.number(&charged).await, 0);
    let unsent = format!(
        "select count(*) from tidegate.calls where batch_id = '{batch}' and not sent and coalesce(cost_microusd, 0) = 0"
    );
    assert_eq!(scene.number(&unsent).await, 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_batch_that_all_left_before_it_was_made_nothing_is_counted_as_sent() {
    let scene = Scene::new(BatchSettings::default()).await;
    for entry in ["sim", "oa"] {
        let run = scene.load(entry, 10, "batch", PLAIN).await;
        // formed by one that dies at once
        let dead = a_process(&scene.fleet.store, watchful().lease).await;
        let formed = format!(
            "select tidegate.form_batch_v1('{dead}', gen_random_uuid(), gen_random_uuid()::text, n.lane, n.ladder[1], 1::smallint, 0, 10, now(), null)::bigint
               from tidegate.lanes n where n.run_id = '{run}' and n.held"
        );
        assert_eq!(scene.number(&formed).await, 10);
        scene.fleet.store.rescue_batches().await.expect("rescued");
        scene.work_off(run).await;
        scene.judge(run, 10).await;
        let sent = format!(
            "select count(*) from tidegate.calls where run_id = '{run}' and batch_id is not null and (sent or coalesce(cost_microusd, 0) <> 0)"
        );
        assert_eq!(scene.number(&sent).await, 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f56_what_a_damaged_file_lacks_may_have_been_paid_for_and_stands_flagged_in_the_ledger() {
    let scene = Scene::new(BatchSettings {
        damage: vec![Damage::Missing],
        ..BatchSettings::default()
    })
    .await;
    let run = scene.load("oa", 30, "batch", PLAIN).await;
    submitted(&scene, run).await;
    let settings = BatchSettings::default();
    scene
        .fleet
        .simulator
        .set_batches(settings)
        .expect("settings");
    scene.work_off(run).await;
    scene.judge(run, 30).await;
    let missing = format!(
        "select count(*) from tidegate.calls where run_id = '{run}' and outcome = 'batch_missing'"
    );
    let flagged = format!("{missing} and cost_estimated and cost_microusd > 0");
    let missing = scene.number(&missing).await;
    assert!(missing > 0);
    assert_eq!(scene.number(&flagged).await, missing);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_run_s_batch_is_cancelled_and_its_files_are_removed() {
    let scene = Scene::new(slow()).await;
    for entry in ["sim", "oa"] {
        let run = scene.load(entry, 10, "batch", PLAIN).await;
        submitted(&scene, run).await;
        cancel_all(&scene, run).await;
        let store = &scene.fleet.store;
        store.finish_runs().await.expect("it ends");
        while store.delete_run(run, 100).await.expect("deleted").is_some() {}
        let stop = CancellationToken::new();
        let process = scene.fleet.process_with(&stop, watchful());
        let cancelled =
            "select count(*) from tidegate.provider_batches where cancelled_at is not null";
        scene.until(cancelled).await;
        scene.fleet.simulator.hasten("*");
        scene.until_over().await;
        stop.cancel();
        process.await.expect("it ends");
        // its row may be gone by now, as its run is
        let batches = scene.fleet.simulator.batches();
        assert!(batches.iter().all(|it| it.cancelled), "{batches:?}");
        let files = scene.fleet.simulator.files();
        assert!(files.iter().all(|it| it.deleted), "{files:?}");
        let owed = "select count(*) from tidegate.batch_items";
        assert_eq!(scene.number(owed).await, 0);
        let open = "select count(*) from tidegate.calls where ended_at is null";
        assert_eq!(scene.number(open).await, 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f53_a_file_that_nobody_wrote_down_is_removed_though_its_batch_is_wanted_no_more() {
    let scene = Scene::new(BatchSettings {
        lost_uploads: 1.0,
        ..BatchSettings::default()
    })
    .await;
    for entry in ["sim", "oa"] {
        let run = scene.load(entry, 6, "batch", PLAIN).await;
        let stop = CancellationToken::new();
        let process = scene.fleet.process_with(&stop, watchful());
        let tried = format!(
            "select count(*) from tidegate.provider_batches where run_id = '{run}' and fails > 0"
        );
        scene.until(&tried).await;
        cancel_all(&scene, run).await;
        scene.until_over().await;
        stop.cancel();
        process.await.expect("it ends");
        scene.nothing_left().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f54_a_batch_that_shows_up_when_nobody_waits_for_it_any_more_is_cancelled() {
    let scene = Scene::new(slow()).await;
    for entry in ["sim", "oa"] {
        let run = scene.load(entry, 6, "batch", PLAIN).await;
        submitted(&scene, run).await;
        // as if it had been given up, and its create had come through late
        cancel_all(&scene, run).await;
        scene.say("delete from tidegate.batch_items").await;
        scene
            .say("update tidegate.calls set ended_at = now(), outcome = 'lost' where ended_at is null")
            .await;
        scene
            .say("update tidegate.provider_batches set state = 'over', remote_id = null, over_at = now()")
            .await;
        let settings = Settings {
            batches: tidegate::engine::BatchSettings {
                lookup: std::time::Duration::from_millis(20),
                ..watchful().batches
            },
            ..watchful()
        };
        let stop = CancellationToken::new();
        let process = scene.fleet.process_with(&stop, settings);
        let cancelled = async {
            while !scene.batches(run).await[0].cancelled {
                tokio::task::yield_now().await;
            }
        };
        let cancelled = tokio::time::timeout(std::time::Duration::from_secs(60), cancelled).await;
        assert!(cancelled.is_ok(), "it is cancelled");
        stop.cancel();
        process.await.expect("it ends");
    }
}
