//! `tidegate doctor`: a sound house is exit 0, and each fault is told with its fix.

use std::time::Duration;

use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use super::{Program, Ran, write};
use crate::support::{
    Janitor, TestFolder, binaries,
    fleet::{Fleet, a_model, simulated},
    work::{ONE_TIER, a_process, claim, items, load},
};

/// Settings for the provider `sim` at this address, and the models `sim/a` and `sim/b`.
fn settings(base_url: &str) -> String {
    format!(
        "[providers.sim]\nkind = \"gemini\"\nbase_url = {base_url:?}\napi_key_env = \"A_TEST_KEY\"\n\
         [[models]]\nname = \"sim/a\"\nrpm = 60\n[[models]]\nname = \"sim/b\"\nrpm = 60\n"
    )
}

/// The program over the fleet's database and provider.
fn over(fleet: &Fleet) -> Program {
    let program = Program::over(fleet.url()).with("A_TEST_KEY", "a-test-key");
    write(
        &program.folder().join("tidegate.toml"),
        &settings(&fleet.simulator.base_url()),
    );
    program
}

/// Its checks of this name.
#[track_caller]
fn checks(ran: &Ran, name: &str) -> Vec<Value> {
    let checks = ran.objects();
    for check in &checks {
        assert!(check["says"].is_string(), "{check}");
        assert_eq!(check["fix"].is_string(), check["state"] != "ok", "{check}");
    }
    checks
        .into_iter()
        .filter(|it| it["check"] == name)
        .collect()
}

