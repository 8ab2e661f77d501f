//! Both vendors' batches against the simulator, which has wire types of its own: what one side writes,
//! the other must read.

use std::{collections::BTreeMap, io::Write};

use serde_json::json;
use tidegate::{
    llm::{
        BatchAnswer, BatchDraft, BatchLine, BatchState, CallError, EmbedParams, Params,
        RemoteBatch, Request, TaskType,
    },
    provider::{Batches, Kind},
    simulator::{BatchSettings, ModelSettings, Running, Settings, Simulator},
};
use tokio::sync::mpsc;

use super::{
    Subject, VENDORS, Vendor, assert_silent,
    batches::{batches, refused},
};

/// Long enough that nothing ends by itself.
pub(super) const LONG_MS: f64 = 3_600_000.0;

pub(super) fn token(number: u32) -> String {
    format!("tide-{number:032x}")
}

pub(super) async fn simulating(settings: BatchSettings) -> Running {
    let vectors = ModelSettings {
        dimensions: Some(768),
        ..ModelSettings::named("vectors")
    };
    let single = ModelSettings {
        batch: false,
        ..ModelSettings::named("single")
    };
    let settings = Settings {
        models: vec![ModelSettings::named("m"), vectors, single],
        batches: settings,
        ..Settings::default()
    };
    Simulator::start(settings).await.expect("it starts")
}

pub(super) fn at(vendor: &Vendor, simulator: &Running) -> Subject {
    let base = match vendor.kind {
        Kind::Gemini => simulator.base_url(),
        _ => simulator.openai_base_url(),
    };
    Subject::at(vendor, &base)
}

pub(super) fn text(number: usize) -> Request {
    Request {
        system: Some("Label it.".to_owned()),
        prompt: format!("What a bug, number {number}!"),
        schema: Some(
            json!({"type": "object", "required": ["label"], "additionalProperties": false,
            "properties": {"label": {"type": "string", "enum": ["bug", "praise"]}}}),
        ),
        params: Params {
            max_output_tokens: Some(500),
            ..Params::default()
        },
        embed: None,
    }
}

fn vector(number: usize) -> Request {
    Request {
        prompt: format!("A text to be found, number {number}"),
        embed: Some(EmbedParams {
            task_type: Some(TaskType::RetrievalDocument),
            dimensions: Some(256),
            ..EmbedParams::default()
        }),
        ..Request::default()
    }
}

/// Uploads a file of so many requests.
pub(super) async fn uploaded(
    of: &dyn Batches,
    model: &str,
    token: &str,
    requests: &[Request],
) -> Result<String, CallError> {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    for (at, request) in requests.iter().enumerate() {
        writeln!(file, "{}", of.line(model, &format!("k-{at}"), request)).expect("written");
    }
    of.upload(token, file.path()).await
}

/// Uploads so many requests and creates a batch over them.
pub(super) async fn created(
    of: &dyn Batches,
    model: &str,
    token: &str,
    requests: &[Request],
) -> Result<RemoteBatch, CallError> {
    let file = uploaded(of, model, token, requests).await?;
    let draft = BatchDraft {
        wire_name: model,
        embeds: requests[0].embed.is_some(),
        token,
        file: &file,
    };
    of.create(&draft).await
}

/// All lines of all its files.
pub(super) async fn lines(
    of: &dyn Batches,
    batch: &RemoteBatch,
    embed: Option<&EmbedParams>,
) -> Vec<BatchLine> {
    let (sender, mut came) = mpsc::channel(1_000);
    for output in &batch.outputs {
        of.results(output, embed, &sender)
            .await
            .expect("it is read");
    }
    drop(sender);
    let mut all = Vec::new();
    while let Some(line) = came.recv().await {
        assert_silent(&format!("{line:?}"));
        all.push(line);
    }
    all
}

/// How many lines each key has.
pub(super) fn keys(lines: &[BatchLine]) -> BTreeMap<&str, usize> {
    let mut keys = BTreeMap::new();
    for key in lines.iter().filter_map(|line| line.key.as_deref()) {
        *keys.entry(key).or_default() += 1;
    }
    keys
}

pub(super) fn texts(count: usize) -> Vec<Request> {
    (0..count).map(text).collect()
}

