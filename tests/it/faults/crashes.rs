//! F19, F20: the server crashes, or one of its processes does.

use rustix::process::{Pid, Signal, kill_process};
use sqlx::{Connection, PgConnection};
use tokio_util::sync::CancellationToken;

use super::tools::{arrived, loaded_on, short_lived, slow_models, until};
use crate::support::{TestServer, fleet::Fleet};

/// Everything of a run of so many was done once, asked for once, and no attempt burned.
async fn assert_whole(fleet: &Fleet, articles: i64) {
    let done = "select count(*) from articles where extracted_entities";
    assert_eq!(fleet.count(done).await, articles);
    assert_eq!(arrived(fleet), articles, "answers in hand were kept");
    for none in [
        "select count(*) from tidegate.tasks where state <> 'done' or attempts <> 1 or rescues > 0",
        "select count(*) from tidegate.calls where ended_at is null",
        "select count(*) from tidegate.audit_v1()",
        "select count(*) from tidegate.processes where lost_at is not null",
    ] {
        assert_eq!(fleet.count(none).await, 0, "{none}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f19_a_server_that_crashes_again_and_again_loses_and_doubles_nothing() {
    let mut server = TestServer::private().await;
    let (fleet, run) = loaded_on(&server, 120, slow_models(80.0)).await;
    let stop = CancellationToken::new();
    let process = fleet.process_with(&stop, short_lived());
    for calls in [20, 50, 80] {
        fleet.until_calls(calls).await;
        server.crash();
        server.start().await;
    }
    fleet.until_done(run).await;
    stop.cancel();
    process.await.expect("it ends");
    assert_whole(&fleet, 120).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f20_a_backend_that_is_killed_ends_all_sessions_and_nothing_is_lost() {
    let server = TestServer::private().await;
    let (fleet, run) = loaded_on(&server, 120, slow_models(80.0)).await;
    let stop = CancellationToken::new();
    let process = fleet.process_with(&stop, short_lived());
    for calls in [20, 60] {
        fleet.until_calls(calls).await;
        let mut victim = PgConnection::connect(fleet.url()).await.expect("a session");
        let pid: i32 = sqlx::query_scalar("select pg_backend_pid()")
            .fetch_one(&mut victim)
            .await
            .expect("its number");
        let pid = Pid::from_raw(pid).expect("a number of a process");
        kill_process(pid, Signal::KILL).expect("the server is this test's own");
        until("all sessions were ended", async || {
            sqlx::query("select 1").execute(&mut victim).await.is_err()
        })
        .await;
        until("it has recovered", async || {
            PgConnection::connect(fleet.url()).await.is_ok()
        })
        .await;
    }
    fleet.until_done(run).await;
    stop.cancel();
    process.await.expect("it ends");
    assert_whole(&fleet, 120).await;
}

#[tokio::test]
async fn f20_nothing_is_kept_where_a_crash_empties_it() {
    let server = TestServer::private().await;
    let pool = server.pool().await;
    let forgetful: Vec<String> = sqlx::query_scalar(
        "select c.relname::text from pg_class c join pg_namespace n on n.oid = c.relnamespace
          where n.nspname = 'tidegate' and c.relpersistence <> 'p'",
    )
    .fetch_all(&pool)
    .await
    .expect("tables are listed");
    assert!(forgetful.is_empty(), "{forgetful:?}");
}
