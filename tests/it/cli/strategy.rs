//! How a run's tasks are asked: said by the folder and by the command line, kept with the run, shown.

use serde_json::{Value, json};
use tidegate::{
    client::register,
    definition::{Definition, Folder},
};

use super::{Program, gemini, shipped_worker};
use crate::support::{
    fleet::{Fleet, a_model, shipped},
    work::{ONE_TIER, items, load, load_with},
};

/// Of the run that was begun last: how it is asked, and whether its lanes are held.
async fn runs(fleet: &Fleet) -> Vec<(String, String, Option<i32>, bool)> {
    sqlx::query_as(
        "select distinct u.strategy, u.purpose, u.within_s, n.held
           from tidegate.runs u join tidegate.lanes n on n.run_id = u.id
          where u.id = (select max(id::text)::uuid from tidegate.runs)",
    )
    .fetch_all(fleet.store.pool())
    .await
    .expect("runs")
}

fn row(
    strategy: &str,
    purpose: &str,
    within_s: Option<i32>,
    held: bool,
) -> Vec<(String, String, Option<i32>, bool)> {
    vec![(strategy.to_owned(), purpose.to_owned(), within_s, held)]
}

#[tokio::test]
async fn a_run_keeps_how_its_tasks_are_asked_and_its_lanes_are_held_until_that_is_chosen() {
    let fleet = Fleet::with(vec![a_model("a"), a_model("b")]).await;
    load(&fleet.store, ONE_TIER, &items(3))
        .await
        .expect("a run");
    assert_eq!(runs(&fleet).await, row("individual", "bulk", None, false));
    let table = format!("{ONE_TIER}\n[strategy]\npurpose = \"rag_query\"\ndeadline_s = 600\n");
    let more = "{\"id\": \"another\", \"score\": 1, \"text\": \"x\"}\n";
    let run = load(&fleet.store, &table, more).await.expect("a run").run;
    let held = row("auto", "interactive", Some(600), true);
    assert_eq!(runs(&fleet).await, held);

    let program = Program::over(fleet.url());
    let id = run.to_string();
    let shown = program
        .run(&["--json", "runs", "show", &id])
        .ok()
        .objects()
        .remove(0);
    assert_eq!(
        (&shown["strategy"], &shown["purpose"], &shown["within_s"]),
        (&json!("auto"), &json!("interactive"), &json!(600))
    );
    let words = program.run(&["runs", "show", &id]).ok().stdout;
    assert!(words.contains("auto, interactive, within"), "{words}");
}

#[tokio::test]
async fn a_retiering_that_changes_how_tasks_are_asked_is_chosen_anew() {
    let fleet = Fleet::with(vec![a_model("a"), a_model("b")]).await;
    let run = load(&fleet.store, ONE_TIER, &items(3))
        .await
        .expect("a run")
        .run;
    let (program, id) = (Program::over(fleet.url()), run.to_string());
    let retier = |set: &str| program.run(&["runs", "retier", &id, "--set", set]).ok();
    retier("strategy.mode=batch");
    assert_eq!(runs(&fleet).await, row("batch", "bulk", None, true));
    // what lets a lane go is not undone by words that say the same
    sqlx::query("update tidegate.lanes set held = false")
        .execute(fleet.store.pool())
        .await
        .expect("let go");
    retier("tier.0.mix=3");
    assert_eq!(runs(&fleet).await, row("batch", "bulk", None, false));
    retier("strategy.deadline_s=60");
    assert_eq!(runs(&fleet).await, row("batch", "bulk", Some(60), true));
    retier("strategy.mode=individual");
    assert_eq!(
        runs(&fleet).await,
        row("individual", "bulk", Some(60), false)
    );
}

#[tokio::test]
async fn a_worker_known_by_name_says_how_its_tasks_are_asked() {
    let fleet = Fleet::with(vec![a_model("a"), a_model("b")]).await;
    let mut folder = Folder::default();
    folder.insert(
        "worker.toml",
        &format!("{ONE_TIER}\n[strategy]\nmode = \"hybrid\"\n"),
    );
    folder.insert("prompt.md", "Read this: {{ text }}");
    let definition = Definition::check(&folder, &[]).expect("it holds");
    register(&fleet.store, &definition).await.expect("known");
    assert_eq!(runs(&fleet).await, row("hybrid", "bulk", None, true));
    let local = "name = \"l\"\nlocal = true\n[source]\nfile = \"x.jsonl\"\nid = \"id\"\n";
    folder.insert("worker.toml", local);
    let definition = Definition::check(&folder, &[]).expect("it holds");
    register(&fleet.store, &definition).await.expect("known");
    assert_eq!(runs(&fleet).await, row("individual", "bulk", None, false));
}

#[tokio::test]
async fn the_same_words_take_up_a_load_and_another_strategy_is_another_run() {
    let fleet = Fleet::with(vec![a_model("a"), a_model("b")]).await;
    let set = |mode: &str| vec![("strategy.mode".to_owned(), mode.to_owned())];
    let store = &fleet.store;
    let lines = items(3);
    let first = load_with(store, ONE_TIER, &lines, &set("batch"))
        .await
        .expect("a run")
        .run;
    // as a crash would have left it
    sqlx::query("update tidegate.runs set state = 'loading', loaded_at = null where id = $1")
        .bind(first)
        .execute(store.pool())
        .await
        .expect("half loaded");
    let again = load_with(store, ONE_TIER, &lines, &set("batch"))
        .await
        .expect("a run");
    assert_eq!((again.run, again.resumed), (first, true));
    assert_eq!(runs(&fleet).await, row("batch", "bulk", None, true));
    let other = load_with(store, ONE_TIER, &lines, &set("hybrid"))
        .await
        .expect("a run");
    assert!(other.run != first && !other.resumed);
}

#[tokio::test]
async fn batching_strategy_is_the_last_word_of_a_run() {
    let fleet = gemini().await;
    fleet.articles(3).await;
    let program = shipped_worker(&fleet, "");
    let worker = shipped("entity_extraction").display().to_string();
    let run = |more: &[&str]| -> Value {
        let args = ["--json", "run", &worker];
        program
            .run(&[&args[..], more].concat())
            .ok()
            .objects()
            .remove(0)
    };
    let dry = run(&["--dry-run"]);
    assert_eq!(dry["strategy"], "individual", "the shipped folder");
    let set = [
        "--set",
        "strategy.mode=hybrid",
        "--batching-strategy",
        "batch",
    ];
    let dry = run(&[&set[..], &["--dry-run"]].concat());
    assert_eq!(dry["strategy"], "batch");
    run(&set);
    assert_eq!(runs(&fleet).await, row("batch", "bulk", None, true));
    program
        .run(&["run", &worker, "--batching-strategy", "fast"])
        .refused(&["auto, individual, batch, hybrid"]);
}
