//! Bad input: exit 1, what and what next, and nothing changed.

use sqlx::{AssertSqlSafe, Connection, PgConnection};

use super::{Program, run_unread, write};
use crate::support::TestDb;

/// Commands that need the database, each with what it needs to get that far.
const COMMANDS: [&[&str]; 6] = [
    &["status"],
    &["tasks", "list"],
    &["runs", "list"],
    &["models", "list"],
    &["tasks", "cancel", "--worker", "w"],
    &["models", "cool", "g/m"],
];

/// A database that is empty, and dropped with its test's own.
async fn empty(db: &TestDb, name: &str) -> String {
    sqlx::raw_sql("drop schema tidegate cascade")
        .execute(db.pool())
        .await
        .unwrap_or_else(|error| panic!("{name}: {error}"));
    db.url().to_owned()
}

async fn has_schema(db: &TestDb) -> bool {
    sqlx::query_scalar("select to_regnamespace('tidegate') is not null")
        .fetch_one(db.pool())
        .await
        .expect("the server answers")
}

#[tokio::test]
async fn a_database_that_is_not_there_is_told() {
    let db = TestDb::new().await;
    let url = database(db.url(), "no_such_database");
    let program = Program::over(&url);
    for command in COMMANDS.into_iter().chain([&["migrate"][..]]) {
        program
            .run(command)
            .refused(&["no_such_database", "help: create the database"]);
    }
}

#[tokio::test]
async fn a_schema_that_is_not_there_is_told_and_not_made() {
    let db = TestDb::new().await;
    let program = Program::over(&empty(&db, "not migrated").await);
    for command in COMMANDS {
        program
            .run(command)
            .refused(&["help: run `tidegate migrate`"]);
    }
    assert!(!has_schema(&db).await);
}

#[tokio::test]
async fn a_role_without_rights_is_told_and_changes_nothing() {
    let db = TestDb::new().await;
    let url = empty(&db, "no rights").await;
    let role = format!("nobody_{}", std::process::id());
    let mut admin = PgConnection::connect(&url).await.unwrap();
    let made = format!("drop role if exists {role}; create role {role} login");
    sqlx::raw_sql(AssertSqlSafe(made))
        .execute(&mut admin)
        .await
        .unwrap();

    let program = Program::over(&user(&url, &role));
    program
        .run(&["migrate"])
        .refused(&["has no right", "help: grant it"]);
    assert!(!has_schema(&db).await);

    // the schema is there, and not for this role
    Program::over(&url).run(&["migrate"]).ok();
    for command in COMMANDS {
        program
            .run(command)
            .refused(&["has no right", "help: grant it"]);
    }
    sqlx::raw_sql(AssertSqlSafe(format!("drop role {role}")))
        .execute(&mut admin)
        .await
        .unwrap();
}

#[test]
fn a_url_that_is_none_is_told_and_never_repeated() {
    for url in [
        "not a url",
        "http://user:canary-4711@h/d",
        "postgres://user:canary-4711@h:port/d",
    ] {
        let ran = Program::over(url)
            .run(&["status"])
            .refused(&["DATABASE_URL", "help: "]);
        assert!(!ran.stderr.contains("canary"), "{ran:?}");
    }
}

#[test]
fn a_server_that_is_not_there_is_told_at_once() {
    // a port that was free a moment ago
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let url = format!("postgres://user:canary-4711@127.0.0.1:{port}/d");
    let ran = Program::over(&url).run(&["tasks", "list"]);
    let ran = ran.refused(&["cannot connect", "help: check host and port"]);
    assert!(!ran.stderr.contains("canary"), "{ran:?}");
}

#[test]
fn a_configuration_that_does_not_hold_is_told_before_anything_else() {
    let program = Program::over("postgres://nowhere.invalid/d");
    write(
        &program.folder().join("tidegate.toml"),
        "[work]\nslot = 3\n",
    );
    program
        .run(&["status"])
        .refused(&["tidegate.toml:2", "did you mean \"slots\""]);
    program
        .run(&["--config", "other.toml", "status"])
        .refused(&["other.toml", "help: "]);
}

#[test]
fn what_clap_refuses_is_the_users_mistake_too() {
    for args in [
        &["tsks"][..],
        &["tasks", "show", "not-an-id"],
        &["tasks", "list", "--state", "don"],
        &["models", "cool", "g/m", "--for", "soon"],
        &["simulate", "--model", "m:rmp=3"],
        &[],
    ] {
        let ran = Program::new().run(args);
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert!(ran.stdout.is_empty(), "{ran:?}");
        assert!(!ran.stderr.is_empty(), "{ran:?}");
    }
}

#[tokio::test]
async fn what_is_not_there_is_told_by_name() {
    let db = TestDb::new().await;
    let program = Program::over(db.url());
    let id = "0198c7f0-1f6a-7d3e-9a51-0242ac120002";
    program
        .run(&["tasks", "show", id])
        .refused(&["no task has the id", "help: "]);
    program
        .run(&["tasks", "why", id])
        .refused(&["no task has the id"]);
    program
        .run(&["tasks", "retry", id])
        .refused(&["no task has the id"]);
    program
        .run(&["runs", "show", id])
        .refused(&["no run has the id"]);
    program
        .run(&["tasks", "cancel"])
        .refused(&["no task is named", "help: "]);
    program
        .run(&["tasks", "retry", "--state", "done"])
        .refused(&["state done", "failed, cancelled"]);
    program
        .run(&["models", "clear", "g/m"])
        .refused(&["no model is called", "help: "]);
}

#[tokio::test]
async fn a_stdout_that_nobody_reads_is_a_quiet_end() {
    let db = TestDb::new().await;
    let program = Program::over(db.url());
    for args in [
        &["status"][..],
        &["--json", "status"],
        &["config", "show"],
        &["--help"],
        &["init"],
    ] {
        let ran = run_unread(&program, args);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        assert!(!ran.stderr.contains("panicked"), "{ran:?}");
        assert!(!ran.stderr.contains("error"), "{ran:?}");
    }
}

/// The same server's other database.
fn database(url: &str, name: &str) -> String {
    let (before, after) = url.split_once("///").expect("a URL of a socket");
    let (_, query) = after.split_once('?').expect("a URL of a socket");
    format!("{before}///{name}?{query}")
}

/// The same database as another role.
fn user(url: &str, role: &str) -> String {
    assert!(url.contains("user=postgres"), "{url}");
    url.replace("user=postgres", &format!("user={role}"))
}
