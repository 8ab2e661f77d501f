//! The worker that ships for content in parts, from its sample to the user's tables.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Program, Ran, gemini, shipped_worker};
use crate::support::fleet::{Fleet, shipped};

fn run(program: &Program, more: &[&str]) -> Ran {
    let folder = shipped("content_generation");
    let folder = folder.to_str().expect("UTF-8");
    program.run(&[&["--json", "run", folder], more].concat())
}

/// How many parts there are of each kind.
async fn parts(fleet: &Fleet) -> BTreeMap<String, i64> {
    let rows: Vec<(String, i64)> = sqlx::query_as(
        "select 'frontmatter', count(*) from material_frontmatter
         union all select 'metatags', count(*) from material_metatags
         union all select 'text', count(*) from material_text
         union all select 'table', count(*) from material_table where model is null
         union all select 'tags', count(*) from material_tags
         union all select 'captions', count(*) from material_captions
         union all select 'faq', count(*) from material_faq
         union all select 'summary', count(*) from material_summary
         union all select 'comparison', count(*) from material_comparison
         union all select 'jsonld', count(*) from material_jsonld where model is null",
    )
    .fetch_all(fleet.store.pool())
    .await
    .expect("tables");
    rows.into_iter().filter(|(_, count)| *count > 0).collect()
}

fn all_of(names: &[&str], count: i64) -> BTreeMap<String, i64> {
    let each = names.iter();
    each.map(|name| ((*name).to_owned(), count)).collect()
}

const FIVE: [&str; 5] = ["frontmatter", "metatags", "text", "table", "tags"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_parts_of_each_material_reach_their_tables_and_more_where_asked_for() {
    let fleet = gemini().await;
    let program = shipped_worker(&fleet, "");
    let ran = run(&program, &["--sample", "--limit", "6", "--wait"]).ok();
    assert_eq!(parts(&fleet).await, all_of(&FIVE, 6));
    assert_eq!(ran.objects()[0]["enqueued"], 30);

    // what is left out comes from the run before; of materials that it did not do there is none
    let ran = run(&program, &["--only", "faq,summary", "--wait"]);
    assert_eq!(ran.code, Some(3), "{ran:?}");
    let told = &ran.objects()[0];
    assert_eq!(
        (&told["enqueued"], &told["refused"]),
        (&12.into(), &224.into())
    );
    let more = [&FIVE[..], &["faq", "summary"]].concat();
    assert_eq!(parts(&fleet).await, all_of(&more, 6));
    let said: String =
        sqlx::query_scalar("select distinct last_error from tidegate.tasks where state = 'failed'")
            .fetch_one(fleet.store.pool())
            .await
            .expect("one reason");
    assert!(
        said.contains("it needs text, which was never done for this item: run it first"),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_ten_parts_are_made_with_all_and_each_is_a_file_of_an_export() {
    let fleet = gemini().await;
    let program = shipped_worker(&fleet, "");
    let ran = run(&program, &["--sample", "--limit", "3", "--all", "--wait"]).ok();
    let ten = [
        &FIVE[..],
        &["captions", "faq", "summary", "comparison", "jsonld"],
    ]
    .concat();
    assert_eq!(parts(&fleet).await, all_of(&ten, 3));
    let run_id = ran.objects()[0]["run_id"]
        .as_str()
        .expect("an id")
        .to_owned();
    program
        .run(&["runs", "export", &run_id, "--dir", "out"])
        .ok();
    let files = std::fs::read_dir(program.folder().join("out")).expect("a folder");
    let texts: Vec<Value> = files
        .map(|file| std::fs::read_to_string(file.expect("a file").path()).expect("a text"))
        .map(|text| serde_json::from_str(&text).expect("JSON"))
        .collect();
    assert_eq!(texts.len(), 30);
    let ids: std::collections::BTreeSet<_> = texts
        .iter()
        .map(|it| (it["item_id"].to_string(), it["component"].to_string()))
        .collect();
    assert_eq!(ids.len(), 30);

    // anew: each part points to its own former task, and what is left out is taken from before
    let again = [
        "--json",
        "reprocess",
        "--run",
        &run_id,
        "--only",
        "text,faq",
    ];
    program.run(&again).ok();
    let points = "select count(*) from tidegate.tasks t join tidegate.tasks o on o.id = t.reprocess_of
                   where o.component = t.component and o.item_id = t.item_id and t.component in ('text', 'faq')
                     and t.state in ('ready', 'blocked')";
    assert_eq!(fleet.count(points).await, 6);

    // one step alone: what it needs was made by the former run, and it asks what was answered
    let alone = [
        "--json",
        "reprocess",
        "--run",
        &run_id,
        "--component",
        "summary",
    ];
    let dry = program.run(&[&alone[..], &["--dry-run"]].concat()).ok();
    let told = ["tasks", "cache_hits_expected", "calls", "refused"];
    let told = told.map(|key| dry.objects()[0][key].clone());
    assert_eq!(told, [3, 3, 0, 0].map(Value::from), "{dry:?}");
    let ran = program.run(&[&alone[..], &["--wait"]].concat()).ok();
    let report = ran.objects().pop().expect("a report");
    let told = ["total", "done", "cache_hits"].map(|key| report[key].clone());
    assert_eq!(told, [3, 3, 3].map(Value::from), "{report}");
    assert_eq!(report["components"][0]["component"], "summary");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dry_run_says_what_each_part_costs_and_a_wrong_name_is_told() {
    let fleet = gemini().await;
    let models: String = ["3.8-flash", "3.5-flash-lite", "3.1-flash-lite"]
        .map(|name| {
            format!("[[models]]\nname = \"gemini/gemini-{name}\"\ninput_price_usd = \"0.10\"\noutput_price_usd = \"0.40\"\n")
        })
        .concat();
    let program = shipped_worker(&fleet, &models);
    run(&program, &["--sample", "--limit", "1"]).ok();
    let told = run(&program, &["--dry-run"]).ok().objects().remove(0);
    let components = told["components"].as_array().expect("a list");
    let calls: Vec<_> = components
        .iter()
        .map(|it| {
            (
                it["component"].as_str().expect("a name"),
                it["calls"].as_u64(),
            )
        })
        .collect();
    assert_eq!(
        calls,
        [
            ("frontmatter", Some(118)),
            ("metatags", Some(118)),
            ("text", Some(118)),
            ("table", Some(0)),
            ("tags", Some(118)),
        ]
    );
    assert_eq!(told["calls"], 4 * 118);
    assert_eq!(told["output_tokens_max"], 118 * (3 * 600 + 1_200));
    let cost = |it: &Value| it["cost_microusd_max"].as_i64().expect("prices are set");
    assert_eq!(components.iter().map(cost).sum::<i64>(), cost(&told));
    assert!(cost(&components[2]) > cost(&components[0]));

    run(&program, &["--only", "txt"]).refused(&[
        "\"txt\" is no component of content_generation",
        "did you mean \"text\"?",
    ]);
    let folder = shipped("content_generation");
    let add = ["workers", "add", folder.to_str().expect("UTF-8")];
    program
        .run(&add)
        .refused(&["content_generation has components", "tidegate run"]);
    let both = run(&program, &["--only", "text", "--all"]);
    assert_eq!(both.code, Some(1), "{both:?}");
}
