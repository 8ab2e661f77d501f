//! A fleet whose provider has batches, who asks it, and lists of texts that are nothing but text.

use std::time::Duration;

use crate::support::fleet::{Fleet, a_model, simulated};
use tidegate::{
    engine::{BatchSettings, EmbedQuestion, EmbedTold, Interactive},
    llm::{EmbedParams, EmbedRequest, Embedding, TaskType},
    plan::Way,
    provider::CallLimits,
    simulator::{self, BatchSettings as Provided},
    store,
    task::{Purpose, Strategy},
};

/// A batch is not back unless it is hastened.
pub(super) fn not_back() -> Provided {
    Provided {
        median_ms: 3_600_000.0,
        ..Provided::default()
    }
}

pub(super) fn watched() -> BatchSettings {
    BatchSettings {
        poll: Duration::from_millis(20),
        poll_max: Duration::from_millis(50),
        lookup: Duration::from_millis(300),
    }
}

pub(super) async fn fleet(batches: Provided) -> Fleet {
    Fleet::crossed(simulator::Settings {
        batches,
        ..simulated(vec![a_model("embedding")])
    })
    .await
}

pub(super) async fn asking(fleet: &Fleet) -> Interactive {
    let settings = store::Settings::new(fleet.url());
    let opened = Interactive::open(fleet.store.clone(), settings, fleet.providers()).await;
    opened.expect("it opens").with_batch_settings(watched())
}

pub(super) fn list(entry: &str, of: &str, count: usize, strategy: Strategy) -> EmbedQuestion {
    EmbedQuestion {
        models: vec![format!("{entry}/embedding").parse().expect("a model")],
        // nothing in a text is anything but text
        texts: (0..count)
            .map(|n| format!("{of} {n}: \"{{{{ text }}}}\" <b>&amp;</b> \\n\t§ 'x'\n"))
            .collect(),
        params: EmbedParams {
            task_type: Some(TaskType::RetrievalDocument),
            dimensions: Some(24),
            tag: Some("a \"tag\" = 1\u{7f}".to_owned()),
        },
        cache: Some(Duration::from_secs(3_600)),
        strategy,
        purpose: Purpose::Interactive,
        within: None,
        patience: Duration::from_secs(60),
        timeout: Duration::from_secs(60),
    }
}

/// What the provider says of each text by calls of many.
pub(super) async fn by_call(fleet: &Fleet, question: &EmbedQuestion) -> Vec<Embedding> {
    let provider = &fleet.providers()[question.models[0].provider()];
    let mut all = Vec::new();
    for texts in question.texts.chunks(100) {
        let request = EmbedRequest {
            texts: texts.to_vec(),
            task_type: question.params.task_type,
            dimensions: question.params.dimensions,
        };
        let limits = CallLimits::default();
        let exchange = provider.embed("embedding", &request, &limits).await;
        all.append(&mut exchange.answer.expect("vectors").embeddings);
    }
    all
}

pub(super) fn vectors(told: &EmbedTold) -> Vec<Embedding> {
    told.vectors.iter().map(|it| it.vector.clone()).collect()
}

/// Which way, and how many singly and by batch.
pub(super) fn how(told: &EmbedTold) -> (Way, usize, usize) {
    let how = told.how.as_ref().expect("something was asked");
    (how.strategy, how.singly, how.by_batch)
}

pub(super) fn reason(told: &EmbedTold) -> &str {
    &told.how.as_ref().expect("something was asked").reason
}

pub(super) const DECISIONS: &str = "select count(*) from tidegate.strategy_decisions";
pub(super) const SUBMITTED: &str =
    "select count(*) from tidegate.provider_batches where state = 'submitted'";
