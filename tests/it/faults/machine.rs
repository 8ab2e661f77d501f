//! F16, F17, F18, F39: the machine around a process: its log, its descriptors, its clock.

use std::{
    io::{Read, Write},
    process::Stdio,
    time::Duration,
};

use chrono::DateTime;
use sqlx::{Connection, PgConnection};
use tidegate::simulator::OutageKind;
use tokio_util::sync::CancellationToken;

use super::tools::{
    LADDERS, Program, at, is_there, loaded, process_at, short_lived, slow_models, until,
};
use crate::support::{
    TestFolder, TestServer,
    fleet::{Fleet, a_model, simulated},
};

const LOST: &str = "select count(*) from tidegate.processes where lost_at is not null";
const DONE: &str = "select count(*) from articles where extracted_entities";

/// One number, over this session.
async fn one(session: &mut PgConnection, sql: &'static str) -> i64 {
    sqlx::query_scalar(sql)
        .fetch_one(session)
        .await
        .expect("a count")
}

/// What a pipe holds before a writer waits.
const PIPE: usize = 65_536;

/// `tidegate work` that logs everything into a pipe that is full already.
fn with_a_full_log(fleet: &Fleet) -> (Program, std::io::PipeReader) {
    let (reader, mut writer) = std::io::pipe().expect("a pipe");
    writer.write_all(&[b'x'; PIPE]).expect("it holds so much");
    let loud = ["env", "TIDEGATE_LOG_FILTER=trace"];
    let program = Program::start_in(
        TestFolder::new(),
        fleet,
        fleet.url(),
        6,
        &loud,
        Stdio::from(writer),
    );
    (program, reader)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f16_forty_processes_at_once_share_twenty_five_connections() {
    let server = TestServer::with_connections(25).await;
    let fleet = Fleet::on(&server, simulated(["best", "good"].map(a_model).to_vec())).await;
    fleet.articles(200).await;
    fleet
        .load(Fleet::entity_extraction(LADDERS, "sim/good"))
        .await;
    // the test keeps one connection for itself, as somebody else would
    let mut watch = PgConnection::connect(fleet.url()).await.expect("a session");
    fleet.store.pool().close().await;
    let mut programs: Vec<_> = (0..40)
        .map(|_| Program::start(&fleet, fleet.url(), 30, &[]))
        .collect();
    let registered = "select count(*) from tidegate.processes where heartbeat_at > started_at + interval '1 second' and lost_at is null";
    until(
        "each has registered, and has beaten once more",
        async || one(&mut watch, registered).await == 40,
    )
    .await;
    until("what was waiting is done", async || {
        one(&mut watch, DONE).await == 200
    })
    .await;
    for program in &mut programs {
        assert!(program.runs(), "{}", program.log());
    }
    assert_eq!(one(&mut watch, LOST).await, 0);
    assert_eq!(fleet.simulator.log().len(), 200, "one call an article");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f17_a_log_whose_reader_stalls_holds_no_worker_back_and_says_what_it_dropped() {
    let (fleet, run) = loaded(600, slow_models(20.0)).await;
    let (mut program, mut reader) = with_a_full_log(&fleet);
    fleet.until_done(run).await;
    // it reads on
    let reading = std::thread::spawn(move || {
        let mut text = Vec::new();
        reader.read_to_end(&mut text).expect("the pipe is read");
        String::from_utf8_lossy(&text).into_owned()
    });
    program.stop().await;
    drop(program);
    let text = reading.join().expect("it was read");
    assert!(text.contains("lines were dropped"), "{} bytes", text.len());
    assert_eq!(fleet.count(DONE).await, 600);
    assert_eq!(fleet.count(LOST).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f17_a_log_whose_reader_stalled_and_went_ends_nothing() {
    let (fleet, run) = loaded(60, slow_models(20.0)).await;
    let (mut program, reader) = with_a_full_log(&fleet);
    fleet.until_calls(10).await;
    drop(reader);
    fleet.until_done(run).await;
    program.stop().await;
    assert_eq!(fleet.count(DONE).await, 60);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f17_a_stop_does_not_wait_for_a_reader_that_stalls() {
    let (fleet, run) = loaded(5, slow_models(20.0)).await;
    let (mut program, reader) = with_a_full_log(&fleet);
    fleet.until_done(run).await;
    program.stop().await;
    drop(reader);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f18_a_process_out_of_descriptors_loses_no_task_and_recovers() {
    if !is_there("prlimit") {
        return;
    }
    let mut settings = simulated(["best", "good"].map(a_model).to_vec());
    settings.latency.median_ms = 300.0;
    let fleet = Fleet::over(settings).await;
    fleet.articles(400).await;
    let loaded = fleet
        .load(Fleet::entity_extraction(LADDERS, "sim/good"))
        .await;
    // more calls at once than it has descriptors for
    let tight = ["prlimit", "--nofile=64", "env", "TIDEGATE_WORK_SLOTS=128"];
    let mut program = Program::start(&fleet, fleet.url(), 6, &tight);
    fleet.until_done(loaded.run).await;
    assert!(program.runs(), "{}", program.log());
    let log = program.log();
    assert!(log.contains("Too many open files"), "it ran out: {log}");
    assert!(
        log.lines().count() < 2_000,
        "no spin: {}",
        log.lines().count()
    );
    program.stop().await;
    assert_eq!(fleet.count(DONE).await, 400);
    let failed = "select count(*) from tidegate.tasks where state <> 'done'";
    assert_eq!(fleet.count(failed).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f39_a_process_whose_clock_is_wrong_changes_no_lease_no_schedule_and_no_cooldown() {
    if !is_there("faketime") {
        return;
    }
    for clock in ["+1h", "-1h"] {
        let mut settings = simulated(["best", "good"].map(a_model).to_vec());
        settings.latency.median_ms = 30.0;
        // failures make schedules, refusals cooldowns
        settings.faults.http_500 = 0.1;
        let fleet = Fleet::over(settings).await;
        fleet
            .simulator
            .outage("best", OutageKind::Minute, Duration::from_secs(2));
        fleet.articles(80).await;
        let loaded = fleet
            .load(Fleet::entity_extraction(LADDERS, "sim/good"))
            .await;
        let liar = ["faketime", "-f", clock];
        let mut liar = Program::start(&fleet, fleet.url(), 6, &liar);
        fleet.until_calls(3).await;
        let stopped = CancellationToken::new();
        let honest = process_at(&fleet, at(fleet.url()), short_lived(), &stopped).await;
        fleet.until_done(loaded.run).await;
        // long enough for either to judge the other's lease
        fleet
            .until_count(
                "select count(*) from tidegate.processes where heartbeat_at > started_at + interval '9 seconds'",
                2,
            )
            .await;
        assert!(liar.runs(), "{}", liar.log());
        let log = liar.log();
        let said = log
            .split_whitespace()
            .find_map(|word| DateTime::parse_from_rfc3339(word).ok())
            .expect("a line of the log has its hour");
        let off: bool = sqlx::query_scalar(
            "select abs(extract(epoch from $1::timestamptz - clock_timestamp())) > 1800",
        )
        .bind(said)
        .fetch_one(fleet.store.pool())
        .await
        .expect("an answer");
        assert!(off, "its clock lies: {said}");
        stopped.cancel();
        honest.await.expect("it ends").expect("without trouble");
        assert_eq!(fleet.count(LOST).await, 0);
        for none in [
            "select count(*) from tidegate.tasks where rescues > 0",
            "select count(*) from tidegate.tasks where abs(extract(epoch from run_at - clock_timestamp())) > 1800",
            "select count(*) from tidegate.tasks where abs(extract(epoch from finished_at - clock_timestamp())) > 1800",
            "select count(*) from tidegate.model_cooldowns where abs(extract(epoch from until - clock_timestamp())) > 1800",
            "select count(*) from tidegate.calls where abs(extract(epoch from started_at - clock_timestamp())) > 1800
                or abs(extract(epoch from ended_at - clock_timestamp())) > 1800",
            "select count(*) from tidegate.processes where abs(extract(epoch from lease_until - clock_timestamp())) > 1800",
        ] {
            assert_eq!(fleet.count(none).await, 0, "{clock}: {none}");
        }
        drop(liar);
    }
}
