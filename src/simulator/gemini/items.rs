//! The items of Gemini's batches: read when a batch is handed in, answered when its results are read.

use serde_json::{Value, json};

use super::failure::Failure;
use super::speak::Gemini;
use super::{embed, judge};
use crate::simulator::asked::Asked;
use crate::simulator::batches::{Fate, Item, Job, Kind, Row, spoken};
use crate::simulator::settings::ModelSettings;
use crate::simulator::state::Shared;

/// Reads one item's question.
pub(super) fn question(kind: Kind, raw: &[u8], model: &ModelSettings) -> Result<Asked, Failure> {
    match kind {
        Kind::Answers => judge::question(raw, model),
        Kind::Vectors => embed::question(raw, model, false),
    }
}

/// The question of an item that asks rightly.
pub(in crate::simulator) fn asked(shared: &Shared, job: &Job, at: usize) -> Option<Asked> {
    read(shared, job, at)?.ok()
}

/// A line of a file of responses.
pub(in crate::simulator) fn line(shared: &Shared, job: &Job, row: &Row) -> String {
    let item = &job.draft.items[row.at];
    let key = match key(item, row) {
        key if key.is_empty() => String::new(),
        key => format!("\"key\":{},", json!(key)),
    };
    format!("{{{key}{}}}", outcome(shared, job, row))
}

/// A member of a list of inlined responses.
pub(in crate::simulator) fn inline(shared: &Shared, job: &Job, row: &Row) -> String {
    let item = &job.draft.items[row.at];
    let metadata = item.metadata.clone().map(|mut metadata| {
        if row.stranger {
            metadata.insert("key".to_owned(), json!(key(item, row)));
        }
        format!(",\"metadata\":{}", Value::Object(metadata))
    });
    let metadata = metadata.unwrap_or_default();
    format!("{{{}{metadata}}}", outcome(shared, job, row))
}

fn key(item: &Item, row: &Row) -> String {
    if row.stranger {
        format!("stranger-{}", row.at)
    } else {
        item.key.clone()
    }
}

fn read(shared: &Shared, job: &Job, at: usize) -> Option<Result<Asked, Failure>> {
    let settings = shared.settings.models.get(job.draft.model.0?)?;
    Some(question(job.draft.kind, &job.draft.items[at].raw, settings))
}

/// The member that tells what became of an item: its response, or its error as a google.rpc.Status.
fn outcome(shared: &Shared, job: &Job, row: &Row) -> String {
    let status = |code: u64, message: &str| {
        format!("\"error\":{}", json!({"code": code, "message": message}))
    };
    match (row.fate, read(shared, job, row.at)) {
        (Fate::Answered, Some(Ok(asked))) => {
            let voice = Gemini {
                sse: false,
                several: false,
            };
            let body = spoken(shared, job, row.at, &asked, &voice);
            format!("\"response\":{body}")
        }
        (_, Some(Err(failure))) => status(INVALID_ARGUMENT, &failure.message),
        (_, None) => status(NOT_FOUND, "Requested entity was not found."),
        (Fate::Failed | Fate::Unfinished(_), Some(Ok(_))) => {
            let errors = [
                (INTERNAL, "An internal error has occurred."),
                (
                    UNAVAILABLE,
                    "The model is overloaded. Please try again later.",
                ),
                (
                    RESOURCE_EXHAUSTED,
                    "Resource has been exhausted (e.g. check quota).",
                ),
                (
                    DEADLINE_EXCEEDED,
                    "The request timed out. Please try again.",
                ),
            ];
            let (code, message) = errors[job.pick(row.at, errors.len())];
            status(code, message)
        }
    }
}

/// Numbers of gRPC, not of HTTP.
const INVALID_ARGUMENT: u64 = 3;
const DEADLINE_EXCEEDED: u64 = 4;
const NOT_FOUND: u64 = 5;
const RESOURCE_EXHAUSTED: u64 = 8;
const INTERNAL: u64 = 13;
const UNAVAILABLE: u64 = 14;
