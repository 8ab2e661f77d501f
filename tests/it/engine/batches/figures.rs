//! Figures that were there before batches are right with them: tokens and cost of what a batch answered are
//! counted, calls are not; what a batch holds is reserved and shown, and when it ends is not guessed.

use tidegate::{client::expected, simulator::BatchSettings};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::scene::{PLAIN, Scene, watchful};

fn slow() -> BatchSettings {
    BatchSettings {
        median_ms: 3_600_000.0,
        ..BatchSettings::default()
    }
}

/// The latest batches of the model took so long.
async fn took(scene: &Scene, p50_s: i64, p90_s: i64) {
    scene
        .say(&format!(
            "insert into tidegate.latencies (model_id, how, p50_ms, p90_ms, samples, newest_at)
             select model_id, 'batch', {p50_s} * 1000, {p90_s} * 1000, 5, now() from tidegate.models where model = 'sim/a'"
        ))
        .await;
}

/// Seconds until a run's end, and whether nobody knows for its batch's sake.
async fn end(scene: &Scene, run: Uuid) -> (Option<f64>, bool) {
    let all = expected(&scene.fleet.store).await.expect("told");
    let it = all.run(run).expect("a run that waits");
    (it.seconds, it.is_batch_end_unknown)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_batch_answered_is_no_call_its_tokens_and_its_cost_are_counted() {
    let scene = Scene::new(BatchSettings::default()).await;
    let run = scene.load("sim", 15, "batch", PLAIN).await;
    scene.work_off(run).await;
    let report = scene.fleet.store.run_report(run).await.expect("a report");
    let figures = report.expect("a run").figures;
    let sums = &figures.calls;
    assert_eq!(
        (sums.calls, sums.ok, sums.calls_failed, sums.open),
        (0, 0, 0, 0)
    );
    assert_eq!((sums.retries, sums.packs, sums.packed), (0, 0, 0));
    assert_eq!(sums.latency_ms_mean, None, "no call was timed");
    let input = scene
        .number("select sum(input_tokens)::bigint from tidegate.calls")
        .await;
    let cost = scene
        .number("select sum(cost_microusd)::bigint from tidegate.calls")
        .await;
    assert!(input > 0 && cost > 0);
    assert_eq!((sums.input_tokens, sums.cost_microusd), (input, cost));
    assert_eq!(
        (figures.groups.sum.done, figures.groups.sum.in_batch),
        (15, 0)
    );
    assert_eq!(
        (figures.groups.fallbacks, figures.groups.cache_hits),
        (0, 0)
    );
    for (view, column, expected) in [
        ("spend", "calls", 0),
        ("spend", "calls_unknown", 0),
        ("spend", "input_tokens", input),
        ("spend", "cost_microusd", cost),
        ("run_progress", "calls", 0),
        ("run_progress", "cost_microusd", cost),
        ("model_status", "calls_last_minute", 0),
        ("budgets", "reserved_microusd", 0),
        ("model_usage", "used", 0),
    ] {
        let sql = format!("select coalesce(sum({column}), 0)::bigint from tidegate.{view}");
        assert_eq!(scene.number(&sql).await, expected, "{view}.{column}");
    }
    // a batch's items took no time of their own: how long calls take is not known by them
    let next = scene.load("sim", 3, "individual", PLAIN).await;
    let ahead = scene.fleet.store.ahead(&[]).await.expect("ahead");
    let model = ahead.models.iter().find(|it| it.model == "sim/a");
    assert_eq!(model.expect("it waits for it").latency, None);
    assert_eq!(end(&scene, next).await, (Some(5.0), false));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_that_is_told_for_the_first_time_knows_nothing_of_batches() {
    let scene = Scene::new(BatchSettings::default()).await;
    let run = scene.load("sim", 20, "hybrid", PLAIN).await;
    scene.work_off(run).await;
    scene
        .say("select tidegate.tell_limit_v1(model_id, 'sim', 'sim/a tokens', 'total_tokens', 'minute', 100000, 'sliding', null, 'hand', false) from tidegate.models where model = 'sim/a'")
        .await;
    let used = "select coalesce(sum(b.total), 0)::bigint from tidegate.limit_book b join tidegate.limits l on l.limit_id = b.limit_id where l.dimension = 'total_tokens'";
    let singly = "select sum(input_tokens + output_tokens + coalesce(thought_tokens, 0))::bigint from tidegate.calls where batch_id is null";
    let singly = scene.number(singly).await;
    assert!(singly > 0);
    assert_eq!(scene.number(used).await, singly);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_stands_in_a_batch_is_shown_and_reserved_and_its_end_is_told_by_the_latest_batches() {
    let scene = Scene::new(slow()).await;
    let run = scene.load("sim", 15, "batch", PLAIN).await;
    scene
        .say(&format!("select tidegate.set_budget('{run}', 1000000)"))
        .await;
    let stop = CancellationToken::new();
    let process = scene.fleet.process_with(&stop, watchful());
    scene
        .until("select count(*) from tidegate.provider_batches where state = 'submitted'")
        .await;
    let store = &scene.fleet.store;
    let stand = store
        .tier_stands(&[run])
        .await
        .expect("tiers")
        .remove(0)
        .stand;
    assert_eq!((stand.running, stand.in_batch, stand.waiting), (15, 15, 0));
    let groups = store.run_groups(&[run], 8).await.expect("groups");
    assert_eq!((groups.sum.running, groups.sum.in_batch), (15, 15));
    let in_batch = "select in_batch from tidegate.scaling";
    assert_eq!(scene.number(in_batch).await, 15);
    let worst = scene
        .number("select sum(est_cost_microusd)::bigint from tidegate.calls")
        .await;
    let reserved = format!(
        "select reserved_microusd - {worst} + spent_microusd from tidegate.budgets where run_id = '{run}'"
    );
    assert_eq!(scene.number(&reserved).await, 0, "reserved, and not spent");

    assert_eq!(end(&scene, run).await, (None, true), "no batch was seen");
    took(&scene, 6_000, 12_000).await;
    let (seconds, unknown) = end(&scene, run).await;
    assert!(
        seconds.is_some_and(|it| it > 5_000.0 && it <= 6_000.0) && !unknown,
        "{seconds:?}"
    );
    let older = "update tidegate.provider_batches set created_at = created_at - interval '9000 s'";
    scene.say(older).await;
    let (seconds, _) = end(&scene, run).await;
    assert!(
        seconds.is_some_and(|it| it > 2_000.0 && it <= 3_000.0),
        "as nine of ten: {seconds:?}"
    );
    scene.say(older).await;
    assert_eq!(end(&scene, run).await, (None, true), "longer than most");
    stop.cancel();
    process.await.expect("it ends");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lane_that_is_held_for_a_batch_is_not_foreseen_as_single_calls() {
    let scene = Scene::new(BatchSettings::default()).await;
    let singly = scene.load("sim", 15, "individual", PLAIN).await;
    let held = scene.load("sim", 15, "batch", PLAIN).await;
    assert_eq!(end(&scene, held).await, (None, true));
    assert!(end(&scene, singly).await.0.is_some());
    took(&scene, 600, 1_200).await;
    assert_eq!(end(&scene, held).await, (Some(600.0), false));
    let all = expected(&scene.fleet.store).await.expect("told");
    let cost = |run| all.run(run).and_then(|it| it.cost_microusd);
    let (whole, half) = (cost(singly).expect("priced"), cost(held).expect("priced"));
    assert!(
        half.abs_diff(whole / 2) <= 1,
        "at the price of batches: {half} of {whole}"
    );
    let calls: u64 = all.calls.iter().map(|it| it.calls).sum();
    assert_eq!(calls, 15, "only those that ask singly");
    scene
        .say("update tidegate.models set batch_mode = false")
        .await;
    let (seconds, unknown) = end(&scene, held).await;
    assert!(seconds.is_some_and(|it| it < 600.0) && !unknown);
}