#[tokio::test]
async fn each_item_is_answered_as_a_single_call_would_be() {
    let simulator = simulating(BatchSettings::default()).await;
    for vendor in VENDORS {
        let subject = at(vendor, &simulator);
        let of = batches(&subject);
        let made = created(of, "m", &token(1), &texts(20)).await.unwrap();
        assert_eq!(made.token, Some(token(1)));
        let batch = of.look(&made.id).await.unwrap();
        assert_eq!(batch.state, BatchState::Succeeded);
        assert_eq!((batch.through, batch.items), (Some(20), Some(20)));
        assert_eq!(batch.token, Some(token(1)));
        let lines = lines(of, &batch, None).await;
        assert_eq!(keys(&lines).len(), 20);
        for line in &lines {
            let Ok(BatchAnswer::Text(reply)) = &line.answer else {
                panic!("{line:?}")
            };
            assert!(reply.text.contains("label") && reply.usage.is_some());
        }
    }
}

#[tokio::test]
async fn vectors_come_in_the_length_asked_for() {
    let simulator = simulating(BatchSettings::default()).await;
    for vendor in VENDORS {
        let subject = at(vendor, &simulator);
        let of = batches(&subject);
        let asked: Vec<Request> = (0..9).map(vector).collect();
        let made = created(of, "vectors", &token(1), &asked).await.unwrap();
        let batch = of.look(&made.id).await.unwrap();
        let lines = lines(of, &batch, asked[0].embed.as_ref()).await;
        assert_eq!(keys(&lines).len(), 9);
        for line in &lines {
            let Ok(BatchAnswer::Vector { embedding, .. }) = &line.answer else {
                panic!("{line:?}")
            };
            assert_eq!(embedding.values.len(), 256);
        }
    }
}

#[tokio::test]
async fn items_that_fail_singly_may_be_tried_again_and_park_nothing() {
    let simulator = simulating(BatchSettings {
        item_errors: 0.5,
        ..BatchSettings::default()
    })
    .await;
    for vendor in VENDORS {
        let subject = at(vendor, &simulator);
        let of = batches(&subject);
        let made = created(of, "m", &token(1), &texts(60)).await.unwrap();
        let batch = of.look(&made.id).await.unwrap();
        let lines = lines(of, &batch, None).await;
        assert_eq!(keys(&lines).len(), 60);
        let failed = lines.iter().filter_map(|line| line.answer.as_ref().err());
        let classes: Vec<_> = failed.map(CallError::class).collect();
        assert!(classes.len() > 9, "{classes:?}");
        assert!(
            classes.iter().all(|it| *it == "provider_failed"),
            "{classes:?}"
        );
    }
}

#[tokio::test]
async fn a_create_whose_reply_is_lost_is_found_by_its_token() {
    let simulator = simulating(BatchSettings {
        lost_replies: 1.0,
        median_ms: LONG_MS,
        ..BatchSettings::default()
    })
    .await;
    for vendor in VENDORS {
        let subject = at(vendor, &simulator);
        let of = batches(&subject);
        for number in 0..3 {
            let error = refused(created(of, "m", &token(number), &texts(2)).await);
            assert!(matches!(error, CallError::Unknown { .. }), "{error:?}");
        }
        let listed = of.list().await.unwrap();
        let found = listed.iter().filter(|it| it.token == Some(token(1)));
        assert_eq!(found.count(), 1);
        assert_eq!(listed.len(), 3);
    }
}

#[tokio::test]
async fn an_upload_whose_reply_is_lost_is_found_and_may_be_done_again() {
    for vendor in VENDORS {
        let simulator = simulating(BatchSettings {
            lost_uploads: 1.0,
            ..BatchSettings::default()
        })
        .await;
        let subject = at(vendor, &simulator);
        let of = batches(&subject);
        let error = refused(uploaded(of, "m", &token(1), &texts(2)).await);
        assert!(matches!(error, CallError::Unknown { .. }), "{error:?}");
        let ours = |files: Vec<tidegate::llm::RemoteFile>| {
            let ours = files.into_iter().filter(|it| it.token == Some(token(1)));
            ours.collect::<Vec<_>>()
        };
        let found = ours(of.files().await.unwrap());
        assert_eq!(found.len(), 1);
        simulator.set_batches(BatchSettings::default()).unwrap();
        let again = uploaded(of, "m", &token(1), &texts(2)).await.unwrap();
        for file in ours(of.files().await.unwrap()) {
            of.remove_file(&file.id).await.unwrap();
        }
        assert_eq!(of.remove_file(&again).await, Ok(()));
        assert!(ours(of.files().await.unwrap()).is_empty());
    }
}
