//! The worker that ships for labels of pages, from its sample to the user's tables.

use serde_json::json;

use super::{Program, Ran, gemini, shipped_worker, write};
use crate::support::fleet::{Fleet, a_model, shipped, simulated};

fn run(program: &Program, more: &[&str]) -> Ran {
    let folder = shipped("tag_space");
    let folder = folder.to_str().expect("UTF-8");
    program.run(&[&["--json", "run", folder, "--wait"], more].concat())
}

async fn act(fleet: &Fleet, sql: &'static str) {
    sqlx::raw_sql(sql)
        .execute(fleet.store.pool())
        .await
        .unwrap_or_else(|error| panic!("{sql}: {error}"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sample_is_labelled_by_version_and_an_edited_page_is_asked_about_again() {
    let fleet = gemini().await;
    let program = shipped_worker(&fleet, "");
    run(&program, &["--sample", "--limit", "40"]).ok();
    let count = async |sql| fleet.count(sql).await;
    assert_eq!(count("select count(*) from pages").await, 1_863);
    assert_eq!(
        count(
            "select count(*) from pages where version = 2 and body like '%(This page was edited.)'"
        )
        .await,
        186
    );
    let whole = "select count(*) from page_labels l join pages p using (page_id, version)
                  where cardinality(l.labels) between 1 and 4 and l.model like 'gemini/%'";
    assert_eq!(count(whole).await, 40);

    act(
        &fleet,
        "delete from pages p where not exists (select from page_labels l where l.page_id = p.page_id)",
    )
    .await;
    let told = run(&program, &[]).ok().objects();
    assert_eq!(told[0]["items"], 0, "all are labelled");
    act(
        &fleet,
        "update pages set body = body || ' Once more.' where page_id in (select page_id from pages order by page_id limit 3)",
    )
    .await;
    let told = run(&program, &[]).ok().objects();
    assert_eq!(told[0]["items"], 3);
    assert_eq!(count(whole).await, 40);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_of_no_bytes_is_labelled_and_one_of_two_megabytes_fails_alone() {
    let fleet = gemini().await;
    let limits = "[[models]]\nname = \"gemini/gemini-3.5-flash-lite\"\ntpm = 250000\n[[models]]\nname = \"gemini/gemini-3.1-flash-lite\"\ntpm = 250000\n";
    let program = shipped_worker(&fleet, limits);
    run(&program, &["--sample", "--limit", "1"]).ok();
    act(&fleet, "delete from pages").await;
    act(
        &fleet,
        "insert into pages (page_id, space, title, body) values
           ('empty', 'addresses', '', ''), ('long', 'addresses', 'Long', repeat('word ', 420000)),
           ('short', 'addresses', 'Short', 'The war ended.')",
    )
    .await;
    let ran = run(&program, &[]);
    assert_eq!(ran.code, Some(3), "{ran:?}");
    let labelled: Vec<String> =
        sqlx::query_scalar("select page_id from page_labels order by page_id")
            .fetch_all(fleet.store.pool())
            .await
            .expect("labels");
    assert_eq!(labelled, ["empty", "short"]);
    let reason: String = sqlx::query_scalar(
        "select last_error from tidegate.tasks where state = 'failed' and item_id = 'long'",
    )
    .fetch_one(fleet.store.pool())
    .await
    .expect("it failed");
    assert!(
        reason.ends_with("is larger than what any model of its ladder takes per minute (250000)"),
        "{reason}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_vocabulary_is_refused_before_anything_is_stored() {
    let fleet = gemini().await;
    let program = shipped_worker(&fleet, "");
    let folder = program.folder().join("labels");
    std::fs::create_dir(&folder).expect("a folder");
    for name in ["worker.toml", "prompt.md", "source.sql", "sink.sql"] {
        std::fs::copy(shipped("tag_space").join(name), folder.join(name)).expect("copied");
    }
    write(
        &folder.join("schema.json"),
        &json!({"type": "array", "items": {"enum": []}}).to_string(),
    );
    program
        .run(&["run", "labels", "--wait"])
        .refused(&["schema.json:1: /items/enum is empty, so no answer could ever be right"]);
    assert_eq!(
        fleet
            .count("select count(*) from tidegate.worker_definitions")
            .await,
        0
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_that_are_kept_are_not_asked_about_again_and_edited_ones_are() {
    let fleet = gemini().await;
    let program = shipped_worker(&fleet, "");
    let last = |ran: Ran| ran.ok().objects().pop().expect("a report");
    let calls = async || fleet.simulator.log().len() as i64;
    let first = last(run(&program, &["--sample", "--limit", "40"]));
    assert_eq!(
        (&first["done"], &first["packed"], &first["cache_hits"]),
        (&40.into(), &40.into(), &0.into()),
        "{first}"
    );
    assert_eq!(first["calls"], calls().await, "{first}");
    assert_eq!(
        (&first["calls"], &first["items_per_pack"]),
        (&8.into(), &5.0.into())
    );
    act(&fleet, "delete from pages p where not exists (select from page_labels l where l.page_id = p.page_id); delete from page_labels").await;
    let again = last(run(&program, &[]));
    let told = ["done", "cache_hits", "calls"].map(|key| again[key].clone());
    assert_eq!(told, [40, 40, 0].map(serde_json::Value::from), "{again}");
    act(
        &fleet,
        "delete from page_labels; update pages set body = body || ' Once more.' where page_id in (select page_id from pages order by page_id limit 3)",
    )
    .await;
    let folder = shipped("tag_space");
    let dry = last(program.run(&[
        "--json",
        "run",
        folder.to_str().expect("UTF-8"),
        "--dry-run",
    ]));
    let told = ["items", "cache_hits_expected", "calls", "packs"].map(|key| dry[key].clone());
    assert_eq!(told, [40, 37, 1, 1].map(serde_json::Value::from), "{dry}");
    let before = calls().await;
    let edited = last(run(&program, &[]));
    let told = ["done", "cache_hits", "calls", "packed"].map(|key| edited[key].clone());
    assert_eq!(
        told,
        [40, 37, 1, 3].map(serde_json::Value::from),
        "{edited}"
    );
    assert_eq!(calls().await - before, 1);
    assert_eq!(fleet.count("select count(*) from page_labels").await, 40);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_is_good_if_any_of_its_items_was_answered() {
    let names = [
        "gemini-3.8-flash",
        "gemini-3.5-flash-lite",
        "gemini-3.1-flash-lite",
    ];
    let mut settings = simulated(names.map(a_model).into());
    settings.faults.pack_missing = 0.7;
    let fleet = Fleet::over(settings).await;
    let program = shipped_worker(&fleet, "");
    let ran = run(&program, &["--sample", "--limit", "60"]).ok();
    let report = ran.objects().pop().expect("a report");
    let log = i64::try_from(fleet.simulator.log().len()).expect("few");
    let good = fleet
        .count("select count(*) from (select from tidegate.calls where sent group by coalesce(pack_id, id) having bool_or(outcome = 'ok')) z")
        .await;
    assert_eq!(
        (&report["calls"], &report["ok"]),
        (&log.into(), &good.into()),
        "{report}"
    );
    let lost = "select count(*) from tidegate.calls where lead and outcome <> 'ok'";
    assert!(
        fleet.count(lost).await > log - good,
        "some lead was lost and others were not"
    );
    assert_eq!(
        report["calls_failed"].as_i64().expect("a count") + good,
        log
    );
}
