//! Whoever dies with a batch in hand: others go on, and there is one batch, each item once.

use tidegate::simulator::BatchSettings;
use tokio_util::sync::CancellationToken;

use super::scene::{PLAIN, Scene, watchful};

/// Makes the k-th write to the batches fail: what stood behind it in the program is not reached, as if the
/// process had died there.
async fn fail_the(scene: &Scene, nth: i64) {
    scene
        .say("create sequence if not exists public.writes")
        .await;
    scene
        .say("create or replace function public.dies() returns trigger language plpgsql as $$ begin
                if nextval('public.writes') = (select n from public.fatal) then raise exception 'killed here' using errcode = '57P01'; end if;
                return new; end $$")
        .await;
    scene
        .say("create table if not exists public.fatal (n bigint)")
        .await;
    scene.say("delete from public.fatal").await;
    scene
        .say(&format!("insert into public.fatal values ({nth})"))
        .await;
    scene
        .say("alter sequence public.writes restart with 1")
        .await;
    scene
        .say("drop trigger if exists dies on tidegate.provider_batches")
        .await;
    scene
        .say("create trigger dies before insert or update on tidegate.provider_batches for each row execute function public.dies()")
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f53_f54_whatever_line_of_a_batch_s_way_is_not_reached_there_is_one_batch_and_each_item_once()
 {
    let scene = Scene::new(BatchSettings::default()).await;
    for entry in ["sim", "oa"] {
        for nth in 1..=40 {
            fail_the(&scene, nth).await;
            let run = scene.load(entry, 6, "batch", PLAIN).await;
            scene.work_off(run).await;
            scene.judge(run, 6).await;
            let asked: usize = scene.batches(run).await.iter().map(|it| it.items).sum();
            assert_eq!(asked, 6, "{entry}, killed before write {nth}");
            let reached = scene.number("select last_value from public.writes").await;
            if reached < nth {
                break;
            }
            assert!(nth < 40, "every line was killed once");
        }
    }
    assert_eq!(scene.fleet.simulator.log().len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f53_an_upload_whose_answer_was_lost_is_removed_and_made_again() {
    let scene = Scene::new(BatchSettings {
        lost_uploads: 1.0,
        ..BatchSettings::default()
    })
    .await;
    for entry in ["sim", "oa"] {
        let run = scene.load(entry, 6, "batch", PLAIN).await;
        let before = scene.fleet.simulator.files().len();
        let stop = CancellationToken::new();
        let process = scene.fleet.process_with(&stop, watchful());
        let tried = "select count(*) from tidegate.provider_batches where fails > 0";
        scene.fleet.until_count(tried, 1).await;
        let settings = BatchSettings::default();
        scene
            .fleet
            .simulator
            .set_batches(settings)
            .expect("settings");
        scene.fleet.until_done(run).await;
        scene.until_over().await;
        stop.cancel();
        process.await.expect("it ends");
        scene.judge(run, 6).await;
        assert!(scene.fleet.simulator.files().len() >= before + 2);
        let lost = BatchSettings {
            lost_uploads: 1.0,
            ..BatchSettings::default()
        };
        scene.fleet.simulator.set_batches(lost).expect("settings");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f54_a_batch_whose_creation_was_not_answered_is_found_and_not_made_again() {
    let scene = Scene::new(BatchSettings {
        lost_replies: 1.0,
        list_lag_ms: 100,
        ..BatchSettings::default()
    })
    .await;
    for entry in ["sim", "oa"] {
        let run = scene.load(entry, 6, "batch", PLAIN).await;
        scene.work_off(run).await;
        scene.judge(run, 6).await;
        assert_eq!(scene.batches(run).await.len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f54_a_batch_that_was_not_created_is_made_again_when_it_was_looked_for_twice() {
    let scene = Scene::new(BatchSettings {
        create_503: 1.0,
        ..BatchSettings::default()
    })
    .await;
    let run = scene.load("sim", 6, "batch", PLAIN).await;
    let stop = CancellationToken::new();
    let process = scene.fleet.process_with(&stop, watchful());
    let looked = "select count(*) from tidegate.provider_batches where state = 'creating'";
    scene.fleet.until_count(looked, 1).await;
    scene
        .fleet
        .simulator
        .set_batches(BatchSettings::default())
        .expect("settings");
    scene.fleet.until_done(run).await;
    scene.until_over().await;
    stop.cancel();
    process.await.expect("it ends");
    scene.judge(run, 6).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f55_several_processes_finish_one_batch_and_results_and_ledger_are_applied_once() {
    let scene = Scene::new(BatchSettings::default()).await;
    for entry in ["sim", "oa"] {
        let run = scene.load(entry, 300, "batch", PLAIN).await;
        scene.work_off_by(run, 3).await;
        scene.judge(run, 300).await;
        let ledger = format!(
            "select count(*) from tidegate.calls where run_id = '{run}' and outcome = 'ok'"
        );
        assert_eq!(scene.number(&ledger).await, 300);
        assert_eq!(scene.batches(run).await.len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f58_killed_five_times_while_results_are_applied_nothing_is_applied_or_charged_twice() {
    const ITEMS: usize = 4_000;
    let scene = Scene::new(BatchSettings::default()).await;
    let run = scene.load("sim", ITEMS, "batch", PLAIN).await;
    for kill in 1..=5_i64 {
        let mut process = scene.fleet.real_process(5);
        let applied = format!(
            "select (count(*) >= {})::int::bigint from tidegate.task_results",
            kill * 600
        );
        scene.until(&applied).await;
        process.kill();
    }
    scene.work_off(run).await;
    scene.judge(run, 4_000).await;
    let calls = format!("select count(*) from tidegate.calls where run_id = '{run}'");
    assert_eq!(scene.number(&calls).await, 4_000, "one row an item");
    let charged = format!(
        "select count(*) from tidegate.tasks where run_id = '{run}' and (attempts <> 1 or rescues <> 0)"
    );
    assert_eq!(scene.number(&charged).await, 0);
    assert_eq!(scene.batches(run).await.len(), 1);
}
