//! F13, F22: the server is not there at all.

use std::time::Duration;

use rustix::process::Signal;
use tokio_util::sync::CancellationToken;

use super::tools::{Program, loaded_on, short_lived, signal, slow_models, until};
use crate::support::TestServer;

const LOST: &str = "select count(*) from tidegate.processes where lost_at is not null";
const DONE: &str = "select count(*) from articles where extracted_entities";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f13_a_stop_while_the_database_is_away_ends_and_others_go_on() {
    let mut server = TestServer::private().await;
    let (fleet, run) = loaded_on(&server, 60, slow_models(100.0)).await;
    let brief = ["env", "TIDEGATE_WORK_GRACE_S=4"];
    let mut program = Program::start(&fleet, fleet.url(), 5, &brief);
    fleet.until_calls(10).await;
    server.crash();
    signal(&program.child, Signal::TERM);
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
    let (fleet, run) = loaded_on(&server, 100, slow_models(150.0)).await;
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
