//! Laws of interactive calls: the same admission, cache and ledger as all tasks, and nobody before them.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::{json, value::to_raw_value};
use tidegate::{
    definition::{Definition, Folder},
    engine::{AskError, Interactive, Question, Registry},
    llm::Chunk,
    simulator::WindowKind,
    store,
    task::Item,
};

use crate::support::{
    fleet::{Fleet, a_model, simulated},
    work::{ONE_TIER, a_process, claim, items, load},
};

/// Asks `sim/a`, then `sim/b`.
fn a_question(text: &str) -> Question {
    let mut folder = Folder::default();
    folder.insert("worker.toml", ONE_TIER);
    folder.insert("prompt.md", "{{ text }}");
    let definition = Definition::check(&folder, &[]).expect("a worker");
    let body = to_raw_value(&json!({ "text": text })).expect("a body");
    Question {
        models: ["sim/a", "sim/b"]
            .map(|it| it.parse().expect("a model"))
            .to_vec(),
        handler: Registry::new().handler(&definition).expect("a handler"),
        item: Item::new("question", body),
        cache: Some(Duration::from_secs(3_600)),
        patience: Duration::from_secs(60),
        timeout: Duration::from_secs(60),
    }
}

async fn asking(fleet: &Fleet) -> Arc<Interactive> {
    let settings = store::Settings::new(fleet.url());
    let opened = Interactive::open(fleet.store.clone(), settings, fleet.providers()).await;
    Arc::new(opened.expect("it opens"))
}

