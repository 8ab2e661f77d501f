//! Acts on whole runs: paused, cancelled, exported, deleted, by as much of an id as names one.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use serde_json::{Value, json};
use tidegate::{
    store::settle::{Fate, Settled},
    task::Answer,
};
use uuid::Uuid;

use super::Program;
use crate::support::{
    fleet::{Fleet, a_model},
    work::{ONE_TIER, a_process, answered, claim, items, load, unanswered},
};

/// A loaded run of so many items.
struct Scene {
    fleet: Fleet,
    program: Program,
    run: Uuid,
    process: Uuid,
}

impl Scene {
    async fn of(count: usize) -> Self {
        let fleet = Fleet::with(vec![a_model("a"), a_model("b")]).await;
        let run = load(&fleet.store, ONE_TIER, &items(count))
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

    /// One verb of `runs` on this run; its object.
    #[track_caller]
    fn act(&self, verb: &str, more: &[&str]) -> Value {
        let id = self.run.to_string();
        let args = [&["--json", "runs", verb, &id], more].concat();
        self.program.run(&args).ok().objects().remove(0)
    }

    async fn count(&self, sql: &'static str) -> i64 {
        self.fleet.count(sql).await
    }
}

#[tokio::test]
async fn a_paused_run_gives_nothing_until_it_is_resumed() {
    let scene = Scene::of(3).await;
    // twelve digits are enough where there is one run
    let short = scene.run.simple().to_string()[..12].to_owned();
    let paused = ["--json", "runs", "pause", &short];
    for changed in [true, false] {
        let told = scene.program.run(&paused).ok().objects().remove(0);
        assert_eq!(
            told,
            json!({"run": scene.run, "state": "paused", "changed": changed})
        );
        assert!(claim(&scene.fleet.store, scene.process, 9).await.is_empty());
    }
    for changed in [true, false] {
        assert_eq!(scene.act("resume", &[])["changed"], changed);
    }
    assert_eq!(claim(&scene.fleet.store, scene.process, 9).await.len(), 3);
    scene.act("cancel", &[]);
    let id = scene.run.to_string();
    for verb in ["pause", "resume"] {
        scene
            .program
            .run(&["runs", verb, &id])
            .refused(&["has ended", "cancelled", "help: "]);
    }
}

#[tokio::test]
async fn a_run_is_named_by_as_much_of_its_id_as_names_it() {
    let scene = Scene::of(1).await;
    let id = scene.run.to_string();
    scene.program.run(&["runs", "show", &id[..13]]).ok();
    let listed = scene
        .program
        .run(&["--json", "tasks", "list", "--run", &id[..13]])
        .ok();
    assert_eq!(listed.objects().len(), 1);
    scene
        .program
        .run(&["tasks", "retry", "--run", "00000000"])
        .refused(&["no run has the id"]);
    for (text, words) in [
        ("00000000", "no run has the id"),
        ("%", "is no id"),
        (&id[..7], "at least its first 8 digits"),
    ] {
        scene
            .program
            .run(&["runs", "show", text])
            .refused(&[words, "help: "]);
    }
    let twin = "insert into tidegate.runs (id, worker, definition_hash, source, mix, state, loaded_at)
                select overlay(id::text placing '0000' from 33)::uuid, worker, definition_hash, 'twin', mix, 'done', now()
                  from tidegate.runs";
    sqlx::raw_sql(twin)
        .execute(scene.fleet.store.pool())
        .await
        .unwrap();
    scene.program.run(&["runs", "show", &id[..13]]).refused(&[
        "several runs",
        &id,
        "write more of it",
    ]);
}

#[tokio::test]
async fn cancelling_a_run_ends_what_waits_and_runs_and_saying_it_twice_is_saying_it_once() {
    let scene = Scene::of(2_300).await;
    let store = &scene.fleet.store;
    let mut held = claim(store, scene.process, 5).await;
    let done = answered(&held.remove(0), "yes");
    store
        .settle_done(scene.process, vec![done], None)
        .await
        .unwrap();
    let later = unanswered(&held.remove(0), Fate::Reschedule { delay_ms: 60_000 });
    store.settle_open(scene.process, &[later]).await.unwrap();

    let told = scene.act("cancel", &["--dry-run"]);
    assert_eq!(
        (&told["would_cancel"], &told["running"]),
        (&json!(2_299), &json!(3))
    );
    assert_eq!(
        scene
            .count("select count(*) from tidegate.tasks where state = 'cancelled'")
            .await,
        0
    );

    let told = scene.act("cancel", &[]);
    assert_eq!(
        told,
        json!({"run": scene.run, "cancelled": 2_299, "state": "cancelled"})
    );
    for book in [
        "select count(*) from tidegate.ready",
        "select count(*) from tidegate.running",
        "select count(*) from tidegate.scheduled",
        "select count(*) from tidegate.open_keys",
        "select count(*) from tidegate.lanes where open",
        "select count(*) from tidegate.runs where finished_at is null",
    ] {
        assert_eq!(scene.count(book).await, 0, "{book}");
    }
    let late = store
        .settle_done(scene.process, vec![answered(&held[0], "late")], None)
        .await;
    assert_eq!(late.unwrap()[0].1, Settled::Superseded);
    assert_eq!(scene.act("cancel", &[])["cancelled"], 0);
    assert_eq!(scene.act("cancel", &["--dry-run"])["would_cancel"], 0);

    let id = scene.run.to_string();
    let back = scene
        .program
        .run(&["--json", "tasks", "retry", "--run", &id])
        .ok()
        .objects();
    assert_eq!(back[0]["retried"], 2_299);
    let again = "select count(*) from tidegate.ready r join tidegate.tasks t on t.id = r.id where t.generation = 2";
    assert_eq!(scene.count(again).await, 2_299);
}

#[tokio::test]
async fn the_standing_run_of_a_worker_is_emptied_and_stays_open() {
    let scene = Scene::of(5).await;
    let standing =
        "insert into tidegate.workers (worker, definition_hash, run_id, lanes, local, max_attempts)
                    select u.worker, u.definition_hash, u.id, array[n.lane], false, 4
                      from tidegate.runs u join tidegate.lanes n on n.run_id = u.id";
    sqlx::raw_sql(standing)
        .execute(scene.fleet.store.pool())
        .await
        .unwrap();
    for cancelled in [5, 0] {
        let told = scene.act("cancel", &[]);
        assert_eq!(
            told,
            json!({"run": scene.run, "cancelled": cancelled, "state": "active"})
        );
    }
    let id = scene.run.to_string();
    scene
        .program
        .run(&["runs", "delete", &id])
        .refused(&["has not ended"]);
}

#[tokio::test]
async fn a_run_that_is_still_loading_can_be_cancelled_and_its_loader_is_refused() {
    let scene = Scene::of(3).await;
    let loader = a_process(&scene.fleet.store, Duration::from_secs(60)).await;
    sqlx::query("update tidegate.runs set state = 'loading', loaded_at = null, loader_id = $1")
        .bind(loader)
        .execute(scene.fleet.store.pool())
        .await
        .unwrap();
    let id = scene.run.to_string();
    scene
        .program
        .run(&["runs", "pause", &id])
        .refused(&["still being loaded", "help: "]);
    assert_eq!(scene.act("cancel", &[])["cancelled"], 3);
    let opened = scene.fleet.store.open_run(scene.run, loader).await;
    assert!(
        opened
            .unwrap_err()
            .to_string()
            .contains("somebody cancelled it")
    );
}

/// Two thousand and more tasks: one answered with hostile text, one failed with a formula.
async fn exported() -> Scene {
    let scene = Scene::of(1_203).await;
    let store = &scene.fleet.store;
    let claimed = claim(store, scene.process, 2).await;
    let mut done = answered(&claimed[0], "");
    done.answer =
        Answer::json("{\"n\": 1.0e2,\r\n \"n\": 1.50, \"s\": \"\\u0000\u{9b}\"}").expect("JSON");
    store
        .settle_done(scene.process, vec![done], None)
        .await
        .expect("settled");
    let mut failed = unanswered(&claimed[1], Fate::Fail);
    failed.error = "=HYPERLINK(\"http://x\")".to_owned();
    failed.spent.cost_microusd = Some(11);
    store
        .settle_open(scene.process, &[failed])
        .await
        .expect("settled");
    scene
}

#[tokio::test]
async fn an_export_has_every_task_once_and_answers_byte_for_byte() {
    let scene = exported().await;
    let id = scene.run.to_string();
    let all = scene.program.run(&["runs", "export", &id]).ok();
    let records = all.objects();
    assert_eq!(records.len(), 1_203);
    assert!(records.is_sorted_by_key(|it| it["item_id"].as_str().map(str::to_owned)));
    let exact = "\"answer\":{\"n\": 1.0e2,   \"n\": 1.50, \"s\": \"\\u0000\u{9b}\"}";
    assert!(all.stdout.contains(exact), "{}", &all.stdout[..600]);
    let done = &records[0];
    assert_eq!(
        (
            &done["item_id"],
            &done["state"],
            &done["model"],
            &done["cost_microusd"],
            &done["tier"]
        ),
        (
            &json!("i00000"),
            &json!("done"),
            &json!("sim/a"),
            &json!(7),
            &json!(0)
        )
    );
    let failed = &records[1];
    assert_eq!(
        (
            &failed["state"],
            &failed["answer"],
            &failed["cost_microusd"]
        ),
        (&json!("failed"), &Value::Null, &json!(11))
    );
    assert_eq!(failed["error_class"], "provider_failed");
    let some = scene
        .program
        .run(&["runs", "export", &id, "--state", "done,failed"])
        .ok();
    assert_eq!(some.objects().len(), 2);
    assert!(some.stderr.contains("exported 2 tasks"), "{some:?}");
}

#[tokio::test]
async fn tasks_without_an_item_are_exported_and_cancelled_after_the_others() {
    let scene = Scene::of(1_203).await;
    // as if they had been enqueued by themselves
    let lone = "update tidegate.tasks set item_id = null where item_id > 'i00400';
                delete from tidegate.open_keys where item_id > 'i00400'";
    sqlx::raw_sql(lone)
        .execute(scene.fleet.store.pool())
        .await
        .unwrap();
    let id = scene.run.to_string();
    let records = scene.program.run(&["runs", "export", &id]).ok().objects();
    let tasks: std::collections::HashSet<_> =
        records.iter().map(|it| it["task_id"].to_string()).collect();
    assert_eq!((records.len(), tasks.len()), (1_203, 1_203));
    assert!(records[401..].iter().all(|it| it["item_id"].is_null()));
    assert_eq!(scene.act("cancel", &[])["cancelled"], 1_203);
}

#[tokio::test]
async fn an_exported_file_is_private_and_its_formulas_are_harmless() {
    let scene = exported().await;
    let path = |name: &str| scene.program.folder().join(name);
    let told = scene.act("export", &["--format", "csv", "--out", "out.csv"]);
    assert_eq!(
        (&told["exported"], &told["to"]),
        (&json!(1_203), &json!("out.csv"))
    );
    let mode = |name: &str| std::fs::metadata(path(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode("out.csv"), 0o600);
    assert!(!path(".out.csv.tidegate-part").exists());
    let mut rows = csv::Reader::from_path(path("out.csv")).unwrap();
    let header = rows.headers().unwrap().clone();
    let rows: Vec<_> = rows.records().map(|row| row.unwrap()).collect();
    assert_eq!(rows.len(), 1_203);
    let cell = |row: usize, name: &str| {
        let at = header.iter().position(|it| it == name).unwrap();
        rows[row][at].to_owned()
    };
    assert_eq!(cell(1, "error"), "'=HYPERLINK(\"http://x\")");
    assert!(cell(0, "answer").starts_with("{\"n\": 1.0e2,"));

    let told = scene.act("export", &["--dir", "out", "--state", "done"]);
    assert_eq!(told["exported"], 1);
    assert_eq!((mode("out"), mode("out/i00000.json")), (0o700, 0o600));
    let text = std::fs::read_to_string(path("out/i00000.json")).unwrap();
    assert!(text.contains("\"answer\":{\"n\": 1.0e2, "), "{text}");

    let id = scene.run.to_string();
    let again = ["runs", "export", &id, "--dir", "out", "--state", "done"];
    scene.program.run(&again).ok();
    std::fs::write(path("out/i00000.json"), "mine").unwrap();
    scene.program.run(&again).refused(&[
        "out/i00000.json is there, and holds something else",
        "--force",
    ]);
    let text = || std::fs::read_to_string(path("out/i00000.json")).unwrap();
    assert_eq!(text(), "mine");
    scene.program.run(&[&again[..], &["--force"]].concat()).ok();
    assert_ne!(text(), "mine");
    let export = ["runs", "export", &id, "--format", "csv"];
    for (more, words) in [
        (&["--dir", "x"][..], "never CSV"),
        (&["--json"], "contradict"),
    ] {
        scene
            .program
            .run(&[&export[..], more].concat())
            .refused(&[words]);
    }
    let nowhere = scene
        .program
        .run(&["runs", "export", &id, "--out", "no/such/folder/x"]);
    assert_eq!(nowhere.code, Some(2), "{nowhere:?}");
    assert!(
        nowhere.stderr.contains("cannot write no/such/folder"),
        "{nowhere:?}"
    );
}

#[tokio::test]
async fn a_run_is_deleted_once_it_has_ended_and_its_calls_stay() {
    let scene = exported().await;
    let id = scene.run.to_string();
    scene
        .program
        .run(&["runs", "delete", &id])
        .refused(&["has not ended", &format!("tidegate runs cancel {id}")]);
    let refused = scene.fleet.store.delete_run(scene.run, 10).await;
    assert!(
        refused
            .unwrap_err()
            .to_string()
            .contains("only a run that has ended")
    );
    scene.act("cancel", &[]);
    let told = scene.act("delete", &["--dry-run"]);
    assert_eq!(told["would_delete"]["tasks"], 1_203);
    let other = load(&scene.fleet.store, ONE_TIER, &items(2))
        .await
        .unwrap()
        .run;
    assert_eq!(scene.act("delete", &[])["deleted"]["items"], 1_203);
    for (table, left) in [
        ("select count(*) from tidegate.tasks", 2),
        ("select count(*) from tidegate.items", 2),
        ("select count(*) from tidegate.task_results", 0),
        ("select count(*) from tidegate.task_attempts_closed", 0),
        ("select count(*) from tidegate.failed", 0),
        ("select count(*) from tidegate.runs", 1),
        (
            "select count(*) from tidegate.calls where cost_microusd > 0",
            2,
        ),
    ] {
        assert_eq!(scene.count(table).await, left, "{table}");
    }
    scene
        .program
        .run(&["runs", "delete", &id])
        .refused(&["no run has the id"]);
    scene
        .program
        .run(&["runs", "show", &other.to_string()])
        .ok();
}
