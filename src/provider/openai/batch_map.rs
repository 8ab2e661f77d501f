//! Our items and batches into OpenAI's words, and what it tells of them back into ours.

use serde_json::Value;

use super::{
    batch_error as error,
    batch_wire::{self as wire, Batch},
    embed,
    map::{self, Dialect},
    wire::count,
};
use crate::{
    llm::{
        BatchAnswer, BatchDraft, BatchLine, BatchState, CallError, EmbedParams, RemoteBatch,
        RemoteFile, Request, parse_lenient,
    },
    provider::{
        jobs, lines,
        words::{self, Veil},
    },
};

/// What a file's name ends with; before it stands the token.
const SUFFIX: &str = ".jsonl";

/// The line that asks this.
pub(super) fn line(wire_name: &str, key: &str, request: &Request, dialect: Dialect) -> String {
    let url = endpoint(request.embed.is_some());
    let written = match &request.embed {
        None => written(key, url, map::ask(wire_name, request, dialect)),
        Some(params) => {
            let texts = std::slice::from_ref(&request.prompt);
            let ask = embed::ask_for(wire_name, texts, params.dimensions, dialect);
            written(key, url, ask)
        }
    };
    written.expect("keys are strings")
}

fn written<T: serde::Serialize>(
    custom_id: &str,
    url: &'static str,
    body: T,
) -> serde_json::Result<String> {
    serde_json::to_string(&wire::Line {
        custom_id,
        method: "POST",
        url,
        body,
    })
}

/// The same whatever the base URL is.
fn endpoint(embeds: bool) -> &'static str {
    match embeds {
        true => "/v1/embeddings",
        false => "/v1/chat/completions",
    }
}

/// The body that creates a batch.
pub(super) fn create<'a>(draft: &BatchDraft<'a>) -> wire::Create<'a> {
    wire::Create {
        input_file_id: draft.file,
        endpoint: endpoint(draft.embeds),
        completion_window: "24h",
        metadata: wire::Submission {
            submission: Some(draft.token),
        },
    }
}

pub(super) fn file_name(token: &str) -> String {
    format!("{token}{SUFFIX}")
}

/// A batch in the body of a 200.
pub(super) fn batch(body: &[u8], veil: &Veil<'_>) -> Result<RemoteBatch, CallError> {
    let told = parse_lenient::<Batch>(body).ok();
    told.and_then(|told| of_batch(told, veil))
        .ok_or_else(|| unreadable(body, veil))
}

/// `None`: it has no id, and without one it is no batch.
pub(super) fn of_batch(told: Batch, veil: &Veil<'_>) -> Option<RemoteBatch> {
    let text = |it: &Option<Value>| Some(it.as_ref()?.as_str()?.to_owned());
    let submission = told.metadata.as_ref().and_then(|it| it.get("submission"));
    let outputs = [text(&told.output_file_id), text(&told.error_file_id)];
    let (completed, failed) = (told.count("completed"), told.count("failed"));
    let through = completed.or(failed);
    Some(RemoteBatch {
        token: submission.and_then(Value::as_str).and_then(jobs::token),
        state: state(&told, veil),
        state_word: words::plain(told.status.as_deref().unwrap_or("(no status)")),
        input_file: text(&told.input_file_id),
        outputs: outputs
            .into_iter()
            .flatten()
            .filter(|it| !it.is_empty())
            .collect(),
        through: through.map(|_| completed.unwrap_or(0) + failed.unwrap_or(0)),
        items: told.count("total"),
        id: words::plain(&told.id?),
    })
}

/// What is unknown goes on.
fn state(told: &Batch, veil: &Veil<'_>) -> BatchState {
    match told.status.as_deref().unwrap_or_default() {
        "completed" => BatchState::Succeeded,
        "failed" => BatchState::Failed(error::of_batch(told, veil)),
        "expired" => BatchState::Expired,
        "cancelled" | "canceled" => BatchState::Cancelled,
        "" | "validating" | "queued" | "pending" => BatchState::Waiting,
        _ => BatchState::Running,
    }
}

/// What a line of either file of results says.
pub(super) fn told(line: &[u8], embed: Option<&EmbedParams>, veil: &Veil<'_>) -> BatchLine {
    let Ok(told) = parse_lenient::<wire::ToldLine>(line) else {
        return lines::unreadable("a line of another shape");
    };
    let key = told.custom_id.as_ref().and_then(lines::key);
    let response = told.response.unwrap_or(wire::ToldResponse {
        status_code: None,
        body: None,
    });
    let status = response.status_code.as_ref().and_then(count).unwrap_or(0);
    let body = response.body.as_ref().map(|it| it.get());
    let answer = match (u16::try_from(status).unwrap_or(0), body) {
        (200..=299, Some(body)) => answer(body.as_bytes(), embed, veil),
        (200..=299, None) => Err(jobs::damaged("an answer without a body")),
        (status @ 100.., body) => Err(error::of_item(status, body.unwrap_or_default(), veil)),
        // some servers write such a line of an item that they lost
        _ => Err(error::of_unasked(told.error.as_ref(), veil)),
    };
    BatchLine { key, answer }
}

fn answer(
    body: &[u8],
    embed: Option<&EmbedParams>,
    veil: &Veil<'_>,
) -> Result<BatchAnswer, CallError> {
    let spoiled = |it| error::of_spoiled(it, veil);
    match embed {
        None => map::reply(body, veil)
            .map(BatchAnswer::Text)
            .map_err(spoiled),
        Some(params) => embed::reply(body, &jobs::one_vector(params), veil)
            .map_err(spoiled)
            .and_then(lines::vector),
    }
}

/// A file that was uploaded.
pub(super) fn uploaded(told: wire::File) -> Option<RemoteFile> {
    let name = told.filename.as_deref();
    let token = name.and_then(|it| jobs::token(it.strip_suffix(SUFFIX)?));
    Some(RemoteFile {
        id: told.id?,
        token,
    })
}

/// A 200 that is not what was asked for.
pub(super) fn unreadable(body: &[u8], veil: &Veil<'_>) -> CallError {
    match map::unreadable(body, veil) {
        map::Spoiled::Answer(error) => error,
        map::Spoiled::Fault { status, fault } => {
            super::error::classify(status, &fault, None, &[], veil)
        }
    }
}

#[cfg(test)]
#[path = "batch_map_tests.rs"]
mod tests;
