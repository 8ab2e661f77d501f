//! F11, F12: SIGTERM while calls are under way.

use rustix::process::Signal;

use super::tools::{Program, arrived, loaded, signal, slow_models, until};

const RUNNING: &str = "select count(*) from tidegate.running";
const OPEN: &str =
    "select count(*) from tidegate.processes where role = 'work' and stopped_at is null";
/// Given back as if it had never been taken.
const UNSPENT: &str = "select count(*) from tidegate.tasks where state = 'ready' and attempts = 0 and process_id is null";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f11_sigterm_lets_calls_end_claims_nothing_more_and_gives_back_what_takes_too_long() {
    let mut settings = slow_models(300.0);
    settings.seed = 3;
    settings.faults.hang = 0.25;
    settings.faults.hang_ms_max = 600_000;
    let (fleet, _run) = loaded(120, settings).await;
    let brief = ["env", "TIDEGATE_WORK_GRACE_S=5"];
    let mut program = Program::start(&fleet, fleet.url(), 6, &brief);
    until("calls are under way, some have ended", async || {
        arrived(&fleet) >= 12
    })
    .await;
    program.stop().await;
    let called = arrived(&fleet);
    assert_eq!(fleet.count(RUNNING).await, 0);
    assert_eq!(fleet.count(OPEN).await, 0);
    let done = fleet
        .count("select count(*) from tidegate.tasks where state = 'done'")
        .await;
    assert_eq!(fleet.count(UNSPENT).await, 120 - done);
    let taken = "select count(*) from tidegate.calls";
    assert!(
        fleet.count(taken).await < 120,
        "it went on claiming until nothing was left"
    );
    let told = "select count(*) from tidegate.calls where sent";
    assert_eq!(fleet.count(told).await, called);
    let last = "select count(*) from tidegate.calls c where ended_at is null";
    assert_eq!(fleet.count(last).await, 0, "the ledger is closed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f12_sigterm_does_not_wait_for_a_provider_that_never_answers() {
    let mut settings = slow_models(5.0);
    settings.faults.hang = 1.0;
    settings.faults.hang_ms_max = 600_000;
    let (fleet, _run) = loaded(20, settings).await;
    let brief = ["env", "TIDEGATE_WORK_GRACE_S=3"];
    let mut program = Program::start(&fleet, fleet.url(), 6, &brief);
    until("all slots call", async || arrived(&fleet) == 8).await;
    program.stop().await;
    assert_eq!(fleet.count(UNSPENT).await, 20);
    assert_eq!(fleet.count(RUNNING).await, 0);
    assert_eq!(fleet.count(OPEN).await, 0);
    assert_eq!(arrived(&fleet), 8, "nothing was claimed after the signal");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f12_a_second_sigterm_ends_a_process_at_once_and_others_take_its_tasks_by_the_lease() {
    let mut settings = slow_models(5.0);
    settings.faults.hang = 1.0;
    settings.faults.hang_ms_max = 600_000;
    let (fleet, _run) = loaded(8, settings).await;
    let mut program = Program::start(&fleet, fleet.url(), 5, &[]);
    until("all slots call", async || arrived(&fleet) == 8).await;
    signal(&program.child, Signal::TERM);
    until("it ends before its grace", async || {
        signal(&program.child, Signal::TERM);
        !program.runs()
    })
    .await;
    until("they wait again", async || {
        let grace = std::time::Duration::from_secs(1);
        fleet.store.rescue(grace, false).await.expect("looked");
        fleet.count(RUNNING).await == 0
    })
    .await;
    let waiting = "select count(*) from tidegate.tasks where state = 'ready' and attempts = 1";
    assert_eq!(fleet.count(waiting).await, 8);
}
