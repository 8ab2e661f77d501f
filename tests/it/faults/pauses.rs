//! F5, F6: processes that sleep past their lease, and wake up.

use std::time::Duration;

use rustix::process::Signal;
use tidegate::store::process::Pulse;
use tokio_util::sync::CancellationToken;

use super::tools::{
    Program, arrived, at, loaded, name_of, server_of, short_lived, signal, slow_models, until,
};
use crate::support::{
    proxy::{Faults, Proxy},
    work::{a_process, claim},
};

const DONE: &str = "select count(*) from articles where extracted_entities";
const LOST: &str = "select count(*) from tidegate.processes where lost_at is not null";
const RUNNING: &str = "select count(*) from tidegate.running";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f05_a_process_that_slept_past_its_lease_completes_what_waits_again() {
    let (fleet, run) = loaded(8, slow_models(1_500.0)).await;
    let mut sleeper = Program::start(&fleet, fleet.url(), 5, &[]);
    until("all calls are under way", async || arrived(&fleet) == 8).await;
    signal(&sleeper.child, Signal::STOP);
    // nobody takes them up, not even the sleeper under its new id
    assert!(fleet.store.pause_run(run).await.expect("paused"));
    until("they wait again", async || {
        let grace = Duration::from_secs(1);
        fleet.store.rescue(grace, false).await.expect("looked");
        fleet.count(RUNNING).await == 0
    })
    .await;
    assert_eq!(fleet.count(LOST).await, 1);
    signal(&sleeper.child, Signal::CONT);
    fleet.until_count(DONE, 8).await;
    assert!(fleet.store.resume_run(run).await.expect("resumed"));
    fleet.until_done(run).await;
    sleeper.stop().await;
    assert_eq!(arrived(&fleet), 8, "nothing was asked twice");
    let salvaged = "select count(*) from tidegate.events where kind = 'salvaged'";
    assert_eq!(fleet.count(salvaged).await, 8);
    let paid = "select count(*) from tidegate.calls where outcome = 'ok' and cost_microusd > 0";
    assert_eq!(fleet.count(paid).await, 8);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f05_a_process_that_slept_past_its_lease_changes_nothing_that_others_did_and_its_cost_counts()
 {
    let (fleet, run) = loaded(8, slow_models(1_500.0)).await;
    let mut sleeper = Program::start(&fleet, fleet.url(), 5, &[]);
    until("all calls are under way", async || arrived(&fleet) == 8).await;
    signal(&sleeper.child, Signal::STOP);
    let stop = CancellationToken::new();
    let heir = fleet.process_with(&stop, short_lived());
    fleet.until_done(run).await;
    stop.cancel();
    heir.await.expect("it ends");
    let answers = "select sum(hashtext(answer))::bigint + sum(hashtext(process_id::text))::bigint from tidegate.task_results";
    let before = fleet.count(answers).await;
    signal(&sleeper.child, Signal::CONT);
    let late =
        "select count(*) from tidegate.calls where outcome = 'superseded' and cost_microusd > 0";
    fleet.until_count(late, 8).await;
    sleeper.stop().await;
    assert_eq!((fleet.count(DONE).await, arrived(&fleet)), (8, 16));
    assert_eq!(fleet.count(answers).await, before);
    let ends = "select count(*) from tidegate.events where kind in ('done', 'salvaged')";
    assert_eq!(fleet.count(ends).await, 8);
    let all = "select count(*) from tidegate.calls where cost_microusd > 0";
    assert_eq!(fleet.count(all).await, 16);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f06_a_heartbeat_that_comes_late_does_not_take_a_lease_back() {
    let (fleet, _run) = loaded(8, slow_models(1.0)).await;
    let proxy = Proxy::tcp(server_of(&fleet)).await.expect("a port is free");
    let lease = Duration::from_secs(60);
    let late = a_process(&fleet.store, lease).await;
    let held = claim(&fleet.store, late, 8).await;
    assert_eq!(held.len(), 8);
    let database = at(&proxy.url(&name_of(&fleet)));
    let pulse = Pulse::open(&database).await.expect("it connects");
    let pulse = pulse.beat(late, lease, lease).await.expect("it beats");
    let pulse = pulse.expect("it holds its lease").pulse;

    proxy.set(Faults::late(Duration::from_secs(600)));
    let beat = tokio::spawn(pulse.beat(late, lease, lease));
    sqlx::query("update tidegate.processes set lease_until = now() - interval '1 h' where id = $1")
        .bind(late)
        .execute(fleet.store.pool())
        .await
        .expect("its lease is over");
    let grace = Duration::from_secs(1);
    assert_eq!(fleet.store.rescue(grace, false).await.expect("looked"), 8);
    let other = a_process(&fleet.store, lease).await;
    assert_eq!(claim(&fleet.store, other, 8).await.len(), 8);
    proxy.heal();
    let beaten = beat.await.expect("it ends").expect("no error");
    assert!(beaten.is_none(), "it was told that it is lost");
    let back =
        "select count(*) from tidegate.processes where lost_at is not null and lease_until > now()";
    assert_eq!(fleet.count(back).await, 0);
    let moved = "select count(*) from tidegate.running r join tidegate.processes p on p.id = r.process_id where p.lost_at is null";
    assert_eq!(fleet.count(moved).await, 8);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f06_a_process_that_hears_late_that_it_is_lost_drops_its_tasks_and_starts_anew() {
    let (fleet, run) = loaded(30, slow_models(200.0)).await;
    let mut program = Program::start(&fleet, fleet.url(), 5, &[]);
    until("calls are under way", async || arrived(&fleet) >= 8).await;
    sqlx::query("update tidegate.processes set lost_at = clock_timestamp() where role = 'work'")
        .execute(fleet.store.pool())
        .await
        .expect("it is declared lost");
    fleet.until_done(run).await;
    assert!(program.runs(), "{}", program.log());
    program.stop().await;
    let lives = "select count(*) from tidegate.processes where role = 'work'";
    assert_eq!(fleet.count(lives).await, 2);
    assert_eq!(fleet.count(DONE).await, 30);
}
