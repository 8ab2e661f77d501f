//! Cancelling and retrying, by id and by filter.

use tokio_util::sync::CancellationToken;

use super::Program;
use crate::support::fleet::{Fleet, a_model};

const LADDER: [&[&str]; 3] = [&["sim/m"], &["sim/m"], &["sim/m"]];

#[tokio::test]
async fn what_is_cancelled_by_filter_comes_back_by_filter() {
    let fleet = Fleet::with(vec![a_model("m")]).await;
    fleet.articles(12).await;
    let run = fleet
        .load(Fleet::entity_extraction(LADDER, "sim/m"))
        .await
        .run
        .to_string();
    let program = Program::over(fleet.url());

    let one = program
        .run(&["--json", "tasks", "list", "--limit", "1"])
        .ok()
        .objects();
    let id = one[0]["id"].as_str().unwrap();
    let first = program
        .run(&["--json", "tasks", "cancel", id, id])
        .ok()
        .objects();
    assert_eq!(
        (&first[0]["cancelled"], &first[0]["left"]),
        (&1.into(), &0.into())
    );
    let again = program
        .run(&["--json", "tasks", "cancel", id])
        .ok()
        .objects();
    assert_eq!(
        (&again[0]["cancelled"], &again[0]["left"]),
        (&0.into(), &1.into())
    );
    let rest = program
        .run(&["--json", "tasks", "cancel", "--run", &run])
        .ok()
        .objects();
    assert_eq!(rest[0]["cancelled"], 11);

    let back = program
        .run(&["--json", "tasks", "retry", "--run", &run])
        .ok()
        .objects();
    assert_eq!(
        (&back[0]["retried"], &back[0]["left"]),
        (&12.into(), &0.into())
    );
    let ready = "select count(*) from tidegate.tasks where state = 'ready' and generation = 2";
    assert_eq!(fleet.count(ready).await, 12);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sink_that_failed_is_applied_again_without_a_call() {
    let fleet = Fleet::with(vec![a_model("m")]).await;
    fleet.articles(5).await;
    let hide = "alter table article_entities rename to hidden";
    let show = "alter table hidden rename to article_entities";
    let run = fleet
        .load(Fleet::entity_extraction(LADDER, "sim/m"))
        .await
        .run;
    sqlx::raw_sql(hide)
        .execute(fleet.store.pool())
        .await
        .unwrap();
    let stop = CancellationToken::new();
    let process = fleet.process(&stop);
    fleet.until_done(run).await;
    stop.cancel();
    process.await.unwrap();
    let failed =
        "select count(*) from tidegate.tasks where state = 'failed' and error_class = 'sink'";
    assert_eq!(fleet.count(failed).await, 5);

    let program = Program::over(fleet.url());
    let again = ["--json", "tasks", "retry", "--class", "sink"];
    let refused = program.run(&again);
    assert_eq!(refused.code, Some(3), "{refused:?}");
    assert_eq!(
        refused.objects()[0]["sink_refused"]
            .as_array()
            .unwrap()
            .len(),
        5
    );

    sqlx::raw_sql(show)
        .execute(fleet.store.pool())
        .await
        .unwrap();
    let calls = fleet.simulator.log().len();
    let applied = program.run(&again).ok().objects();
    assert_eq!(applied[0]["sink_applied"], 5, "{applied:?}");
    assert_eq!(
        fleet
            .count("select count(*) from tidegate.tasks where state = 'done'")
            .await,
        5
    );
    assert_eq!(fleet.simulator.log().len(), calls);
}
