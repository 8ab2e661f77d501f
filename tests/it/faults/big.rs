//! F33, F34, F51, F52: much history, much that waits, an old snapshot. What a statement reads stays
//! bounded: by pages and rows, whatever the machine's speed.

use std::time::Duration;

use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tidegate::store::settle::Fate;
use uuid::Uuid;

use crate::support::{
    fleet::{Fleet, a_model},
    work::{ONE_TIER, a_process, answered, claim, items, load, named, unanswered},
};

const LEASE: Duration = Duration::from_secs(600);

/// What a statement read.
#[derive(Clone, Copy, Debug, Default)]
struct Reads {
    /// Pages, of tables and indexes.
    pages: i64,
    /// Rows read from front to back, of tables that grow with tasks.
    scanned: i64,
    /// Rows fetched by indexes.
    fetched: i64,
}

impl Reads {
    /// Nothing from front to back, and so much by index at most.
    fn are_within(self, pages: i64, fetched: i64) -> bool {
        self.scanned == 0 && self.pages <= pages && self.fetched <= fetched
    }
}

/// Runs a statement in a transaction that is rolled back. The second time counts: the first one
/// reads the catalogue too.
async fn reads(fleet: &Fleet, statement: &str) -> Reads {
    let mut session = PgConnection::connect(fleet.url()).await.expect("a session");
    let mut last = Reads::default();
    for _ in 0..2 {
        run(&mut session, "begin").await;
        let before = counted(&mut session).await;
        let explained = format!("explain (analyze, buffers, format json) {statement}");
        let plan: Value = sqlx::query_scalar(AssertSqlSafe(explained))
            .fetch_one(&mut session)
            .await
            .unwrap_or_else(|error| panic!("{statement}: {error}"));
        let after = counted(&mut session).await;
        run(&mut session, "rollback").await;
        let of = |what: &str| plan[0]["Plan"][what].as_i64().expect("a number");
        last = Reads {
            pages: of("Shared Hit Blocks") + of("Shared Read Blocks"),
            scanned: after.0 - before.0,
            fetched: after.1 - before.1,
        };
    }
    last
}

/// Rows this session has scanned and fetched that the server has not added to its statistics yet.
async fn counted(session: &mut PgConnection) -> (i64, i64) {
    sqlx::query_as(
        "select coalesce(sum(seq_tup_read) filter (where relname in
                  ('tasks', 'ready', 'running', 'scheduled', 'failed', 'items', 'open_keys', 'task_results', 'limit_book', 'limit_settlements')), 0)::bigint,
                coalesce(sum(idx_tup_fetch), 0)::bigint
           from pg_stat_xact_user_tables where schemaname = 'tidegate'",
    )
    .fetch_one(session)
    .await
    .expect("what was read is told")
}

async fn run(session: &mut PgConnection, script: &str) {
    sqlx::raw_sql(AssertSqlSafe(script.to_owned()))
        .execute(session)
        .await
        .unwrap_or_else(|error| panic!("{script}: {error}"));
}

async fn script(fleet: &Fleet, script: &str) {
    let mut session = PgConnection::connect(fleet.url()).await.expect("a session");
    run(&mut session, script).await;
}

/// A claim as the program says it.
fn a_claim(process: Uuid, slots: u32) -> String {
    format!("select * from tidegate.claim_v5('{process}', {slots}, 7, '{{sim}}', null)")
}

/// A worker over JSON lines that asks one model only.
fn worker(name: &str, model: &str) -> String {
    named(name)
        .replace("sim/a", model)
        .replace("fallbacks = [\"sim/b\"]\n", "fallbacks = []\n")
}

