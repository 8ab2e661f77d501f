//! F37: the schema is brought up to date under a working fleet, and by a migrator that is killed.

use std::process::{Child, Command, Stdio};

use sqlx::{Connection, PgConnection};
use tidegate::store::{Store, migrate};
use tokio_util::sync::CancellationToken;

use super::tools::{arrived, loaded, short_lived, slow_models, until};
use crate::support::{TestDb, TestFolder};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f37_functions_that_are_replaced_under_a_working_fleet_cost_no_call_and_no_attempt() {
    let (fleet, run) = loaded(150, slow_models(30.0)).await;
    let stop = CancellationToken::new();
    let processes: Vec<_> = (0..2)
        .map(|_| fleet.process_with(&stop, short_lived()))
        .collect();
    for calls in [10, 50, 90] {
        fleet.until_calls(calls).await;
        // as if this program were a newer one
        sqlx::query("delete from tidegate.function_sets")
            .execute(fleet.store.pool())
            .await
            .expect("they are unknown");
        let report = migrate::run(&fleet.store).await.expect("migrated");
        assert!(report.functions);
    }
    fleet.until_done(run).await;
    stop.cancel();
    for process in processes {
        process.await.expect("it ends");
    }
    let done = "select count(*) from articles where extracted_entities";
    assert_eq!((fleet.count(done).await, arrived(&fleet)), (150, 150));
    let burned = "select count(*) from tidegate.tasks where attempts <> 1 or rescues > 0";
    assert_eq!(fleet.count(burned).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f37_a_statement_that_began_before_a_migration_ends_as_it_began() {
    let (fleet, _run) = loaded(10, slow_models(1.0)).await;
    let mut old = PgConnection::connect(fleet.url()).await.expect("a session");
    // it reads from a view, and has not ended
    sqlx::raw_sql("begin; declare slow cursor for select * from tidegate.task_waits, generate_series(1, 1000); fetch 1 from slow")
        .execute(&mut old)
        .await
        .expect("it reads");
    sqlx::query("delete from tidegate.function_sets")
        .execute(fleet.store.pool())
        .await
        .expect("they are unknown");
    let store = fleet.store.clone();
    let migrator = tokio::spawn(async move { migrate::run(&store).await });
    let waits = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock' and query ilike '%create or replace view%'";
    fleet.until_count(waits, 1).await;
    // it waits for views only: work goes on beside it
    let process =
        crate::support::work::a_process(&fleet.store, std::time::Duration::from_secs(60)).await;
    assert_eq!(
        crate::support::work::claim(&fleet.store, process, 5)
            .await
            .len(),
        5
    );
    sqlx::raw_sql("move all from slow; commit")
        .execute(&mut old)
        .await
        .expect("it ends as it began");
    migrator.await.expect("it ends").expect("migrated");
}

/// `tidegate migrate` as a process of its own.
fn migrator(url: &str, folder: &TestFolder) -> Child {
    std::fs::write(folder.join("tidegate.toml"), "").expect("settings are written");
    Command::new(env!("CARGO_BIN_EXE_tidegate"))
        .args(["migrate", "--config"])
        .arg(folder.join("tidegate.toml"))
        .current_dir(folder.path())
        .env("DATABASE_URL", url)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program starts")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f37_a_migrator_killed_half_way_has_changed_nothing_and_the_next_one_completes() {
    let db = TestDb::new().await;
    db.unaudited();
    let folder = TestFolder::new();
    // holds a migrator at the first function of the claim: tables are made by then
    let script = "drop schema tidegate cascade;
        create function public.hold() returns event_trigger language plpgsql as $$
        begin
          if to_regproc('tidegate.make_ready_v2') is not null then
            perform pg_advisory_xact_lock_shared(742);
          end if;
        end $$;
        create event trigger hold on ddl_command_end when tag in ('CREATE FUNCTION') execute function public.hold()";
    sqlx::raw_sql(script)
        .execute(db.pool())
        .await
        .expect("none");
    let mut ours = PgConnection::connect(db.url()).await.expect("a session");
    sqlx::query("select pg_advisory_lock(742)")
        .execute(&mut ours)
        .await
        .expect("locked");
    let mut doomed = migrator(db.url(), &folder);
    let held =
        "select count(*) from pg_locks where locktype = 'advisory' and not granted and objid = 742
        and database = (select oid from pg_database where datname = current_database())";
    until("it is half-way", async || one(&mut ours, held).await == 1).await;
    doomed.kill().expect("it is killed");
    doomed.wait().expect("it is gone");
    // one that comes meanwhile waits for its turn: the server does not know yet
    let mut next = migrator(db.url(), &folder);
    let waits = "select count(*) from pg_locks where locktype = 'advisory' and not granted
        and database = (select oid from pg_database where datname = current_database())";
    until("it waits", async || one(&mut ours, waits).await == 2).await;
    let there = "select count(*) from pg_namespace where nspname = 'tidegate'";
    assert_eq!(one(&mut ours, there).await, 0, "nothing was changed");
    ours.close().await.expect("it is let go");
    let mut status = None;
    until("it ends", async || {
        status = next.try_wait().expect("it can be asked");
        status.is_some()
    })
    .await;
    assert!(status.is_some_and(|it| it.success()), "{status:?}");
    let store = Store::over(db.pool().clone());
    migrate::check(&store).await.expect("as it is needed");
    let again = migrate::run(&store).await.expect("rerun");
    assert_eq!((again.applied.len(), again.functions), (0, false));
}

async fn one(session: &mut PgConnection, sql: &'static str) -> i64 {
    sqlx::query_scalar(sql)
        .fetch_one(session)
        .await
        .expect("a count")
}