/// The one check of this name: its state, and its words with the fix.
#[track_caller]
fn one(ran: &Ran, name: &str) -> (String, String) {
    let mut found = checks(ran, name);
    assert_eq!(found.len(), 1, "{name}: {ran:?}");
    let check = found.remove(0);
    let text = |key: &str| check[key].as_str().unwrap_or_default().to_owned();
    (text("state"), format!("{} {}", text("says"), text("fix")))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sound_house_is_all_ok_and_exit_0() {
    let fleet = Fleet::with(vec![a_model("a"), a_model("b")]).await;
    let folder = TestFolder::new();
    let _janitor = Janitor::of_ours(folder.path(), folder.path(), &binaries().await);
    let dir = folder.path().display().to_string();
    let program = Program::new()
        .with("TIDEGATE_LOCAL_DIR", &dir)
        .with("A_TEST_KEY", "a-test-key");
    write(
        &program.folder().join("tidegate.toml"),
        &settings(&fleet.simulator.base_url()),
    );
    program.run(&["migrate"]).ok();
    let ran = program.run(&["--json", "doctor"]).ok();
    for name in [
        "database",
        "durability",
        "clock",
        "schema",
        "rights",
        "notifications",
        "connections",
        "listener lag",
        "dead rows",
        "transaction ids",
        "lost processes",
        "stuck tasks",
        "processes",
        "private Postgres",
        "keys",
        "provider",
    ] {
        assert_eq!(one(&ran, name).0, "ok", "{name}: {ran:?}");
    }
    assert_eq!(checks(&ran, "day partitions").len(), 3);
    let shown = program.run(&["doctor"]).ok();
    assert!(shown.stdout.contains("ok       provider"), "{shown:?}");
    assert!(shown.stderr.contains("0 faults"), "{shown:?}");
    assert!(
        !format!("{ran:?}{shown:?}").contains("a-test-key"),
        "secrets stay"
    );
}

#[tokio::test]
async fn a_database_that_is_not_there_or_not_migrated_is_a_fault_with_its_fix() {
    let fleet = Fleet::with(vec![a_model("a")]).await;
    let program = over(&fleet);
    let there = program.run(&["--json", "doctor"]);
    assert_eq!(one(&there, "schema").0, "ok", "{there:?}");

    sqlx::raw_sql("drop schema tidegate cascade")
        .execute(fleet.store.pool())
        .await
        .unwrap();
    let ran = program.run(&["--json", "doctor"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let (state, words) = one(&ran, "schema");
    assert!(
        state == "fault" && words.contains("tidegate migrate"),
        "{words}"
    );

    let gone = Program::over(&fleet.url().replace("test_", "no_such_"));
    let ran = gone.run(&["--json", "doctor", "--offline"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let (state, words) = one(&ran, "database");
    assert!(
        state == "fault" && words.contains("create the database"),
        "{words}"
    );
    let (state, words) = one(&ran, "keys");
    assert!(
        state == "fault" && words.contains("tidegate init"),
        "{words}"
    );
}

#[tokio::test]
async fn a_role_without_rights_is_told_the_grant_it_lacks() {
    let fleet = Fleet::with(vec![a_model("a")]).await;
    let role = format!("reader_{}", std::process::id());
    let mut admin = PgConnection::connect(fleet.url()).await.unwrap();
    let made = format!(
        "drop role if exists {role}; create role {role} login; grant usage on schema tidegate to {role};
         grant select on all tables in schema tidegate to {role}"
    );
    sqlx::raw_sql(AssertSqlSafe(made))
        .execute(&mut admin)
        .await
        .unwrap();
    let url = fleet
        .url()
        .replace("user=postgres", &format!("user={role}"));
    let ran = Program::over(&url).run(&["--json", "doctor", "--offline"]);
    let (state, words) = one(&ran, "rights");
    assert_eq!(state, "fault", "{ran:?}");
    assert!(
        words.contains("tasks") && words.contains("grant select, insert"),
        "{words}"
    );

    let revoke = format!("revoke usage on schema tidegate from {role}");
    sqlx::raw_sql(AssertSqlSafe(revoke))
        .execute(&mut admin)
        .await
        .unwrap();
    let ran = Program::over(&url).run(&["--json", "doctor", "--offline"]);
    let (state, words) = one(&ran, "rights");
    assert!(
        state == "fault" && words.contains("grant usage"),
        "{words}: {ran:?}"
    );
    let drop = format!("drop owned by {role}; drop role {role}");
    sqlx::raw_sql(AssertSqlSafe(drop))
        .execute(&mut admin)
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_is_missing_or_refused_is_a_fault_that_names_the_variable() {
    let mut simulator = simulated(vec![a_model("a"), a_model("b")]);
    simulator.api_keys = vec!["another-key".to_owned()];
    let fleet = Fleet::over(simulator).await;
    let program = over(&fleet);
    let ran = program.run(&["--json", "doctor"]);
    let (state, words) = one(&ran, "provider");
    assert!(state == "fault" && words.contains("api_key_env"), "{words}");
    let ran = program.with("A_TEST_KEY", "").run(&["--json", "doctor"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let (state, words) = one(&ran, "keys");
    assert!(state == "fault" && words.contains("A_TEST_KEY"), "{words}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_holds_a_fleet_back_is_told_with_who_it_is() {
    let fleet = Fleet::with(vec![a_model("a"), a_model("b")]).await;
    fleet.unaudited();
    load(&fleet.store, ONE_TIER, &items(3)).await.unwrap();
    let process = a_process(&fleet.store, Duration::from_secs(60)).await;
    claim(&fleet.store, process, 3).await;
    let program = over(&fleet);
    let ran = program.run(&["--json", "doctor"]);
    assert_eq!(one(&ran, "stuck tasks").0, "ok", "{ran:?}");
    assert!(
        one(&ran, "processes").1.contains("1 hold a lease"),
        "{ran:?}"
    );
    assert_eq!(one(&ran, "models").0, "ok", "{ran:?}");

    let age = "update tidegate.processes set lease_until = now() - interval '2 min';
               insert into tidegate.scheduled (id, run_at, lane, priority, est_input, attempts, epoch, tries, rescues, spent_ms)
               values (gen_random_uuid(), now() - interval '1 h', 1, 0, 1, 0, 0, '{}', 0, 0)";
    sqlx::raw_sql(age)
        .execute(fleet.store.pool())
        .await
        .unwrap();
    let mut idle = PgConnection::connect(fleet.url()).await.unwrap();
    sqlx::raw_sql("begin; set application_name = 'the culprit'; select 1")
        .execute(&mut idle)
        .await
        .unwrap();
    let ran = program.run(&["--json", "doctor"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let (state, words) = one(&ran, "stuck tasks");
    assert!(
        state == "fault" && words.starts_with("3 are held"),
        "{words}"
    );
    let (state, words) = one(&ran, "back-offs");
    assert!(
        state == "warning" && words.contains("tidegate work"),
        "{words}"
    );
    let (_, words) = one(&ran, "oldest transaction");
    assert!(words.contains("the culprit"), "{words}");
    sqlx::raw_sql("delete from tidegate.scheduled")
        .execute(fleet.store.pool())
        .await
        .unwrap();
}