/// Puts so many more waiting tasks behind those of a worker, which the audit knows nothing of.
async fn many_more(fleet: &Fleet, worker: &str, count: u32) {
    fleet.unaudited();
    let more = format!(
        "begin;
         set local session_replication_role = replica;
         insert into tidegate.tasks (id, run_id, worker, item_id, model, state, max_attempts, lane, est_tokens)
           select gen_random_uuid(), t.run_id, t.worker, 'more' || n, t.model, 'ready', 4, t.lane, 10
             from (select * from tidegate.tasks where worker = '{worker}' limit 1) t, generate_series(1, {count}) n;
         insert into tidegate.open_keys (worker, component, item_id, task_id)
           select t.worker, t.component, t.item_id, t.id from tidegate.tasks t where t.worker = '{worker}' and t.item_id like 'more%';
         select tidegate.make_ready_v2(array_agg((t.lane, 0, -1, t.id, 10, 0, 0, '{{}}'::smallint[], 0, 0)::tidegate.ready))
           from tidegate.tasks t where t.worker = '{worker}' and t.item_id like 'more%';
         commit"
    );
    script(fleet, &more).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f33_while_another_session_holds_a_snapshot_claims_do_not_walk_over_dead_rows() {
    const ROUNDS: usize = 40;
    let fleet = Fleet::with(vec![a_model("a"), a_model("b")]).await;
    load(&fleet.store, ONE_TIER, &items(4_500))
        .await
        .expect("a run");
    let process = a_process(&fleet.store, LEASE).await;
    let first = reads(&fleet, &a_claim(process, 10)).await;

    let mut other = PgConnection::connect(fleet.url()).await.expect("a session");
    run(
        &mut other,
        "begin isolation level repeatable read; select count(*) from tidegate.tasks",
    )
    .await;
    for _ in 0..ROUNDS {
        let mut claimed = claim(&fleet.store, process, 100).await;
        assert_eq!(claimed.len(), 100);
        // some come back, at once or later
        let back = claimed.split_off(90);
        let open: Vec<_> = back
            .iter()
            .enumerate()
            .map(|(n, task)| match n % 2 {
                0 => unanswered(task, Fate::Release),
                _ => unanswered(task, Fate::Reschedule { delay_ms: 0 }),
            })
            .collect();
        fleet
            .store
            .settle_open(process, &open)
            .await
            .expect("given back");
        let answers = claimed.iter().map(|task| answered(task, "x")).collect();
        fleet
            .store
            .settle_done(process, answers, None)
            .await
            .expect("settled");
        fleet.store.promote().await.expect("promoted");
    }
    let dead = fleet
        .count("select (pg_relation_size('tidegate.ready') / 8192)::bigint")
        .await;
    let last = reads(&fleet, &a_claim(process, 10)).await;
    assert_eq!(last.scanned, 0);
    assert!(
        last.pages <= 3 * first.pages && last.fetched <= 3 * first.fetched.max(100),
        "first {first:?}, with {dead} pages of mostly dead rows {last:?}"
    );
    run(&mut other, "commit").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f34_hot_statements_read_a_bounded_number_of_pages_of_a_big_history() {
    let fleet = Fleet::with(vec![a_model("a"), a_model("b")]).await;
    load(&fleet.store, ONE_TIER, &items(300))
        .await
        .expect("a run");
    // nobody analyses but the test: first the statistics are those of empty tables
    script(
        &fleet,
        "alter table tidegate.tasks set (autovacuum_enabled = false);
         alter table tidegate.ready set (autovacuum_enabled = false);
         alter table tidegate.running set (autovacuum_enabled = false);
         alter table tidegate.scheduled set (autovacuum_enabled = false);
         analyze",
    )
    .await;
    let process = a_process(&fleet.store, LEASE).await;
    let other = a_process(&fleet.store, LEASE).await;
    let held = claim(&fleet.store, process, 50).await;
    assert_eq!(held.len(), 50);
    many_more(&fleet, "small", 60_000).await;
    script(&fleet, &history(other)).await;
    let any = tidegate::engine::Program::new(tidegate::task::typed(|n: u32| async move {
        Ok::<_, tidegate::task::LocalError>(n)
    }));
    fleet
        .store
        .register_worker(&any.to_worker("w"))
        .await
        .expect("registered");
    script(&fleet, "select tidegate.enqueue_many_v1('w', array_agg(tidegate.uuid_v7()), array_agg(n::text)) from generate_series(1, 30000) n").await;

    let local = format!("select * from tidegate.claim_local_v3('{process}', 10, 7, '{{w}}', null)");
    let settle = format!(
        "select * from tidegate.settle_done_v1('{process}', {})",
        settled(&held[..20])
    );
    let open = format!(
        "select * from tidegate.settle_open_v1('{process}', {})",
        given_back(&held[20..40])
    );
    let mut too_much = Vec::new();
    for statistics in ["of empty tables", "true ones"] {
        for (what, statement, pages, fetched) in [
            ("claim_v5", a_claim(process, 10), 1_500, 1_500),
            ("claim_local_v3", local.clone(), 1_500, 1_500),
            ("settle_done_v1", settle.clone(), 4_000, 1_500),
            ("settle_open_v1", open.clone(), 4_000, 1_500),
            (
                "promote_v1",
                "select tidegate.promote_v1(100)".to_owned(),
                8_000,
                2_000,
            ),
        ] {
            let read = reads(&fleet, &statement).await;
            if !read.are_within(pages, fetched) {
                too_much.push(format!("{what}, by statistics {statistics}: {read:?}"));
            }
        }
        script(&fleet, "analyze").await;
    }
    assert!(too_much.is_empty(), "{too_much:#?}");
}

/// Much that is over, that waits for its moment, and that others hold.
fn history(other: Uuid) -> String {
    format!(
        "begin;
         set local session_replication_role = replica;
         insert into tidegate.tasks (id, run_id, worker, item_id, model, state, max_attempts, lane, finished_at)
           select gen_random_uuid(), t.run_id, t.worker, 'old' || n, t.model, 'done', 4, t.lane, now()
             from (select * from tidegate.tasks limit 1) t, generate_series(1, 100000) n;
         insert into tidegate.task_results (task_id, generation, run_id, answer, model, attempt, epoch, process_id, started_at)
           select t.id, 1, t.run_id, '\"x\"', t.model, 1, 1, '{other}', now() from tidegate.tasks t where t.item_id like 'old%';
         insert into tidegate.tasks (id, run_id, worker, item_id, model, state, max_attempts, lane, run_at)
           select gen_random_uuid(), t.run_id, t.worker, 'later' || n, t.model, 'scheduled', 4, t.lane,
                  case when n <= 100 then now() - interval '1 s' else now() + interval '1 h' end
             from (select * from tidegate.tasks limit 1) t, generate_series(1, 60000) n;
         insert into tidegate.scheduled (id, run_at, lane, priority, est_input, attempts, epoch, tries, rescues, spent_ms)
           select t.id, t.run_at, t.lane, 0, 1, 0, 0, '{{}}', 0, 0 from tidegate.tasks t where t.state = 'scheduled';
         insert into tidegate.tasks (id, run_id, worker, item_id, model, state, max_attempts, lane)
           select gen_random_uuid(), t.run_id, t.worker, 'held' || n, t.model, 'running', 4, t.lane
             from (select * from tidegate.tasks limit 1) t, generate_series(1, 3000) n;
         insert into tidegate.running (id, lane, priority, est_input, attempts, epoch, tries, rescues, spent_ms, nonce, process_id, rung, granted_at, deadline_at)
           select t.id, t.lane, 0, 1, 1, 1, '{{}}', 0, 0, 1, '{other}', 1, now(), now() + interval '1 h' from tidegate.tasks t where t.item_id like 'held%';
         commit"
    )
}

/// Arguments of a settling with these answers.
fn settled(held: &[tidegate::store::claim::Claimed]) -> String {
    let meta: Vec<Value> = held
        .iter()
        .map(|task| {
            serde_json::json!({
                "task": task.task, "nonce": task.nonce, "epoch": task.epoch, "attempt": task.attempt, "lane": task.lane,
                "priority": task.priority, "model": task.model, "model_id": task.model_id, "call_id": task.call,
                "granted_at": task.granted_at, "input_tokens": 5, "output_tokens": 5, "cost_microusd": 1, "cost_estimated": false,
                "latency_ms": 3
            })
        })
        .collect();
    format!(
        "'{}', array_fill('\"x\"'::text, array[{}])",
        Value::from(meta),
        held.len()
    )
}

/// Arguments of a settling that gives these back.
fn given_back(held: &[tidegate::store::claim::Claimed]) -> String {
    let meta: Vec<Value> = held
        .iter()
        .map(|task| {
            serde_json::json!({
                "task": task.task, "nonce": task.nonce, "epoch": task.epoch, "call_id": task.call, "granted_at": task.granted_at,
                "fate": "release", "delay_ms": 0, "exhaust_rung": false, "error_class": "not_sent", "error": "x", "sent": false
            })
        })
        .collect();
    format!("'{}'", Value::from(meta))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f51_a_hundred_thousand_tasks_of_a_cooled_model_hold_ten_of_another_not_up() {
    let fleet = Fleet::with(vec![a_model("a"), a_model("b")]).await;
    load(&fleet.store, &worker("closed", "sim/a"), &items(1))
        .await
        .expect("a run");
    many_more(&fleet, "closed", 100_000).await;
    load(&fleet.store, &worker("open", "sim/b"), &items(10))
        .await
        .expect("a run");
    script(
        &fleet,
        "analyze; select tidegate.cool_down('sim/a', interval '1 h')",
    )
    .await;
    let process = a_process(&fleet.store, LEASE).await;
    let read = reads(&fleet, &a_claim(process, 20)).await;
    assert!(
        read.are_within(1_500, 500),
        "a claim beside what is cooled: {read:?}"
    );
    let claimed = claim(&fleet.store, process, 20).await;
    assert_eq!(claimed.len(), 10);
    assert!(claimed.iter().all(|task| task.model == "sim/b"));
    let none = reads(&fleet, &a_claim(process, 20)).await;
    assert!(
        none.are_within(1_500, 500),
        "a claim that finds nothing: {none:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f52_a_run_that_floods_leaves_the_others_their_share_of_every_claim() {
    let fleet = Fleet::with(vec![a_model("a")]).await;
    let flood = load(&fleet.store, &worker("flood", "sim/a"), &items(1))
        .await
        .expect("a run")
        .run;
    many_more(&fleet, "flood", 100_000).await;
    for name in ["few", "fewer"] {
        load(&fleet.store, &worker(name, "sim/a"), &items(12))
            .await
            .expect("a run");
    }
    let process = a_process(&fleet.store, LEASE).await;
    let read = reads(&fleet, &a_claim(process, 12)).await;
    assert!(read.are_within(1_500, 800), "a claim in a flood: {read:?}");
    let mut of_others = 0;
    for round in 1..=3 {
        let claimed = claim(&fleet.store, process, 12).await;
        assert_eq!(claimed.len(), 12);
        of_others += claimed.iter().filter(|task| task.run != flood).count();
        assert_eq!(of_others, 8 * round, "a third of each claim is the flood's");
    }
    assert_eq!(claim(&fleet.store, process, 12).await.len(), 12);
}
