//! F60 at the command line: hostile text goes in by files and comes out by `show`, and harms neither.

use std::time::Duration;

use tidegate::{store::settle::Fate, task::Answer};

use super::{Program, write};
use crate::support::{
    fleet::{Fleet, a_model},
    work::{ONE_TIER, a_process, answered, claim, items, load, unanswered},
};

#[tokio::test]
async fn f60_an_answer_is_shown_as_it_was_given_on_one_line() {
    let fleet = Fleet::with(vec![a_model("a"), a_model("b")]).await;
    load(&fleet.store, ONE_TIER, &items(2)).await.unwrap();
    let process = a_process(&fleet.store, Duration::from_secs(60)).await;
    let claimed = claim(&fleet.store, process, 2).await;
    let given = "{\n\t\"n\": 1.0e2, \"n\": 9223372036854775809,\r\n \"s\": \"a\\u0000\u{9b}\"}";
    let mut done = answered(&claimed[0], "");
    done.answer = Answer::json(given).unwrap();
    fleet
        .store
        .settle_done(process, vec![done], None)
        .await
        .unwrap();
    let mut failed = unanswered(&claimed[1], Fate::Fail);
    failed.error = "a\0b\u{1b}[2J\u{9b}".to_owned();
    fleet.store.settle_open(process, &[failed]).await.unwrap();

    let program = Program::over(fleet.url());
    let id = |n: usize| claimed[n].task.to_string();
    let shown = program.run(&["--json", "tasks", "show", &id(0)]).ok();
    assert_eq!(shown.objects().len(), 1, "one line");
    let exact =
        "\"answer\":{  \"n\": 1.0e2, \"n\": 9223372036854775809,   \"s\": \"a\\u0000\\u009b\"}";
    assert!(shown.stdout.contains(exact), "{shown:?}");
    for args in [
        &["tasks", "show", &id(0)][..],
        &["tasks", "show", &id(1)],
        &["tasks", "list"],
        &["status"],
    ] {
        let ran = program.run(args).ok();
        let control = |c: char| c.is_control() && c != '\n';
        assert!(!ran.stdout.contains(control), "{ran:?}");
    }
}

#[tokio::test]
async fn f60_a_file_of_hostile_lines_is_refused_by_its_line_or_kept_byte_for_byte() {
    let fleet = Fleet::with(vec![a_model("a"), a_model("b")]).await;
    let program = Program::over(fleet.url()).with("A_TEST_KEY", "a-test-key");
    let folder = program.folder().join("w");
    std::fs::create_dir(&folder).unwrap();
    write(&folder.join("worker.toml"), ONE_TIER);
    write(&folder.join("prompt.md"), "{{ text }}");
    write(&folder.join("sink.sql"), "select $1::jsonb");
    let toml = format!(
        "[providers.sim]\nkind = \"gemini\"\nbase_url = {:?}\napi_key_env = \"A_TEST_KEY\"\n\
         [[models]]\nname = \"sim/a\"\n[[models]]\nname = \"sim/b\"\n",
        fleet.simulator.base_url()
    );
    write(&program.folder().join("tidegate.toml"), &toml);
    let file = folder.join("items.jsonl");
    let deep = format!(
        "{{\"id\": \"x\", \"a\": {}1{}}}",
        "[".repeat(10_000),
        "]".repeat(10_000)
    );
    for (line, words) in [
        (deep.as_bytes(), "nested deeper than 128"),
        (b"{\"id\": \"\\ud800\"}", "half of a surrogate pair"),
        (b"{\"id\": \"a\\u0000\"}", "holds a NUL (U+0000)"),
        (b"{\"id\": \"\xff\"}", "not valid UTF-8 at byte 9"),
        (b"{\"id\": \"x\", \"score\": 1e400000}", "no finite number"),
        (b"{\"id\": \"x\"\0}", "is not JSON"),
    ] {
        std::fs::write(&file, [b"{\"id\": \"ok\", \"score\": 1}\n", line].concat()).unwrap();
        let ran = program.run(&["run", "w"]).refused(&["line 2", words]);
        assert!(
            !ran.stderr.contains(|c: char| c.is_control() && c != '\n'),
            "{ran:?}"
        );
    }
    assert_eq!(fleet.count("select count(*) from tidegate.tasks").await, 0);

    let line = "{\"id\": 1.0e2, \"score\": 1, \"text\": \"t\", \"n\": 1e400000, \"n\": 9223372036854775809, \"x\": \"\\ud800\\u0000\"}";
    write(&file, &format!("\u{feff}{line}\n"));
    program.run(&["run", "w"]).ok();
    let body: String =
        sqlx::query_scalar("select body from tidegate.items where item_id = '1.0e2'")
            .fetch_one(fleet.store.pool())
            .await
            .unwrap();
    assert_eq!(body, line);
}