async fn closed(asking: Arc<Interactive>) {
    let asking = Arc::into_inner(asking).expect("nobody else asks");
    asking.close().await.expect("it is all written");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_question_is_a_task_with_its_call_and_the_same_one_is_not_asked_again() {
    let fleet = Fleet::with(vec![a_model("a"), a_model("b")]).await;
    let asking = asking(&fleet).await;
    let first = asking.ask(&a_question("Why?")).await.expect("an answer");
    assert!(
        !first.cached && first.answer.get().contains("Why?"),
        "{first:?}"
    );
    assert_eq!(first.model, "sim/a");
    assert!(first.cost_microusd > Some(0));
    closed(asking).await;
    let asking = self::asking(&fleet).await;
    let again = asking.ask(&a_question("Why?")).await.expect("an answer");
    assert!(again.cached, "{again:?}");
    assert_eq!(again.answer, first.answer);
    let other = Question {
        cache: None,
        ..a_question("Why?")
    };
    assert!(!asking.ask(&other).await.expect("an answer").cached);
    closed(asking).await;
    assert_eq!(fleet.simulator.log().len(), 2);
    let told = "select count(*) from tidegate.tasks t join tidegate.calls c on c.task_id = t.id
                 where t.worker = 'ask' and t.state = 'done' and c.outcome = 'ok' and c.cost_microusd > 0";
    assert_eq!(fleet.count(told).await, 2);
    assert_eq!(
        fleet
            .count("select hits from tidegate.cache_stats where worker = 'ask'")
            .await,
        1
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_question_goes_before_ten_thousand_tasks_and_what_is_reserved_is_for_it() {
    let mut model = a_model("a");
    model.rpm = Some(40);
    model.window = WindowKind::Sliding;
    let fleet = Fleet::over(simulated(vec![model, a_model("b")])).await;
    let only_a = ONE_TIER.replace("fallbacks = [\"sim/b\"]\n", "");
    load(&fleet.store, &only_a, &items(10_000))
        .await
        .expect("a run");
    let asking = asking(&fleet).await;
    let only_a = |text: &str| Question {
        models: vec!["sim/a".parse().expect("a model")],
        ..a_question(text)
    };
    asking.ask(&only_a("first")).await.expect("an answer");
    let process = a_process(&fleet.store, Duration::from_secs(60)).await;
    let bulk = claim(&fleet.store, process, 1_000).await;
    assert_eq!(bulk.len(), 37, "of 40 one was asked, and two are kept back");
    for text in ["second", "third"] {
        let told = asking.ask(&only_a(text)).await.expect("an answer");
        assert_eq!(told.model, "sim/a");
    }
    closed(asking).await;
    assert_eq!(fleet.simulator.log().len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_fails_is_asked_again_and_then_of_the_next_model() {
    let mut settings = simulated(vec![a_model("a"), a_model("b")]);
    settings.faults.http_500 = 0.5;
    let fleet = Fleet::over(settings).await;
    let asking = asking(&fleet).await;
    for n in 0..5 {
        asking
            .ask(&a_question(&format!("question {n}")))
            .await
            .expect("an answer");
    }
    closed(asking).await;
    let failed = "select count(*) from tidegate.calls where outcome = 'provider_failed'";
    assert!(fleet.count(failed).await > 0);
    let unsettled = "select count(*) from tidegate.calls where ended_at is null";
    assert_eq!(fleet.count(unsettled).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_model_that_is_gone_is_told_at_once_and_its_task_is_over() {
    let fleet = Fleet::with(vec![a_model("a"), a_model("b")]).await;
    let parked = "update tidegate.models set parked = 'gone for good'";
    sqlx::query(parked)
        .execute(fleet.store.pool())
        .await
        .expect("parked");
    let asking = asking(&fleet).await;
    let told = asking.ask(&a_question("Why?")).await;
    let Err(AskError::Parked { why }) = told else {
        panic!("{told:?}")
    };
    assert!(why.contains("gone for good"), "{why}");
    closed(asking).await;
    let over = "select count(*) from tidegate.tasks where state = 'cancelled'";
    assert_eq!(fleet.count(over).await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_question_that_may_not_be_asked_in_time_is_given_up_with_the_reason() {
    let fleet = Fleet::with(vec![a_model("a"), a_model("b")]).await;
    for model in ["sim/a", "sim/b"] {
        sqlx::query("select tidegate.cool_down($1, interval '1 h', 'a test')")
            .bind(model)
            .execute(fleet.store.pool())
            .await
            .expect("closed");
    }
    let asking = asking(&fleet).await;
    let question = Question {
        patience: Duration::from_millis(300),
        ..a_question("Why?")
    };
    let told = asking.ask(&question).await;
    let Err(AskError::Waited { why, .. }) = told else {
        panic!("{told:?}")
    };
    assert!(why.contains("sim/a: cooldown: a test"), "{why}");
    closed(asking).await;
    assert!(fleet.simulator.log().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_is_heard_in_pieces_that_are_the_answer_and_is_kept_as_one() {
    let fleet = Fleet::with(vec![a_model("a"), a_model("b")]).await;
    let asking = asking(&fleet).await;
    let heard = Mutex::new(Vec::new());
    let hear = |chunk: Chunk| heard.lock().expect("unpoisoned").push(chunk.text);
    let long = "word ".repeat(60);
    let told = asking
        .stream(&a_question(&long), &hear)
        .await
        .expect("an answer");
    let pieces = std::mem::take(&mut *heard.lock().expect("unpoisoned"));
    assert!(pieces.len() > 1, "{pieces:?}");
    let text: String = serde_json::from_str(told.answer.get()).expect("a text");
    assert_eq!(pieces.concat(), text);
    closed(asking).await;
    let asking = self::asking(&fleet).await;
    let again = asking
        .stream(&a_question(&long), &hear)
        .await
        .expect("an answer");
    assert!(again.cached);
    assert_eq!(*heard.lock().expect("unpoisoned"), [text]);
    closed(asking).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_breaks_after_a_piece_is_an_error_and_no_answer() {
    let mut settings = simulated(vec![a_model("a"), a_model("b")]);
    settings.faults.stream_cut = 1.0;
    let fleet = Fleet::over(settings).await;
    let asking = asking(&fleet).await;
    let heard = Mutex::new(String::new());
    let hear = |chunk: Chunk| heard.lock().expect("unpoisoned").push_str(&chunk.text);
    let told = asking.stream(&a_question(&"word ".repeat(60)), &hear).await;
    assert!(matches!(told, Err(AskError::Failed { .. })), "{told:?}");
    assert!(!heard.lock().expect("unpoisoned").is_empty());
    closed(asking).await;
    assert_eq!(
        fleet
            .count("select count(*) from tidegate.task_results")
            .await,
        0
    );
    assert_eq!(
        fleet
            .count("select count(*) from tidegate.result_cache")
            .await,
        0
    );
    let failed = "select count(*) from tidegate.tasks where state = 'failed'";
    assert_eq!(fleet.count(failed).await, 1);
}
