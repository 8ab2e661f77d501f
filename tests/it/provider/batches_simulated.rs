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
    simulator::{BatchEnd, BatchSettings, Damage, ModelSettings, Running, Settings, Simulator},
};
use tokio::sync::mpsc;

use super::{
    Subject, VENDORS, Vendor, assert_silent,
    batches::{batches, refused},
};

/// Long enough that nothing ends by itself.
const LONG_MS: f64 = 3_600_000.0;

fn token(number: u32) -> String {
    format!("tide-{number:032x}")
}

async fn simulating(settings: BatchSettings) -> Running {
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

fn at(vendor: &Vendor, simulator: &Running) -> Subject {
    let base = match vendor.kind {
        Kind::Gemini => simulator.base_url(),
        _ => simulator.openai_base_url(),
    };
    Subject::at(vendor, &base)
}

fn text(number: usize) -> Request {
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
async fn uploaded(
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
async fn created(
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
async fn lines(
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
fn keys(lines: &[BatchLine]) -> BTreeMap<&str, usize> {
    let mut keys = BTreeMap::new();
    for key in lines.iter().filter_map(|line| line.key.as_deref()) {
        *keys.entry(key).or_default() += 1;
    }
    keys
}

fn texts(count: usize) -> Vec<Request> {
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

#[tokio::test]
async fn a_model_without_batch_mode_says_so_and_an_overloaded_one_may_have_created() {
    let simulator = simulating(BatchSettings {
        create_503: 1.0,
        ..BatchSettings::default()
    })
    .await;
    for vendor in VENDORS {
        let subject = at(vendor, &simulator);
        let of = batches(&subject);
        let error = refused(created(of, "single", &token(1), &texts(2)).await);
        assert_eq!(error.class(), "model_gone");
        let error = refused(created(of, "m", &token(2), &texts(2)).await);
        assert_eq!(error.class(), "overloaded");
    }
}

#[tokio::test]
async fn too_much_enqueued_is_told_at_once_or_by_the_batch() {
    let simulator = simulating(BatchSettings {
        max_enqueued_tokens: Some(5),
        ..BatchSettings::default()
    })
    .await;
    for vendor in VENDORS {
        let subject = at(vendor, &simulator);
        let of = batches(&subject);
        match created(of, "m", &token(1), &texts(9)).await {
            Err(error) => assert_eq!(refused::<()>(Err(error)).class(), "rate_limited"),
            Ok(made) => {
                let batch = of.look(&made.id).await.unwrap();
                let over = matches!(&batch.state, BatchState::Failed(it) if it.over_limit && !it.bad_input);
                assert!(over, "{batch:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_batch_ends_in_each_way_there_is_and_what_was_done_is_read() {
    for vendor in VENDORS {
        for end in [BatchEnd::Failed, BatchEnd::Expired, BatchEnd::Cancelled] {
            let simulator = simulating(BatchSettings {
                end,
                end_at: 0.5,
                ..BatchSettings::default()
            })
            .await;
            let subject = at(vendor, &simulator);
            let of = batches(&subject);
            let made = created(of, "m", &token(1), &texts(10)).await.unwrap();
            let batch = of.look(&made.id).await.unwrap();
            match end {
                BatchEnd::Failed => {
                    let failed = matches!(&batch.state, BatchState::Failed(it) if !it.bad_input && !it.over_limit);
                    assert!(failed, "{batch:?}");
                }
                BatchEnd::Expired => assert_eq!(batch.state, BatchState::Expired),
                _ => assert_eq!(batch.state, BatchState::Cancelled),
            }
            let lines = lines(of, &batch, None).await;
            let done = lines.iter().filter(|it| it.answer.is_ok()).count();
            let left = lines.iter().filter_map(|it| it.answer.as_ref().err());
            let left = left.filter(|it| matches!(it, CallError::Failed { status: 0, .. }));
            let seen = (done, left.count());
            match (vendor.kind, end) {
                (Kind::OpenAi, BatchEnd::Expired | BatchEnd::Cancelled) => assert_eq!(seen, (5, 5)),
                _ => assert_eq!(seen, (0, 0)),
            }
        }
    }
}

#[tokio::test]
async fn a_batch_is_cancelled_and_removed() {
    let simulator = simulating(BatchSettings {
        median_ms: LONG_MS,
        ..BatchSettings::default()
    })
    .await;
    for vendor in VENDORS {
        let subject = at(vendor, &simulator);
        let of = batches(&subject);
        let made = created(of, "m", &token(1), &texts(10)).await.unwrap();
        let batch = of.look(&made.id).await.unwrap();
        assert!(!batch.state.is_final(), "{batch:?}");
        of.cancel(&made.id).await.unwrap();
        simulator.hasten("*");
        let batch = of.look(&made.id).await.unwrap();
        assert_eq!(batch.state, BatchState::Cancelled);
        of.remove(&made.id).await.unwrap();
        of.remove(&made.id).await.unwrap();
        let error = refused(of.look("nobody").await);
        assert!(
            matches!(error, CallError::Rejected { status: 404, .. }),
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn damaged_results_lose_no_more_than_what_is_damaged() {
    for vendor in VENDORS {
        for damage in [
            Damage::Missing,
            Damage::Duplicate,
            Damage::UnknownId,
            Damage::Cut,
            Damage::Empty,
            Damage::Reordered,
        ] {
            let simulator = simulating(BatchSettings {
                damage: vec![damage],
                ..BatchSettings::default()
            })
            .await;
            let subject = at(vendor, &simulator);
            let of = batches(&subject);
            let made = created(of, "m", &token(1), &texts(20)).await.unwrap();
            let batch = of.look(&made.id).await.unwrap();
            let lines = lines(of, &batch, None).await;
            let known = keys(&lines);
            let known = known.iter().filter(|(key, _)| key.starts_with("k-"));
            let (seen, twice) = known.fold((0, 0), |(seen, twice), (_, count)| {
                (seen + 1, twice + usize::from(*count > 1))
            });
            let unread = lines.iter().filter(|it| it.key.is_none()).count();
            match damage {
                Damage::Missing | Damage::UnknownId => assert!((10..20).contains(&seen), "{seen}"),
                Damage::Duplicate => assert!(seen == 20 && twice > 0, "{seen} {twice}"),
                Damage::Cut => assert_eq!((seen, unread), (10, 1)),
                Damage::Empty => assert!(lines.is_empty()),
                Damage::Reordered => assert_eq!((seen, twice, unread), (20, 0, 0)),
            }
        }
    }
}

#[tokio::test]
async fn a_file_that_cannot_be_read_fails_its_batch_as_bad_input() {
    let simulator = simulating(BatchSettings::default()).await;
    for vendor in VENDORS {
        let subject = at(vendor, &simulator);
        let of = batches(&subject);
        let mut file = tempfile::NamedTempFile::new().unwrap();
        writeln!(file, "{}\nno JSON at all", of.line("m", "k", &text(1))).unwrap();
        let id = of.upload(&token(1), file.path()).await.unwrap();
        let draft = BatchDraft {
            wire_name: "m",
            embeds: false,
            token: &token(1),
            file: &id,
        };
        let made = of.create(&draft).await.unwrap();
        let batch = of.look(&made.id).await.unwrap();
        let bad = matches!(&batch.state, BatchState::Failed(it) if it.bad_input && !it.over_limit);
        assert!(bad, "{batch:?}");
        // the file is gone: told as no fault of key or model
        of.remove_file(&id).await.unwrap();
        let error = refused(of.create(&draft).await);
        assert!(
            matches!(error, CallError::Rejected { status: 400, .. }),
            "{error:?}"
        );
    }
}
