//! Work that asks no model, by real processes without any key.

use std::process::{Child, Stdio};

use serde_json::json;
use sqlx::PgPool;

use super::Program;
use crate::support::{TestDb, fleet::shipped};

/// `tidegate work`, killed when dropped.
struct Working(Child);

impl Working {
    fn start(program: &Program) -> Self {
        let mut command = program.command(&["work"]);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        Self(command.spawn().expect("it starts"))
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        // it may have ended by itself
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn until(pool: &PgPool, sql: &'static str, wanted: i64) {
    let reached = async {
        while sqlx::query_scalar::<_, i64>(sql)
            .fetch_one(pool)
            .await
            .expect("a count")
            != wanted
        {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(60), reached)
        .await
        .unwrap_or_else(|_| panic!("within the bound: {wanted} of {sql}"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_enqueued_in_a_transaction_runs_when_it_commits_and_never_when_it_does_not() {
    let db = TestDb::new().await;
    let program = Program::over(db.url());
    let folder = shipped("slug");
    program
        .run(&["workers", "add", folder.to_str().expect("UTF-8")])
        .ok();
    sqlx::raw_sql("create table articles (id int primary key, title text)")
        .execute(db.pool())
        .await
        .expect("a table");
    let _working = Working::start(&program);
    let enqueue =
        "select tidegate.enqueue('slug', json_build_object('title', 'Row ' || $1), key => $1)";
    for (id, commits) in [("1", false), ("2", true), ("3", false), ("4", true)] {
        let mut transaction = db.pool().begin().await.expect("begun");
        sqlx::query(enqueue)
            .bind(id)
            .execute(&mut *transaction)
            .await
            .expect("enqueued");
        match commits {
            true => transaction.commit().await.expect("committed"),
            false => transaction.rollback().await.expect("rolled back"),
        }
    }
    sqlx::raw_sql("insert into tidegate.tasks (worker, payload) values ('slug', '{\"title\": \"Row 5\"}'), ('slug', '{}')")
        .execute(db.pool())
        .await
        .expect("a plain insert");
    until(
        db.pool(),
        "select count(*) from tidegate.tasks where state in ('done', 'failed')",
        4,
    )
    .await;
    let answers: Vec<String> =
        sqlx::query_scalar("select answer from tidegate.task_results order by answer")
            .fetch_all(db.pool())
            .await
            .expect("answers");
    assert_eq!(answers, [r#""row-2""#, r#""row-4""#, r#""row-5""#]);
    let failed: (String, Option<String>) = sqlx::query_as(
        "select error_class, model from tidegate.tasks where state = 'failed' and last_error like '%title%'",
    )
    .fetch_one(db.pool())
    .await
    .expect("one has no title");
    assert_eq!(failed, ("input".to_owned(), None));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_local_run_reaches_the_users_tables_and_a_row_they_refuse_fails_alone() {
    let db = TestDb::new().await;
    let program = Program::over(db.url());
    sqlx::raw_sql("create table out (id text primary key, n int check (n <> 3), model text)")
        .execute(db.pool())
        .await
        .expect("a table");
    let folder = program.folder().join("twice");
    std::fs::create_dir(&folder).expect("a folder");
    let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).expect("written");
    write(
        "worker.toml",
        "name = \"twice\"\nlocal = true\n[source]\nfile = \"items.jsonl\"\nid = \"id\"\nscore = \"n\"\n[[tier]]\nshare = 0.5\nmix = 4\n[[tier]]\nshare = 0.5\nmix = 1\n[sink]\nsql = \"sink.sql\"\n",
    );
    write("prompt.md", "{\"n\": {{ n }}}");
    write(
        "sink.sql",
        "insert into out select r.item_id, (r.answer ->> 'n')::int, r.model from jsonb_to_recordset($1) as r (item_id text, answer jsonb, model text)",
    );
    let lines: String = (0..40)
        .map(|n| format!("{{\"id\": {n}, \"n\": {n}}}\n"))
        .collect();
    write("items.jsonl", &lines);
    let dry = program.run(&["--json", "run", "twice", "--dry-run"]).ok();
    assert_eq!(dry.objects()[0]["calls"], 0);
    let ran = program.run(&["--json", "run", "twice", "--wait"]);
    assert_eq!(ran.code, Some(3), "{ran:?}");
    let rows: (i64, i64, i64) =
        sqlx::query_as("select count(*), sum(n)::bigint, count(model) from out")
            .fetch_one(db.pool())
            .await
            .expect("rows");
    assert_eq!(rows, (39, 780 - 3, 0));
    let told: Vec<(String, String, i16)> = sqlx::query_as(
        "select state, coalesce(error_class, ''), tier from tidegate.tasks where item_id in ('3', '39') order by item_id",
    )
    .fetch_all(db.pool())
    .await
    .expect("tasks");
    assert_eq!(
        told,
        [
            ("failed".to_owned(), "sink".to_owned(), 1),
            ("done".to_owned(), String::new(), 0)
        ]
    );
    // mended, the kept answer goes in without another rendering
    sqlx::raw_sql("alter table out drop constraint out_n_check")
        .execute(db.pool())
        .await
        .expect("mended");
    let back = program
        .run(&["--json", "tasks", "retry", "--worker", "twice"])
        .ok();
    assert_eq!(back.objects()[0]["sink_applied"], json!(1));
    let run = ran.objects()[0]["run_id"]
        .as_str()
        .expect("its id")
        .to_owned();
    let exported = program.run(&["runs", "export", &run]).ok().objects();
    assert_eq!(exported.len(), 40);
}

#[tokio::test]
async fn tasks_without_a_key_are_each_met_once_by_acts_on_their_run() {
    let db = TestDb::new().await;
    let program = Program::over(db.url());
    let folder = shipped("slug");
    let added = program
        .run(&["--json", "workers", "add", folder.to_str().expect("UTF-8")])
        .ok()
        .objects();
    let run = added[0]["run"].as_str().expect("its run").to_owned();
    sqlx::query(
        "select tidegate.enqueue('slug', '{\"title\": \"x\"}', key => case when n <= 1100 then n::text end) from generate_series(1, 2300) n",
    )
    .execute(db.pool())
    .await
    .expect("enqueued");
    let exported = program.run(&["runs", "export", &run]).ok().objects();
    assert_eq!(exported.len(), 2_300);
    let ids: std::collections::BTreeSet<_> = exported
        .iter()
        .map(|it| it["task_id"].to_string())
        .collect();
    assert_eq!(ids.len(), 2_300);
    let cancelled = program
        .run(&["--json", "tasks", "cancel", "--run", &run])
        .ok();
    assert_eq!(cancelled.objects()[0]["cancelled"], 2_300);
}
