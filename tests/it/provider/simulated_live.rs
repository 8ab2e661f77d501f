//! Streams and vectors of both vendors against the simulator, which has wire types of its own.

use std::sync::Mutex;

use tidegate::{
    llm::{CallError, Chunk, EmbedRequest, Embedding, Exchange, Request, TASK_TYPES, TaskType},
    provider::{CallLimits, Kind},
    simulator::{Faults, Latency, ModelSettings, Running, Settings, Simulator, WindowKind},
};

use super::{Subject, VENDORS, Vendor};

async fn simulating(faults: Faults, latency: Latency) -> Running {
    let limited = ModelSettings {
        rpm: Some(2),
        tpm: Some(10),
        window: WindowKind::Sliding,
        ..ModelSettings::named("limited-embedding")
    };
    let free = ["plain", "o3", "embedding-x", "text-embedding-x"].map(ModelSettings::named);
    let settings = Settings {
        models: [&[limited][..], &free[..]].concat(),
        faults,
        latency,
        ..Settings::default()
    };
    Simulator::start(settings).await.expect("it starts")
}

fn subject(vendor: &Vendor, simulator: &Running) -> Subject {
    let base = match vendor.kind {
        Kind::Gemini => simulator.base_url(),
        _ => simulator.openai_base_url(),
    };
    Subject::at(vendor, &base)
}

fn question() -> Request {
    Request {
        system: Some("Be short.".to_owned()),
        prompt: "Gr\u{fc}\u{df}e \u{1f600}! The machine in Elm Street ate my card, and more."
            .to_owned(),
        ..Request::default()
    }
}

async fn listen(subject: &Subject, model: &str, request: &Request) -> (Exchange, Vec<String>) {
    let pieces = Mutex::new(Vec::new());
    let told = |chunk: Chunk| pieces.lock().expect("unbroken").push(chunk.text);
    let limits = CallLimits::default();
    let exchange = subject
        .provider
        .stream(model, request, &limits, &told)
        .await;
    (exchange, pieces.into_inner().expect("unbroken"))
}

fn texts(texts: &[&str], task_type: Option<TaskType>, dimensions: Option<u32>) -> EmbedRequest {
    EmbedRequest {
        texts: texts.iter().map(|&text| text.to_owned()).collect(),
        task_type,
        dimensions,
    }
}

async fn embed(subject: &Subject, model: &str, request: &EmbedRequest) -> Vec<Embedding> {
    let limits = CallLimits::default();
    let reply = subject.provider.embed(model, request, &limits).await.answer;
    reply.expect("it is taken").embeddings
}

#[tokio::test]
async fn a_stream_says_and_counts_what_the_whole_answer_does() {
    let slow = Latency {
        median_ms: 30.0,
        ..Latency::default()
    };
    for latency in [Latency::default(), slow] {
        let simulator = simulating(Faults::default(), latency).await;
        for vendor in VENDORS {
            let subject = subject(vendor, &simulator);
            for model in ["plain", "o3"] {
                let limits = CallLimits::default();
                let whole = subject.provider.generate(model, &question(), &limits).await;
                let (exchange, pieces) = listen(&subject, model, &question()).await;
                let (whole, reply) = (whole.answer.unwrap(), exchange.answer.unwrap());
                assert_eq!((&reply.text, reply.usage), (&whole.text, whole.usage));
                assert_eq!(reply.model_version.as_deref(), Some(model));
                assert!(
                    pieces.len() > 1 && pieces.concat() == reply.text,
                    "{pieces:?}"
                );
            }
        }
        let log = simulator.log();
        assert!(
            log.iter()
                .all(|call| call.outcome == "ok" && call.output_tokens > 0)
        );
        assert_eq!(log[0].prompt, log[1].prompt);
    }
}

/// Sets one fault.
type Set = fn(&mut Faults);

#[tokio::test]
async fn no_fault_makes_a_stream_a_wrong_reply() {
    let faults: [(&str, Set, &str); 9] = [
        ("stream_cut", |it| it.stream_cut = 1.0, "unknown_outcome"),
        ("stream_error", |it| it.stream_error = 1.0, "overloaded"),
        ("short_body", |it| it.short_body = 1.0, "unknown_outcome"),
        ("cut_json", |it| it.cut_json = 1.0, "damaged"),
        ("reset", |it| it.reset = 1.0, "unknown_outcome"),
        ("http_503", |it| it.http_503 = 1.0, "overloaded"),
        ("not_json", |it| it.not_json = 1.0, "damaged"),
        ("max_tokens", |it| it.max_tokens = 1.0, "truncated"),
        ("empty", |it| it.empty = 1.0, "damaged"),
    ];
    for (word, set, class) in faults {
        let mut faults = Faults::default();
        set(&mut faults);
        let simulator = simulating(faults, Latency::default()).await;
        for vendor in VENDORS {
            let subject = subject(vendor, &simulator);
            let (exchange, pieces) = listen(&subject, "plain", &question()).await;
            let error = exchange.answer.unwrap_err();
            assert_eq!(error.class(), class, "{word} {:?}: {error}", vendor.kind);
            if word.starts_with("stream") {
                assert!(!pieces.is_empty());
                assert!(error.to_string().contains("characters of text"), "{error}");
            }
        }
        assert!(simulator.log().iter().all(|call| call.outcome == word));
    }
}

