//! Laws of lists of texts that somebody waits for as vectors: they go singly, by batch or both as it is chosen,
//! and what goes by batch is there whoever dies.

mod outliving;
mod scene;

use std::time::Duration;

use tidegate::{
    engine::{AskError, EmbedQuestion},
    plan::Way,
    simulator::BatchSettings as Provided,
    task::{Purpose, Strategy},
};

use crate::support::fleet::{Fleet, a_model, simulated};
use scene::{DECISIONS, asking, by_call, fleet, how, list, reason, vectors};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_by_batch_is_one_batch_at_half_the_price_in_order_and_as_calls_would_answer() {
    for entry in ["sim", "oa"] {
        let fleet = fleet(Provided::default()).await;
        let asking = scene::asking(&fleet).await;
        let mut question = list(entry, "text", 100, Strategy::Batch);
        question.texts.push(question.texts[7].clone());
        let told = asking.embed(&question).await.expect("vectors");
        asking.close().await.expect("it is all written");
        assert_eq!(how(&told), (Way::Batch, 0, 100));
        assert_eq!(reason(&told), "batch was asked for");
        assert!(fleet.simulator.log().is_empty(), "{entry}: no call");
        let batches = fleet.simulator.batches();
        assert_eq!((batches.len(), batches[0].items), (1, 100), "{entry}");
        assert!(fleet.simulator.files().iter().all(|it| it.deleted));
        let tokens: u64 = told
            .vectors
            .iter()
            .filter_map(|it| it.usage)
            .map(|it| it.input_tokens)
            .sum();
        let half = i64::try_from(tokens).expect("few") / 20;
        let cost = told.cost_microusd();
        assert!(
            (half..=half + 100).contains(&cost),
            "{entry}: {cost}, {half}"
        );
        let paid = told.vectors.iter().filter(|it| it.cost_microusd.is_some());
        assert_eq!(paid.count(), 100, "an equal text is not asked");
        assert_eq!(vectors(&told), by_call(&fleet, &question).await);
        assert_eq!(fleet.count(DECISIONS).await, 1);
        let own = "select count(*) from tidegate.strategy_decisions d join tidegate.provider_batches b on b.decision = d.id and b.run_id = d.run_id
                    where d.mode = 'batch' and d.items = 100 and d.facts ? 'known' and b.state = 'over'";
        assert_eq!(fleet.count(own).await, 1);

        let calls = fleet.simulator.log().len();
        let asking = scene::asking(&fleet).await;
        let again = asking.embed(&question).await.expect("vectors");
        let singly = EmbedQuestion {
            strategy: Strategy::Individual,
            ..question
        };
        let other_way = asking.embed(&singly).await.expect("vectors");
        asking.close().await.expect("nothing was asked");
        for kept in [again, other_way] {
            assert_eq!((vectors(&kept), kept.cost_microusd()), (vectors(&told), 0));
            assert_eq!(kept.how, None, "all of it was kept");
        }
        assert_eq!(fleet.simulator.log().len(), calls);
        assert_eq!(fleet.simulator.batches().len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_hybrid_list_the_first_five_go_by_a_call_and_the_rest_by_batch() {
    let fleet = fleet(Provided::default()).await;
    let asking = asking(&fleet).await;
    let question = list("sim", "text", 20, Strategy::Hybrid);
    let told = asking.embed(&question).await.expect("vectors");
    assert_eq!(how(&told), (Way::Hybrid, 5, 15));
    assert_eq!(fleet.simulator.log().len(), 1);
    assert_eq!(fleet.simulator.batches()[0].items, 15);
    assert_eq!(vectors(&told), by_call(&fleet, &question).await);
    let few = list("sim", "few", 6, Strategy::Hybrid);
    let told = asking.embed(&few).await.expect("vectors");
    assert_eq!(how(&told), (Way::Individual, 6, 0), "a rest under 2");
    asking.close().await.expect("it is all written");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn until_latencies_are_known_nine_texts_are_one_call_and_ten_a_batch() {
    let fleet = fleet(Provided::default()).await;
    let asking = asking(&fleet).await;
    let told = asking.embed(&list("sim", "nine", 9, Strategy::Auto)).await;
    assert_eq!(how(&told.expect("vectors")), (Way::Individual, 9, 0));
    assert_eq!(fleet.simulator.log().len(), 1);
    let near = EmbedQuestion {
        within: Some(Duration::from_secs(50)),
        ..list("sim", "near", 12, Strategy::Auto)
    };
    let told = asking.embed(&near).await.expect("vectors");
    assert_eq!(how(&told), (Way::Hybrid, 5, 7), "{}", reason(&told));
    for (entry, purpose) in [("oa", Purpose::Interactive), ("oa", Purpose::Bulk)] {
        let question = EmbedQuestion {
            purpose,
            ..list(entry, purpose.as_str(), 10, Strategy::Auto)
        };
        let told = asking.embed(&question).await.expect("vectors");
        assert_eq!(
            how(&told),
            (Way::Batch, 0, 10),
            "{purpose}: {}",
            reason(&told)
        );
    }
    let one = asking.embed(&list("sim", "one", 1, Strategy::Auto)).await;
    assert_eq!(how(&one.expect("a vector")), (Way::Individual, 1, 0));
    asking.close().await.expect("it is all written");
    assert_eq!(
        fleet.count(DECISIONS).await,
        4,
        "of one text nothing is to be chosen"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn once_latencies_are_known_who_waits_is_asked_for_by_calls_and_bulk_by_batch() {
    let fleet = fleet(Provided::default()).await;
    let asking = asking(&fleet).await;
    for sql in [
        "select tidegate.register_model_v1('sim/embedding')",
        "insert into tidegate.latencies (model_id, how, p50_ms, p90_ms, samples, newest_at)
         select m.model_id, z.how, z.ms, z.ms, 5, now() from tidegate.models m, (values ('individual', 1000), ('batch', 40000)) z (how, ms)
          where m.model = 'sim/embedding'",
    ] {
        sqlx::query(sql).execute(fleet.store.pool()).await.expect("told");
    }
    for (purpose, way) in [
        (Purpose::Interactive, Way::Individual),
        (Purpose::Bulk, Way::Batch),
    ] {
        let question = EmbedQuestion {
            purpose,
            ..list("sim", purpose.as_str(), 400, Strategy::Auto)
        };
        let told = asking.embed(&question).await.expect("vectors");
        assert_eq!(how(&told).0, way, "{purpose}: {}", reason(&told));
    }
    assert_eq!(
        fleet.simulator.log().len(),
        4,
        "a hundred a call, one round of five"
    );
    asking.close().await.expect("it is all written");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_model_without_a_batch_mode_is_called_and_it_is_said() {
    let mut model = a_model("embedding");
    model.batch = false;
    for entry in ["sim", "oa"] {
        let fleet = Fleet::crossed(simulated(vec![model.clone()])).await;
        let asking = asking(&fleet).await;
        for of in ["found out", "known"] {
            let before = fleet.simulator.log().len();
            let question = list(entry, of, 12, Strategy::Batch);
            let told = asking.embed(&question).await.expect("vectors");
            assert_eq!(how(&told), (Way::Individual, 12, 0), "{entry}, {of}");
            assert!(reason(&told).contains("no batch mode"), "{}", reason(&told));
            assert_eq!(vectors(&told).len(), 12);
            let calls = fleet.simulator.log().len() - before;
            assert!(calls == 1 || of == "found out", "{entry}: {calls}");
        }
        asking.close().await.expect("it is all written");
        assert!(fleet.simulator.batches().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_to_be_kept_is_not_by_batch_either() {
    let fleet = fleet(Provided::default()).await;
    let asking = asking(&fleet).await;
    let question = EmbedQuestion {
        cache: None,
        ..list("sim", "text", 12, Strategy::Batch)
    };
    for _ in 0..2 {
        let told = asking.embed(&question).await.expect("vectors");
        assert_eq!(how(&told), (Way::Batch, 0, 12));
    }
    asking.close().await.expect("it is all written");
    assert_eq!(fleet.simulator.batches().len(), 2);
    assert_eq!(
        fleet
            .count("select count(*) from tidegate.result_cache")
            .await,
        0
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_asked_is_refused_before_anything_is_sent() {
    let fleet = fleet(Provided::default()).await;
    let asking = asking(&fleet).await;
    let mut of_two = list("sim", "text", 12, Strategy::Batch);
    of_two.models.push("oa/another".parse().expect("a model"));
    of_two.params.dimensions = None;
    let mut of_none = list("sim", "text", 12, Strategy::Batch);
    of_none.models.clear();
    let mut empty = list("sim", "text", 12, Strategy::Batch);
    empty.texts[3] = " ".to_owned();
    for (question, why) in [
        (of_two, "of two lengths"),
        (of_none, "no model"),
        (empty, "text 4 is empty"),
    ] {
        let told = asking.embed(&question).await;
        assert!(
            matches!(&told, Err(AskError::Input(words)) if words.contains(why)),
            "{told:?}"
        );
    }
    let nothing = asking.embed(&list("sim", "text", 0, Strategy::Batch)).await;
    assert_eq!(nothing.expect("no vectors").how, None);
    asking.close().await.expect("nothing was asked");
    assert!(fleet.simulator.log().is_empty() && fleet.simulator.batches().is_empty());
    assert_eq!(fleet.count("select count(*) from tidegate.tasks").await, 0);
    assert_eq!(fleet.count(DECISIONS).await, 0);
}
