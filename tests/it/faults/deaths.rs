//! F1, F2, F3, F9, F14: processes that are killed at a certain moment.

use std::{
    collections::BTreeMap,
    process::{Child, Command, Stdio},
    time::Duration,
};

use tidegate::{
    client::{Task, enqueue_all},
    engine::{Engine, Program as Local, Registry, Settings},
    store::{self, Store},
    task::{LocalError, typed},
};
use tokio_util::sync::CancellationToken;

use super::{
    hold::Hold,
    tools::{Program, arrived, loaded, name_of, server_of, slow_models, until, work_off},
};
use crate::support::{
    TestDb,
    proxy::{Faults, Proxy},
};

const DONE: &str = "select count(*) from articles where extracted_entities";
const RUNNING: &str = "select count(*) from tidegate.running";
/// Each claim has its attempt, with an outcome.
const UNTOLD: &str = "select count(*) from tidegate.tasks t
    where t.claims <> (select count(*) from tidegate.task_attempts a where a.task_id = t.id and a.outcome in ('ok', 'lost', 'released', 'failed'))";
/// Calls of which nobody knows what became of them stand in the ledger with an estimate.
const UNKNOWN: &str =
    "select count(*) from tidegate.calls where ended_at is null and sent and est_cost_microusd > 0";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f01_a_process_killed_before_its_claim_commits_has_taken_nothing() {
    let (fleet, run) = loaded(30, slow_models(10.0)).await;
    let mut hold = Hold::commits_with(fleet.url(), "running").await;
    let mut doomed = Program::start(&fleet, fleet.url(), 5, &[]);
    hold.until_held().await;
    doomed.kill();
    hold.roll_back().await;
    let untouched =
        "select count(*) from tidegate.tasks where state = 'ready' and claims = 0 and attempts = 0";
    assert_eq!(fleet.count(untouched).await, 30);
    work_off(&fleet, run).await;
    assert_eq!((fleet.count(DONE).await, arrived(&fleet)), (30, 30));
    assert_eq!(fleet.count(UNTOLD).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f01_what_a_process_claimed_that_was_killed_as_its_claim_commits_goes_to_others_uncalled() {
    let (fleet, run) = loaded(30, slow_models(10.0)).await;
    let mut hold = Hold::commits_with(fleet.url(), "running").await;
    let mut doomed = Program::start(&fleet, fleet.url(), 5, &[]);
    hold.until_held().await;
    doomed.kill();
    // the server does not know that its client is gone
    hold.let_go().await;
    fleet.until_count(RUNNING, 1).await;
    let held = fleet.count(RUNNING).await;
    work_off(&fleet, run).await;
    assert_eq!((fleet.count(DONE).await, arrived(&fleet)), (30, 30));
    let lost = "select count(*) from tidegate.task_attempts where outcome = 'lost' and charged";
    assert_eq!(fleet.count(lost).await, held);
    assert_eq!(fleet.count(UNTOLD).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f01_what_a_process_claimed_that_never_heard_of_it_goes_to_others_uncalled() {
    let (fleet, run) = loaded(30, slow_models(10.0)).await;
    let proxy = Proxy::tcp(server_of(&fleet)).await.expect("a port is free");
    let deaf = Faults {
        swallow_to_client: true,
        ..Faults::default()
    };
    proxy.set_where("claim_v5", deaf);
    let mut doomed = Program::start(&fleet, &proxy.url(&name_of(&fleet)), 5, &[]);
    fleet.until_count(RUNNING, 1).await;
    doomed.kill();
    let held = fleet.count(RUNNING).await;
    work_off(&fleet, run).await;
    assert_eq!((fleet.count(DONE).await, arrived(&fleet)), (30, 30));
    let lost = "select count(*) from tidegate.task_attempts where outcome = 'lost' and charged";
    assert_eq!(fleet.count(lost).await, held);
    assert_eq!(fleet.count(UNTOLD).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f02_a_process_killed_during_its_calls_costs_one_more_call_each() {
    let (fleet, run) = loaded(8, slow_models(2_500.0)).await;
    let mut doomed = Program::start(&fleet, fleet.url(), 5, &[]);
    until("all calls are under way", async || arrived(&fleet) == 8).await;
    doomed.kill();
    assert_eq!(fleet.count(RUNNING).await, 8, "none had ended");
    work_off(&fleet, run).await;
    assert_eq!((fleet.count(DONE).await, arrived(&fleet)), (8, 16));
    assert_eq!(fleet.count(UNKNOWN).await, 8);
    let told = "select count(*) from tidegate.calls where sent";
    assert_eq!(fleet.count(told).await, arrived(&fleet));
    let flagged = "select sum(cost_estimated_microusd)::bigint from tidegate.spend";
    assert!(fleet.count(flagged).await > 0);
    assert_eq!(fleet.count(UNTOLD).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f03_a_process_killed_between_answer_and_commit_has_both_calls_in_the_ledger() {
    let (fleet, run) = loaded(8, slow_models(30.0)).await;
    let mut hold = Hold::commits_with(fleet.url(), "task_results").await;
    let mut doomed = Program::start(&fleet, fleet.url(), 5, &[]);
    hold.until_held().await;
    until("all have their answers", async || {
        fleet.simulator.log().len() == 8
    })
    .await;
    doomed.kill();
    hold.roll_back().await;
    assert_eq!(fleet.count(RUNNING).await, 8, "nothing was settled");
    work_off(&fleet, run).await;
    assert_eq!((fleet.count(DONE).await, arrived(&fleet)), (8, 16));
    let told = "select count(*) from tidegate.calls where sent";
    assert_eq!(fleet.count(told).await, 16);
    assert_eq!(fleet.count(UNKNOWN).await, 8);
    assert_eq!(fleet.count(UNTOLD).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f14_a_new_process_of_the_same_host_is_not_the_one_that_died() {
    let (fleet, run) = loaded(40, slow_models(400.0)).await;
    let mut first = Program::start(&fleet, fleet.url(), 5, &[]);
    until("calls are under way", async || arrived(&fleet) >= 8).await;
    first.kill();
    let held = fleet.count(RUNNING).await;
    // at once, while the lease of the first still runs
    let mut second = Program::start(&fleet, fleet.url(), 5, &[]);
    fleet.until_done(run).await;
    second.stop().await;
    assert_eq!(fleet.count(DONE).await, 40);
    let same = "select count(distinct host) from tidegate.processes where role = 'work'";
    assert_eq!(fleet.count(same).await, 1);
    let lost =
        "select count(*) from tidegate.processes where lost_at is not null and role = 'work'";
    assert_eq!(fleet.count(lost).await, 1, "the second did not keep it up");
    let rescued = "select count(*) from tidegate.tasks where rescues = 1";
    assert_eq!(fleet.count(rescued).await, held);
    assert!(arrived(&fleet) <= 40 + held);
}

/// What kills its process.
const POISON: u32 = 17;
/// Where the process of [`f09_a_task_that_aborts_its_process_every_time_is_set_aside_and_others_are_done`]
/// finds its work.
const URL: &str = "TIDEGATE_TEST_POISONED";

#[tokio::test]
#[ignore = "no law: the process that f09 starts, and that dies of its task"]
async fn the_process_that_dies_of_its_task() {
    let Some(url) = std::env::var_os(URL) else {
        return;
    };
    let url = url.into_string().expect("a URL is text");
    let handler = typed(|n: u32| async move {
        if n == POISON {
            std::process::abort();
        }
        Ok::<_, LocalError>(n)
    });
    let database = store::Settings::new(url);
    let store = Store::connect(&database).await.expect("it connects");
    let registry = Registry::new().with_program("w", Local::new(handler));
    let settings = Settings {
        lease: Duration::from_secs(2),
        slots: 4,
        ..Settings::default()
    };
    let engine = Engine::new(store, database, BTreeMap::new(), registry, settings);
    // killed, if it does not die
    let _ = engine.run(CancellationToken::new()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f09_a_task_that_aborts_its_process_every_time_is_set_aside_and_others_are_done() {
    let db = TestDb::new().await;
    let store = Store::over(db.pool().clone());
    let any = Local::new(typed(|n: u32| async move { Ok::<_, LocalError>(n) }));
    store
        .register_worker(&any.to_worker("w"))
        .await
        .expect("registered");
    let tasks = (0..40).map(|n: u32| Task::new("w", &n).expect("a payload"));
    enqueue_all(db.pool(), "w", tasks.collect())
        .await
        .expect("enqueued");
    let start = || Living(poisoned(db.url()));
    let (mut living, mut deaths) = (start(), 0);
    until("the queue drains", async || {
        if living.0.try_wait().expect("it can be asked").is_some() {
            deaths += 1;
            living = start();
        }
        one(
            &db,
            "select count(*) from tidegate.tasks where state not in ('done', 'failed')",
        )
        .await
            == 0
    })
    .await;
    assert_eq!(deaths, 3);
    let done = "select count(*) from tidegate.tasks where state = 'done' and payload::int <> 17";
    assert_eq!(one(&db, done).await, 39);
    let aside = "select count(*) from tidegate.tasks where payload::int = 17 and error_class = 'quarantined' and attempts = 3";
    assert_eq!(one(&db, aside).await, 1);
}

/// A process of this very program that does the work of `w`.
fn poisoned(url: &str) -> Child {
    Command::new(std::env::current_exe().expect("a program"))
        .args([
            "--exact",
            "faults::deaths::the_process_that_dies_of_its_task",
            "--ignored",
        ])
        .env(URL, url)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts")
}

/// Killed when it is dropped.
struct Living(Child);

impl Drop for Living {
    fn drop(&mut self) {
        // it may have ended by itself
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn one(db: &TestDb, sql: &'static str) -> i64 {
    sqlx::query_scalar(sql)
        .fetch_one(db.pool())
        .await
        .expect("a count")
}
