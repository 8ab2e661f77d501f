//! What goes by batch outlives who asked for it, and what it does not bring is asked singly.

use std::time::Duration;

use tidegate::{
    engine::{AskError, EmbedQuestion, Settings},
    plan::Way,
    simulator::BatchSettings,
    task::Strategy,
};
use tokio_util::sync::CancellationToken;

use super::scene::{
    self, SUBMITTED, asking, by_call, fleet, how, list, not_back, reason, vectors, watched,
};
use crate::support::fleet::{Fleet, a_model, simulated};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_whose_caller_went_is_ended_by_others_and_costs_nothing_again() {
    let fleet = fleet(not_back()).await;
    let question = list("sim", "text", 30, Strategy::Batch);
    let asking = scene::asking(&fleet).await;
    tokio::select! {
        told = asking.embed(&question) => panic!("{told:?}"),
        () = fleet.until_count(SUBMITTED, 1) => {}
    }
    asking.close().await.expect("it is all written");
    fleet.simulator.hasten("*");
    let stop = CancellationToken::new();
    let settings = Settings {
        batches: watched(),
        ..Settings::default()
    };
    let other = fleet.process_with(&stop, settings);
    fleet
        .until_count(
            "select count(*) from tidegate.tasks where state = 'done'",
            30,
        )
        .await;
    stop.cancel();
    other.await.expect("it ends");
    let asking = scene::asking(&fleet).await;
    let told = asking.embed(&question).await.expect("vectors");
    asking.close().await.expect("nothing was asked");
    assert!(told.vectors.iter().all(|it| it.cached));
    assert_eq!(vectors(&told).len(), 30);
    assert!(fleet.simulator.log().is_empty());
    assert_eq!(fleet.simulator.batches().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asks_for_what_a_batch_under_way_brings_waits_for_that_batch() {
    let fleet = fleet(not_back()).await;
    let question = list("oa", "text", 30, Strategy::Batch);
    let gone = scene::asking(&fleet).await;
    tokio::select! {
        told = gone.embed(&question) => panic!("{told:?}"),
        () = fleet.until_count(SUBMITTED, 1) => {}
    }
    gone.close().await.expect("it is all written");
    let asking = scene::asking(&fleet).await;
    let following = async {
        fleet
            .until_count(
                "select count(*) from tidegate.tasks where state = 'blocked'",
                30,
            )
            .await;
        fleet.simulator.hasten("*")
    };
    let (told, hastened) = tokio::join!(asking.embed(&question), following);
    let told = told.expect("vectors");
    asking.close().await.expect("it is all written");
    assert_eq!(hastened, 1);
    assert_eq!(told.cost_microusd(), 0, "another paid");
    assert_eq!(fleet.simulator.batches().len(), 1);
    assert!(fleet.simulator.log().is_empty());
    assert_eq!(vectors(&told), by_call(&fleet, &question).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_side_by_side_each_get_their_own() {
    let fleet = fleet(BatchSettings::default()).await;
    let asking = asking(&fleet).await;
    let questions: Vec<_> = (0..4)
        .map(|n| list("sim", &format!("of caller {n}"), 25, Strategy::Batch))
        .collect();
    let told = futures_util::future::join_all(questions.iter().map(|it| asking.embed(it))).await;
    asking.close().await.expect("it is all written");
    for (question, told) in questions.iter().zip(told) {
        let own = by_call(&fleet, question).await;
        assert_eq!(vectors(&told.expect("vectors")), own);
    }
    let workers = "select count(*) from tidegate.workers where worker like 'embed-%'";
    assert_eq!(fleet.count(workers).await, 1, "one sort");
    assert_eq!(fleet.simulator.batches().len(), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_no_batch_brings_in_time_is_asked_singly() {
    let fleet = fleet(not_back()).await;
    let asking = asking(&fleet).await;
    let question = EmbedQuestion {
        within: Some(Duration::from_secs(1)),
        ..list("sim", "text", 12, Strategy::Batch)
    };
    let told = asking.embed(&question).await.expect("vectors");
    assert_eq!(how(&told), (Way::Individual, 12, 0));
    assert!(
        reason(&told).contains("not back in time"),
        "{}",
        reason(&told)
    );
    assert_eq!(fleet.simulator.log().len(), 1);
    assert_eq!(vectors(&told), by_call(&fleet, &question).await);
    let no_time = EmbedQuestion {
        within: Some(Duration::from_secs(1)),
        ..list("sim", "other", 40, Strategy::Auto)
    };
    let told = asking.embed(&no_time).await.expect("vectors");
    assert_eq!(how(&told), (Way::Individual, 40, 0));
    assert!(reason(&told).contains("no time"), "{}", reason(&told));
    asking.close().await.expect("it is all written");
    assert_eq!(fleet.simulator.batches().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_text_that_no_batch_brings_is_named_and_the_others_are_kept() {
    let mut model = a_model("embedding");
    model.input_token_limit = 60;
    let fleet = Fleet::crossed(simulated(vec![model])).await;
    let asking = scene::asking(&fleet).await;
    let mut question = list("oa", "text", 12, Strategy::Hybrid);
    question.texts[8] = "word ".repeat(100);
    let told = asking.embed(&question).await;
    let Err(AskError::Failed { words, .. }) = told else {
        panic!("{told:?}")
    };
    assert!(words.starts_with("text 9: "), "{words}");
    question.texts.remove(8);
    let (calls, batches) = (fleet.simulator.log().len(), fleet.simulator.batches().len());
    let told = asking.embed(&question).await.expect("vectors");
    asking.close().await.expect("it is all written");
    assert!(told.vectors.iter().all(|it| it.cached));
    assert_eq!(fleet.simulator.log().len(), calls);
    assert_eq!(fleet.simulator.batches().len(), batches);
}
