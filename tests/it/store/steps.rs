//! Loading a worker of many steps: a task for each step of each item, wired by their needs.

use std::time::Duration;

use tidegate::store::Store;

use super::{a_store, count};
use crate::support::{
    TestDb,
    steps::{PARTS, Picked},
    work::{a_process, answered, claim},
};

async fn a_database() -> (TestDb, Store) {
    let (db, store) = a_store(&[("a", None), ("b", None)]).await;
    sqlx::raw_sql(PARTS)
        .execute(db.pool())
        .await
        .expect("a table");
    (db, store)
}

/// Component, state, first model, whether it was weighed, whether it has a key; and how many of them.
type Kind = (String, String, Option<String>, bool, bool, i64);

async fn kinds(db: &TestDb) -> Vec<Kind> {
    sqlx::query_as(
        "select component, state, model, est_tokens > 0, cache_key is not null, count(*)
           from tidegate.tasks group by 1, 2, 3, 4, 5 order by 1, 3",
    )
    .fetch_all(db.pool())
    .await
    .expect("tasks")
}

fn kind(component: &str, state: &str, model: Option<&str>, weighed: bool, count: i64) -> Kind {
    let model = model.map(|name| format!("sim/{name}"));
    (
        component.to_owned(),
        state.to_owned(),
        model,
        weighed,
        weighed,
        count,
    )
}

#[tokio::test]
async fn an_item_becomes_a_task_for_each_step_and_a_step_waits_for_what_it_needs() {
    let (db, store) = a_database().await;
    let run = Picked::default().load(&store).await.expect("a run");
    assert_eq!((run.items, run.sum.enqueued), (4, 12));
    assert_eq!(
        kinds(&db).await,
        [
            kind("draft", "ready", Some("a"), true, 2),
            kind("draft", "ready", Some("b"), true, 2),
            kind("page", "blocked", None, false, 4),
            kind("title", "blocked", Some("b"), false, 4),
        ]
    );
    let siblings = "select count(*) from tidegate.needs n
        join tidegate.tasks t on t.id = n.task_id join tidegate.tasks o on o.id = n.need_id
       where o.component = 'draft' and o.item_id = t.item_id and o.run_id = t.run_id and o.id < t.id";
    assert_eq!(count(&db, siblings).await, 8);
    let unrendered = "select count(*) from tidegate.blocked b join tidegate.tasks t on t.id = b.id where b.unrendered = (t.component = 'title')";
    assert_eq!(count(&db, unrendered).await, 8);
}

#[tokio::test]
async fn all_steps_of_an_item_come_in_one_statement_and_none_is_lost_between_two() {
    let (db, store) = a_database().await;
    let many = Picked {
        items: 1_001,
        all: true,
        ..Picked::default()
    };
    let run = many.load(&store).await.expect("a run");
    assert_eq!((run.items, run.sum.enqueued), (1_001, 4_004));
    let tiers = "select count(distinct (item_id, tier)) from tidegate.tasks";
    assert_eq!(count(&db, tiers).await, 1_001, "an item has one tier");
    let lanes = "select count(*) from tidegate.lanes";
    assert_eq!(count(&db, lanes).await, 8);
}

#[tokio::test]
async fn a_step_whose_need_was_never_done_fails_alone_and_says_what_to_run_first() {
    let (db, store) = a_database().await;
    let picked = Picked {
        only: &["title", "extra"],
        ..Picked::default()
    };
    let run = picked.load(&store).await.expect("a run");
    assert_eq!((run.sum.enqueued, run.sum.refused), (4, 4));
    let said = "select count(*) from tidegate.tasks where component = 'title' and state = 'failed'
         and last_error = 'it needs draft, which was never done for this item: run it first (`tidegate run steps --only draft`), or with it'";
    assert_eq!(count(&db, said).await, 4);
}

#[tokio::test]
async fn what_a_run_leaves_out_comes_from_an_earlier_one_and_is_rendered_at_once() {
    let (db, store) = a_database().await;
    let draft = Picked {
        only: &["draft"],
        ..Picked::default()
    };
    draft.load(&store).await.expect("a run");
    let process = a_process(&store, Duration::from_secs(60)).await;
    let claimed = claim(&store, process, 3).await;
    let answers = claimed.iter().map(|it| answered(it, "Said.")).collect();
    store
        .settle_done(process, answers, None)
        .await
        .expect("settled");
    let title = Picked {
        only: &["title", "page"],
        ..Picked::default()
    };
    let run = title.load(&store).await.expect("another run");
    assert!(!run.resumed);
    assert_eq!((run.sum.enqueued, run.sum.refused), (6, 2));
    let title = "select count(*) from tidegate.tasks where component = 'title' and state = 'ready' and est_tokens > 0 and cache_key is not null";
    assert_eq!(count(&db, title).await, 3);
    let page = "select count(*) from tidegate.tasks where component = 'page' and state = 'ready'";
    assert_eq!(count(&db, page).await, 3);
    let inputs = "select count(*) from tidegate.task_inputs i join tidegate.tasks t on t.id = i.of_task where i.component = 'draft' and t.state = 'done'";
    assert_eq!(count(&db, inputs).await, 6);
}

#[tokio::test]
async fn a_dry_run_counts_calls_and_tokens_of_each_step() {
    let (db, store) = a_database().await;
    let outlook = Picked::default().dry_run(&store).await.expect("an outlook");
    let calls: Vec<_> = outlook
        .steps
        .iter()
        .map(|step| (step.component.as_str(), step.local, step.calls()))
        .collect();
    assert_eq!(
        calls,
        [("draft", false, 4), ("title", false, 4), ("page", true, 0)]
    );
    let [draft, title, page] = outlook.steps.as_slice() else {
        panic!("three steps");
    };
    // the draft may be 600 tokens long
    assert!((40..400).contains(&draft.input_tokens()), "{draft:?}");
    assert!(title.input_tokens() > 4 * 600, "{title:?}");
    assert_eq!(page.input_tokens(), 0);
    assert_eq!(
        outlook.input_tokens,
        draft.input_tokens() + title.input_tokens()
    );
    assert_eq!(count(&db, "select count(*) from tidegate.tasks").await, 0);
}
