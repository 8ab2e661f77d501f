//! F15: two caretakers at once. One takes a step and falls asleep before it commits; another takes
//! the same step meanwhile.

use std::time::Duration;

use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tidegate::{
    engine::Program,
    store::{
        Store,
        local::{LocalDone, LocalRequest, LocalTask},
    },
    task::{LocalError, typed},
};

use super::tools::until;
use crate::support::{TestDb, work::a_process};

const LEASE: Duration = Duration::from_secs(60);

/// A database that knows the local worker `w`, with so many tasks of it. Each payload is a number.
async fn a_store(tasks: u32) -> (TestDb, Store) {
    let db = TestDb::new().await;
    let store = Store::over(db.pool().clone());
    let any = Program::new(typed(|n: u32| async move { Ok::<_, LocalError>(n) }));
    store
        .register_worker(&any.to_worker("w"))
        .await
        .expect("registered");
    let script =
        format!("select tidegate.enqueue('w', to_json(n)) from generate_series(1, {tasks}) n");
    run(&db, &script).await;
    (db, store)
}

async fn run(db: &TestDb, script: &str) {
    sqlx::raw_sql(AssertSqlSafe(script.to_owned()))
        .execute(db.pool())
        .await
        .unwrap_or_else(|error| panic!("{script}: {error}"));
}

async fn count(db: &TestDb, sql: &'static str) -> i64 {
    sqlx::query_scalar(sql)
        .fetch_one(db.pool())
        .await
        .expect("a count")
}

async fn take(store: &Store, slots: u32) -> (uuid::Uuid, Vec<LocalTask>) {
    let process = a_process(store, LEASE).await;
    let request = LocalRequest {
        process,
        slots,
        nonce: rand::random(),
        programs: vec!["w".to_owned()],
        workers: None,
        kept: false,
    };
    (process, store.claim_local(&request).await.expect("a claim"))
}

/// Claims so many and settles them.
async fn finish(store: &Store, slots: u32) {
    let (process, tasks) = take(store, slots).await;
    assert_eq!(tasks.len(), slots as usize);
    let done = tasks.into_iter().map(|task| (task, "1".to_owned(), 1));
    let done = LocalDone::of(done.collect());
    store.settle_local(process, &done).await.expect("settled");
}

