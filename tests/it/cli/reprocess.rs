//! Ended tasks are done anew, in a run of their own.

use std::time::Duration;

use serde_json::{Value, json};
use tidegate::{store::settle::Fate, task::Answer};
use uuid::Uuid;

use super::Program;
use crate::support::{
    TestDb,
    fleet::{Fleet, a_model, shipped},
    work::{ONE_TIER, THREE_TIERS, a_process, answered, claim, items, load, unanswered},
};

/// A run of so many items of which the best so many are done, and the next so many have failed.
async fn a_run(fleet: &Fleet, count: usize, done: usize, failed: usize) -> Uuid {
    let store = &fleet.store;
    let run = load(store, ONE_TIER, &items(count))
        .await
        .expect("a run")
        .run;
    let process = a_process(store, Duration::from_secs(600)).await;
    let slots = u32::try_from(done + failed).expect("a few");
    let mut held = claim(store, process, slots).await;
    held.sort_by_key(|it| it.item.clone());
    let fail: Vec<_> = held
        .split_off(done)
        .iter()
        .map(|it| unanswered(it, Fate::Fail))
        .collect();
    store.settle_open(process, &fail).await.expect("failed");
    let done = held
        .iter()
        .map(|it| {
            let mut done = answered(it, "");
            done.answer = Answer::json("1.0").expect("JSON");
            done
        })
        .collect();
    store.settle_done(process, done, None).await.expect("done");
    run
}

async fn fleet() -> Fleet {
    Fleet::with(["a", "b", "c"].map(a_model).to_vec()).await
}

#[track_caller]
fn reprocess(program: &Program, more: &[&str]) -> Value {
    let args = [&["--json", "reprocess"], more].concat();
    program.run(&args).ok().objects().remove(0)
}

#[tokio::test]
async fn ended_tasks_are_done_anew_by_the_folder_as_it_is_now_and_what_waits_is_left_out() {
    let fleet = fleet().await;
    let run = a_run(&fleet, 1_200, 1_100, 50).await.to_string();
    let program = Program::over(fleet.url());
    let folder = program.folder().join("small");
    std::fs::create_dir(&folder).expect("a folder");
    std::fs::write(
        folder.join("worker.toml"),
        THREE_TIERS.replace("\"1\"", "\"2\""),
    )
    .expect("written");
    std::fs::write(folder.join("prompt.md"), "Now: {{ text }}").expect("written");
    // two of those that failed wait again
    program
        .run(&[
            "tasks",
            "retry",
            "--run",
            &run,
            "--where",
            "t.item_id in ('i01100', 'i01101') -- two",
        ])
        .ok();
    let more = ["--run", &run, "--version", "1", "--folder", "small"];
    let dry = reprocess(&program, &[&more[..], &["--dry-run"]].concat());
    for (key, value) in [
        ("run_id", Value::Null),
        ("dry_run", json!(true)),
        ("worker", json!("small")),
        ("version", json!("2")),
        ("selected", json!(1_148)),
        ("items", json!(1_148)),
        ("waiting", json!(0)),
        ("tasks", json!(1_148)),
        ("calls", json!(1_148)),
    ] {
        assert_eq!(dry[key], value, "{key}: {dry}");
    }
    assert!(dry["input_tokens"].as_i64() > Some(1_148), "{dry}");
    assert!(dry["cost_microusd_expected"].as_i64() > Some(0), "{dry}");
    assert!(dry["eta_seconds"].as_f64() > Some(0.0), "{dry}");
    let told = reprocess(&program, &more);
    assert_eq!(
        (&told["items"], &told["enqueued"], &told["skipped"]),
        (&json!(1_148), &json!(1_148), &json!(0))
    );
    let rows: (i64, i64, i64, i64, i64) = sqlx::query_as(
        "select count(*), count(distinct t.reprocess_of), count(*) filter (where i.body = j.body and i.score = j.score),
                count(*) filter (where t.tier = case when r <= ceil(1148 * 0.3) then 0 when r <= ceil(1148 * 0.8) then 1 else 2 end),
                count(*) filter (where t.model = case t.tier when 0 then 'sim/a' when 1 then 'sim/b' else 'sim/c' end)
           from (select *, row_number() over (order by priority desc, item_id) as r from tidegate.tasks where run_id = $1) t
           join tidegate.tasks o on o.id = t.reprocess_of and o.item_id = t.item_id
           join tidegate.items i on i.run_id = t.run_id and i.item_id = t.item_id
           join tidegate.items j on j.run_id = o.run_id and j.item_id = o.item_id",
    )
    .bind(told["run_id"].as_str().expect("an id").parse::<Uuid>().expect("an id"))
    .fetch_one(fleet.store.pool())
    .await
    .expect("rows");
    assert_eq!(rows, (1_148, 1_148, 1_148, 1_148, 1_148));
    // all of it waits now
    let again = reprocess(&program, &more);
    assert_eq!(
        (&again["enqueued"], &again["skipped"]),
        (&json!(0), &json!(1_148))
    );
    let none = reprocess(&program, &["--run", &run, "--version", "7"]);
    assert_eq!((&none["tasks"], &none["run_id"]), (&json!(0), &Value::Null));
}

