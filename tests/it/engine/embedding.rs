//! Laws of texts that somebody waits for as vectors: each gets its own, by few calls, and callers who come
//! together share them.

use std::{sync::Arc, time::Duration};

use tidegate::{
    engine::{AskError, EmbedQuestion, EmbedSettings, EmbedTold, Interactive},
    llm::{EmbedParams, EmbedRequest, Embedding, TaskType},
    provider::CallLimits,
    store,
    task::{Purpose, Strategy},
};

use crate::support::fleet::{Fleet, a_model, simulated};

fn a_question(texts: Vec<String>) -> EmbedQuestion {
    EmbedQuestion {
        models: vec!["sim/embedding".parse().expect("a model")],
        texts,
        params: EmbedParams {
            task_type: Some(TaskType::RetrievalQuery),
            dimensions: Some(24),
            tag: Some("t".to_owned()),
        },
        cache: Some(Duration::from_secs(3_600)),
        strategy: Strategy::Individual,
        purpose: Purpose::Interactive,
        within: None,
        patience: Duration::from_secs(60),
        timeout: Duration::from_secs(60),
    }
}

fn texts(of: &str, count: usize) -> Vec<String> {
    (0..count).map(|n| format!("{of} {n}")).collect()
}

async fn asking(fleet: &Fleet) -> Interactive {
    let settings = store::Settings::new(fleet.url());
    let opened = Interactive::open(fleet.store.clone(), settings, fleet.providers()).await;
    opened.expect("it opens")
}

async fn fleet() -> Fleet {
    Fleet::with(vec![a_model("embedding")]).await
}

fn vectors(told: EmbedTold) -> Vec<Embedding> {
    told.vectors.into_iter().map(|it| it.vector).collect()
}

