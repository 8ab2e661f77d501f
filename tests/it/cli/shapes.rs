//! What programs read: the shapes of `--json`, and tables that need no colour.

use serde_json::Value;

use super::Program;
use crate::support::fleet::{Fleet, a_model};

/// A fleet with a run of ten tasks, all waiting.
async fn waiting() -> (Fleet, Program, String) {
    let fleet = Fleet::with(vec![a_model("m")]).await;
    fleet.articles(10).await;
    let ladder: [&[&str]; 3] = [&["sim/m"], &["sim/m"], &["sim/m"]];
    let run = fleet
        .load(Fleet::entity_extraction(ladder, "sim/m"))
        .await
        .run;
    let program = Program::over(fleet.url());
    (fleet, program, run.to_string())
}

#[tokio::test]
async fn a_list_is_one_object_a_line_and_a_screen_is_one_object() {
    let (_fleet, program, run) = waiting().await;

    let tasks = program
        .run(&["--json", "tasks", "list", "--run", &run])
        .ok()
        .objects();
    assert_eq!(tasks.len(), 10);
    has(
        &tasks[0],
        &[
            "id", "run_id", "worker", "item_id", "tier", "state", "attempts", "model",
        ],
    );
    let few = program
        .run(&[
            "--json", "tasks", "list", "--state", "ready", "--limit", "3",
        ])
        .ok();
    assert_eq!(few.objects().len(), 3);
    let tier = program
        .run(&["--json", "tasks", "list", "--tier", "0"])
        .ok()
        .objects();
    assert_eq!(tier.len(), 3, "30 % of ten");

    let id = tasks[0]["id"].as_str().unwrap();
    let shown = program.run(&["--json", "tasks", "show", id]).ok().objects();
    has(&shown[0], &["id", "state", "tries", "answer", "waits"]);

    let runs = program
        .run(&["--json", "runs", "list", "--open"])
        .ok()
        .objects();
    assert_eq!(runs[0]["run_id"], Value::from(run.as_str()));
    let shown = program
        .run(&["--json", "runs", "show", &run])
        .ok()
        .objects();
    has(
        &shown[0],
        &[
            "run_id",
            "total",
            "tiers",
            "models",
            "calls",
            "calls_by_model",
            "processes",
            "final",
            "cost_microusd",
        ],
    );
    assert_eq!(shown[0]["tiers"].as_array().unwrap().len(), 3);

    let status = program.run(&["--json", "status"]).ok().objects();
    assert_eq!(status.len(), 1);
    has(&status[0], &["database", "processes", "runs", "models"]);
    assert_eq!(status[0]["runs"][0]["waiting"], 10);
}

#[tokio::test]
async fn a_model_closed_by_hand_is_why_its_tasks_wait_until_it_is_opened() {
    let (_fleet, program, run) = waiting().await;
    let tasks = program
        .run(&["--json", "tasks", "list", "--run", &run])
        .ok()
        .objects();
    let id = tasks[0]["id"].as_str().unwrap();

    let closed = [
        "--json",
        "models",
        "cool",
        "sim/m",
        "--for",
        "10m",
        "--reason",
        "by a test",
    ];
    has(&program.run(&closed).ok().objects()[0], &["model", "until"]);
    let why = program.run(&["--json", "tasks", "why", id]).ok().objects();
    let reason = why[0]["reason"].as_str().unwrap();
    assert!(reason.contains("by a test"), "{reason}");
    assert!(why[0]["until"].is_string(), "{why:?}");
    let models = program.run(&["--json", "models", "list"]).ok().objects();
    assert_eq!(models[0]["closed_by"], "cooldown: by a test");

    let cleared = program
        .run(&["--json", "models", "clear", "sim/m"])
        .ok()
        .objects();
    assert_eq!(cleared[0]["cleared"], true);
    let models = program.run(&["models", "list"]).ok();
    assert!(models.stdout.contains("open"), "{models:?}");
    program
        .run(&["models", "cool", "sim/n"])
        .refused(&["did you mean sim/m?"]);
}

#[tokio::test]
async fn tables_hold_no_escape_and_end_no_line_in_blanks() {
    let (_fleet, program, run) = waiting().await;
    for args in [
        &["status"][..],
        &["tasks", "list"],
        &["runs", "list"],
        &["runs", "show", &run],
        &["models", "list"],
        &["config", "show"],
    ] {
        let ran = program.run(args).ok();
        assert!(!ran.stdout.contains('\u{1b}'), "{ran:?}");
        assert!(
            ran.stdout.lines().all(|line| line == line.trim_end()),
            "{ran:?}"
        );
        assert!(ran.stdout.lines().count() >= 2, "{ran:?}");
    }
}

#[track_caller]
fn has(object: &Value, keys: &[&str]) {
    for key in keys {
        assert!(object.get(key).is_some(), "{key}: {object}");
    }
}
