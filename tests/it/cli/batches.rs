//! Runs by strategy through the program, and the commands that look after batches.

use std::collections::BTreeSet;

use super::{Program, shipped_worker};
use crate::support::fleet::{Fleet, a_model, shipped};

async fn fleet() -> Fleet {
    Fleet::with(vec![a_model("gemini-embedding-001")]).await
}

fn run(program: &Program, strategy: &str, more: &[&str]) -> serde_json::Value {
    let folder = shipped("embedding");
    let folder = folder.to_str().expect("UTF-8");
    let words = [
        "--json",
        "run",
        folder,
        "--wait",
        "--batching-strategy",
        strategy,
    ];
    let ran = program.run(&[&words, more].concat());
    ran.ok().objects().pop().expect("a report")
}

async fn anew(fleet: &Fleet) {
    sqlx::raw_sql("update chunks set embedding = null; delete from tidegate.result_cache; delete from tidegate.cache_uses")
        .execute(fleet.store.pool())
        .await
        .expect("nothing is known any more");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_shipped_chunks_go_singly_by_batch_both_and_as_is_best_and_the_provider_agrees() {
    let fleet = fleet().await;
    let program = shipped_worker(&fleet, "");
    let whole = "select count(*) from chunks where cardinality(embedding) = 768";
    let mut vectors = BTreeSet::new();
    for (strategy, batches, calls) in [
        // nothing is known yet
        ("auto", 1, 0),
        ("individual", 0, 5),
        ("batch", 1, 0),
        ("hybrid", 1, 1),
    ] {
        let before = (fleet.simulator.batches().len(), fleet.simulator.log().len());
        let more: &[&str] = match strategy {
            "auto" => &["--sample"],
            _ => {
                anew(&fleet).await;
                &[]
            }
        };
        let report = run(&program, strategy, more);
        assert_eq!(report["done"], 496, "{strategy}: {report}");
        assert_eq!(fleet.count(whole).await, 496);
        assert_eq!(
            fleet.simulator.batches().len() - before.0,
            batches,
            "{strategy}"
        );
        assert_eq!(fleet.simulator.log().len() - before.1, calls, "{strategy}");
        let sum: i64 = fleet
            .count("select sum(hashtext(chunk_id || embedding::text)::bigint)::bigint from chunks")
            .await;
        vectors.insert(sum);
    }
    assert_eq!(vectors.len(), 1, "whichever way, the same vectors");

    let listed = program.run(&["--json", "batches", "list"]).ok().objects();
    let ours: BTreeSet<&str> = listed
        .iter()
        .filter_map(|it| it["token"].as_str())
        .collect();
    let theirs = fleet.simulator.batches();
    let theirs: BTreeSet<&str> = theirs.iter().map(|it| it.token.as_str()).collect();
    assert_eq!(ours, theirs);
    assert!(listed.iter().all(|it| it["state"] == "over"), "{listed:?}");
    assert!(fleet.simulator.files().iter().all(|it| it.deleted));

    let id = listed[0]["id"].as_str().expect("an id");
    let shown = program
        .run(&["--json", "batches", "show", id])
        .ok()
        .objects();
    assert_eq!(shown[0], listed[0]);
    let text = program.run(&["batches", "show", id]).ok();
    assert!(text.stdout.contains("succeeded"), "{}", text.stdout);
    let late = program
        .run(&["--json", "batches", "cancel", id])
        .ok()
        .objects();
    assert_eq!(late[0]["cancelled"], false);

    let decisions = program
        .run(&["--json", "batches", "decisions"])
        .ok()
        .objects();
    let told: Vec<_> = decisions
        .iter()
        .map(|it| {
            (
                it["mode"].as_str().unwrap_or(""),
                it["strategy"].as_str().unwrap_or(""),
            )
        })
        .collect();
    assert_eq!(
        told,
        [("hybrid", "hybrid"), ("batch", "batch"), ("auto", "batch")]
    );
    assert!(decisions.iter().all(|it| it["reason"] != ""));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_that_is_not_there_is_told_as_such() {
    let fleet = fleet().await;
    let program = shipped_worker(&fleet, "");
    let nobody = "01940000-0000-7000-8000-000000000000";
    for words in [["batches", "show", nobody], ["batches", "cancel", nobody]] {
        let ran = program.run(&words);
        assert_eq!(ran.code, Some(1));
        assert!(ran.stderr.contains("batches list"), "{}", ran.stderr);
    }
    let ran = program.run(&["batches", "list"]).ok();
    assert!(ran.stderr.contains("no batches"), "{}", ran.stderr);
}
