//! The main job, whole.

use tokio_util::sync::CancellationToken;

use crate::support::fleet::{Fleet, a_model};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_article_is_asked_once_and_its_entities_are_written_once() {
    let fleet = Fleet::with(["best", "good", "cheap"].map(a_model).to_vec()).await;
    fleet.articles(120).await;
    let definition = Fleet::entity_extraction(
        [&["sim/best", "sim/good"], &["sim/good"], &["sim/cheap"]],
        "sim/cheap",
    );
    let loaded = fleet.load(definition).await;
    assert_eq!((loaded.items, loaded.sum.enqueued), (120, 120));

    let stop = CancellationToken::new();
    let processes: Vec<_> = (0..3).map(|_| fleet.process(&stop)).collect();
    fleet.until_done(loaded.run).await;
    stop.cancel();
    let mut done = 0;
    for process in processes {
        done += process.await.expect("a process ends").done;
    }

    assert_eq!(done, 120);
    assert_eq!(fleet.simulator.log().len(), 120, "one call an article");
    assert_eq!(
        fleet
            .count("select count(*) from articles where extracted_entities")
            .await,
        120
    );
    assert_eq!(
        fleet
            .count("select count(*) from tidegate.tasks where state = 'done'")
            .await,
        120
    );
    assert_eq!(
        fleet
            .count(
                "select count(*) from tidegate.task_results r where jsonb_array_length(r.answer::jsonb -> 'entities')
                   <> (select count(*) from article_entities e join tidegate.tasks t on t.item_id = e.article_id where t.id = r.task_id)"
            )
            .await,
        0,
        "each article has the entities of its answer"
    );
    assert_eq!(
        fleet.count("select count(*) from tidegate.running").await,
        0
    );
    assert_eq!(
        fleet.count("select count(*) from tidegate.open_keys").await,
        0
    );
    assert_eq!(
        fleet
            .count(
                "select sum(cost_microusd)::bigint from tidegate.calls where ended_at is not null"
            )
            .await,
        fleet
            .count("select sum(cost_microusd)::bigint from tidegate.spend")
            .await,
        "the ledger is the sum of the calls"
    );
}

#[tokio::test]
async fn tiers_follow_the_score_and_name_their_ladders() {
    let fleet = Fleet::with(["best", "good", "cheap"].map(a_model).to_vec()).await;
    fleet.articles(100).await;
    let definition = Fleet::entity_extraction(
        [&["sim/best", "sim/good"], &["sim/good"], &["sim/cheap"]],
        "sim/cheap",
    );
    fleet.load(definition).await;
    let sizes: Vec<i64> =
        sqlx::query_scalar("select count(*) from tidegate.tasks group by tier order by tier")
            .fetch_all(fleet.store.pool())
            .await
            .expect("sizes");
    assert_eq!(sizes, [30, 50, 20]);
    let turned = fleet
        .count("select count(*) from tidegate.tasks a, tidegate.tasks b where a.tier < b.tier and a.priority < b.priority")
        .await;
    assert_eq!(turned, 0, "no lower tier holds a higher score");
    let ladder: (String, Vec<String>) =
        sqlx::query_as("select model, fallback_models from tidegate.tasks where tier = 0 limit 1")
            .fetch_one(fleet.store.pool())
            .await
            .expect("a task");
    assert_eq!(
        ladder,
        (
            "sim/best".to_owned(),
            vec!["sim/good".to_owned(), "sim/cheap".to_owned()]
        )
    );
}
