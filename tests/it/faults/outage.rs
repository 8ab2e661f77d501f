//! F13, F22: the server is not there at all.

use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio_util::sync::CancellationToken;

use super::tools::{LADDERS, Program, short_lived, until};
use crate::support::{
    TestServer,
    fleet::{Fleet, a_model, simulated},
};

const LOST: &str = "select count(*) from tidegate.processes where lost_at is not null";
const DONE: &str = "select count(*) from articles where extracted_entities";

/// A fleet on a server of its own, with articles, and their run loaded.
async fn loaded(server: &TestServer, articles: usize, latency_ms: f64) -> (Fleet, uuid::Uuid) {
    let mut settings = simulated(["best", "good"].map(a_model).to_vec());
    settings.latency.median_ms = latency_ms;
    let fleet = Fleet::on(server, settings).await;
    fleet.articles(articles).await;
    let loaded = fleet
        .load(Fleet::entity_extraction(LADDERS, "sim/good"))
        .await;
    (fleet, loaded.run)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f13_a_stop_while_the_database_is_away_ends_and_others_go_on() {
    let mut server = TestServer::private().await;
    let (fleet, run) = loaded(&server, 60, 100.0).await;
    let brief = ["env", "TIDEGATE_WORK_GRACE_S=4"];
    let mut program = Program::start(&fleet, fleet.url(), 5, &brief);
    fleet.until_calls(10).await;
    server.crash();
    let id = i32::try_from(program.child.id())
        .ok()
        .and_then(Pid::from_raw);
    kill_process(id.expect("a number"), Signal::TERM).expect("it is told");
    until("it ends", async || !program.runs()).await;
    let called = fleet.simulator.log().len();
    server.start().await;
    let stop = CancellationToken::new();
    let heir = fleet.process_with(&stop, short_lived());
    fleet.until_done(run).await;
    stop.cancel();
    heir.await.expect("it ends");
    assert_eq!(fleet.count(DONE).await, 60);
    assert!(
        fleet.simulator.log().len() <= 60 + called,
        "what it could not write down was asked again, and nothing else"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f22_an_outage_longer_than_the_lease_costs_no_answer_and_no_second_call() {
    let mut server = TestServer::private().await;
    let (fleet, run) = loaded(&server, 100, 150.0).await;
    let stop = CancellationToken::new();
    let processes: Vec<_> = (0..2)
        .map(|_| fleet.process_with(&stop, short_lived()))
        .collect();
    fleet.until_calls(20).await;
    server.crash();
    // twice the lease: what is being tested, not a wait for anything
    tokio::time::sleep(Duration::from_secs(8)).await;
    server.start().await;
    fleet.until_done(run).await;
    stop.cancel();
    for process in processes {
        process.await.expect("it ends");
    }
    assert_eq!(fleet.count(DONE).await, 100);
    assert_eq!(
        fleet.simulator.log().len(),
        100,
        "answers in hand were kept"
    );
    assert_eq!(fleet.count(LOST).await, 0);
}
