//! Money: a run's and a day's budget hold, are shown, and are refused where they could not hold.

use std::time::Duration;

use serde_json::{Value, json};
use tidegate::store::claim::Claimed;
use uuid::Uuid;

use super::{Program, write};
use crate::support::{
    TestDb,
    fleet::{Fleet, a_model},
    work::{ONE_TIER, a_process, answered, claim, items, load, load_with},
};

/// A run whose calls cost 42 micro-dollars at worst: about 14 tokens asked, 100 answered.
struct Scene {
    fleet: Fleet,
    program: Program,
    run: Uuid,
    process: Uuid,
}

impl Scene {
    async fn new() -> Self {
        let fleet = Fleet::with(vec![a_model("a"), a_model("b")]).await;
        let bounded = [(
            "prompt.params.max_output_tokens".to_owned(),
            "100".to_owned(),
        )];
        let run = load_with(&fleet.store, ONE_TIER, &items(9), &bounded)
            .await
            .expect("a run")
            .run;
        let process = a_process(&fleet.store, Duration::from_secs(600)).await;
        let program = Program::over(fleet.url());
        Self {
            fleet,
            program,
            run,
            process,
        }
    }

    #[track_caller]
    fn runs(&self, verb: &str, more: &[&str]) -> Value {
        let id = self.run.to_string();
        let args = [&["--json", "runs", verb, &id], more].concat();
        self.program.run(&args).ok().objects().remove(0)
    }

    async fn claim(&self) -> Vec<Claimed> {
        claim(&self.fleet.store, self.process, 9).await
    }

    #[track_caller]
    fn why(&self, task: &str) -> Value {
        let args = ["--json", "tasks", "why", task];
        self.program.run(&args).ok().objects().remove(0)
    }

    /// A task that waits.
    #[track_caller]
    fn waiting(&self) -> String {
        let args = [
            "--json", "tasks", "list", "--state", "ready", "--limit", "1",
        ];
        let listed = self.program.run(&args).ok().objects();
        listed[0]["id"].as_str().expect("an id").to_owned()
    }
}

#[tokio::test]
async fn a_run_spends_no_more_than_its_budget_and_what_calls_cost_is_given_back() {
    let scene = Scene::new().await;
    let set = scene.runs("budget", &["--usd", "0.0001"]);
    assert_eq!(set["budget"]["budget_microusd"], 100);
    let held = scene.claim().await;
    assert_eq!(held.len(), 2, "of 42 each");
    assert!(scene.claim().await.is_empty());
    let why = scene.why(&scene.waiting());
    let reason = why["reason"].as_str().unwrap();
    assert!(reason.contains("budget of its run"), "{why}");
    assert_eq!(why["budget"]["budget_microusd"], 100);

    let shown = scene.runs("show", &[]);
    let (reserved, spent) = (
        &shown["budget"]["reserved_microusd"],
        &shown["budget"]["spent_microusd"],
    );
    assert_eq!(spent, 0);
    assert!((80..=100).contains(&reserved.as_i64().unwrap()), "{shown}");
    let done = held.iter().map(|it| answered(it, "yes")).collect();
    scene
        .fleet
        .store
        .settle_done(scene.process, done, None)
        .await
        .unwrap();
    let shown = scene.runs("show", &[]);
    assert_eq!(
        (
            &shown["budget"]["spent_microusd"],
            &shown["budget"]["reserved_microusd"],
            &shown["budget"]["left_microusd"]
        ),
        (&json!(14), &json!(0), &json!(86))
    );
    let id = scene.run.to_string();
    let screen = scene.program.run(&["runs", "show", &id]).ok();
    assert!(
        screen.stdout.contains("$0.0001: $0.000014 spent"),
        "{screen:?}"
    );

    assert_eq!(scene.claim().await.len(), 2);
    assert_eq!(scene.runs("budget", &["--none"])["budget"], Value::Null);
    assert_eq!(scene.claim().await.len(), 5);
}

#[tokio::test]
async fn a_model_without_a_price_is_not_asked_under_a_budget_and_that_is_said() {
    let scene = Scene::new().await;
    let id = scene.run.to_string();
    let no_price = |model| {
        let set = [
            "models",
            "set",
            model,
            "--input-price-usd",
            "none",
            "--output-price-usd",
            "none",
        ];
        scene.program.run(&set).ok();
    };
    no_price("sim/a");
    let budget = ["runs", "budget", &id, "--usd", "5"];
    let warned = scene.program.run(&budget).ok();
    assert!(
        warned
            .stderr
            .contains("no price is known of sim/a: under a budget it is not asked"),
        "{warned:?}"
    );
    let held = scene.claim().await;
    assert!(
        !held.is_empty() && held.iter().all(|it| it.model == "sim/b"),
        "{held:?}"
    );
    no_price("sim/b");
    scene
        .program
        .run(&budget)
        .refused(&["no price is known of sim/a, sim/b", "help: "]);
}

