//! What survives what.

use std::time::Duration;

use tidegate::{engine::Settings, simulator::OutageKind};
use tokio_util::sync::CancellationToken;

use crate::support::{
    TestServer,
    fleet::{Fleet, a_model, simulated},
};

const LADDERS: [&[&str]; 3] = [&["sim/best", "sim/good"], &["sim/good"], &["sim/good"]];

/// Settings of a process whose death is noticed soon.
fn short_lived() -> Settings {
    Settings {
        lease: Duration::from_secs(4),
        slots: 8,
        ..Settings::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f19_a_server_that_crashes_under_load_loses_and_doubles_nothing() {
    let mut server = TestServer::private().await;
    let mut settings = simulated(["best", "good"].map(a_model).to_vec());
    settings.latency.median_ms = 60.0;
    let fleet = Fleet::on(&server, settings).await;
    fleet.articles(150).await;
    let loaded = fleet
        .load(Fleet::entity_extraction(LADDERS, "sim/good"))
        .await;
    let stop = CancellationToken::new();
    let processes: Vec<_> = (0..2)
        .map(|_| fleet.process_with(&stop, short_lived()))
        .collect();
    fleet.until_calls(40).await;
    server.crash();
    server.start().await;
    fleet.until_done(loaded.run).await;
    stop.cancel();
    for process in processes {
        process.await.expect("it ends");
    }
    assert_eq!(
        fleet
            .count("select count(*) from articles where extracted_entities")
            .await,
        150
    );
    assert_eq!(
        fleet
            .count("select count(*) from tidegate.tasks where state = 'done'")
            .await,
        150
    );
    assert_eq!(
        fleet.simulator.log().len(),
        150,
        "answers in hand were kept, not asked for again"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f02_what_a_dead_process_held_is_done_by_others_and_nothing_else_is_asked_twice() {
    let mut settings = simulated(["best", "good"].map(a_model).to_vec());
    settings.latency.median_ms = 80.0;
    let fleet = Fleet::over(settings).await;
    fleet.articles(100).await;
    let loaded = fleet
        .load(Fleet::entity_extraction(LADDERS, "sim/good"))
        .await;
    let stop = CancellationToken::new();
    let mut doomed = fleet.real_process(5);
    fleet.until_calls(20).await;
    doomed.kill();
    let in_flight = fleet.count("select count(*) from tidegate.running").await;
    let heir = fleet.process_with(&stop, short_lived());
    fleet.until_done(loaded.run).await;
    stop.cancel();
    heir.await.expect("it ends");
    assert_eq!(
        fleet
            .count("select count(*) from articles where extracted_entities")
            .await,
        100
    );
    let calls = i64::try_from(fleet.simulator.log().len()).expect("few");
    assert!(
        calls <= 100 + in_flight,
        "{calls} calls, {in_flight} were in flight"
    );
    assert_eq!(
        fleet
            .count("select count(*) from tidegate.tasks where rescues > 1")
            .await,
        0
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f11_a_stop_lets_calls_under_way_end_and_claims_nothing_more() {
    let mut settings = simulated(["best", "good"].map(a_model).to_vec());
    settings.latency.median_ms = 150.0;
    let fleet = Fleet::over(settings).await;
    fleet.articles(60).await;
    fleet
        .load(Fleet::entity_extraction(LADDERS, "sim/good"))
        .await;
    let stop = CancellationToken::new();
    let process = fleet.process_with(&stop, short_lived());
    fleet
        .until_count("select count(*) from tidegate.running", 1)
        .await;
    stop.cancel();
    let worked = process.await.expect("it ends");
    assert_eq!(
        fleet.count("select count(*) from tidegate.running").await,
        0
    );
    assert_eq!(
        fleet
            .count("select count(*) from tidegate.processes where stopped_at is null")
            .await,
        0
    );
    let done = fleet
        .count("select count(*) from tidegate.tasks where state = 'done'")
        .await;
    assert_eq!(i64::try_from(worked.done), Ok(done));
    assert_eq!(
        i64::try_from(fleet.simulator.log().len()),
        Ok(done),
        "no call was cut off"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f12_a_call_that_outlasts_the_grace_is_given_back_unspent() {
    let mut settings = simulated(["best", "good"].map(a_model).to_vec());
    settings.faults.hang = 1.0;
    settings.faults.hang_ms_max = 120_000;
    let fleet = Fleet::over(settings).await;
    fleet.articles(5).await;
    fleet
        .load(Fleet::entity_extraction(LADDERS, "sim/good"))
        .await;
    let stop = CancellationToken::new();
    let patient = Settings {
        grace: Duration::from_millis(2_100),
        ..short_lived()
    };
    let process = fleet.process_with(&stop, patient);
    fleet
        .until_count("select count(*) from tidegate.running", 5)
        .await;
    stop.cancel();
    assert_eq!(process.await.expect("it ends").released, 5);
    let sql = "select count(*) from tidegate.tasks where state = 'ready' and attempts = 0 and deferrals = 1";
    assert_eq!(fleet.count(sql).await, 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_of_every_kind_end_with_every_article_done_or_failed_with_a_reason() {
    let mut settings = simulated(["best", "good"].map(a_model).to_vec());
    settings.seed = 7;
    settings.faults.http_500 = 0.04;
    settings.faults.http_503 = 0.04;
    settings.faults.reset = 0.04;
    settings.faults.cut_json = 0.04;
    settings.faults.short_body = 0.02;
    settings.faults.not_json = 0.03;
    settings.faults.safety = 0.03;
    settings.faults.max_tokens = 0.02;
    settings.faults.empty = 0.03;
    settings.faults.lone_surrogate = 0.05;
    settings.faults.u0000 = 0.05;
    settings.faults.no_usage = 0.05;
    let fleet = Fleet::over(settings).await;
    fleet.articles(150).await;
    fleet.work_off(LADDERS, "sim/good").await;
    let failed = fleet
        .count("select count(*) from tidegate.tasks where state = 'failed'")
        .await;
    let filtered = fleet
        .count("select count(*) from tidegate.tasks where state = 'failed' and last_error is not null
                 and (error_class in ('filtered', 'truncated') or (error_class = 'sink' and last_error like '%U+0000%')
                      -- or what drew a fault with each call that it may have: some one in three hundred of those with one model
                      or attempts = max_attempts)")
        .await;
    assert_eq!(
        failed, filtered,
        "only what asking again cannot help, or may not be asked again, has failed"
    );
    assert_eq!(
        fleet
            .count("select count(*) from articles where extracted_entities")
            .await,
        150 - failed
    );
    assert_eq!(
        fleet
            .count("select count(*) from tidegate.calls where sent")
            .await,
        i64::try_from(fleet.simulator.log().len()).expect("few"),
        "our ledger and the provider's log count the same calls"
    );
    assert_eq!(
        fleet
            .count("select count(*) from tidegate.calls where ended_at is null")
            .await,
        0
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_all_models_are_closed_nothing_is_burned_and_the_wait_is_told() {
    let fleet = Fleet::with(["best", "good"].map(a_model).to_vec()).await;
    fleet.articles(20).await;
    fleet
        .simulator
        .outage("*", OutageKind::Minute, Duration::from_secs(600));
    fleet
        .load(Fleet::entity_extraction(LADDERS, "sim/good"))
        .await;
    let stop = CancellationToken::new();
    let process = fleet.process(&stop);
    let told = "select count(*) from tidegate.task_waits where reason like 'every model of its ladder is closed%' and until > now()";
    fleet.until_count(told, 20).await;
    stop.cancel();
    process.await.expect("it ends");
    assert_eq!(
        fleet
            .count("select count(*) from tidegate.tasks where state = 'ready' and attempts = 0")
            .await,
        20
    );
    let refused = fleet.simulator.log().len();
    assert!(
        refused <= 30,
        "{refused} calls were refused before all knew"
    );
}
