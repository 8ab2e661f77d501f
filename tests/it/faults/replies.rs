//! F23: what was committed, and nobody was told.

use tidegate::{
    client::{Task, enqueue_all},
    engine::Program,
    store::{Settings as Database, Store},
    task::{LocalError, typed},
};
use tokio_util::sync::CancellationToken;

use super::tools::{arrived, at, loaded, name_of, process_at, server_of, short_lived, slow_models};
use crate::support::{
    fleet::{Fleet, a_model},
    proxy::Proxy,
};

const DONE: &str = "select count(*) from articles where extracted_entities";

/// A process works a run off; the replies to some of its statements with this text are lost.
async fn works_off_without_replies_to(text: &str, times: u64) {
    let (fleet, run) = loaded(60, slow_models(20.0)).await;
    let proxy = Proxy::tcp(server_of(&fleet)).await.expect("a port is free");
    for _ in 0..times {
        proxy.drop_reply(text);
    }
    let stop = CancellationToken::new();
    let url = proxy.url(&name_of(&fleet));
    let process = process_at(&fleet, at(&url), short_lived(), &stop).await;
    fleet.until_done(run).await;
    stop.cancel();
    process.await.expect("it ends").expect("without trouble");
    assert_eq!(proxy.replies_dropped(), times);
    assert_eq!((fleet.count(DONE).await, arrived(&fleet)), (60, 60));
    for none in [
        "select count(*) from tidegate.tasks where state <> 'done' or attempts <> 1 or rescues > 0",
        "select count(*) from tidegate.running",
        "select count(*) from tidegate.calls where ended_at is null",
        "select count(*) from tidegate.calls where sent and outcome <> 'ok'",
        "select count(*) from tidegate.processes where lost_at is not null",
        // the sink ran once for each
        "select count(*) from tidegate.task_results r where jsonb_array_length(r.answer::jsonb -> 'entities')
            <> (select count(*) from article_entities e join tidegate.tasks t on t.item_id = e.article_id where t.id = r.task_id)",
    ] {
        assert_eq!(fleet.count(none).await, 0, "{none}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f23_claims_whose_replies_are_lost_cost_no_call_and_no_attempt() {
    works_off_without_replies_to("claim_v5", 3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f23_answers_whose_settling_was_not_confirmed_are_stored_once_and_not_asked_for_again() {
    works_off_without_replies_to("settle_done_v1", 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f23_commits_whose_replies_are_lost_happened_once() {
    // only settling answers takes a transaction of several statements
    works_off_without_replies_to("commit", 3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f23_a_task_enqueued_again_under_its_key_after_a_lost_reply_is_one_task() {
    let fleet = Fleet::with(vec![a_model("a")]).await;
    let any = Program::new(typed(|n: u32| async move { Ok::<_, LocalError>(n) }));
    fleet
        .store
        .register_worker(&any.to_worker("w"))
        .await
        .expect("registered");
    let proxy = Proxy::tcp(server_of(&fleet)).await.expect("a port is free");
    let store = Store::connect(&Database::new(proxy.url(&name_of(&fleet))))
        .await
        .expect("it connects");
    let task = || Task::new("w", &1).expect("a payload").key("one");
    let many = || {
        let keyed = |n: u32| Task::new("w", &n).expect("a payload").key(format!("k{n}"));
        (0..500).map(keyed).collect::<Vec<_>>()
    };
    proxy.drop_reply("enqueue_many_v1");
    let first = task();
    let given = first.id();
    let unheard = first.enqueue(store.pool()).await;
    assert!(unheard.is_err_and(|error| error.is_passing()));
    let again = task().enqueue(store.pool()).await.expect("heard");
    assert!(!again.is_new());
    assert_eq!(again.id, given, "it is told of the task that is there");

    proxy.drop_reply("enqueue_many_v1");
    let unheard = enqueue_all(store.pool(), "w", many()).await;
    assert!(unheard.is_err_and(|error| error.is_passing()));
    let again = enqueue_all(store.pool(), "w", many()).await.expect("heard");
    assert!(again.iter().all(|task| !task.is_new()));
    assert_eq!(proxy.replies_dropped(), 2);
    let tasks = "select count(*) from tidegate.tasks where state = 'ready'";
    assert_eq!(fleet.count(tasks).await, 501);
}