/// What the sleeper said, and what the other one said, who may have waited for it.
async fn twice(db: &TestDb, step: &str) -> (String, String) {
    let said = format!("select coalesce(({step})::text, '')");
    let mut sleeper = PgConnection::connect(db.url()).await.expect("a session");
    sqlx::raw_sql("begin")
        .execute(&mut sleeper)
        .await
        .expect("begun");
    let first: String = sqlx::query_scalar(AssertSqlSafe(said.clone()))
        .fetch_one(&mut sleeper)
        .await
        .unwrap_or_else(|error| panic!("{step}: {error}"));
    let mut other = PgConnection::connect(db.url()).await.expect("a session");
    let pid: i32 = sqlx::query_scalar("select pg_backend_pid()")
        .fetch_one(&mut other)
        .await
        .expect("its number");
    let second = tokio::spawn(async move {
        sqlx::query_scalar::<_, String>(AssertSqlSafe(said))
            .fetch_one(&mut other)
            .await
    });
    until("the other one is through, or waits", async || {
        second.is_finished()
            || sqlx::query_scalar("select wait_event_type = 'Lock' and state = 'active' from pg_stat_activity where pid = $1")
                .bind(pid)
                .fetch_one(db.pool())
                .await
                .is_ok_and(|waits: Option<bool>| waits == Some(true))
    })
    .await;
    sqlx::raw_sql("commit")
        .execute(&mut sleeper)
        .await
        .expect("it wakes up");
    let second = second.await.expect("it ends");
    (
        first,
        second.unwrap_or_else(|error| panic!("{step}, the other one: {error}")),
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f15_what_is_due_is_promoted_once() {
    let (db, _store) = a_store(0).await;
    run(&db, "select tidegate.enqueue('w', to_json(n), run_at => now() + interval '1 h') from generate_series(1, 20) n;
              update tidegate.scheduled set run_at = now() - interval '1 s'").await;
    let said = twice(&db, "select tidegate.promote_v1(500)").await;
    assert_eq!(said, ("20".to_owned(), "0".to_owned()));
    assert_eq!(count(&db, "select count(*) from tidegate.ready").await, 20);
    let told = "select count(*) from tidegate.events where kind = 'due'";
    assert_eq!(count(&db, told).await, 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f15_what_the_dead_held_is_rescued_once() {
    let (db, store) = a_store(20).await;
    let (_, held) = take(&store, 10).await;
    assert_eq!(held.len(), 10);
    run(
        &db,
        "update tidegate.processes set lease_until = now() - interval '1 h'",
    )
    .await;
    let step = "select count(*) from tidegate.declare_lost_v1(interval '1 s')";
    assert_eq!(twice(&db, step).await, ("1".to_owned(), "0".to_owned()));
    let said = twice(&db, "select tidegate.rescue_v2(500, true)").await;
    assert_eq!(said, ("10".to_owned(), "0".to_owned()));
    let once = "select count(*) from tidegate.tasks where state = 'ready' and rescues = 1 and attempts = 1";
    assert_eq!(count(&db, once).await, 10);
    let closed = "select count(*) from tidegate.task_attempts where outcome = 'lost'";
    assert_eq!(count(&db, closed).await, 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f15_a_run_is_finished_once_and_opened_again_once() {
    let (db, store) = a_store(5).await;
    finish(&store, 5).await;
    // as if it were no standing run
    run(&db, "delete from tidegate.workers").await;
    let said = twice(&db, "select tidegate.finish_runs_v1()").await;
    assert_eq!(said, ("1".to_owned(), "0".to_owned()));
    let ended = "select count(*) from tidegate.runs where state = 'done'";
    assert_eq!(count(&db, ended).await, 1);
    // something came in late
    run(&db, "insert into tidegate.run_counts (run_id, tier, state, n) select id, 0, 'ready', 1 from tidegate.runs").await;
    let (first, _) = twice(&db, "select tidegate.reopen_runs_v1()").await;
    assert_eq!(first, "1");
    let open = "select count(*) from tidegate.runs where state = 'active' and finished_at is null";
    assert_eq!(count(&db, open).await, 1);
    run(&db, "delete from tidegate.run_counts where state = 'ready' and n = 1 and run_id = (select id from tidegate.runs) and ctid = (select max(ctid) from tidegate.run_counts where state = 'ready')").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f15_who_waits_for_others_is_let_go_once_and_cancelled_once() {
    let (db, store) = a_store(1).await;
    run(&db, "select tidegate.enqueue('w', to_json(n), needs => array(select id from tidegate.tasks where payload = '1'), key => 'k' || n)
                from generate_series(101, 120) n").await;
    finish(&store, 1).await;
    let said = twice(&db, "select tidegate.settle_needs_v1(500)").await;
    assert_eq!(said, ("20".to_owned(), "0".to_owned()));
    assert_eq!(count(&db, "select count(*) from tidegate.ready").await, 20);

    run(&db, "select tidegate.enqueue('w', to_json(n), needs => array(select id from tidegate.tasks where payload = '101'), key => 'l' || n)
                from generate_series(201, 220) n;
              select tidegate.cancel(array(select id from tidegate.tasks where payload = '101'))").await;
    let said = twice(&db, "select tidegate.settle_needs_v1(500)").await;
    assert_eq!(said, ("20".to_owned(), "0".to_owned()));
    let told = "select count(*) from tidegate.events where kind = 'cancelled'";
    assert_eq!(count(&db, told).await, 21);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f15_what_is_not_worth_starting_any_more_is_cancelled_once() {
    let (db, _store) = a_store(0).await;
    run(&db, "select tidegate.enqueue('w', to_json(n), expires_at => now() + interval '1 h') from generate_series(1, 20) n;
              update tidegate.tasks set expires_at = now() - interval '1 s';
              update tidegate.expiries set expires_at = now() - interval '1 s'").await;
    let said = twice(&db, "select tidegate.expire_v1(500)").await;
    assert_eq!(said, ("20".to_owned(), "0".to_owned()));
    let told = "select count(*) from tidegate.events where kind = 'cancelled'";
    assert_eq!(count(&db, told).await, 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f15_what_was_kept_long_enough_is_deleted_once() {
    let (db, store) = a_store(30).await;
    finish(&store, 20).await;
    run(
        &db,
        "update tidegate.tasks set finished_at = now() - interval '10 days' where state = 'done'",
    )
    .await;
    let step =
        "select tidegate.retain_v1(interval '1 day', interval '1 day', interval '1 day', 1000)";
    assert_eq!(
        twice(&db, step).await,
        ("false".to_owned(), "false".to_owned())
    );
    assert_eq!(count(&db, "select count(*) from tidegate.tasks").await, 10);
    let ids = "select tidegate.delete_tasks_v1(array(select id from tidegate.tasks where state = 'done'))";
    finish(&store, 5).await;
    let said = twice(&db, ids).await;
    assert_eq!(said, ("5".to_owned(), "0".to_owned()));
    assert_eq!(count(&db, "select count(*) from tidegate.tasks").await, 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f15_counts_are_summed_once() {
    let (db, store) = a_store(30).await;
    for _ in 0..5 {
        finish(&store, 4).await;
    }
    run(
        &db,
        "update tidegate.run_counts set at = now() - interval '10 min'",
    )
    .await;
    let (first, second) = twice(&db, "select tidegate.sum_counts_v1()").await;
    assert!(first.parse::<i64>().expect("a number") > 5, "{first}");
    assert_eq!(second, "0");
    let done = "select coalesce(sum(n), 0)::bigint from tidegate.run_counts where state = 'done'";
    assert_eq!(count(&db, done).await, 20);
    let ready = "select coalesce(sum(n), 0)::bigint from tidegate.run_counts where state = 'ready'";
    assert_eq!(count(&db, ready).await, 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f15_partitions_are_made_and_dropped_once() {
    let (db, _store) = a_store(1).await;
    let days = "select count(*) from pg_inherits i join pg_class c on c.oid = i.inhrelid where c.relname ~ '_[0-9]{8}$'";
    let before = count(&db, days).await;
    let drop_one = "do $$ begin execute 'drop table tidegate.calls_' || to_char(now() at time zone 'utc' + interval '5 days', 'YYYYMMDD'); end $$";
    run(&db, drop_one).await;
    twice(&db, "select 1 from tidegate.ensure_partitions()").await;
    assert_eq!(count(&db, days).await, before);

    let old = "create table tidegate.event_batches_20200101 partition of tidegate.event_batches for values from ('2020-01-01') to ('2020-01-02');
               create table tidegate.calls_20200101 partition of tidegate.calls for values from ('2020-01-01') to ('2020-01-02')";
    run(&db, old).await;
    let (first, _) = twice(&db, "select tidegate.drop_partitions_v1(90, 400)").await;
    assert_eq!(first, "2");
    assert_eq!(count(&db, days).await, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f15_the_book_is_trimmed_and_the_gone_are_forgotten_once() {
    let (db, _store) = a_store(1).await;
    db.unaudited();
    run(&db, "insert into tidegate.providers (name, kind, base_url, quota_scope, day_zone) values ('p', 'gemini', 'http://127.0.0.1:9', 'p', 'UTC');
              insert into tidegate.limits (quota_scope, name, dimension, window_kind, size) values ('p', 'r', 'requests', 'minute', 100);
              insert into tidegate.limit_book (limit_id, at, total, full_at)
                select l.limit_id, now() - make_interval(secs => 1200 - n), n, now() from tidegate.limits l, generate_series(1, 1199) n;
              insert into tidegate.processes (id, role, host, pid, version, slots, lease_until, stopped_at)
                select gen_random_uuid(), 'work', 'h', 1, '0', 1, now(), now() - interval '30 days' from generate_series(1, 9)").await;
    let room = "select o_room from tidegate.limit_room_v2(array(select limit_id from tidegate.limits), now(), now())";
    twice(&db, "select 1 from tidegate.trim_book_v1()").await;
    let left = count(&db, "select count(*) from tidegate.limit_book").await;
    assert!(left < 400, "{left}");
    let open = count(&db, room).await;
    assert!((36..=42).contains(&open), "{open}");
    let said = twice(
        &db,
        "select tidegate.forget_processes_v1(interval '7 days')",
    )
    .await;
    assert_eq!(said, ("9".to_owned(), "0".to_owned()));
    twice(&db, "select tidegate.learn_counting_v1()").await;
}