#[tokio::test]
async fn a_condition_only_reads_and_its_mistakes_are_told_and_change_nothing() {
    let fleet = fleet().await;
    let run = a_run(&fleet, 4, 3, 1).await.to_string();
    let program = Program::over(fleet.url());
    for (condition, words) in [
        ("t.nosuch = 1", "column t.nosuch does not exist"),
        ("true) or (", "--where: syntax error"),
        ("true); drop table tidegate.tasks; --", "--where: "),
        ("tidegate.cancel(t.id)", "read-only transaction"),
        (
            "pg_sleep(0) is null or nextval('tidegate.segment_numbers') > 0",
            "read-only transaction",
        ),
    ] {
        for command in [&["reprocess"][..], &["tasks", "retry"]] {
            program
                .run(&[command, &["--run", &run, "--where", condition]].concat())
                .refused(&[words, "help: "]);
        }
    }
    program
        .run(&["reprocess", "--worker", "nobody"])
        .refused(&["nobody knows", "help: "]);
    assert_eq!(fleet.count("select count(*) from tidegate.runs").await, 1);
    let one = reprocess(
        &program,
        &[
            "--worker",
            "small",
            "--where",
            "t.item_id = 'i00002' -- the last",
        ],
    );
    assert_eq!(one["enqueued"], 1);
    let limited = reprocess(&program, &["--run", &run, "--limit", "2"]);
    assert_eq!(
        (&limited["enqueued"], &limited["skipped"]),
        (&json!(1), &json!(1))
    );
}

#[tokio::test]
async fn a_copy_that_was_cut_off_is_taken_up_and_copies_once() {
    let fleet = fleet().await;
    let run = a_run(&fleet, 30, 20, 10).await;
    let program = Program::over(fleet.url());
    let first = reprocess(&program, &["--run", &run.to_string()]);
    let id: Uuid = first["run_id"]
        .as_str()
        .expect("an id")
        .parse()
        .expect("an id");
    // as a crash would leave it: half copied, its loader dead, nothing ranked
    let pool = fleet.store.pool();
    for sql in [
        "select tidegate.cancel(array(select id from tidegate.tasks where run_id = $1))",
        "select tidegate.delete_tasks_v1(array(select id from tidegate.tasks where run_id = $1 order by id limit 15))",
        "update tidegate.runs set state = 'loading', loaded_at = null, source_read = false, ranked = 0 where id = $1",
    ] {
        sqlx::query(sql).bind(id).execute(pool).await.expect(sql);
    }
    sqlx::query("delete from tidegate.tasks where run_id = $1")
        .bind(id)
        .execute(pool)
        .await
        .expect("deleted");
    sqlx::query("delete from tidegate.run_counts where run_id = $1")
        .bind(id)
        .execute(pool)
        .await
        .expect("deleted");
    let again = reprocess(&program, &["--run", &run.to_string()]);
    assert_eq!(
        (&again["run_id"], &again["enqueued"]),
        (&json!(id), &json!(30))
    );
}

#[tokio::test]
async fn payloads_are_done_anew_byte_for_byte_by_what_is_in_force() {
    let db = TestDb::new().await;
    let program = Program::over(db.url());
    let folder = shipped("slug");
    program
        .run(&["workers", "add", folder.to_str().expect("UTF-8")])
        .ok();
    sqlx::raw_sql(
        "select tidegate.enqueue('slug', '{\"title\":  \"A\", \"n\": 1.0e2}');
         select tidegate.enqueue('slug', '{\"title\":  \"B\"}', key => 'b', priority => 3);
         select tidegate.cancel(array(select id from tidegate.tasks))",
    )
    .execute(db.pool())
    .await
    .expect("enqueued and ended");
    let told = reprocess(&program, &["--worker", "slug"]);
    assert_eq!((&told["enqueued"], &told["gone"]), (&json!(2), &json!(0)));
    let rows: Vec<(Option<String>, String, f64, bool)> = sqlx::query_as(
        "select o.item_id, i.body, t.priority, i.body = o.payload and t.item_id = coalesce(o.item_id, o.id::text) and t.model is null
           from tidegate.tasks t join tidegate.tasks o on o.id = t.reprocess_of
           join tidegate.items i on i.run_id = t.run_id and i.item_id = t.item_id order by t.priority",
    )
    .fetch_all(db.pool())
    .await
    .expect("rows");
    assert_eq!(
        rows,
        [
            (
                None,
                "{\"title\":  \"A\", \"n\": 1.0e2}".to_owned(),
                0.0,
                true
            ),
            (
                Some("b".to_owned()),
                "{\"title\":  \"B\"}".to_owned(),
                3.0,
                true
            ),
        ]
    );
}

#[tokio::test]
async fn tasks_are_done_anew_in_the_way_that_is_said() {
    let fleet = fleet().await;
    let run = a_run(&fleet, 20, 15, 5).await.to_string();
    let program = Program::over(fleet.url());
    let args = ["--run", &run, "--batching-strategy", "batch"];
    assert_eq!(reprocess(&program, &args)["enqueued"], json!(20));
    let by_batch = "select count(*) from tidegate.runs where strategy = 'batch'";
    assert_eq!(fleet.count(by_batch).await, 1);
}
