//! F25, F26, F28: links that are slow, half-open or deaf.

use std::time::Duration;

use tidegate::{engine::Settings, store};
use tokio_util::sync::CancellationToken;

use super::tools::{LADDERS, Program, at, name_of, process_at, server_of, short_lived, until};
use crate::support::{
    fleet::{Fleet, a_model, simulated},
    proxy::{Faults, Proxy},
};

/// A fleet with articles loaded, and a faulty network before its database.
async fn before_a_network(articles: usize, latency_ms: f64) -> (Fleet, Proxy, uuid::Uuid) {
    let mut settings = simulated(["best", "good"].map(a_model).to_vec());
    settings.latency.median_ms = latency_ms;
    let fleet = Fleet::over(settings).await;
    fleet.articles(articles).await;
    let loaded = fleet
        .load(Fleet::entity_extraction(LADDERS, "sim/good"))
        .await;
    let proxy = Proxy::tcp(server_of(&fleet)).await.expect("a port is free");
    (fleet, proxy, loaded.run)
}

/// Statements that take long are given up soon.
fn impatient(url: &str) -> store::Settings {
    store::Settings {
        statement_timeout: Duration::from_secs(1),
        ..at(url)
    }
}

const LISTENERS: &str = "select count(*) from pg_stat_activity where datname = current_database() and query ilike 'listen%'";
const LOST: &str = "select count(*) from tidegate.processes where lost_at is not null";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f25_no_call_starts_over_a_half_open_link() {
    let (fleet, proxy, run) = before_a_network(150, 80.0).await;
    let stop = CancellationToken::new();
    let url = proxy.url(&name_of(&fleet));
    let cut_off = process_at(&fleet, impatient(&url), short_lived(), &stop).await;
    fleet.until_calls(20).await;
    proxy.set(Faults::blackhole());
    // what it holds at this moment may be under way, and is all that it may still call
    let held = fleet.count("select count(*) from tidegate.running").await;
    let heir = fleet.process_with(&stop, short_lived());
    fleet.until_done(run).await;
    let calls = i64::try_from(fleet.simulator.log().len()).expect("few");
    assert!(calls <= 150 + held, "{calls} calls, {held} were held");
    assert_eq!(fleet.count(LOST).await, 1);
    proxy.heal();
    // it starts again under a new id, by new connections
    fleet
        .until_count(
            "select count(*) from tidegate.processes where stopped_at is null and lost_at is null",
            2,
        )
        .await;
    stop.cancel();
    heir.await.expect("it ends");
    cut_off.await.expect("it ends").expect("without trouble");
    assert_eq!(
        fleet
            .count("select count(*) from articles where extracted_entities")
            .await,
        150
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f25_a_link_that_lost_bytes_is_given_up_and_the_work_goes_on_over_another() {
    let (fleet, proxy, run) = before_a_network(150, 40.0).await;
    let stop = CancellationToken::new();
    let url = proxy.url(&name_of(&fleet));
    // with a lease that outlasts it, so that nothing but giving up helps
    let settings = Settings {
        lease: Duration::from_secs(30),
        ..short_lived()
    };
    let process = process_at(&fleet, impatient(&url), settings, &stop).await;
    fleet.until_calls(20).await;
    // a hole that closes: what was open stays dead, new connections pass
    proxy.set(Faults::blackhole());
    until("bytes are lost", async || proxy.links_lost() > 0).await;
    proxy.heal();
    fleet.until_done(run).await;
    stop.cancel();
    process.await.expect("it ends").expect("without trouble");
    assert_eq!(
        fleet
            .count("select count(*) from articles where extracted_entities")
            .await,
        150
    );
    assert_eq!(fleet.count(LOST).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f26_a_listener_that_hears_nothing_is_noticed_and_replaced() {
    let (fleet, proxy, run) = before_a_network(10, 5.0).await;
    let mut program = Program::start(&fleet, &proxy.url(&name_of(&fleet)), 6, &[]);
    fleet.until_done(run).await;
    let says = |program: &Program, what: &str| program.log().matches(what).count();
    until("it hears", async || {
        says(&program, "listening for wake-ups") == 1
    })
    .await;

    proxy.set_where("LISTEN", Faults::blackhole());
    until("it is told", async || says(&program, "are not heard") == 1).await;
    fleet
        .store
        .run_script(
            "again",
            "delete from article_entities; update articles set extracted_entities = false",
        )
        .await
        .expect("the articles are as new");
    let deaf = fleet
        .load(Fleet::entity_extraction(LADDERS, "sim/good"))
        .await;
    fleet.until_done(deaf.run).await;
    proxy.heal();
    until("it hears again", async || {
        says(&program, "listening for wake-ups") == 2
    })
    .await;
    assert!(program.runs());
    assert_eq!(says(&program, "heartbeat failed"), 0, "{}", program.log());
    assert_eq!(fleet.count(LOST).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f26_a_listener_whose_session_is_killed_comes_back_by_itself() {
    let fleet = Fleet::with(["best", "good"].map(a_model).to_vec()).await;
    let stop = CancellationToken::new();
    let process = fleet.process(&stop);
    fleet.until_count(LISTENERS, 1).await;
    let killed = fleet
        .count("select pid::bigint from pg_stat_activity where datname = current_database() and query ilike 'listen%' and pg_terminate_backend(pid)")
        .await;
    let replaced = async || {
        sqlx::query_scalar::<_, i64>("select count(*) from pg_stat_activity where datname = current_database() and query ilike 'listen%' and pid <> $1")
            .bind(i32::try_from(killed).expect("a number of a process"))
            .fetch_one(fleet.store.pool())
            .await
            .expect("a count")
            == 1
    };
    until("it listens again", replaced).await;
    stop.cancel();
    process.await.expect("it ends");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f28_a_database_that_takes_two_seconds_for_everything_costs_no_lease_and_no_attempt() {
    let (fleet, proxy, run) = before_a_network(60, 40.0).await;
    let stop = CancellationToken::new();
    let url = proxy.url(&name_of(&fleet));
    let settings = Settings {
        lease: Duration::from_secs(20),
        slots: 8,
        ..Settings::default()
    };
    let process = process_at(&fleet, at(&url), settings, &stop).await;
    fleet.until_calls(10).await;
    proxy.set(Faults::late(Duration::from_secs(1)));
    // two beats while everything is slow
    let beats = "select count(*) from tidegate.processes where heartbeat_at > started_at + interval '15 seconds'";
    fleet.until_count(beats, 1).await;
    assert_eq!(fleet.count(LOST).await, 0);
    let claims = fleet
        .count("select count(distinct started_at) from tidegate.calls")
        .await;
    proxy.heal();
    fleet.until_done(run).await;
    stop.cancel();
    process.await.expect("it ends").expect("without trouble");
    assert_eq!(
        fleet
            .count("select count(*) from tidegate.tasks where attempts > 1 or rescues > 0")
            .await,
        0,
        "no attempt was burned"
    );
    assert!(claims <= 60, "{claims} claims in a quarter of a minute");
    assert_eq!(fleet.count(LOST).await, 0);
    assert_eq!(fleet.simulator.log().len(), 60, "one call an article");
}
