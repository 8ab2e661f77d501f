//! Money: a run's and a day's, reserved at its worst, settled as it came.

use super::{LEASE, a_process, a_store, answer, claim, count, say};
use crate::support::work::{ONE_TIER, items, load_with, named, unanswered};
use tidegate::store::settle::Fate;

/// Micro-dollars per million tokens: an answer of at most 100 tokens costs 100,000, a prompt next to
/// nothing.
const PRICED: &str = "update tidegate.models set input_price_microusd = 0, output_price_microusd = 1000000000 where model = 'sim/a'";

fn short() -> Vec<(String, String)> {
    vec![(
        "prompt.params.max_output_tokens".to_owned(),
        "100".to_owned(),
    )]
}

#[tokio::test]
async fn a_run_spends_no_more_than_its_budget_and_what_was_not_used_comes_back() {
    let (db, store) = a_store(&[("a", None), ("b", None)]).await;
    say(&db, PRICED).await;
    let run = load_with(&store, ONE_TIER, &items(50), &short()).await;
    let run = run.expect("a run").run;
    let set = store.set_budget(Some(run), Some(350_000)).await;
    set.expect("a budget");
    let process = a_process(&store, LEASE).await;
    let taken = claim(&store, process, 20).await;
    assert_eq!(taken.len(), 3, "350,000 are three answers at their worst");
    assert!(claim(&store, process, 20).await.is_empty());
    let told =
        "select count(*) from tidegate.task_waits where reason = 'the budget of its run is spent'";
    assert_eq!(count(&db, told).await, 47);
    // each cost 7 micro-dollars in the end
    answer(&store, process, &taken).await;
    assert_eq!(claim(&store, process, 20).await.len(), 3);
}

#[tokio::test]
async fn what_may_have_cost_something_stays_reserved_and_what_never_left_does_not() {
    let (db, store) = a_store(&[("a", None), ("b", None)]).await;
    say(&db, PRICED).await;
    let run = load_with(&store, ONE_TIER, &items(50), &short()).await;
    let run = run.expect("a run").run;
    let set = store.set_budget(Some(run), Some(200_000)).await;
    set.expect("a budget");
    let process = a_process(&store, LEASE).await;
    let taken = claim(&store, process, 9).await;
    assert_eq!(taken.len(), 2);
    let mut unsent = unanswered(&taken[0], Fate::Release);
    unsent.sent = false;
    let unknown = unanswered(&taken[1], Fate::Release);
    let open = store.settle_open(process, &[unsent, unknown]).await;
    open.expect("given back");
    assert_eq!(claim(&store, process, 9).await.len(), 1);
}

#[tokio::test]
async fn a_model_without_a_price_is_not_asked_under_a_budget() {
    let (_db, store) = a_store(&[("a", None), ("b", None)]).await;
    let run = load_with(&store, ONE_TIER, &items(5), &short()).await;
    let run = run.expect("a run").run;
    let set = store.set_budget(Some(run), Some(1_000_000)).await;
    set.expect("a budget");
    let process = a_process(&store, LEASE).await;
    assert!(claim(&store, process, 9).await.is_empty());
    store.set_budget(Some(run), None).await.expect("no budget");
    assert_eq!(claim(&store, process, 9).await.len(), 5);
}

#[tokio::test]
async fn a_price_that_nobody_could_pay_breaks_no_claim_and_is_asked_under_no_budget() {
    for price in ["1000000000000", "9000000000000000000"] {
        let (db, store) = a_store(&[("a", None), ("b", None)]).await;
        let odd = format!(
            "update tidegate.models set input_price_microusd = {price}, output_price_microusd = {price}"
        );
        let said = sqlx::query(sqlx::AssertSqlSafe(odd)).execute(db.pool());
        said.await.expect("priced");
        let long = [(
            "prompt.params.max_output_tokens".to_owned(),
            "10000000".to_owned(),
        )];
        let run = load_with(&store, ONE_TIER, &items(9), &long).await;
        let run = run.expect("a run").run;
        let process = a_process(&store, LEASE).await;
        assert_eq!(claim(&store, process, 2).await.len(), 2, "without a budget");
        let set = store.set_budget(Some(run), Some(350_000)).await;
        set.expect("a budget");
        assert!(claim(&store, process, 9).await.is_empty());
        let told = "select count(*) from tidegate.task_waits where reason = 'the budget of its run is spent'";
        assert_eq!(count(&db, told).await, 7);
        let gone = store.set_budget(Some(run), None).await;
        gone.expect("no budget");
        assert_eq!(claim(&store, process, 9).await.len(), 7, "nor after it");
    }
}

