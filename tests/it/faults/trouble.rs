//! F7, F21, F32, F36: a server that is there and does not do what it is asked.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tidegate::store::{Store, process::Registration};
use tokio_util::sync::CancellationToken;

use super::tools::{Program, at, loaded, name_of, process_at, short_lived, slow_models, until};
use crate::support::{
    fleet::{Fleet, a_model},
    work::{ONE_TIER, a_process, claim, items, load},
};

/// Sessions of Tidegate's processes, not the test's own.
const OURS: &str = "datname = current_database() and application_name = 'tidegate'";
const LOST: &str = "select count(*) from tidegate.processes where lost_at is not null";
const DONE: &str = "select count(*) from articles where extracted_entities";

async fn run(fleet: &Fleet, script: String) {
    sqlx::raw_sql(AssertSqlSafe(script))
        .execute(fleet.store.pool())
        .await
        .expect("a script runs");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f07_no_lease_is_lost_while_every_pooled_connection_waits_for_a_lock() {
    let (fleet, run) = loaded(60, slow_models(20.0)).await;
    let stop = CancellationToken::new();
    let process = process_at(&fleet, at(fleet.url()), short_lived(), &stop).await;
    fleet.until_calls(5).await;
    let mut other = PgConnection::connect(fleet.url()).await.expect("a session");
    let lock = "begin; lock table tidegate.running, tidegate.ready, tidegate.scheduled, tidegate.runs in access exclusive mode; create temp table locked as select clock_timestamp() as at";
    // four tables one after the other: it may meet a statement of the fleet that took them in another order
    while let Err(error) = sqlx::raw_sql(lock).execute(&mut other).await {
        let code = error
            .as_database_error()
            .and_then(|error| error.code().map(String::from));
        assert_eq!(code.as_deref(), Some("40P01"), "{error}");
        sqlx::raw_sql("rollback")
            .execute(&mut other)
            .await
            .expect("it is over");
    }
    let waiting =
        format!("select count(*) from pg_stat_activity where {OURS} and wait_event_type = 'Lock'");
    let one = async |other: &mut PgConnection, sql: &str| {
        sqlx::query_scalar::<_, i64>(AssertSqlSafe(sql.to_owned()))
            .fetch_one(other)
            .await
            .expect("a count")
    };
    until("they wait", async || one(&mut other, &waiting).await >= 2).await;
    // longer than a lease
    let beats = "select count(*) from tidegate.processes, locked where lost_at is null and heartbeat_at > locked.at + interval '6 seconds'";
    until("the heart beats on", async || {
        one(&mut other, beats).await == 1
    })
    .await;
    other.close().await.expect("it is unlocked");
    fleet.until_done(run).await;
    stop.cancel();
    process.await.expect("it ends").expect("without trouble");
    assert_eq!(fleet.count(LOST).await, 0);
    assert_eq!(fleet.count(DONE).await, 60);
    assert_eq!(fleet.simulator.log().len(), 60, "one call an article");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f07_no_lease_is_lost_while_all_threads_parse() {
    let (fleet, run) = loaded(40, slow_models(20.0)).await;
    let stop = CancellationToken::new();
    let process = process_at(&fleet, at(fleet.url()), short_lived(), &stop).await;
    fleet.until_calls(5).await;
    let large = Arc::new(format!("[{}0]", "{\"a\": [1, 2, 3]}, ".repeat(500_000)));
    let enough = Arc::new(AtomicBool::new(false));
    let parsers: Vec<_> = (0..4)
        .map(|_| {
            let (large, enough) = (large.clone(), enough.clone());
            tokio::spawn(async move {
                while !enough.load(Ordering::Relaxed) {
                    let parsed: serde_json::Value =
                        serde_json::from_str(&large).expect("it is JSON");
                    assert!(parsed.is_array());
                    tokio::task::yield_now().await;
                }
            })
        })
        .collect();
    // longer than a lease, and looked at from a thread of its own
    let url = fleet.url().to_owned();
    let beats = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            let mut session = PgConnection::connect(&url).await.expect("a session");
            sqlx::query("create temp table began as select clock_timestamp() as at")
                .execute(&mut session)
                .await
                .expect("the hour is noted");
            until("the heart beats on", async || {
                sqlx::query_scalar::<_, bool>("select exists (select from tidegate.processes, began where heartbeat_at > began.at + interval '8 seconds')")
                    .fetch_one(&mut session)
                    .await
                    .expect("an answer")
            })
            .await;
        });
    });
    while !beats.is_finished() {
        tokio::task::yield_now().await;
    }
    enough.store(true, Ordering::Relaxed);
    for parser in parsers {
        parser.await.expect("it parsed");
    }
    beats.join().expect("it beat");
    fleet.until_done(run).await;
    stop.cancel();
    process.await.expect("it ends").expect("without trouble");
    assert_eq!(fleet.count(LOST).await, 0);
    assert_eq!(fleet.count(DONE).await, 40);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f21_sessions_ended_at_random_lose_and_double_nothing() {
    let (fleet, run) = loaded(150, slow_models(60.0)).await;
    let stop = CancellationToken::new();
    let mut processes = Vec::new();
    for _ in 0..2 {
        processes.push(process_at(&fleet, at(fleet.url()), short_lived(), &stop).await);
    }
    let pool = fleet.store.pool().clone();
    let over = CancellationToken::new();
    let ending = over.clone();
    let ender = tokio::spawn(async move {
        let one = format!(
            "select pg_terminate_backend(pid) from (select pid from pg_stat_activity where {OURS} order by random() limit 1) one"
        );
        let mut every = tokio::time::interval(Duration::from_millis(200));
        let mut ended = 0;
        while !ending.is_cancelled() {
            every.tick().await;
            let gone: Option<bool> = sqlx::query_scalar(AssertSqlSafe(one.clone()))
                .fetch_optional(&pool)
                .await
                .expect("a session is ended");
            ended += usize::from(gone == Some(true));
        }
        ended
    });
    fleet.until_done(run).await;
    over.cancel();
    assert!(ender.await.expect("it ended some") > 3);
    stop.cancel();
    for process in processes {
        process.await.expect("it ends").expect("without trouble");
    }
    assert_eq!(fleet.count(DONE).await, 150);
    assert_eq!(fleet.count(LOST).await, 0);
    assert_eq!(fleet.simulator.log().len(), 150, "one call an article");
    let burned = "select count(*) from tidegate.tasks where attempts > 1 or rescues > 0";
    assert_eq!(fleet.count(burned).await, 0);
}

