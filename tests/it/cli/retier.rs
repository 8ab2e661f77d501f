//! What waits of a run gets tiers and ladders anew; what runs or has ended keeps its own.

use std::time::Duration;

use serde_json::{Value, json};
use tidegate::{
    client::retier,
    store::settle::{Fate, Settled},
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::Program;
use crate::support::{
    fleet::{Fleet, a_model},
    work::{THREE_TIERS, a_process, answered, claim, items, load, unanswered},
};

/// A run of three tiers, 30, 50 and 20 of a hundred, on sim/a, sim/b and sim/c.
struct Scene {
    fleet: Fleet,
    program: Program,
    run: Uuid,
}

impl Scene {
    async fn of(count: usize) -> Self {
        let models = ["a", "b", "c", "d"].map(a_model).to_vec();
        let fleet = Fleet::with(models).await;
        let run = load(&fleet.store, THREE_TIERS, &items(count))
            .await
            .expect("a run")
            .run;
        let program = Program::over(fleet.url());
        Self {
            fleet,
            program,
            run,
        }
    }

    #[track_caller]
    fn retier(&self, more: &[&str]) -> Value {
        let id = self.run.to_string();
        let args = [&["--json", "runs", "retier", &id], more].concat();
        self.program.run(&args).ok().objects().remove(0)
    }

    /// Tasks by tier, primary and state.
    async fn tasks(&self) -> Vec<(i16, String, String, i64)> {
        sqlx::query_as(
            "select tier, model, state, count(*) from tidegate.tasks group by 1, 2, 3 order by 1, 2, 3",
        )
        .fetch_all(self.fleet.store.pool())
        .await
        .expect("tasks")
    }
}

fn row(tier: i16, model: &str, state: &str, count: i64) -> (i16, String, String, i64) {
    (tier, model.to_owned(), state.to_owned(), count)
}

#[tokio::test]
async fn waiting_tasks_are_cut_and_laddered_anew_and_running_and_ended_ones_keep_their_own() {
    let scene = Scene::of(100).await;
    let store = &scene.fleet.store;
    let process = a_process(store, Duration::from_secs(600)).await;
    let mut held = claim(store, process, 100).await;
    // of the claimed, one is done, one waits for its next try, ten go on, the rest is given back
    held.sort_by_key(|it| it.item.clone());
    let done = answered(&held.remove(0), "yes");
    store
        .settle_done(process, vec![done], None)
        .await
        .expect("done");
    let later = unanswered(&held.remove(0), Fate::Reschedule { delay_ms: 600_000 });
    store.settle_open(process, &[later]).await.expect("later");
    let back: Vec<_> = held.split_off(10);
    let back: Vec<_> = back
        .iter()
        .map(|it| unanswered(it, Fate::Release))
        .collect();
    store.settle_open(process, &back).await.expect("released");

    // ranks 1 to 10 are tier 0, 11 to 80 tier 1: of tier 0, item 1 waits scheduled, 2 to 11 run
    let set = [
        "--set",
        "tier.0.share=0.1",
        "--set",
        "tier.1.share=0.7",
        "--set",
        "tier.1.model=sim/d",
        "--set",
        "fallback.model=sim/a",
    ];
    // the primary of tier 0 is the last fallback too: its ladder is as it was
    let wanted = json!([{"from": 0, "to": 1, "tasks": 18},
                        {"from": 1, "to": 1, "tasks": 50}, {"from": 2, "to": 2, "tasks": 20}]);
    let before = scene.tasks().await;
    let dry = scene.retier(&[&set[..], &["--dry-run"]].concat());
    assert_eq!(
        (&dry["moves"], &dry["moved"], &dry["stay"]),
        (&wanted, &json!(88), &json!(1))
    );
    assert_eq!(scene.tasks().await, before);
    let told = scene.retier(&set);
    assert_eq!(
        (&told["moves"], &told["moved"], &told["stay"]),
        (&wanted, &json!(88), &json!(1))
    );
    assert_eq!(
        scene.tasks().await,
        [
            row(0, "sim/a", "done", 1),
            row(0, "sim/a", "running", 10),
            row(0, "sim/a", "scheduled", 1),
            row(1, "sim/d", "ready", 68),
            row(2, "sim/c", "ready", 20),
        ]
    );
    let ladder = "select count(*) from tidegate.tasks where state = 'ready' and fallback_models = '{sim/a}' and max_attempts = 8 and tries = '{}'";
    assert_eq!(scene.fleet.count(ladder).await, 88);
    let run: (Vec<f32>, i64) = sqlx::query_as(
        "select u.mix, count(*) from tidegate.runs u join tidegate.worker_definitions d on d.hash = u.definition_hash
          where d.folder::text like '%tier.1.model%' group by u.id",
    )
    .fetch_one(store.pool())
    .await
    .expect("the run's definition has its overrides");
    assert_eq!(run, (vec![4.0, 5.0, 1.0], 1));
    // saying it again is saying it once, with or without the words
    for set in [&set[..], &[]] {
        assert_eq!(scene.retier(set)["moved"], 0);
    }
    let claimed = claim(store, process, 10_000).await;
    assert_eq!(claimed.len(), 88);
    assert_eq!(claimed.iter().filter(|it| it.model == "sim/d").count(), 68);
    // what ran and is given back keeps what it had
    let given = unanswered(&held[0], Fate::Release);
    assert_eq!(
        store
            .settle_open(process, &[given])
            .await
            .expect("back")
            .len(),
        1
    );
}

#[tokio::test]
async fn many_tasks_are_retiered_in_order_of_rank() {
    let scene = Scene::of(2_503).await;
    scene.retier(&["--set", "tier.0.share=0.6", "--set", "tier.1.share=0.2"]);
    let wrong: i64 = scene
        .fleet
        .count(
            "select count(*) from (select tier, row_number() over (order by priority desc, item_id) as r from tidegate.tasks) z
              where tier <> case when r <= ceil(2503 * 0.6) then 0 when r <= ceil(2503 * 0.8) then 1 else 2 end",
        )
        .await;
    assert_eq!(wrong, 0);
}

#[tokio::test]
async fn a_policy_and_a_pacing_reach_what_waits_without_moving_it() {
    let scene = Scene::of(5).await;
    let lanes = async |policy: &str, patience_ms: i32| {
        let found: Vec<(String, i32)> =
            sqlx::query_as("select policy, patience_ms from tidegate.lanes order by lane")
                .fetch_all(scene.fleet.store.pool())
                .await
                .expect("lanes");
        assert_eq!(found, vec![(policy.to_owned(), patience_ms); 3]);
    };
    lanes("auto", 60_000).await;
    let told = scene.retier(&[
        "--set",
        "routing.policy=patient",
        "--set",
        "routing.patience_s=5",
        "--set",
        "pacing.stagger_ms=70",
    ]);
    assert_eq!((&told["moved"], &told["stay"]), (&json!(0), &json!(5)));
    lanes("patient", 5_000).await;
    let paced = "select count(*) from tidegate.runs where stagger_ms = 70";
    assert_eq!(scene.fleet.count(paced).await, 1);
    // saying other words keeps it
    scene.retier(&["--set", "tier.0.mix=3"]);
    lanes("patient", 5_000).await;
    assert_eq!(scene.fleet.count(paced).await, 1);
}

#[tokio::test]
async fn bad_input_of_a_retier_changes_nothing() {
    let scene = Scene::of(3).await;
    let id = scene.run.to_string();
    let hash = "select count(distinct definition_hash) from tidegate.runs where definition_hash in (select hash from tidegate.worker_definitions)";
    for (set, words) in [
        ("name=other", "`name` cannot be set here"),
        ("tiers.0.mix=1", "cannot be set here"),
        ("tier.0.share=0.9", "shares of all tiers"),
        ("tier.7.mix=1", "entry 7"),
        ("routing.policy=fastest", "must be"),
        ("pacing.cool_after=3", "missing key \"cool_s\""),
        ("tier.0.model=nobody/x", "no provider entry"),
    ] {
        scene
            .program
            .run(&["runs", "retier", &id, "--set", set])
            .refused(&[words]);
    }
    assert_eq!(scene.retier(&[])["stay"], 3);
    assert_eq!(scene.fleet.count(hash).await, 1);
    scene.program.run(&["runs", "cancel", &id]).ok();
    scene
        .program
        .run(&["runs", "retier", &id])
        .refused(&["is cancelled", "help: "]);
}

#[tokio::test]
async fn a_late_answer_finds_its_task_in_the_lane_it_was_retiered_to() {
    let scene = Scene::of(1).await;
    let store = &scene.fleet.store;
    let process = a_process(store, Duration::from_secs(600)).await;
    let held = claim(store, process, 1).await;
    sqlx::query("update tidegate.processes set lease_until = now() - interval '1 hour', heartbeat_at = now() - interval '1 hour' where id = $1")
        .bind(process)
        .execute(store.pool())
        .await
        .expect("its lease is over");
    store.rescue(Duration::ZERO, false).await.expect("rescued");
    let set = [("tier.0.model".to_owned(), "sim/d".to_owned())];
    let retiered = retier(store, scene.run, &set, false).await.expect("moved");
    assert_eq!(retiered.moved(), 1);
    let late = store
        .settle_done(process, vec![answered(&held[0], "late")], None)
        .await
        .expect("settled");
    assert_eq!(late[0].1, Settled::Salvaged);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_is_retiered_while_workers_take_from_it() {
    let scene = Scene::of(600).await;
    let stop = CancellationToken::new();
    let process = scene.fleet.process(&stop);
    let shares = [["0.1", "0.7"], ["0.6", "0.2"]];
    let ended = "select count(*) from tidegate.tasks where state = 'done'";
    let mut turn = 0;
    while scene.fleet.count(ended).await < 600 {
        let set: Vec<_> = [0, 1]
            .map(|tier| {
                (
                    format!("tier.{tier}.share"),
                    shares[turn % 2][tier].to_owned(),
                )
            })
            .into();
        match retier(&scene.fleet.store, scene.run, &set, false).await {
            Ok(_) => turn += 1,
            Err(error) => assert!(
                error.to_string().contains("open") || error.to_string().contains("done"),
                "{error}"
            ),
        }
    }
    assert!(turn > 0);
    scene.fleet.until_done(scene.run).await;
    stop.cancel();
    assert_eq!(process.await.expect("it ends").done, 600);
}