/// What the provider says of each text alone.
async fn alone(fleet: &Fleet, texts: &[String]) -> Vec<Embedding> {
    let mut all = Vec::new();
    for text in texts {
        let request = EmbedRequest {
            texts: vec![text.clone()],
            task_type: Some(TaskType::RetrievalQuery),
            dimensions: Some(24),
        };
        let provider = &fleet.providers()["sim"];
        let limits = CallLimits::default();
        let exchange = provider.embed("embedding", &request, &limits);
        all.append(&mut exchange.await.answer.expect("a vector").embeddings);
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_text_gets_its_own_vector_and_equal_ones_are_asked_once() {
    let fleet = fleet().await;
    let asking = self::asking(&fleet).await;
    let mut list = texts("text", 250);
    list.push("text 7".to_owned());
    list.insert(0, "text 9".to_owned());
    let question = a_question(list.clone());
    let told = asking.embed(&question).await.expect("vectors");
    assert_eq!(fleet.simulator.log().len(), 3, "a hundred a call");
    let costs = told.vectors.iter().filter(|it| it.cost_microusd.is_some());
    assert_eq!(costs.count(), 250, "of equal texts the first bears it");
    assert!(told.cost_microusd() > 0);
    let of_calls: u64 = fleet.simulator.log().iter().map(|it| it.input_tokens).sum();
    let shares = told.vectors.iter().filter_map(|it| it.usage);
    assert_eq!(shares.map(|it| it.input_tokens).sum::<u64>(), of_calls);
    let first = vectors(told);
    assert_eq!(first.len(), 252);
    assert_eq!(first[..20], alone(&fleet, &list[..20]).await);
    assert_eq!((&first[0], &first[251]), (&first[10], &first[8]));

    asking.close().await.expect("it is all written");
    let asking = self::asking(&fleet).await;
    let before = fleet.simulator.log().len();
    let again = asking.embed(&question).await.expect("vectors");
    assert!(
        again
            .vectors
            .iter()
            .all(|it| it.cached && it.task.is_none())
    );
    assert_eq!((again.cost_microusd(), vectors(again)), (0, first));
    assert_eq!(
        fleet.simulator.log().len(),
        before,
        "nothing is asked twice"
    );
    asking.close().await.expect("it is all written");
    let own = "select count(*) from tidegate.tasks t join tidegate.calls c on c.task_id = t.id
                where t.worker = 'embed' and t.state = 'done' and c.outcome = 'ok' and c.output_tokens = 0";
    assert_eq!(fleet.count(own).await, 250, "each is a task of its own");
    let leads = "select count(*) from tidegate.calls where lead";
    assert_eq!(fleet.count(leads).await, 3);
    let hits = "select hits from tidegate.cache_stats where worker = 'embed'";
    assert_eq!(fleet.count(hits).await, 250);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_who_come_together_share_a_call_and_each_gets_its_own() {
    let fleet = fleet().await;
    let settings = EmbedSettings {
        window: Duration::from_secs(1),
        ..EmbedSettings::default()
    };
    let asking = asking(&fleet).await.with_embed_settings(settings);
    let questions: Vec<_> = (0..10)
        .map(|n| a_question(texts(&format!("of caller {n}"), 3)))
        .collect();
    // all begin before any of them has looked into the cache
    let told = futures_util::future::join_all(questions.iter().map(|it| asking.embed(it))).await;
    assert_eq!(fleet.simulator.log().len(), 1);
    for (question, told) in questions.iter().zip(told) {
        let own = alone(&fleet, &question.texts).await;
        assert_eq!(vectors(told.expect("vectors")), own);
    }
    let before = fleet.simulator.log().len();
    let popular = a_question(texts("popular", 1));
    let same = (0..5).map(|_| asking.embed(&popular));
    let told = futures_util::future::join_all(same).await;
    let told: Vec<_> = told.into_iter().map(|it| it.expect("a vector")).collect();
    assert!(
        told.iter()
            .all(|it| it.vectors[0].vector == told[0].vectors[0].vector)
    );
    let paid = told.iter().filter(|it| it.vectors[0].usage.is_some());
    assert_eq!(paid.count(), 1, "it is one task");
    let task = told[0].vectors[0].task;
    assert!(told.iter().all(|it| it.vectors[0].task == task));
    assert_eq!(fleet.simulator.log().len(), before + 1);
    let other_sort = EmbedQuestion {
        params: EmbedParams::default(),
        ..a_question(texts("x", 1))
    };
    let before = fleet.simulator.log().len();
    let same_text = a_question(texts("x", 1));
    let (one, other) = tokio::join!(asking.embed(&same_text), asking.embed(&other_sort));
    assert_eq!(fleet.simulator.log().len() - before, 2, "two sorts never");
    assert_ne!(
        vectors(one.expect("a vector"))[0].values.len(),
        vectors(other.expect("a vector"))[0].values.len()
    );
    asking.close().await.expect("it is all written");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_tasks_that_ask_at_once_make_few_calls() {
    let fleet = fleet().await;
    let settings = EmbedSettings {
        window: Duration::from_secs(1),
        ..EmbedSettings::default()
    };
    let asking = Arc::new(asking(&fleet).await.with_embed_settings(settings));
    let start = Arc::new(tokio::sync::Barrier::new(10));
    let tasks: Vec<_> = (0..10)
        .map(|n| {
            let (asking, start) = (asking.clone(), start.clone());
            tokio::spawn(async move {
                start.wait().await;
                asking
                    .embed(&a_question(texts(&format!("task {n}"), 1)))
                    .await
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("no panic").expect("a vector");
    }
    let calls = fleet.simulator.log().len();
    assert!((1..=4).contains(&calls), "{calls} calls for ten");
    let asking = Arc::into_inner(asking).expect("nobody else asks");
    asking.close().await.expect("it is all written");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_bad_text_is_named_and_the_others_are_kept() {
    let mut model = a_model("embedding");
    model.input_token_limit = 50;
    let fleet = Fleet::crossed(simulated(vec![model])).await;
    let asking = self::asking(&fleet).await;
    let mut list = texts("text", 30);
    list[11] = "word ".repeat(100);
    let question = EmbedQuestion {
        models: vec!["oa/embedding".parse().expect("a model")],
        ..a_question(list.clone())
    };
    let Err(AskError::Failed { words, .. }) = asking.embed(&question).await else {
        panic!("it has a vector")
    };
    assert!(
        words.starts_with("text 12: ") && words.contains("maximum context length"),
        "{words}"
    );
    list.remove(11);
    asking.close().await.expect("it is all written");
    let asking = self::asking(&fleet).await;
    let before = fleet.simulator.log().len();
    let question = EmbedQuestion {
        texts: list,
        ..question
    };
    let told = asking.embed(&question).await.expect("vectors");
    assert!(told.vectors.iter().all(|it| it.cached));
    assert_eq!(fleet.simulator.log().len(), before);
    asking.close().await.expect("it is all written");
    let empty = EmbedQuestion {
        texts: vec!["a".to_owned(), " ".to_owned()],
        ..question
    };
    let asking = self::asking(&fleet).await;
    let told = asking.embed(&empty).await;
    assert!(
        matches!(&told, Err(AskError::Input(words)) if words.starts_with("text 2 is empty")),
        "{told:?}"
    );
    asking.close().await.expect("nothing was asked");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_that_fail_are_made_again_until_all_vectors_are_there() {
    let mut settings = simulated(vec![a_model("embedding")]);
    settings.faults.http_500 = 0.4;
    let fleet = Fleet::over(settings).await;
    let asking = asking(&fleet).await;
    let list = texts("text", 20);
    for chunk in list.chunks(4) {
        let question = a_question(chunk.to_vec());
        asking.embed(&question).await.expect("vectors");
    }
    asking.close().await.expect("it is all written");
    let done = "select count(*) from tidegate.tasks where worker = 'embed' and state = 'done'";
    assert_eq!(fleet.count(done).await, 20);
    let unsettled = "select count(*) from tidegate.calls where ended_at is null";
    assert_eq!(fleet.count(unsettled).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn texts_that_may_not_be_asked_are_given_up_with_the_reason_or_with_who_asked() {
    let fleet = fleet().await;
    sqlx::query("select tidegate.cool_down('sim/embedding', interval '1 h', 'a test')")
        .execute(fleet.store.pool())
        .await
        .expect("closed");
    let asking = asking(&fleet).await;
    let question = EmbedQuestion {
        patience: Duration::from_millis(300),
        ..a_question(texts("text", 5))
    };
    let told = asking.embed(&question).await;
    let Err(AskError::Waited { why, .. }) = told else {
        panic!("{told:?}")
    };
    assert!(why.contains("sim/embedding: cooldown: a test"), "{why}");
    let over = "select count(*) from tidegate.tasks where state = 'cancelled'";
    assert_eq!(fleet.count(over).await, 5);

    let patient = a_question(texts("other", 3));
    tokio::select! {
        told = asking.embed(&patient) => panic!("{told:?}"),
        () = fleet.until_count("select count(*) from tidegate.tasks where state = 'ready'", 3) => {}
    }
    fleet.until_count(over, 8).await;
    asking.close().await.expect("it is all written");
    assert!(fleet.simulator.log().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_provider_says_of_its_limits_is_learned_from_calls_that_somebody_waits_for() {
    let mut model = a_model("embedding");
    model.rpm = Some(77);
    let fleet = Fleet::crossed(simulated(vec![model])).await;
    let asking = asking(&fleet).await;
    let question = EmbedQuestion {
        models: vec!["oa/embedding".parse().expect("a model")],
        ..a_question(texts("text", 5))
    };
    asking.embed(&question).await.expect("vectors");
    asking.close().await.expect("it is all written");
    let learned = "select count(*) from tidegate.model_limits ml join tidegate.limits l using (limit_id) join tidegate.models m using (model_id)
                    where m.model = 'oa/embedding' and l.dimension = 'requests' and l.said = 77";
    assert_eq!(fleet.count(learned).await, 1);
}