/// Makes statements fail that write to these tables: one of so many, each time with another of the
/// codes.
async fn stumbling(fleet: &Fleet, one_of: u32, codes: &str, tables: &[&str]) {
    let mut script = format!(
        "create sequence stumbles;
         create function stumble() returns trigger language plpgsql as $$
         declare
           n bigint := nextval('stumbles');
           codes text[] := '{codes}';
         begin
           if n % {one_of} = 0 then
             raise exception 'stumbled' using errcode = codes[1 + (n / {one_of}) % array_length(codes, 1)];
           end if;
           return null;
         end $$;"
    );
    for table in tables {
        script.push_str(&format!(
            "create trigger stumble after insert or update or delete on tidegate.{table} for each statement execute function stumble();"
        ));
    }
    run(fleet, script).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f32_passing_errors_at_any_statement_burn_no_attempt_and_leave_nothing_half_done() {
    let (fleet, run) = loaded(80, slow_models(10.0)).await;
    stumbling(
        &fleet,
        11,
        "{40001,40P01,55P03,57014,53300}",
        &[
            "processes",
            "running",
            "ready",
            "tasks",
            "calls",
            "task_results",
            "runs",
        ],
    )
    .await;
    let stop = CancellationToken::new();
    let mut processes = Vec::new();
    for _ in 0..2 {
        processes.push(process_at(&fleet, at(fleet.url()), short_lived(), &stop).await);
    }
    fleet.until_done(run).await;
    stop.cancel();
    for process in processes {
        process.await.expect("it ends").expect("without trouble");
    }
    assert!(fleet.count("select last_value from stumbles").await > 50);
    assert_eq!(fleet.count(DONE).await, 80);
    assert_eq!(fleet.simulator.log().len(), 80, "one call an article");
    for none in [
        "select count(*) from tidegate.tasks where state <> 'done' or attempts <> 1 or rescues > 0",
        "select count(*) from tidegate.running",
        "select count(*) from tidegate.calls where ended_at is null",
        "select count(*) from tidegate.task_results r where jsonb_array_length(r.answer::jsonb -> 'entities')
            <> (select count(*) from article_entities e join tidegate.tasks t on t.item_id = e.article_id where t.id = r.task_id)",
        LOST,
    ] {
        assert_eq!(fleet.count(none).await, 0, "{none}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f32_a_load_and_acts_by_hand_survive_conflicts_and_are_whole() {
    let fleet = Fleet::with(["a", "b"].map(a_model).to_vec()).await;
    run(
        &fleet,
        "create table answers (item_id text, answer text)".to_owned(),
    )
    .await;
    stumbling(
        &fleet,
        7,
        "{40001,40P01}",
        &["items", "tasks", "runs", "processes"],
    )
    .await;
    let loaded = load(&fleet.store, ONE_TIER, &items(1_500)).await;
    assert_eq!(loaded.expect("it loads").sum.enqueued, 1_500);
    let process = a_process(&fleet.store, Duration::from_secs(60)).await;
    let taken = claim(&fleet.store, process, 20).await;
    assert_eq!(taken.len(), 20);
    let ids: Vec<_> = taken.iter().map(|task| task.task).collect();
    let ended = fleet.store.cancel(&ids).await.expect("it cancels");
    assert_eq!(ended, 20);
    let whole = "select count(*) from tidegate.tasks where state = 'cancelled' and not exists (select from tidegate.running r where r.id = tasks.id)";
    assert_eq!(fleet.count(whole).await, 20);
    assert_eq!(
        fleet.count("select count(*) from tidegate.tasks").await,
        1_500
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f36_a_server_that_turns_read_only_is_waited_out() {
    let (fleet, done) = loaded(80, slow_models(60.0)).await;
    let mut program = Program::start(&fleet, fleet.url(), 6, &[]);
    fleet.until_calls(15).await;
    let name = name_of(&fleet);
    run(
        &fleet,
        format!(
            "alter database {name} set default_transaction_read_only = on;
             select pg_terminate_backend(pid) from pg_stat_activity where {OURS}"
        ),
    )
    .await;
    // by two of its parts at least, again and again
    until("it is told", async || {
        program.log().matches("read-only transaction").count() > 5
    })
    .await;
    // its sessions go on as they were opened: they must be made anew
    run(
        &fleet,
        format!("alter database {name} reset default_transaction_read_only"),
    )
    .await;
    fleet.until_done(done).await;
    assert!(program.runs(), "{}", program.log());
    assert_eq!(fleet.count(DONE).await, 80);
    assert_eq!(fleet.count(LOST).await, 0);
    assert_eq!(fleet.simulator.log().len(), 80, "answers in hand were kept");
    let burned = "select count(*) from tidegate.tasks where state <> 'done' or attempts > 1";
    assert_eq!(fleet.count(burned).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f36_a_session_that_was_opened_read_only_is_not_used_when_it_may_write_again() {
    let fleet = Fleet::with(vec![a_model("a")]).await;
    let name = name_of(&fleet);
    let refuse = format!("alter database {name} set default_transaction_read_only = on");
    run(&fleet, refuse).await;
    let store = Store::connect(&at(fleet.url())).await.expect("it connects");
    let process = Registration::of_this_process("work", 1, Duration::from_secs(60));
    let refused = store.register(&process).await;
    assert!(refused.is_err_and(|error| error.is_passing()));
    let allow = format!("alter database {name} reset default_transaction_read_only");
    run(&fleet, allow).await;
    store.register(&process).await.expect("it writes again");
}
