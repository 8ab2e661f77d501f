//! A batch as Gemini tells of it: a long-running operation, in the JSON of proto3 (64-bit numbers are
//! strings, zeros and `done: false` are left out).

use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::files::timestamp;
use crate::simulator::batches::{BatchEnd, Phase, View};

/// An operation.
#[derive(Serialize)]
pub(super) struct Operation<'a> {
    name: String,
    metadata: Metadata<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    done: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response: Option<Typed<'a>>,
}

#[derive(Serialize)]
struct Metadata<'a> {
    #[serde(flatten)]
    told: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<Output<'a>>,
}

#[derive(Serialize)]
struct Typed<'a> {
    #[serde(rename = "@type")]
    kind: String,
    #[serde(flatten)]
    output: Output<'a>,
}

/// Results: twice in an operation that succeeded.
#[derive(Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Output<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    responses_file: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    inlined_responses: Option<Inlined<'a>>,
}

#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct Inlined<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    inlined_responses: Option<&'a RawValue>,
}

/// Tells of a batch. `inline`: the list of its results, if it has one and it was asked for.
pub(super) fn operation<'a>(view: &View, inline: Option<&'a RawValue>) -> Operation<'a> {
    let name = format!("batches/{}", view.job.id);
    let succeeded = view.phase == Phase::Ended(BatchEnd::Succeeded);
    let output = succeeded.then(|| Output {
        responses_file: view.output.as_ref().map(|id| format!("files/{id}")),
        inlined_responses: inline.map(|list| Inlined {
            inlined_responses: Some(list).filter(|list| list.get() != "[]"),
        }),
    });
    Operation {
        metadata: Metadata {
            told: metadata(view, &name),
            output: output.clone(),
        },
        name,
        done: matches!(view.phase, Phase::Ended(_)).then_some(true),
        error: error(view),
        response: output.map(|output| Typed {
            kind: type_of(view, "Output"),
            output,
        }),
    }
}

fn metadata(view: &View, name: &str) -> Value {
    let draft = &view.job.draft;
    let mut told = json!({
        "@type": type_of(view, ""),
        "model": format!("models/{}", view.job.model()),
    });
    if !draft.token.is_empty() {
        told["displayName"] = json!(draft.token);
    }
    told["createTime"] = json!(timestamp(view.job.created_ms));
    let ended_ms = view.ended.map(|ended| ended.at_ms);
    if let Some(at_ms) = ended_ms {
        told["endTime"] = json!(timestamp(at_ms));
    }
    told["updateTime"] = json!(timestamp(ended_ms.unwrap_or(view.now_ms)));
    told["batchStats"] = stats(view);
    told["state"] = json!(state(view.phase));
    told["name"] = json!(name);
    if draft.priority != 0 {
        told["priority"] = json!(draft.priority.to_string());
    }
    told
}

fn type_of(view: &View, what: &str) -> String {
    let kind = if view.job.is_of_vectors() {
        "EmbedContentBatch"
    } else {
        "GenerateContentBatch"
    };
    format!("type.googleapis.com/google.ai.generativelanguage.v1main.{kind}{what}")
}

fn state(phase: Phase) -> &'static str {
    match phase {
        Phase::Waiting => "BATCH_STATE_PENDING",
        Phase::Running | Phase::Finalizing | Phase::Cancelling => "BATCH_STATE_RUNNING",
        Phase::Ended(BatchEnd::Succeeded) => "BATCH_STATE_SUCCEEDED",
        Phase::Ended(BatchEnd::Failed) => "BATCH_STATE_FAILED",
        Phase::Ended(BatchEnd::Expired) => "BATCH_STATE_EXPIRED",
        Phase::Ended(BatchEnd::Cancelled) => "BATCH_STATE_CANCELLED",
    }
}

fn stats(view: &View) -> Value {
    let (all, failed) = (view.job.draft.items.len(), view.failed);
    let counts = [
        ("requestCount", all),
        ("successfulRequestCount", view.done - failed),
        ("failedRequestCount", failed),
        ("pendingRequestCount", all - view.done),
    ];
    let told = counts.into_iter().filter(|(_, count)| *count > 0);
    told.map(|(name, count)| (name.to_owned(), json!(count.to_string())))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

/// A google.rpc.Status, whose code is a number of gRPC.
fn error(view: &View) -> Option<Value> {
    let Phase::Ended(end) = view.phase else {
        return None;
    };
    let flaw = view.job.draft.flaws.first();
    let (code, message) = match (end, flaw) {
        (BatchEnd::Succeeded, _) => return None,
        (BatchEnd::Failed, Some(flaw)) => (3, flaw.message.as_str()),
        (BatchEnd::Failed, None) => (13, "The batch failed."),
        (BatchEnd::Expired, _) => (4, "The batch expired before it was completed."),
        (BatchEnd::Cancelled, _) => (1, "The batch was cancelled."),
    };
    Some(json!({"code": code, "message": message}))
}
