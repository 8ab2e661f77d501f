//! Laws of packs in the works: every item gets the answer that it would get alone, however the answers
//! of packs are damaged, and lost ones cost their neighbours nothing.

use std::collections::BTreeMap;

use tidegate::simulator;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::support::{
    fleet::{Fleet, a_model, simulated},
    work::{ONE_TIER, items, load},
};

/// The worker of this name, one model, nothing kept, so many items a pack.
fn worker(name: &str, pack: u32) -> String {
    ONE_TIER
        .replace("\"small\"", &format!("{name:?}"))
        .replace("fallbacks = [\"sim/b\"]\n", "")
        .replace(
            "[prompt]",
            &format!("[pack]\nsize = {pack}\n[cache]\nenabled = false\n[prompt]"),
        )
}

async fn worked_off(fleet: &Fleet, worker: &str, count: usize) -> (Uuid, usize) {
    let before = fleet.simulator.log().len();
    let run = load(&fleet.store, worker, &items(count)).await;
    let run = run.expect("a run").run;
    let stop = CancellationToken::new();
    let process = fleet.process(&stop);
    fleet.until_done(run).await;
    stop.cancel();
    process.await.expect("it ends");
    (run, fleet.simulator.log().len() - before)
}

async fn answers(fleet: &Fleet, run: Uuid) -> BTreeMap<String, String> {
    let sql = "select t.item_id, r.answer from tidegate.tasks t join tidegate.task_results r on r.task_id = t.id where t.run_id = $1";
    let rows: Vec<(String, String)> = sqlx::query_as(sql)
        .bind(run)
        .fetch_all(fleet.store.pool())
        .await
        .expect("answers");
    rows.into_iter().collect()
}

fn damaging() -> simulator::Settings {
    let mut settings = simulated(vec![a_model("a")]);
    let faults = &mut settings.faults;
    faults.pack_missing = 0.1;
    faults.pack_doubled = 0.1;
    faults.pack_wrong_id = 0.1;
    faults.pack_swapped_id = 0.1;
    faults.pack_cut = 0.1;
    settings
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn items_of_packs_get_the_answers_that_they_would_get_alone() {
    let fleet = Fleet::with(vec![a_model("a")]).await;
    let (alone, calls) = worked_off(&fleet, &worker("alone", 1), 60).await;
    assert_eq!(calls, 60);
    let (packed, calls) = worked_off(&fleet, &worker("packed", 5), 60).await;
    assert_eq!(calls, 12, "five items a call");
    assert_eq!(answers(&fleet, packed).await, answers(&fleet, alone).await);
    let shared = "select count(*) from tidegate.calls where pack_id is not null and input_tokens > 0 and cost_microusd > 0";
    assert_eq!(fleet.count(shared).await, 60, "each has its share");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn however_answers_of_packs_are_damaged_no_item_gets_anothers() {
    let fleet = Fleet::over(damaging()).await;
    let (packed, calls) = worked_off(&fleet, &worker("packed", 5), 200).await;
    let (alone, _) = worked_off(&fleet, &worker("alone", 1), 200).await;
    let (packed, alone) = (answers(&fleet, packed).await, answers(&fleet, alone).await);
    assert_eq!(packed.len(), 200);
    assert_eq!(packed, alone);
    assert!((40..200).contains(&calls), "{calls} calls");
    let torn = "select count(*) from tidegate.task_attempts where error_class = 'torn_pack'";
    assert!(fleet.count(torn).await > 0, "some were lost");
    let charged =
        "select count(*) from tidegate.task_attempts where error_class = 'torn_pack' and charged";
    assert_eq!(fleet.count(charged).await, 0);
    let ledger = "select (select coalesce(sum(input_tokens), 0) from tidegate.calls)::bigint";
    let counted: u64 = fleet.simulator.log().iter().map(|it| it.input_tokens).sum();
    assert_eq!(
        fleet.count(ledger).await.unsigned_abs(),
        counted,
        "shares add up"
    );
}