#[tokio::test]
async fn a_budget_that_cannot_hold_is_refused() {
    let fleet = Fleet::with(vec![a_model("a"), a_model("b")]).await;
    let run = load(&fleet.store, ONE_TIER, &items(2)).await.unwrap().run;
    let program = Program::over(fleet.url());
    let id = run.to_string();
    program
        .run(&["runs", "budget", &id, "--usd", "1"])
        .refused(&["max_output_tokens is not set", "help: "]);
    for (args, words) in [
        (&["--usd", "0"][..], "pause"),
        (&["--usd", "-1"], "not negative"),
        (&["--usd", "much"], "no decimal number"),
        (&["--usd", "1e9"], "1000000"),
        (&["--usd", "1", "--none"], "cannot be used with"),
        (&[], "--usd"),
    ] {
        program
            .run(&[&["runs", "budget", &id], args].concat())
            .refused(&[words]);
    }
    program
        .run(&["runs", "budget", "00000000", "--none"])
        .refused(&["no run has the id"]);
    assert_eq!(
        fleet.count("select count(*) from tidegate.budgets").await,
        0
    );
}

/// A program with a worker folder and a file.
async fn a_folder(config: &str, params: &str) -> (TestDb, Program) {
    let db = TestDb::new().await;
    let program = Program::over(db.url());
    write(&program.folder().join("tidegate.toml"), config);
    write(
        &program.folder().join("worker.toml"),
        &format!("{ONE_TIER}{params}\n"),
    );
    write(&program.folder().join("prompt.md"), "Read this: {{ text }}");
    write(&program.folder().join("items.jsonl"), &items(3));
    (db, program)
}

const PROVIDER: &str = "[providers.sim]\nkind = \"gemini\"\napi_key_env = \"NO_KEY\"\n";
const PRICED: &str =
    "[[models]]\nname = \"sim/a\"\ninput_price_usd = 0.1\noutput_price_usd = 0.4\n";

#[tokio::test]
async fn a_run_is_made_with_its_budget_or_not_at_all() {
    let bounded = "params = { max_output_tokens = 100 }";
    let (_db, program) = a_folder(PROVIDER, bounded).await;
    let run = ["run", ".", "--budget-usd", "2.5"];
    for more in [&[][..], &["--dry-run"]] {
        program
            .run(&[&run[..], more].concat())
            .refused(&["no price is known of sim/a, sim/b", "[[models]]"]);
    }
    assert!(
        program
            .run(&["--json", "runs", "list"])
            .ok()
            .stdout
            .is_empty()
    );

    let (_db, program) = a_folder(&format!("{PROVIDER}{PRICED}"), "").await;
    program.run(&run).refused(&[
        "max_output_tokens is not set",
        "--set prompt.params.max_output_tokens",
    ]);
    let set = ["--set", "prompt.params.max_output_tokens=100"];
    let made = program.run(&[&["--json"], &run[..], &set].concat()).ok();
    assert!(
        made.stderr.contains("no price is known of sim/b"),
        "{made:?}"
    );
    let id = made.objects()[0]["run_id"].as_str().unwrap().to_owned();
    let shown = program.run(&["--json", "runs", "show", &id]).ok().objects();
    assert_eq!(shown[0]["budget"]["budget_microusd"], 2_500_000);
}

#[tokio::test]
async fn a_model_that_the_configuration_does_not_name_is_noted() {
    let (_db, program) = a_folder(&format!("{PROVIDER}{PRICED}"), "").await;
    for more in [&["--dry-run"][..], &[]] {
        let ran = program.run(&[&["run", "."], more].concat()).ok();
        let note =
            "note: sim/b is not in the configuration: its limits are learned, its price is unknown";
        assert!(ran.stderr.contains(note), "{ran:?}");
        assert!(!ran.stderr.contains("sim/a is not"), "{ran:?}");
    }
}

#[tokio::test]
async fn the_days_budget_of_the_file_is_written_when_it_changes_and_what_is_set_by_hand_stays() {
    let scene = Scene::new().await;
    let file = scene.program.folder().join("tidegate.toml");
    let id = scene.run.to_string();
    let synced = |said: &str| {
        write(&file, said);
        // any command that tells the file's models tells its budget
        scene.program.run(&["runs", "retier", &id]).ok();
        let status = scene
            .program
            .run(&["--json", "status"])
            .ok()
            .objects()
            .remove(0);
        let budget = &status["budget"];
        (
            budget["budget_microusd"].as_i64(),
            budget["source"].as_str().map(str::to_owned),
        )
    };
    let of = |micro: i64, source: &str| (Some(micro), Some(source.to_owned()));
    let said = "[budget]\nusd_per_day = 0.0001\n";
    assert_eq!(synced(said), of(100, "file"));
    assert_eq!(scene.claim().await.len(), 2, "of 42 each");
    let why = scene.why(&scene.waiting());
    assert!(
        why["reason"]
            .as_str()
            .unwrap()
            .contains("budget of the day"),
        "{why}"
    );
    assert!(why["until"].is_string(), "{why}");

    scene.fleet.store.set_budget(None, Some(500)).await.unwrap();
    assert_eq!(synced(said), of(500, "hand"));
    assert_eq!(synced(""), of(500, "hand"), "a file that says nothing");
    assert_eq!(synced("[budget]\nusd_per_day = 0.0002\n"), of(200, "file"));
    assert_eq!(synced("[budget]\nusd_per_day = \"none\"\n"), (None, None));
    assert_eq!(scene.claim().await.len(), 7);
}
