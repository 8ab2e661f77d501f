//! A dry run says what would be asked, and leaves every row of every table as it was.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;
use tidegate::store::settle::Fate;

use super::{Program, write};
use crate::support::{
    fleet::{Fleet, a_model},
    work::{THREE_TIERS, a_process, answered, claim, items, load, unanswered},
};

/// How many rows each table holds, and what they say.
async fn all_tables(fleet: &Fleet) -> BTreeMap<String, (i64, Option<String>)> {
    let names: Vec<String> = sqlx::query_scalar(
        "select c.relname::text from pg_class c join pg_namespace n on n.oid = c.relnamespace
          where n.nspname = 'tidegate' and c.relkind in ('r', 'p') and not c.relispartition order by 1",
    )
    .fetch_all(fleet.store.pool())
    .await
    .expect("tables");
    assert!(names.len() > 20, "{names:?}");
    let mut tables = BTreeMap::new();
    for name in names {
        let sql = format!(
            "select count(*), md5(string_agg(t::text, '|' order by t::text)) from tidegate.{name} t"
        );
        let rows = sqlx::query_as(sqlx::AssertSqlSafe(sql))
            .fetch_one(fleet.store.pool())
            .await
            .expect("rows");
        tables.insert(name, rows);
    }
    tables
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dry_run_of_anything_stores_nothing_and_sends_nothing() {
    let fleet = Fleet::with(["a", "b", "c"].map(a_model).to_vec()).await;
    let store = &fleet.store;
    let run = load(store, THREE_TIERS, &items(40))
        .await
        .expect("a run")
        .run
        .to_string();
    let process = a_process(store, Duration::from_secs(600)).await;
    let mut held = claim(store, process, 20).await;
    let fail: Vec<_> = held
        .split_off(5)
        .iter()
        .map(|it| unanswered(it, Fate::Fail))
        .collect();
    store.settle_open(process, &fail).await.expect("failed");
    let done = held.iter().map(|it| answered(it, "yes")).collect();
    store.settle_done(process, done, None).await.expect("done");
    let one: String = sqlx::query_scalar(
        "select id::text from tidegate.tasks where state = 'failed' order by id limit 1",
    )
    .fetch_one(store.pool())
    .await
    .expect("one");
    let program = Program::over(fleet.url()).with("A_TEST_KEY", "a-test-key");
    let folder = program.folder().join("small");
    std::fs::create_dir(&folder).expect("a folder");
    write(&folder.join("worker.toml"), THREE_TIERS);
    write(&folder.join("prompt.md"), "Read this: {{ text }}");
    write(&folder.join("items.jsonl"), &items(7));
    write(
        &program.folder().join("tidegate.toml"),
        "[providers.sim]\nkind = \"gemini\"\napi_key_env = \"A_TEST_KEY\"\n[[models]]\nname = \"sim/a\"\ninput_price_usd = 0.1\noutput_price_usd = 0.4\n",
    );
    let before = all_tables(&fleet).await;
    let dry = |args: &[&str]| -> Value {
        let told = program
            .run(&[&["--json"], args, &["--dry-run"]].concat())
            .ok()
            .objects()
            .remove(0);
        // and in words
        program.run(&[args, &["--dry-run"]].concat()).ok();
        told
    };
    let told = dry(&["run", "small"]);
    // the best three are in the tier in which they were answered
    let of = |told: &Value| ["items", "cache_hits_expected", "calls"].map(|key| told[key].clone());
    assert_eq!(of(&told), [7, 3, 4].map(Value::from));
    for args in [
        &["retry", "--run", &run][..],
        &["tasks", "retry", "--run", &run],
        &["retry", "--worker", "small", "--where", "true"],
    ] {
        let told = dry(args);
        assert_eq!(
            (&told["would_retry"], &told["tasks"], &told["calls"]),
            (&15.into(), &15.into(), &15.into()),
            "{told}"
        );
        for key in [
            "input_tokens",
            "output_tokens_expected",
            "cost_microusd_expected",
        ] {
            assert!(told[key].as_i64() > Some(0), "{key}: {told}");
        }
        assert!(told["eta_seconds"].as_f64() > Some(0.0), "{told}");
        assert_eq!(told["cache_hits_expected"], 0);
    }
    assert_eq!(dry(&["retry", &one])["would_retry"], 1);
    assert_eq!(
        of(&dry(&["reprocess", "--run", &run])),
        [20, 5, 15].map(Value::from)
    );
    let told = dry(&["runs", "cancel", &run]);
    assert_eq!(
        (&told["would_cancel"], &told["calls"]),
        (&20.into(), &20.into()),
        "{told}"
    );
    assert_eq!(dry(&["tasks", "cancel", "--run", &run])["would_cancel"], 20);
    let told = dry(&["runs", "retier", &run, "--set", "tier.2.model=sim/a"]);
    assert!(
        told["moved"].as_i64() > Some(0) && told["eta_seconds"].is_number(),
        "{told}"
    );
    assert_eq!(
        dry(&["retry", "--run", &run, "--state", "cancelled"])["would_retry"],
        0
    );
    let after = all_tables(&fleet).await;
    for (name, rows) in &before {
        assert_eq!(after.get(name), Some(rows), "{name}");
    }
    assert!(fleet.simulator.log().is_empty());
}
