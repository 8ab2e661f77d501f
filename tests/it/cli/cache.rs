//! What is kept is told, spared and forgotten; a dry run says what is really asked.

use serde_json::Value;

use super::{Program, Ran, write};
use crate::support::{
    fleet::{Fleet, a_model},
    work::ONE_TIER,
};

/// A program with the worker `small` in packs of three, before the simulated provider.
fn packing(fleet: &Fleet) -> Program {
    let program = Program::over(fleet.url()).with("A_TEST_KEY", "a-test-key");
    let folder = program.folder().join("small");
    std::fs::create_dir(&folder).expect("a folder");
    write(
        &folder.join("worker.toml"),
        &ONE_TIER.replace(
            "[prompt]",
            "[pack]\nsize = 3\n[prompt]\nschema = \"schema.json\"",
        ),
    );
    write(&folder.join("prompt.md"), "Read this: {{ text }}");
    write(
        &folder.join("schema.json"),
        r#"{"type": "array", "items": {"type": "string"}}"#,
    );
    let settings = format!(
        "[cache]\nmax_entries = 500\nmax_mb = 3\n[providers.sim]\nkind = \"gemini\"\nbase_url = {:?}\napi_key_env = \"A_TEST_KEY\"\n[[models]]\nname = \"sim/a\"\ninput_price_usd = 0.1\noutput_price_usd = 0.4\n[[models]]\nname = \"sim/b\"\ninput_price_usd = 0.1\noutput_price_usd = 0.4\n",
        fleet.simulator.base_url()
    );
    write(&program.folder().join("tidegate.toml"), &settings);
    program
}

/// Items by these texts.
fn tell(program: &Program, texts: &[&str]) {
    let lines: String = texts
        .iter()
        .enumerate()
        .map(|(n, text)| format!("{{\"id\": \"i{n:03}\", \"score\": {n}, \"text\": \"{text}\"}}\n"))
        .collect();
    write(&program.folder().join("small/items.jsonl"), &lines);
}

fn said(program: &Program, args: &[&str]) -> Value {
    let told = program.run(&[&["--json"], args].concat()).ok().objects();
    told.last().expect("an object").clone()
}