#[tokio::test]
async fn each_run_spends_its_own_budget_however_far_the_ids_of_limits_have_grown() {
    let (db, store) = a_store(&[("a", None), ("b", None)]).await;
    say(&db, PRICED).await;
    let mut runs = Vec::new();
    for (name, budget) in [("one", 150_000), ("two", 350_000), ("three", 250_000)] {
        let worker = named(name);
        let run = load_with(&store, &worker, &items(9), &short()).await;
        let run = run.expect("a run").run;
        say(
            &db,
            "select setval(pg_get_serial_sequence('tidegate.limits', 'limit_id'), (select max(limit_id) from tidegate.limits) + 900000000 / 3)",
        )
        .await;
        let set = store.set_budget(Some(run), Some(budget)).await;
        set.expect("a budget");
        runs.push(run);
    }
    let process = a_process(&store, LEASE).await;
    let taken = claim(&store, process, 30).await;
    let of_run = |run| taken.iter().filter(|task| task.run == run).count();
    let counts: Vec<usize> = runs.into_iter().map(of_run).collect();
    assert_eq!(counts, [1, 3, 2]);
    let booked = "select sum(b.total)::bigint from tidegate.limit_book b join tidegate.limits l using (limit_id) where l.dimension = 'money'";
    assert_eq!(count(&db, booked).await, 600_000);
}

#[tokio::test]
async fn the_budget_of_a_day_holds_for_all_runs_and_counts_what_was_spent_before() {
    let (db, store) = a_store(&[("a", None), ("b", None)]).await;
    say(&db, PRICED).await;
    load_with(&store, ONE_TIER, &items(9), &short())
        .await
        .expect("a run");
    let process = a_process(&store, LEASE).await;
    assert_eq!(claim(&store, process, 2).await.len(), 2);
    let set = store.set_budget(None, Some(500_000)).await;
    set.expect("a budget");
    let other = ONE_TIER.replace("name = \"small\"", "name = \"other\"");
    load_with(&store, &other, &items(9), &short())
        .await
        .expect("a run");
    assert_eq!(claim(&store, process, 30).await.len(), 3);
}

#[tokio::test]
async fn settlements_that_grow_old_become_part_of_the_book() {
    let (db, store) = a_store(&[("a", None), ("b", None)]).await;
    say(&db, PRICED).await;
    let run = load_with(&store, ONE_TIER, &items(50), &short()).await;
    let run = run.expect("a run").run;
    let set = store.set_budget(Some(run), Some(350_000)).await;
    set.expect("a budget");
    let process = a_process(&store, LEASE).await;
    let taken = claim(&store, process, 20).await;
    answer(&store, process, &taken).await;
    let room = "select o_room from tidegate.limit_room_v2(array(select limit_id from tidegate.limits where dimension = 'money'), now(), now())";
    let before = count(&db, room).await;
    say(
        &db,
        "update tidegate.limit_settlements set at = at - interval '6 min'",
    )
    .await;
    store.learn().await.expect("folded");
    let left = "select count(*) from tidegate.limit_settlements";
    assert_eq!(count(&db, left).await, 0);
    assert_eq!(count(&db, room).await, before);
    assert_eq!(before, 350_000 - 3 * 7);
}

#[tokio::test]
async fn a_budget_set_beside_a_claim_counts_what_that_claim_took() {
    let (db, store) = a_store(&[("a", None), ("b", None)]).await;
    say(&db, PRICED).await;
    let run = load_with(&store, ONE_TIER, &items(50), &short()).await;
    let run = run.expect("a run").run;
    let process = a_process(&store, LEASE).await;
    let mut claiming = db.pool().begin().await.expect("begun");
    sqlx::query("select count(*) from tidegate.claim_v5($1, 3, 7, '{sim}')")
        .bind(process)
        .execute(&mut *claiming)
        .await
        .expect("a claim under way");
    let setting = tokio::spawn({
        let store = store.clone();
        async move { store.set_budget(Some(run), Some(500_000)).await }
    });
    let waits = "select count(*) from pg_locks where not granted and relation = 'tidegate.limits'::regclass";
    while count(&db, waits).await == 0 {
        tokio::task::yield_now().await;
    }
    claiming.commit().await.expect("claimed");
    setting.await.expect("it ends").expect("a budget");
    assert_eq!(claim(&store, process, 20).await.len(), 2);
}
