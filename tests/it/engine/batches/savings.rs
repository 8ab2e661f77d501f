//! What choosing came to: exact figures beside always singly and always by batch, unknown where nobody knows.

use std::time::Duration;

use tidegate::{
    plan::{Case, Latency, decide},
    simulator::BatchSettings,
    store::report::{RunReport, savings::Saved},
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::scene::{PLAIN, Scene, watchful};
use crate::support::TestDb;

/// A call: its input and output tokens, what it cost, and whether it was asked in a batch.
type Call = (i64, i64, i64, bool);

/// The answers of a run.
async fn calls(scene: &Scene, run: Uuid) -> Vec<Call> {
    sqlx::query_as(
        "select input_tokens, output_tokens + coalesce(thought_tokens, 0), cost_microusd, batch_id is not null
           from tidegate.calls where run_id = $1 and outcome = 'ok'",
    )
    .bind(run)
    .fetch_all(scene.fleet.store.pool())
    .await
    .expect("calls")
}

/// $0.10 and $0.40 per million tokens, and half of it in a batch: each call rounded up.
fn costs((input, output, ..): &Call, percent: i64) -> i64 {
    ((input * 1_000 + output * 4_000) * percent + 999_999) / 1_000_000
}

async fn report(scene: &Scene, run: Uuid) -> RunReport {
    let report = scene.fleet.store.run_report(run).await.expect("a report");
    report.expect("there is such a run")
}

/// Its part as it is now, whatever was kept.
async fn saved(scene: &Scene, run: Uuid) -> Saved {
    let (part,): (sqlx::types::Json<Saved>,) =
        sqlx::query_as("select tidegate.run_strategy_v1($1)")
            .bind(run)
            .fetch_one(scene.fleet.store.pool())
            .await
            .expect("a part of a report");
    part.0
}

/// As if each call had taken 2 s (one 3 s), each batch a minute, and the run half of one, at 5 calls at once.
async fn timed(scene: &Scene, run: Uuid, per_minute: &str) {
    scene
        .say(&format!(
            "with c as (update tidegate.calls set latency_ms = 2000 where run_id = '{run}' and lead returning id),
                  s as (update tidegate.strategy_decisions set facts = jsonb_set(jsonb_set(facts, '{{known,parallel}}', '5'), '{{known,per_minute}}', '{per_minute}') where run_id = '{run}'),
                  b as (update tidegate.provider_batches set ended_at = created_at + interval '60 s' where run_id = '{run}')
             update tidegate.runs set finished_at = loaded_at + interval '30 s' where id = '{run}'"
        ))
        .await;
    scene
        .say(&format!(
            "update tidegate.calls set latency_ms = 3000 where (id, started_at) in (
               select id, started_at from tidegate.calls where run_id = '{run}' and lead limit 1)"
        ))
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_hybrid_saved_is_told_to_the_micro_dollar_and_to_the_millisecond() {
    let scene = Scene::new(BatchSettings::default()).await;
    for entry in ["sim", "oa"] {
        let run = scene.load(entry, 20, "hybrid", PLAIN).await;
        scene.work_off(run).await;
        let calls = calls(&scene, run).await;
        let (batch, single): (Vec<_>, Vec<_>) = calls.into_iter().partition(|it| it.3);
        assert_eq!((batch.len(), single.len()), (15, 5));
        let cost = |of: &[Call]| of.iter().map(|it| it.2).sum::<i64>();
        let at = |of: &[Call], percent| of.iter().map(|it| costs(it, percent)).sum::<i64>();
        timed(&scene, run, "null").await;
        let told = report(&scene, run).await;
        let it = told.saved.as_ref().expect("it was chosen");
        assert_eq!(
            (
                it.individual_calls,
                it.individual_items,
                it.individual_items_answered
            ),
            (5, 5, 5)
        );
        assert_eq!(
            (it.batches, it.batch_items, it.batch_items_answered),
            (1, 15, 15)
        );
        assert_eq!(it.batch_items_open, 0);
        assert_eq!(it.individual_cost_microusd, Some(cost(&single)));
        assert_eq!(it.batch_cost_microusd, Some(cost(&batch)));
        assert_eq!(
            it.money_saved_against_individual_microusd,
            Some(at(&batch, 100) - cost(&batch))
        );
        assert!(it.money_saved_against_individual_microusd > Some(0));
        let dearer = at(&single, 50) - cost(&single);
        assert_eq!(it.money_saved_against_batch_microusd, Some(dearer));
        assert!(dearer < 0, "less than nothing is told as it is");
        // 20 at 5 at once: three rounds of 2 s, and a last one with the slowest
        assert_eq!(
            (it.individual_takes_ms, it.batch_takes_ms, it.took_ms),
            (Some(9_000), Some(60_000), Some(30_000))
        );
        assert_eq!(it.time_saved_against_individual_ms, Some(-21_000));
        assert_eq!(it.time_saved_against_batch_ms, Some(30_000));
        assert_eq!(it.decisions, 1);
        let why = &it.last_decisions[0];
        assert_eq!(
            (why.strategy.as_str(), why.items, why.singles),
            ("hybrid", 20, 5)
        );
        assert!(why.reason.contains("hybrid"), "{why:?}");
        // what is in a batch is no call, and its tokens and cost are of the run
        let sums = &told.figures.calls;
        assert_eq!((sums.calls, sums.ok, sums.packed), (5, 5, 0));
        assert_eq!(sums.cost_microusd, cost(&single) + cost(&batch));
        // 10 calls a minute bind: the last of 20 begins a minute later
        timed(&scene, run, "10").await;
        let bound = saved(&scene, run).await;
        assert_eq!(bound.individual_takes_ms, Some(62_000));
        assert_eq!(bound.time_saved_against_individual_ms, Some(32_000));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_only_ever_asked_singly_has_no_such_part_and_one_that_chose_to_saved_nothing_beside_it()
 {
    let scene = Scene::new(BatchSettings::default()).await;
    let plain = scene.load("sim", 12, "individual", PLAIN).await;
    scene.work_off(plain).await;
    let told = report(&scene, plain).await;
    assert_eq!(told.saved, None);
    let json = serde_json::to_value(&told).expect("JSON");
    assert_eq!(json.get("saved"), None);
    assert!(scene.fleet.store.savings(7).await.expect("rows").is_empty());

    let chosen = scene.load("sim", 9, "auto", PLAIN).await;
    scene.work_off(chosen).await;
    let it = report(&scene, chosen).await.saved.expect("it was chosen");
    assert_eq!((it.individual_calls, it.batches, it.decisions), (9, 0, 1));
    assert_eq!(it.money_saved_against_individual_microusd, Some(0));
    assert_eq!(it.time_saved_against_individual_ms, Some(0));
    assert_eq!(it.time_saved_against_batch_ms, None, "no batch was seen");
    let calls = calls(&scene, chosen).await;
    let dearer: i64 = calls.iter().map(|it| costs(it, 50) - it.2).sum();
    assert_eq!(it.money_saved_against_batch_microusd, Some(dearer));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_known_is_told_as_unknown_and_never_as_nothing() {
    let scene = Scene::new(BatchSettings::default()).await;
    let run = scene.load("sim", 15, "batch", PLAIN).await;
    scene.work_off(run).await;
    let it = saved(&scene, run).await;
    assert_eq!(
        it.money_saved_against_batch_microusd,
        Some(0),
        "it was that"
    );
    assert_eq!(it.time_saved_against_batch_ms, Some(0));
    assert_eq!(
        it.time_saved_against_individual_ms, None,
        "no call was ever seen"
    );
    scene
        .say("update tidegate.models set output_price_microusd = null")
        .await;
    let it = saved(&scene, run).await;
    assert_eq!(it.money_saved_against_individual_microusd, None);
    let row = scene.fleet.store.savings(1).await.expect("rows").remove(0);
    assert_eq!(row.money_saved_against_individual_microusd, None);
    assert_eq!(row.time_saved_against_individual_ms, None);
    scene
        .say(&format!(
            "update tidegate.runs set finished_at = null where id = '{run}'"
        ))
        .await;
    assert_eq!(saved(&scene, run).await.took_ms, None, "it goes on");

    let none = Scene::without_batches().await;
    let run = none.load("sim", 15, "batch", PLAIN).await;
    none.work_off(run).await;
    let it = saved(&none, run).await;
    assert_eq!(it.money_saved_against_batch_microusd, None, "no such way");
    assert_eq!(it.time_saved_against_batch_ms, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_lost_against_a_faster_answer_and_what_brought_none_was_paid_for_and_saved_nothing() {
    let scene = Scene::new(BatchSettings::default()).await;
    let run = scene.load("sim", 15, "batch", PLAIN).await;
    scene.work_off(run).await;
    let before = saved(&scene, run).await;
    let lost = "update tidegate.calls set outcome = 'superseded' where task_id = (select min(id::text)::uuid from tidegate.tasks)";
    scene.say(lost).await;
    let price = scene.number("select ceil((input_tokens * 100000 + (output_tokens + coalesce(thought_tokens, 0)) * 400000) / 1e6)::bigint from tidegate.calls where outcome = 'superseded'").await;
    let after = saved(&scene, run).await;
    assert_eq!(after.batch_cost_microusd, before.batch_cost_microusd);
    assert_eq!(after.batch_items_answered, 14);
    assert_eq!(
        after.money_saved_against_individual_microusd,
        before
            .money_saved_against_individual_microusd
            .map(|it| it - price)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_view_tells_by_day_worker_and_model_what_reports_tell_by_run() {
    let scene = Scene::new(BatchSettings::default()).await;
    let mut runs = Vec::new();
    for entry in ["sim", "oa"] {
        let run = scene.load(entry, 20, "hybrid", PLAIN).await;
        scene.work_off(run).await;
        runs.push(saved(&scene, run).await);
    }
    let rows = scene.fleet.store.savings(2).await.expect("rows");
    let models: Vec<&str> = rows.iter().map(|it| it.model.as_str()).collect();
    assert!(models.contains(&"sim/a") && models.contains(&"oa/a"));
    let summed = |part: fn(&Saved) -> i64| runs.iter().map(part).sum::<i64>();
    assert_eq!(
        rows.iter().map(|it| it.individual_items).sum::<i64>(),
        summed(|it| it.individual_items)
    );
    assert_eq!(
        rows.iter().map(|it| it.batch_items_answered).sum::<i64>(),
        summed(|it| it.batch_items_answered)
    );
    assert_eq!(
        rows.iter()
            .map(|it| it.money_saved_against_individual_microusd)
            .sum::<Option<i64>>(),
        runs.iter()
            .map(|it| it.money_saved_against_individual_microusd)
            .sum::<Option<i64>>()
    );
    assert_eq!(
        rows.iter()
            .map(|it| it.money_saved_against_batch_microusd)
            .sum::<Option<i64>>(),
        runs.iter()
            .map(|it| it.money_saved_against_batch_microusd)
            .sum::<Option<i64>>()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_report_that_was_kept_before_a_batch_was_over_is_made_again_when_it_is() {
    let slow = BatchSettings {
        median_ms: 3_600_000.0,
        ..BatchSettings::default()
    };
    let scene = Scene::new(slow).await;
    let run = scene.load("oa", 10, "batch", PLAIN).await;
    let stop = CancellationToken::new();
    let process = scene.fleet.process_with(&stop, watchful());
    scene.until("select count(*) from tidegate.provider_batches where state = 'submitted' and remote_id is not null").await;
    let all = format!(
        "select tidegate.cancel(array_agg(id))::bigint from tidegate.tasks where run_id = '{run}'"
    );
    assert_eq!(scene.number(&all).await, 10);
    scene.fleet.until_done(run).await;
    scene.fleet.store.keep_report(run).await.expect("kept");
    let open = "select calls_open::bigint from tidegate.run_reports";
    let early = scene.number(open).await;
    scene.until_cancelled(run).await;
    scene.until_over().await;
    stop.cancel();
    process.await.expect("it ends");
    let it = report(&scene, run).await.saved.expect("it was by batch");
    assert_eq!(
        (it.batch_items, it.batch_items_open),
        (10, 0),
        "{early} before"
    );
    assert_eq!(scene.number(open).await, 0);
}

#[tokio::test]
async fn sql_estimates_single_calls_as_choices_do() {
    let db = TestDb::new().await;
    let spans = [(1, 0), (900, 2_000), (20_000, 19_999)];
    for items in [0, 1, 2, 5, 6, 59, 60, 61, 120, 121, 5_000] {
        for (p50, p90) in spans {
            for parallel in [0, 1, 5, 7, 40] {
                for per_minute in [None, Some(0), Some(1), Some(60), Some(100_000)] {
                    let case = Case {
                        items,
                        individual: Some(Latency {
                            p50: Duration::from_millis(p50),
                            p90: Duration::from_millis(p90),
                            samples: 5,
                            age: 0,
                        }),
                        parallel,
                        per_minute,
                        ..Case::default()
                    };
                    let sql = format!(
                        "select tidegate.singly_takes_v1({items}, {p50}, {p90}, {parallel}, {})",
                        per_minute.map_or("null".to_owned(), |it: u32| it.to_string())
                    );
                    let twin: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
                        .fetch_one(db.pool())
                        .await
                        .expect("an estimate");
                    let takes = decide(&case).individual_takes.map(|it| it.as_millis());
                    assert_eq!(takes, u128::try_from(twin).ok(), "{case:?}");
                }
            }
        }
    }
}
