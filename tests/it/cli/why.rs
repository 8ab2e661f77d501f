//! Why a task waits: by its own prompt, its place, its policy.

use std::time::Duration;

use serde_json::{Value, json};

use super::Program;
use crate::support::{
    fleet::{Fleet, a_model},
    work::{ONE_TIER, a_process, claim, load},
};

#[tokio::test]
async fn a_long_prompt_waits_for_room_of_its_own_size_though_short_ones_would_pass() {
    let fleet = Fleet::with(vec![a_model("a"), a_model("b")]).await;
    let long = "word ".repeat(400);
    let lines = format!(
        "{{\"id\": \"short\", \"score\": 3, \"text\": \"Text.\"}}\n{{\"id\": \"long\", \"score\": 2, \"text\": \"{long}\"}}\n{{\"id\": \"other\", \"score\": 1, \"text\": \"Text.\"}}\n"
    );
    load(&fleet.store, ONE_TIER, &lines).await.unwrap();
    let program = Program::over(fleet.url());
    let process = a_process(&fleet.store, Duration::from_secs(60)).await;
    let est = fleet
        .count("select est_tokens::bigint from tidegate.tasks where item_id = 'long'")
        .await;
    // room for the long one alone, less than for it and a short one
    let tpm = (est + 1).to_string();
    program.run(&["models", "set", "sim/a", "--tpm", &tpm]).ok();
    program
        .run(&["models", "pause", "sim/b", "--reason", "too dear"])
        .ok();
    let held = claim(&fleet.store, process, 1).await;
    assert_eq!(held[0].item.as_deref(), Some("short"));

    let why = |item: &str| {
        let listed = program
            .run(&["--json", "tasks", "list", "--item", item])
            .ok()
            .objects();
        let id = listed[0]["id"].as_str().unwrap().to_owned();
        let why = program
            .run(&["--json", "tasks", "why", &id])
            .ok()
            .objects()
            .remove(0);
        let screen = program.run(&["tasks", "why", &id]).ok().stdout;
        (why, screen)
    };
    let (told, screen) = why("long");
    let reason = told["reason"].as_str().unwrap();
    for words in [
        "no model of its ladder can take it now",
        "input tokens per minute",
        "too dear",
    ] {
        assert!(reason.contains(words), "{told}");
        assert!(screen.contains(words), "{screen}");
    }
    let rungs = told["ladder"].as_array().unwrap();
    assert_eq!(
        (&rungs[0]["model"], &rungs[0]["need"], &rungs[0]["size"]),
        (&json!("sim/a"), &json!(est), &json!(est + 1))
    );
    assert!(
        rungs[0]["until"].is_string() && told["until"] == rungs[0]["until"],
        "{told}"
    );
    assert_eq!(rungs[1]["until"], Value::Null);
    assert_eq!(
        (&told["est_tokens"], &told["policy"], &told["kind"]),
        (&json!(est), &json!("auto"), &json!("models"))
    );
    assert_eq!(rungs[0]["waiting"], 2);
    assert_eq!(
        rungs[0]["next_task"], told["task_id"],
        "the long one comes first"
    );

    // the short one has its turn: only the paused fallback is closed to it
    let (told, screen) = why("other");
    assert!(
        told["reason"].as_str().unwrap().starts_with("its turn"),
        "{told}"
    );
    assert_eq!(
        (&told["kind"], &told["ahead"], &told["ladder"][0]["takable"]),
        (&json!("turn"), &json!(1), &json!(true))
    );
    assert!(screen.contains("1 tasks of its run and tier"), "{screen}");
    let (told, _) = why("short");
    assert_eq!(
        (&told["state"], &told["reason"]),
        (&json!("running"), &Value::Null)
    );
}

#[tokio::test]
async fn a_prompt_larger_than_a_models_minute_is_told_and_a_paced_run_too() {
    let fleet = Fleet::with(vec![a_model("a"), a_model("b")]).await;
    let paced = format!(
        "{ONE_TIER}[pacing]\ncool_after = 1\ncool_s = 3600\n[routing]\npolicy = \"spread\"\n"
    );
    let lines = format!(
        "{{\"id\": \"x\", \"score\": 1, \"text\": \"{}\"}}\n",
        "word ".repeat(400)
    );
    let more = "{\"id\": \"y\", \"score\": 2, \"text\": \"T\"}\n";
    load(&fleet.store, &paced, &format!("{lines}{more}"))
        .await
        .unwrap();
    let program = Program::over(fleet.url());
    let id = program
        .run(&["--json", "tasks", "list", "--item", "x"])
        .ok()
        .objects()[0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let why = || {
        program
            .run(&["--json", "tasks", "why", &id])
            .ok()
            .objects()
            .remove(0)
    };
    for model in ["sim/a", "sim/b"] {
        program.run(&["models", "set", model, "--tpm", "10"]).ok();
    }
    let told = why();
    assert!(
        told["reason"].as_str().unwrap().contains("its prompt of"),
        "{told}"
    );
    assert_eq!(
        (&told["until"], &told["policy"]),
        (&Value::Null, &json!("spread"))
    );

    let process = a_process(&fleet.store, Duration::from_secs(60)).await;
    assert_eq!(claim(&fleet.store, process, 9).await.len(), 1);
    let told = why();
    assert_eq!(
        (&told["kind"], &told["reason"]),
        (&json!("pacing"), &json!("its run is paced"))
    );
    assert!(told["until"].is_string(), "{told}");
}
