//! A run of many steps that went wrong in part: told by component, put back, and gone on with by processes
//! of which one is killed.

use std::{
    collections::BTreeMap,
    process::{Child, Stdio},
    time::Duration,
};

use serde_json::Value;
use tidegate::simulator::{Running, Simulator};

use super::{Program, write};
use crate::support::fleet::{Fleet, a_model, shipped, simulated};

const MODELS: [&str; 3] = [
    "gemini-3.8-flash",
    "gemini-3.5-flash-lite",
    "gemini-3.1-flash-lite",
];

fn told(program: &Program, simulator: &Running) {
    let settings = format!(
        "[work]\nlease_s = 5\nslots = 4\n[providers.gemini]\nkind = \"gemini\"\nbase_url = {:?}\napi_key_env = \"A_TEST_KEY\"\n",
        simulator.base_url()
    );
    write(&program.folder().join("tidegate.toml"), &settings);
}

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

/// How many tasks of each component are in each state, as the rows say.
async fn stands(fleet: &Fleet) -> BTreeMap<(String, String), i64> {
    let rows: Vec<(String, String, i64)> =
        sqlx::query_as("select component, state, count(*) from tidegate.tasks group by 1, 2")
            .fetch_all(fleet.store.pool())
            .await
            .expect("rows");
    rows.into_iter()
        .map(|(component, state, count)| ((component, state), count))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_is_done_in_part_is_put_back_and_completed_though_a_process_is_killed() {
    let mut settings = simulated(MODELS.map(a_model).into());
    settings.seed = 7;
    settings.faults.safety = 0.2;
    settings.faults.http_503 = 0.05;
    let fleet = Fleet::over(settings).await;
    let program = Program::over(fleet.url()).with("A_TEST_KEY", "a-test-key");
    told(&program, &fleet.simulator);
    let folder = shipped("content_generation");
    let folder = folder.to_str().expect("UTF-8");
    let ran = program.run(&[
        "--json", "run", folder, "--sample", "--limit", "20", "--all", "--wait",
    ]);
    assert_eq!(ran.code, Some(3), "in part: {ran:?}");
    let report = ran.objects().pop().expect("the report");
    let count = async |sql| fleet.count(sql).await;
    let open =
        "select count(*) from tidegate.tasks where state not in ('done', 'failed', 'cancelled')";
    assert_eq!((&report["total"], count(open).await), (&200.into(), 0));
    // told by component as the rows say
    let stands = stands(&fleet).await;
    let components = report["components"].as_array().expect("a list");
    assert_eq!(components.len(), 10);
    for it in components {
        for state in ["done", "failed", "cancelled"] {
            let component = it["component"].as_str().expect("a name").to_owned();
            let wanted = stands.get(&(component, state.to_owned())).copied();
            assert_eq!(it[state], wanted.unwrap_or(0), "{state}: {it}");
        }
        assert_eq!(it["total"], 20);
    }
    let categories = report["categories"].as_array().expect("a list");
    let sum = |key: &str| {
        categories
            .iter()
            .filter_map(|it| it[key].as_i64())
            .sum::<i64>()
    };
    assert_eq!(
        (Value::from(sum("total")), Value::from(sum("failed"))),
        (report["total"].clone(), report["failed"].clone())
    );
    let failures = report["failures"].as_array().expect("a list");
    assert!(
        failures.iter().any(|it| it["class"] == "filtered"),
        "{failures:?}"
    );
    // what needs nothing that failed is done: a step fails no other
    let held = "select count(*) from tidegate.tasks t where t.error_class is distinct from 'filtered' and t.state in ('failed', 'cancelled')
                  and not exists (select from tidegate.task_inputs i join tidegate.tasks s on s.id = i.of_task where i.task_id = t.id and s.state <> 'done')";
    assert_eq!(count(held).await, 0);
    let table = "select count(*) from tidegate.tasks where component = 'table' and state = 'done'";
    assert_eq!(count(table).await, 20);
    let done = count("select count(*) from tidegate.tasks where state = 'done'").await;
    assert!((40..200).contains(&done), "{done}");

    let mut settings = simulated(MODELS.map(a_model).into());
    settings.latency.median_ms = 60.0;
    let healthy = Simulator::start(settings).await.expect("another");
    told(&program, &healthy);
    let run = report["run_id"].as_str().expect("an id");
    let back = program
        .run(&["--json", "retry", "--run", run])
        .ok()
        .objects()
        .remove(0);
    assert_eq!(
        (&back["retried"], &back["left"]),
        (&(200 - done).into(), &0.into())
    );
    let first = Working::start(&program);
    let more = format!(
        "select case when count(*) >= {} then 1 else 0 end::bigint from tidegate.tasks where state = 'done'",
        done + 15
    );
    until(&fleet, &more, 1).await;
    drop(first);
    let in_hand = count("select count(*) from tidegate.tasks where state <> 'done'").await;
    assert!(in_hand > 0, "killed in the middle");
    let _second = Working::start(&program);
    until(
        &fleet,
        "select count(*) from tidegate.tasks where state = 'done'",
        200,
    )
    .await;
    let early = "select count(*) from tidegate.tasks t join tidegate.task_inputs i on i.task_id = t.id join tidegate.tasks s on s.id = i.of_task
                  where t.finished_at < s.finished_at";
    assert_eq!(count(early).await, 0, "each after those that it needs");
    let parts = "select (select count(*) from material_frontmatter) + (select count(*) from material_text) + (select count(*) from material_faq) + (select count(*) from material_jsonld)";
    assert_eq!(count(parts).await, 80);
    until(
        &fleet,
        "select count(*) from tidegate.runs where state = 'done'",
        1,
    )
    .await;
    let shown = program
        .run(&["--json", "runs", "show", run])
        .ok()
        .objects()
        .remove(0);
    let told = ["done", "failed", "cancelled", "waiting"].map(|key| shown[key].clone());
    assert_eq!(told, [200, 0, 0, 0].map(Value::from), "{shown}");
}

async fn until(fleet: &Fleet, sql: &str, wanted: i64) {
    let reached = async {
        loop {
            let count: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(sql.to_owned()))
                .fetch_one(fleet.store.pool())
                .await
                .expect("a count");
            if count == wanted {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(90), reached)
        .await
        .unwrap_or_else(|_| panic!("within the bound: {wanted} of {sql}"));
}
