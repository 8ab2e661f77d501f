//! The worker that ships for labels of pages, from its sample to the user's tables.

use serde_json::json;

use super::{Program, Ran, gemini, shipped_worker, write};
use crate::support::fleet::{Fleet, shipped};

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