fn purge(program: &Program, more: &[&str]) -> Value {
    let dry = said(program, &[&["cache", "purge", "--dry-run"], more].concat());
    let done = said(program, &[&["cache", "purge"], more].concat());
    assert_eq!(dry["would_purge"], done["purged"], "{more:?}");
    done["purged"].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_dry_run_says_is_asked_is_what_is_asked() {
    let fleet = Fleet::with(vec![a_model("a"), a_model("b")]).await;
    let program = packing(&fleet);
    tell(&program, &["one", "two", "three", "four", "two"]);
    let calls = "select count(*) from tidegate.calls";
    let check = async |wanted: [i64; 4]| {
        let before = fleet.count(calls).await;
        let dry = said(&program, &["run", "small", "--dry-run"]);
        let told = ["items", "cache_hits_expected", "equal", "calls"].map(|key| dry[key].clone());
        assert_eq!(told, wanted.map(Value::from), "{dry}");
        assert_eq!(dry["packs"], dry["calls"]);
        let asked = dry["calls_by_model"].as_array().expect("a list");
        let by_model: i64 = asked.iter().filter_map(|it| it["calls"].as_i64()).sum();
        assert_eq!(by_model, wanted[3], "{dry}");
        assert_eq!(fleet.count(calls).await, before, "nothing was sent");
        let ran = said(&program, &["run", "small", "--wait"]);
        assert_eq!(ran["done"], wanted[0], "{ran}");
        // a row of calls is an item that was asked about
        let [items, hits, equal, _] = wanted;
        assert_eq!(fleet.count(calls).await - before, items - hits - equal);
        assert_eq!(ran["cache_hits"], hits + equal, "{ran}");
        dry
    };
    let first = check([5, 0, 1, 2]).await;
    let again = check([5, 5, 0, 0]).await;
    assert!(first["input_tokens"].as_i64() > Some(0), "{first}");
    assert_eq!(
        (&again["input_tokens"], &again["cost_microusd_max"]),
        (&0.into(), &Value::Null),
        "no bound on answers"
    );
    tell(
        &program,
        &["one", "two", "new", "new", "new", "newer", "newest", "last"],
    );
    check([8, 2, 2, 2]).await;
    let words = program.run(&["run", "small", "--dry-run"]).ok().stdout;
    assert!(
        words.contains("8 tasks of 8 items: 8 from the cache; calls: 0"),
        "{words}"
    );

    // ended tasks done anew by the same folder cost nothing, by another they do
    let runs = said(&program, &["runs", "list"]);
    let run = runs["run_id"].as_str().expect("an id");
    let dry = said(&program, &["reprocess", "--run", run, "--dry-run"]);
    let told = ["tasks", "cache_hits_expected", "equal", "calls"].map(|key| dry[key].clone());
    assert_eq!(told, [5, 5, 0, 0].map(Value::from), "{dry}");
    write(&program.folder().join("small/prompt.md"), "Now: {{ text }}");
    let anew = ["reprocess", "--run", run, "--folder", "small"];
    let dry = said(&program, &[&anew[..], &["--dry-run"]].concat());
    let told = ["tasks", "cache_hits_expected", "equal", "calls"].map(|key| dry[key].clone());
    assert_eq!(told, [5, 0, 1, 2].map(Value::from), "{dry}");
    let before = fleet.count(calls).await;
    let ran = said(&program, &[&anew[..], &["--wait"]].concat());
    assert_eq!(
        (&ran["done"], &ran["final"]),
        (&5.into(), &true.into()),
        "{ran}"
    );
    assert_eq!(fleet.count(calls).await - before, 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_cache_is_told_by_worker_and_forgets_what_is_named_and_nothing_else() {
    let fleet = Fleet::with(vec![a_model("a"), a_model("b")]).await;
    let program = packing(&fleet);
    let empty = program.run(&["cache", "stats"]).ok();
    assert!(empty.stderr.contains("no answer was kept yet"), "{empty:?}");
    assert!(
        empty.stdout.contains("at most 500 entries and 3.0 MiB"),
        "{empty:?}"
    );
    tell(&program, &["one", "two", "three", "four", "two"]);
    said(&program, &["run", "small", "--wait"]);
    let stats = program.run(&["--json", "cache", "stats"]).ok().objects();
    assert_eq!(stats.len(), 2, "a worker, and all");
    for (row, worker) in stats.iter().zip([Value::from("small"), Value::Null]) {
        assert_eq!(row["worker"], worker);
        let told = ["entries", "hits", "misses"].map(|key| row[key].clone());
        assert_eq!(told, [4, 1, 4].map(Value::from), "{row}");
        assert_eq!(
            (&row["hit_rate"], row["bytes"].as_i64() > Some(0)),
            (&0.2.into(), true)
        );
    }
    assert_eq!(
        (&stats[1]["max_entries"], &stats[1]["max_bytes"]),
        (&500.into(), &(3 << 20).into())
    );
    let words = program.run(&["cache", "stats"]).ok().stdout;
    assert!(words.contains("20.0 %"), "{words}");

    let none = |ran: Ran| ran.refused(&["nothing says which answers are forgotten", "--all"]);
    none(program.run(&["cache", "purge"]));
    none(program.run(&["cache", "purge", "--dry-run"]));
    let both = program.run(&["cache", "purge", "--all", "--worker", "small"]);
    assert_eq!(both.code, Some(1), "{both:?}");
    program
        .run(&["cache", "purge", "--prompt", "nosuch.md"])
        .refused(&["nosuch.md", "prompt.md"]);
    let ran = program.run(&["cache", "purge", "--older-than", "ever"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    for more in [
        &["--worker", "other"][..],
        &["--component", "names"],
        &["--model", "sim/none"],
        &["--version", "7"],
        &["--older-than", "30d"],
        &["--prompt", "tidegate.toml"],
    ] {
        assert_eq!(purge(&program, more), 0, "{more:?}");
    }
    let nothing = program.run(&["cache", "purge", "--worker", "other"]).ok();
    assert!(
        nothing
            .stderr
            .contains("no answer that is kept is of these"),
        "{nothing:?}"
    );
    assert_eq!(purge(&program, &["--prompt", "small/prompt.md"]), 4);
    said(&program, &["run", "small", "--wait"]);
    assert_eq!(
        purge(&program, &["--worker", "small", "--model", "sim/a"]),
        4
    );
    said(&program, &["run", "small", "--wait"]);
    assert_eq!(purge(&program, &["--all"]), 4);
    assert_eq!(purge(&program, &["--all"]), 0);
}
