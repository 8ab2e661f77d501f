//! What a run came to is kept when it ends.

use std::time::Duration;

use serde_json::Value;
use tidegate::store::settle::Fate;
use uuid::Uuid;

use super::Program;
use crate::support::{
    fleet::{Fleet, a_model},
    work::{ONE_TIER, a_process, answered, claim, items, load, unanswered},
};

/// A run of which so many are done and the rest failed; its end not yet seen by anybody.
async fn worked(fleet: &Fleet, done: usize, failed: usize) -> Uuid {
    let store = &fleet.store;
    let run = load(store, ONE_TIER, &items(done + failed))
        .await
        .expect("a run")
        .run;
    work(fleet, done).await;
    run
}

/// Takes all that waits: so many are done, the rest fails.
async fn work(fleet: &Fleet, done: usize) {
    let store = &fleet.store;
    let process = a_process(store, Duration::from_secs(600)).await;
    let mut held = claim(store, process, 100).await;
    held.sort_by_key(|it| it.item.clone());
    let fail: Vec<_> = held
        .split_off(done)
        .iter()
        .map(|it| unanswered(it, Fate::Fail))
        .collect();
    store.settle_open(process, &fail).await.expect("failed");
    let done = held.iter().map(|it| answered(it, "yes")).collect();
    store.settle_done(process, done, None).await.expect("done");
}

fn show(program: &Program, run: Uuid) -> Value {
    let id = run.to_string();
    program
        .run(&["--json", "runs", "show", &id])
        .ok()
        .objects()
        .remove(0)
}

async fn act(fleet: &Fleet, sql: &'static str) {
    sqlx::raw_sql(sql)
        .execute(fleet.store.pool())
        .await
        .expect(sql);
}

#[tokio::test]
async fn a_report_outlives_the_calls_and_tasks_that_it_was_made_from() {
    let fleet = Fleet::with(vec![a_model("a"), a_model("b")]).await;
    let run = worked(&fleet, 5, 3).await;
    let program = Program::over(fleet.url());
    fleet.store.finish_runs().await.expect("care");
    assert_eq!(
        fleet
            .count("select count(*) from tidegate.run_reports")
            .await,
        1,
        "kept by care"
    );
    let before = show(&program, run);
    assert_eq!(
        (&before["done"], &before["failed"], &before["final"]),
        (&5.into(), &3.into(), &true.into())
    );
    assert_eq!(
        (&before["calls"], &before["calls_failed"]),
        (&8.into(), &3.into())
    );
    assert_eq!(
        before["calls_by_model"][0]["failed_by_class"]["provider_failed"], 3,
        "{before}"
    );
    assert_eq!(before["cost_microusd"], 35);
    fleet.unaudited();
    // as a year of retention would leave it
    act(&fleet, "do $$ declare t text; begin for t in select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid
                  where i.inhparent in ('tidegate.calls'::regclass, 'tidegate.event_batches'::regclass) loop execute 'drop table tidegate.' || t; end loop; end $$;
                 select tidegate.delete_tasks_v1(array(select id from tidegate.tasks)); delete from tidegate.processes").await;
    assert_eq!(fleet.count("select count(*) from tidegate.calls").await, 0);
    assert_eq!(fleet.count("select count(*) from tidegate.tasks").await, 0);
    assert_eq!(show(&program, run), before);
    let id = run.to_string();
    let screen = program.run(&["runs", "show", &id]).ok().stdout;
    for words in [
        "5 done, 3 failed of 8",
        "provider_failed 3",
        "said a test",
        "WHO WORKED",
    ] {
        assert!(screen.contains(words), "{words}: {screen}");
    }
    program.run(&["runs", "delete", &id]).ok();
    assert_eq!(
        fleet
            .count("select count(*) from tidegate.run_reports")
            .await,
        0
    );
}

#[tokio::test]
async fn whoever_shows_a_run_after_its_end_keeps_its_report_and_a_reopened_run_gets_another() {
    let fleet = Fleet::with(vec![a_model("a"), a_model("b")]).await;
    let run = worked(&fleet, 2, 2).await;
    let program = Program::over(fleet.url());
    assert_eq!(
        show(&program, run)["final"],
        false,
        "nobody has seen its end"
    );
    assert_eq!(
        fleet
            .count("select count(*) from tidegate.run_reports")
            .await,
        0
    );
    act(&fleet, "select tidegate.finish_runs_v1()").await;
    let first = show(&program, run);
    assert_eq!(
        (&first["failed"], &first["final"]),
        (&2.into(), &true.into())
    );
    assert_eq!(show(&program, run), first);
    program.run(&["retry", "--run", &run.to_string()]).ok();
    let open = show(&program, run);
    assert_eq!(
        (&open["waiting"], &open["failed"], &open["final"]),
        (&2.into(), &0.into(), &false.into())
    );
    work(&fleet, 1).await;
    fleet.store.finish_runs().await.expect("care");
    fleet.store.finish_runs().await.expect("care, twice");
    let second = show(&program, run);
    assert_eq!(
        (&second["done"], &second["failed"], &second["calls"]),
        (&3.into(), &1.into(), &6.into())
    );
    assert_eq!(
        fleet
            .count("select count(*) from tidegate.run_reports")
            .await,
        1
    );
}

#[tokio::test]
async fn calls_that_come_back_after_the_end_are_in_the_report() {
    let fleet = Fleet::with(vec![a_model("a"), a_model("b")]).await;
    let store = &fleet.store;
    let run = load(store, ONE_TIER, &items(2)).await.expect("a run").run;
    let process = a_process(store, Duration::from_secs(600)).await;
    let held = claim(store, process, 2).await;
    let program = Program::over(fleet.url());
    program.run(&["runs", "cancel", &run.to_string()]).ok();
    let early = show(&program, run);
    assert_eq!(
        (&early["cancelled"], &early["open"]),
        (&2.into(), &2.into())
    );
    let late = held.iter().map(|it| answered(it, "late")).collect();
    store
        .settle_done(process, late, None)
        .await
        .expect("settled");
    act(&fleet, "update tidegate.run_reports set made_at = made_at - interval '1 minute', ended_at = ended_at").await;
    let later = show(&program, run);
    assert_eq!(
        (&later["open"], &later["calls"], &later["cost_microusd"]),
        (&0.into(), &2.into(), &14.into()),
        "{later}"
    );
}
