//! The lines of OpenAI's batches: read when a batch is handed in, answered when its results are read.

use serde_json::{Map, Value, json};

use super::failure::Failure;
use super::speak::OpenAi;
use super::{embed, judge};
use crate::simulator::asked::{Asked, Form};
use crate::simulator::batches::{BatchEnd, Fate, Job, Kind, Row, spoken};
use crate::simulator::chance::{hash, mix};
use crate::simulator::settings::ModelSettings;
use crate::simulator::state::Shared;

/// Reads one line's question, and whether its vectors are wanted as base64.
pub(super) fn question(
    kind: Kind,
    raw: &[u8],
    model: &ModelSettings,
) -> Result<(Asked, bool), Failure> {
    let keys: &[&str] = match kind {
        Kind::Answers => &judge::KEYS,
        Kind::Vectors => &embed::KEYS,
    };
    let body: Map<String, Value> = judge::body(raw, keys)?;
    let asked = match kind {
        Kind::Answers => judge::question(&body, model)?,
        Kind::Vectors => embed::question(&body, model)?,
    };
    if matches!(asked.form, Form::Stream) {
        let message = "Streaming is not supported in the Batch API.";
        return Err(Failure::of("stream", "unsupported_value", message));
    }
    Ok((asked, embed::is_base64(&body).unwrap_or(false)))
}

/// The question of a line that asks rightly.
pub(in crate::simulator) fn asked(shared: &Shared, job: &Job, at: usize) -> Option<Asked> {
    Some(read(shared, job, at)?.ok()?.0)
}

/// A line of a file of results.
pub(in crate::simulator) fn line(shared: &Shared, job: &Job, row: &Row) -> String {
    let id = mix(hash(&job.id) ^ u64::try_from(row.at).unwrap_or(u64::MAX));
    let custom_id = if row.stranger {
        format!("stranger-{}", row.at)
    } else {
        job.draft.items[row.at].key.clone()
    };
    let (response, error) = match row.fate {
        Fate::Unfinished(end) => ("null".to_owned(), unfinished(end).to_string()),
        Fate::Answered | Fate::Failed => {
            let (status, body) = outcome(shared, job, row);
            let response = format!(
                "{{\"status_code\":{status},\"request_id\":\"req_sim{id:016x}\",\"body\":{body}}}"
            );
            (response, "null".to_owned())
        }
    };
    format!(
        "{{\"id\":\"batch_req_{id:016x}\",\"custom_id\":{},\"response\":{response},\"error\":{error}}}",
        json!(custom_id)
    )
}

fn read(shared: &Shared, job: &Job, at: usize) -> Option<Result<(Asked, bool), Failure>> {
    let settings = shared.settings.models.get(job.draft.model.0?)?;
    Some(question(job.draft.kind, &job.draft.items[at].raw, settings))
}

/// Status and body of what an item was told.
fn outcome(shared: &Shared, job: &Job, row: &Row) -> (u16, String) {
    match (row.fate, read(shared, job, row.at)) {
        (Fate::Answered, Some(Ok((asked, base64)))) => {
            let voice = OpenAi {
                headers: axum::http::HeaderMap::new(),
                seq: 0,
                include_usage: false,
                base64,
            };
            (200, spoken(shared, job, row.at, &asked, &voice))
        }
        (_, Some(Err(failure))) => (failure.http, failure.envelope().to_string()),
        _ => {
            let told = |failure: &Failure| (failure.http, failure.envelope().to_string());
            match job.pick(row.at, 4) {
                0 => told(&Failure::internal()),
                1 => told(&Failure::overloaded()),
                2 => told(&Failure::limited()),
                // seen in the wild: no status, no body
                _ => (0, "null".to_owned()),
            }
        }
    }
}

fn unfinished(end: BatchEnd) -> Value {
    let (code, message) = match end {
        BatchEnd::Expired => (
            "batch_expired",
            "This request could not be executed before the completion window expired.",
        ),
        _ => (
            "batch_cancelled",
            "This request was not executed because the batch was cancelled.",
        ),
    };
    json!({"code": code, "message": message})
}
