//! What is seen of a run while it is worked: lines without a terminal, a stream of objects for programs.

use serde_json::Value;

use super::{Program, write};
use crate::support::{TestDb, fleet::Fleet, fleet::a_model};

/// A worker over so many lines, of two categories, on the simulator; every tenth cannot be answered by its
/// sink.
fn folder(program: &Program, url: &str, count: usize) {
    let dir = program.folder().join("kinds");
    std::fs::create_dir(&dir).expect("a folder");
    write(
        &dir.join("worker.toml"),
        "name = \"kinds\"\nversion = \"3\"\n[source]\nfile = \"items.jsonl\"\nid = \"id\"\nscore = \"n\"\ncategory = \"kind\"\n[[tier]]\nshare = 0.5\nmix = 4\nmodel = \"sim/a\"\nfallbacks = [\"sim/b\"]\n[[tier]]\nshare = 0.5\nmix = 1\nmodel = \"sim/b\"\n[prompt]\ntemplate = \"prompt.md\"\n[sink]\nsql = \"sink.sql\"\n",
    );
    write(&dir.join("prompt.md"), "Read this: {{ n }}");
    write(
        &dir.join("sink.sql"),
        "insert into out select r.item_id from jsonb_to_recordset($1) as r (item_id text)",
    );
    let lines: String = (0..count)
        .map(|n| {
            let kind = if n % 3 == 0 { "third" } else { "other" };
            format!("{{\"id\": \"{n}\", \"n\": {n}, \"kind\": \"{kind}\"}}\n")
        })
        .collect();
    write(&dir.join("items.jsonl"), &lines);
    write(
        &program.folder().join("tidegate.toml"),
        &format!(
            "[providers.sim]\nkind = \"gemini\"\nbase_url = {url:?}\napi_key_env = \"A_TEST_KEY\"\n[[models]]\nname = \"sim/a\"\ninput_price_usd = 0.1\noutput_price_usd = 0.4\n[[models]]\nname = \"sim/b\"\ninput_price_usd = 0.1\noutput_price_usd = 0.4\n"
        ),
    );
}

async fn scene(count: usize) -> (Fleet, Program) {
    let fleet = Fleet::with(vec![a_model("a"), a_model("b")]).await;
    let program = Program::over(fleet.url()).with("A_TEST_KEY", "a-test-key");
    folder(&program, &fleet.simulator.base_url(), count);
    sqlx::raw_sql("create table out (id text primary key check (id !~ '0$'))")
        .execute(fleet.store.pool())
        .await
        .expect("a table");
    (fleet, program)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_object_of_the_stream_is_what_runs_show_tells_for_ever() {
    let (fleet, program) = scene(40).await;
    let ran = program.run(&["--json", "run", "kinds", "--wait"]);
    assert_eq!(ran.code, Some(3), "{ran:?}");
    let objects = ran.objects();
    let id = objects[0]["run_id"].as_str().expect("its id").to_owned();
    let (last, between) = objects[1..].split_last().expect("a report");
    assert!(!between.is_empty(), "a line at the beginning at least");
    for live in between {
        assert_eq!(
            (&live["final"], &live["run_id"]),
            (&Value::Bool(false), &objects[0]["run_id"])
        );
        for key in [
            "total",
            "done",
            "failed",
            "waiting",
            "success_rate",
            "tiers",
            "components",
            "categories",
            "calls",
            "ok",
            "calls_failed",
            "retries",
            "rate_limited",
            "input_tokens",
            "output_tokens",
            "tokens_per_second",
            "items_per_hour",
            "cost_microusd",
            "fallbacks",
            "cache_hits",
            "eta_seconds",
            "memory_bytes",
        ] {
            assert!(live.get(key).is_some(), "{key}: {live}");
        }
    }
    assert_eq!(last["final"], true);
    let shown = program.run(&["--json", "runs", "show", &id]).ok().objects();
    assert_eq!(&shown[0], last);
    // by tier, category, model, class and process
    assert_eq!(
        (&last["done"], &last["failed"]),
        (&36.into(), &4.into()),
        "{last}"
    );
    assert_eq!(last["tiers"][0]["total"], 20);
    assert_eq!(last["version"], "3");
    let kinds = &last["categories"];
    assert_eq!(
        (&kinds[0]["category"], &kinds[0]["total"]),
        (&"other".into(), &26.into())
    );
    assert_eq!(
        (&kinds[1]["category"], &kinds[1]["total"]),
        (&"third".into(), &14.into())
    );
    assert_eq!(last["other_categories"], Value::Null);
    assert_eq!(
        (&last["calls"], &last["ok"], &last["open"]),
        (&40.into(), &40.into(), &0.into())
    );
    assert_eq!(last["calls_by_model"][1]["calls"], 20);
    assert_eq!(
        (&last["failures"][0]["class"], &last["failures"][0]["tasks"]),
        (&"sink".into(), &4.into())
    );
    assert!(
        last["failures"][0]["example"]
            .as_str()
            .expect("words")
            .contains("sink.sql")
    );
    assert_eq!(last["processes"][0]["calls"], 40, "{last}");
    // nothing on stderr draws or repeats it
    assert!(!ran.stderr.contains('\u{1b}'), "{ran:?}");
    drop(fleet);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_terminal_progress_is_lines_on_stderr_and_the_report_goes_to_stdout() {
    let (_fleet, program) = scene(12).await;
    let ran = program.run(&["run", "kinds", "--wait"]);
    assert_eq!(ran.code, Some(3), "{ran:?}");
    let line = ran
        .stderr
        .lines()
        .find(|line| line.contains("/12  "))
        .unwrap_or_else(|| panic!("a line: {ran:?}"));
    for words in [
        "calls ",
        "retries ",
        "429s ",
        "fallbacks ",
        "cache hits ",
        "tokens ",
        "items/h",
        "memory ",
        "tier 0: ",
        "category other: ",
    ] {
        assert!(line.contains(words), "{words}: {line}");
    }
    for words in [
        "category third",
        "tier 1",
        "sim/a",
        "who worked",
        "2 failed (sink), as ",
        "success",
    ] {
        assert!(
            ran.stdout.to_lowercase().contains(words),
            "{words}: {ran:?}"
        );
    }
    assert!(
        ran.stdout.lines().all(|line| line == line.trim_end()),
        "{ran:?}"
    );
    assert!(
        !ran.stdout.contains('\u{1b}') && !ran.stderr.contains('\u{1b}'),
        "{ran:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn local_work_is_watched_without_any_model() {
    let db = TestDb::new().await;
    let program = Program::over(db.url());
    let dir = program.folder().join("twice");
    std::fs::create_dir(&dir).expect("a folder");
    write(
        &dir.join("worker.toml"),
        "name = \"twice\"\nlocal = true\n[source]\nfile = \"items.jsonl\"\nid = \"id\"\nscore = \"id\"\n[[tier]]\nshare = 1.0\nmix = 1\n",
    );
    write(&dir.join("prompt.md"), "{\"n\": {{ id }}}");
    let lines: String = (0..30).map(|n| format!("{{\"id\": {n}}}\n")).collect();
    write(&dir.join("items.jsonl"), &lines);
    let ran = program.run(&["--json", "run", "twice", "--wait"]).ok();
    let last = ran.objects().pop().expect("a report");
    assert_eq!(
        (&last["done"], &last["calls"], &last["final"]),
        (&30.into(), &0.into(), &true.into())
    );
    assert_eq!(last["processes"][0]["done"], 30, "{last}");
    assert_eq!(last["cost_microusd"], 0);
}
