//! Tasks enqueued by name for a worker that asks models: rendered, weighed, then claimed like any other.

use tidegate::{
    client::register,
    definition::{Definition, Folder},
};

use tokio_util::sync::CancellationToken;

use crate::support::fleet::{Fleet, a_model};

const ASKS: &str = r#"
name = "asks"
version = "1"
[source]
file = "none.jsonl"
id = "id"
[[tier]]
share = 1.0
mix = 1
model = "sim/good"
[prompt]
template = "prompt.md"
"#;

async fn a_fleet() -> Fleet {
    let fleet = Fleet::with(vec![a_model("good")]).await;
    let mut folder = Folder::default();
    folder.insert("worker.toml", ASKS);
    folder.insert("prompt.md", "Say {{ word }}");
    let definition = Definition::check(&folder, &[]).expect("the worker holds");
    register(&fleet.store, &definition)
        .await
        .expect("registered");
    fleet
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_enqueued_by_sql_is_rendered_called_and_answered() {
    let fleet = a_fleet().await;
    let stop = CancellationToken::new();
    let process = fleet.process(&stop);
    for word in ["one", "two", "three"] {
        sqlx::query(
            "select tidegate.enqueue('asks', json_build_object('word', $1::text), key => $1)",
        )
        .bind(word)
        .execute(fleet.store.pool())
        .await
        .expect("enqueued");
    }
    sqlx::query(
        "insert into tidegate.tasks (worker, payload) values ('asks', '{\"word\": \"four\"}')",
    )
    .execute(fleet.store.pool())
    .await
    .expect("inserted");
    fleet
        .until_count(
            "select count(*) from tidegate.tasks where state = 'done' and est_tokens > 0 and cache_key is not null",
            4,
        )
        .await;
    assert_eq!(fleet.simulator.log().len(), 4);
    stop.cancel();
    process.await.expect("it ends");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payload_of_which_no_prompt_can_be_made_fails_alone_before_any_call() {
    let fleet = a_fleet().await;
    let stop = CancellationToken::new();
    let process = fleet.process(&stop);
    for payload in ["{\"word\": \"one\"}", "{\"other\": 1}", "7"] {
        sqlx::query("select tidegate.enqueue('asks', $1::text::json)")
            .bind(payload)
            .execute(fleet.store.pool())
            .await
            .expect("enqueued");
    }
    fleet
        .until_count("select count(*) from tidegate.tasks where state = 'failed' and error_class = 'input' and attempts = 0", 2)
        .await;
    fleet
        .until_count(
            "select count(*) from tidegate.tasks where state = 'done'",
            1,
        )
        .await;
    assert_eq!(fleet.simulator.log().len(), 1);
    stop.cancel();
    process.await.expect("it ends");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_goes_on_under_the_definition_it_was_enqueued_with() {
    let fleet = a_fleet().await;
    sqlx::query("select tidegate.enqueue('asks', '{\"word\": \"old\"}')")
        .execute(fleet.store.pool())
        .await
        .expect("enqueued");
    let mut folder = Folder::default();
    folder.insert("worker.toml", ASKS);
    folder.insert("prompt.md", "Shout {{ noun }}");
    let changed = Definition::check(&folder, &[]).expect("the worker holds");
    register(&fleet.store, &changed).await.expect("registered");
    sqlx::query("select tidegate.enqueue('asks', '{\"noun\": \"new\"}')")
        .execute(fleet.store.pool())
        .await
        .expect("enqueued");
    let stop = CancellationToken::new();
    let process = fleet.process(&stop);
    fleet
        .until_count(
            "select count(*) from tidegate.tasks where state = 'done'",
            2,
        )
        .await;
    stop.cancel();
    process.await.expect("it ends");
}