#[tokio::test]
async fn vectors_follow_their_text_wherever_it_stands() {
    let simulator = simulating(Faults::default(), Latency::default()).await;
    for vendor in VENDORS {
        let subject = subject(vendor, &simulator);
        let all = ["my card is gone", "where is my card?", "whales sing"];
        let together = embed(&subject, "embedding-x", &texts(&all, None, Some(64))).await;
        for (text, vector) in all.iter().zip(&together) {
            let alone = embed(&subject, "embedding-x", &texts(&[text], None, Some(64))).await;
            assert_eq!(&alone[0], vector);
            let length: f32 = vector.values.iter().map(|it| it * it).sum();
            assert!((length - 1.0).abs() < 1e-3, "{length}");
        }
        for (model, dimensions) in [("embedding-x", 768), ("text-embedding-x", 1_536)] {
            let vectors = embed(&subject, model, &texts(&all, None, None)).await;
            assert!(vectors.iter().all(|it| it.values.len() == dimensions));
        }
        let most = vec!["a"; subject.provider.embeds_at_once()];
        let vectors = embed(&subject, "embedding-x", &texts(&most, None, Some(3))).await;
        assert_eq!(vectors.len(), most.len());

        let mut seen: Vec<Vec<f32>> = Vec::new();
        for task in TASK_TYPES {
            let asked = texts(&["a text"], Some(task), Some(8));
            let vector = embed(&subject, "embedding-x", &asked)
                .await
                .remove(0)
                .values;
            let is_new = !seen.contains(&vector);
            assert_eq!(is_new, seen.is_empty() || vendor.kind == Kind::Gemini);
            seen.push(vector);
        }
    }
}

#[tokio::test]
async fn a_call_for_vectors_is_one_request_with_the_tokens_of_all_texts() {
    for vendor in VENDORS {
        let simulator = simulating(Faults::default(), Latency::default()).await;
        let subject = subject(vendor, &simulator);
        let limits = CallLimits::default();
        let ask = async |count: usize| {
            let request = texts(&vec!["abcd"; count], None, Some(2));
            let asked = subject
                .provider
                .embed("limited-embedding", &request, &limits);
            asked.await.answer.map_err(|error| error.class())
        };
        assert_eq!(ask(6).await.unwrap().usage.unwrap().input_tokens, 6);
        assert_eq!(ask(5).await.unwrap_err(), "rate_limited", "11 of 10 tokens");
        assert!(ask(4).await.is_ok());
        let refused = ask(1).await.unwrap_err();
        assert_eq!(refused, "rate_limited", "2 of 2 requests");
        let log = simulator.log();
        let outcomes: Vec<_> = log.iter().map(|call| call.outcome.as_str()).collect();
        let expected = ["ok", "refused_tokens", "ok", "refused_requests"];
        assert_eq!(outcomes, expected);
        assert_eq!(log[0].input_tokens, 6);
    }
}

#[tokio::test]
async fn models_do_only_what_they_are_made_for_and_faults_spoil_vectors() {
    let simulator = simulating(Faults::default(), Latency::default()).await;
    let empty = Faults {
        empty: 1.0,
        ..Faults::default()
    };
    let spoiling = simulating(empty, Latency::default()).await;
    for vendor in VENDORS {
        let limits = CallLimits::default();
        let own = subject(vendor, &simulator);
        let request = texts(&["a"], None, None);
        let wrong = own.provider.embed("plain", &request, &limits).await.answer;
        assert!(
            matches!(wrong, Err(CallError::ModelGone { .. })),
            "{wrong:?}"
        );
        let (wrong, _) = listen(&own, "embedding-x", &question()).await;
        assert!(matches!(wrong.answer, Err(CallError::ModelGone { .. })));
        let spoiled = subject(vendor, &spoiling).provider;
        let spoiled = spoiled.embed("embedding-x", &request, &limits).await.answer;
        assert!(
            matches!(spoiled, Err(CallError::Damaged { .. })),
            "{spoiled:?}"
        );
    }
}
