//! What failed is done again by component, class and state, and nothing else is touched.

use std::time::Duration;

use tidegate::store::settle::Fate;
use uuid::Uuid;

use super::Program;
use crate::support::{
    fleet::{Fleet, a_model},
    work::{ONE_TIER, a_process, claim, items, load, unanswered},
};

/// A run of ten failed tasks: the first four of the component `names`, the rest of `dates`.
async fn failed(fleet: &Fleet) -> Uuid {
    let store = &fleet.store;
    let run = load(store, ONE_TIER, &items(10)).await.expect("a run").run;
    let process = a_process(store, Duration::from_secs(600)).await;
    let held = claim(store, process, 100).await;
    let fail: Vec<_> = held.iter().map(|it| unanswered(it, Fate::Fail)).collect();
    store.settle_open(process, &fail).await.expect("failed");
    sqlx::raw_sql(
        "insert into tidegate.lanes (run_id, component, tier, ladder, open) select run_id, c, tier, ladder, false from tidegate.lanes, unnest(array['names', 'dates']) c;
         update tidegate.tasks t set component = case when item_id < 'i00004' then 'names' else 'dates' end;
         update tidegate.tasks t set lane = n.lane from tidegate.lanes n where n.component = t.component;
         delete from tidegate.lanes where component = '';
         update tidegate.tasks set error_class = 'timeout' where item_id = 'i00000';
         update tidegate.failed f set error_class = 'timeout' from tidegate.tasks t where t.id = f.id and t.item_id = 'i00000'",
    )
    .execute(store.pool())
    .await
    .expect("components");
    run
}

/// All that a retry could touch, of tasks that it must not.
async fn rest(fleet: &Fleet, kept: &'static str) -> Vec<String> {
    let sql = format!(
        "select t::text || f::text from tidegate.tasks t join tidegate.failed f on f.id = t.id where {kept} order by t.id"
    );
    sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
        .fetch_all(fleet.store.pool())
        .await
        .expect("rows")
}

#[tokio::test]
async fn a_retry_by_component_touches_nothing_else() {
    let fleet = Fleet::with(vec![a_model("a"), a_model("b")]).await;
    let run = failed(&fleet).await.to_string();
    let program = Program::over(fleet.url());
    let before = rest(&fleet, "t.component = 'dates'").await;
    assert_eq!(before.len(), 6);
    let retry = ["--json", "retry", "--run", &run, "--component", "names"];
    let told = program.run(&retry).ok().objects();
    assert_eq!(
        (&told[0]["retried"], &told[0]["left"]),
        (&4.into(), &0.into())
    );
    assert_eq!(rest(&fleet, "t.component = 'dates'").await, before);
    let back = "select count(*) from tidegate.ready r join tidegate.tasks t on t.id = r.id where t.component = 'names' and t.generation = 2";
    assert_eq!(fleet.count(back).await, 4);
    assert_eq!(fleet.count("select count(*) from tidegate.ready").await, 4);
    // said again, there is nothing left to put back
    let again = program.run(&retry).ok();
    assert_eq!(again.objects()[0]["retried"], 0);
    assert!(
        again
            .stderr
            .contains("no task that is failed or cancelled was selected"),
        "{again:?}"
    );
}

#[tokio::test]
async fn a_retry_is_narrowed_by_class_and_state_and_a_component_that_is_not_there_is_told() {
    let fleet = Fleet::with(vec![a_model("a"), a_model("b")]).await;
    let run = failed(&fleet).await.to_string();
    let program = Program::over(fleet.url());
    let by = |more: &[&str]| {
        let args = [&["--json", "retry", "--run", &run], more].concat();
        program.run(&args).ok().objects()[0]["retried"].clone()
    };
    assert_eq!(by(&["--component", "names", "--class", "timeout"]), 1);
    assert_eq!(by(&["--component", "names", "--state", "cancelled"]), 0);
    assert_eq!(by(&["--component", "dates", "--state", "failed"]), 6);
    for command in ["retry", "reprocess"] {
        program
            .run(&[command, "--run", &run, "--component", "nams"])
            .refused(&[
                "has no component \"nams\"",
                "its components are: dates, names",
            ]);
        program
            .run(&[command, "--run", "00000000", "--component", "names"])
            .refused(&["no run has the id"]);
    }
    program
        .run(&["retry"])
        .refused(&["no task is named", "--component"]);
    program
        .run(&["retry", "--run", &run, "--state", "done"])
        .refused(&["not moved by this"]);
}

#[tokio::test]
async fn reprocessing_by_component_takes_the_items_of_that_component_only() {
    let fleet = Fleet::with(vec![a_model("a"), a_model("b")]).await;
    let run = failed(&fleet).await.to_string();
    let program = Program::over(fleet.url());
    let dry = [
        "--json",
        "reprocess",
        "--run",
        &run,
        "--component",
        "names",
        "--dry-run",
    ];
    let told = program.run(&dry).ok().objects();
    assert_eq!(
        (&told[0]["items"], &told[0]["calls"]),
        (&4.into(), &4.into())
    );
    let made = program.run(&dry[..6]).ok().objects();
    assert_eq!(
        (&made[0]["items"], &made[0]["enqueued"]),
        (&4.into(), &4.into())
    );
    let other = "select count(*) from tidegate.tasks t join tidegate.tasks o on o.id = t.reprocess_of where o.component <> 'names'";
    assert_eq!(fleet.count(other).await, 0);
}
