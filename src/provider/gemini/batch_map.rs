//! Our items and batches into Gemini's words, and what it tells of them back into ours.

use serde_json::{Value, value::RawValue};

use super::{
    batch_error as error,
    batch_wire::{self as wire, Metadata, Operation, Output},
    embed, map,
    wire::count,
};
use crate::{
    llm::{
        BatchAnswer, BatchLine, BatchState, CallError, EmbedParams, RemoteBatch, RemoteFile,
        Request, parse_lenient,
    },
    provider::{
        jobs, lines,
        words::{self, Veil},
    },
};

/// What the output of a batch begins with whose answers stand in the batch itself; its name follows.
const INLINE: &str = "inline:";

/// The line that asks this.
pub(super) fn line(key: &str, request: &Request) -> String {
    let written = match &request.embed {
        Some(params) => serde_json::to_string(&wire::Line {
            key,
            request: embed::ask_in_batch(&request.prompt, params),
        }),
        None => serde_json::to_string(&wire::Line {
            key,
            request: map::ask(request),
        }),
    };
    written.expect("keys are strings")
}

/// A batch in the body of a 200.
pub(super) fn batch(body: &[u8], veil: &Veil<'_>) -> Result<RemoteBatch, CallError> {
    let told = parse_lenient(body).ok().map(|told| whole(told, body));
    told.and_then(|told| of_operation(told, veil))
        .ok_or_else(|| map::unreadable(body, veil))
}

/// Some answers are the batch without the operation about it.
fn whole(told: Operation, body: &[u8]) -> Operation {
    match told.metadata {
        Some(_) => told,
        None => Operation {
            metadata: parse_lenient(body).ok(),
            ..told
        },
    }
}

/// `None`: it has no name, and without one it is no batch.
pub(super) fn of_operation(told: Operation, veil: &Veil<'_>) -> Option<RemoteBatch> {
    let about = told.metadata.unwrap_or_default();
    let name = told.name.or(about.name.clone())?;
    let stats = about.batch_stats.as_ref();
    let number = |it: &Option<Value>| it.as_ref().and_then(count).unwrap_or(0);
    let through =
        |it: &wire::Stats| number(&it.successful_request_count) + number(&it.failed_request_count);
    let response = told.response.unwrap_or_default();
    let state = state(told.done == Some(true), &about, told.error.as_ref(), veil);
    Some(RemoteBatch {
        outputs: outputs(&name, [&response, &about.output.unwrap_or_default()]),
        id: words::plain(&name),
        token: about.display_name.as_deref().and_then(jobs::token),
        state,
        state_word: words::plain(about.state.as_deref().unwrap_or("(no state)")),
        input_file: about.input_config.and_then(|it| it.file_name),
        through: stats.map(through),
        items: stats.and_then(|it| it.request_count.as_ref().and_then(count)),
    })
}

/// By the state's word, and where that knows of no end by whether the operation is done. What is
/// unknown goes on.
fn state(is_done: bool, about: &Metadata, error: Option<&Value>, veil: &Veil<'_>) -> BatchState {
    let error = error.filter(|error| !error.is_null());
    let failed = || match error {
        Some(error) if error::is_cancelled(error) => BatchState::Cancelled,
        error => BatchState::Failed(error::of_batch(error, veil)),
    };
    let word = about.state.as_deref().unwrap_or_default();
    let bare = ["BATCH_STATE_", "JOB_STATE_"];
    let bare = bare.iter().find_map(|it| word.strip_prefix(it));
    match bare.unwrap_or(word) {
        "SUCCEEDED" | "PARTIALLY_SUCCEEDED" => BatchState::Succeeded,
        "FAILED" => failed(),
        "CANCELLED" => BatchState::Cancelled,
        "EXPIRED" => BatchState::Expired,
        _ if is_done && error.is_some() => failed(),
        _ if is_done => BatchState::Succeeded,
        "" | "UNSPECIFIED" | "PENDING" | "QUEUED" => BatchState::Waiting,
        _ => BatchState::Running,
    }
}

/// The same answers are told in two places, of which older ones leave out one.
fn outputs(name: &str, told: [&Output; 2]) -> Vec<String> {
    let file = told.iter().find_map(|it| it.responses_file.clone());
    let inlined = told.iter().any(|it| it.inlined_responses.is_some());
    let inline = inlined.then(|| format!("{INLINE}{name}"));
    file.filter(|it| !it.is_empty())
        .or(inline)
        .into_iter()
        .collect()
}

/// The batch that holds the answers, where the output is no file.
pub(super) fn batch_of(output: &str) -> Option<&str> {
    output.strip_prefix(INLINE)
}

/// The answers that stand in the batch itself.
pub(super) fn inlined(body: &[u8], veil: &Veil<'_>) -> Result<Vec<Box<RawValue>>, CallError> {
    let Ok(told) = parse_lenient::<Operation>(body) else {
        return Err(map::unreadable(body, veil));
    };
    let told = whole(told, body);
    let of_metadata = told.metadata.and_then(|it| it.output);
    let mut places = [told.response, of_metadata].into_iter().flatten();
    let list = places.find_map(|it| it.inlined_responses);
    let read = |list: Box<RawValue>| {
        let bare = serde_json::from_str::<Vec<Box<RawValue>>>(list.get());
        bare.ok().or_else(|| {
            let inner = serde_json::from_str::<wire::Inlined>(list.get()).ok()?;
            Some(inner.inlined_responses.unwrap_or_default())
        })
    };
    list.and_then(read)
        .ok_or_else(|| jobs::damaged("a batch that holds no answers"))
}

/// What a line of results says.
pub(super) fn told(line: &[u8], embed: Option<&EmbedParams>, veil: &Veil<'_>) -> BatchLine {
    let Ok(told) = parse_lenient::<wire::ToldLine>(line) else {
        return lines::unreadable("a line of another shape");
    };
    let key = told.key.or_else(|| told.metadata?.get("key").cloned());
    let answer = match (told.error.filter(|error| !error.is_null()), told.response) {
        (Some(error), _) => Err(error::of_item(&error, veil)),
        (None, Some(response)) => answer(response.get().as_bytes(), embed, veil),
        (None, None) => Err(jobs::damaged("a line with neither answer nor error")),
    };
    BatchLine {
        key: key.as_ref().and_then(lines::key),
        answer,
    }
}

fn answer(
    body: &[u8],
    embed: Option<&EmbedParams>,
    veil: &Veil<'_>,
) -> Result<BatchAnswer, CallError> {
    let read = match embed {
        None => map::reply(body, veil).map(BatchAnswer::Text),
        Some(params) => embed::reply(body, &jobs::one_vector(params), veil).and_then(lines::vector),
    };
    // an error object in place of an answer
    read.map_err(|error| jobs::of_item(lines::status(&error), error))
}

/// A file that was uploaded; those that batches made are none.
pub(super) fn uploaded(told: wire::File) -> Option<RemoteFile> {
    let id = told
        .name
        .filter(|_| told.source.as_deref() != Some("GENERATED"))?;
    let shown = told.display_name.as_deref().and_then(jobs::token);
    let named = || jobs::token(id.strip_prefix("files/")?);
    Some(RemoteFile {
        token: shown.or_else(named),
        id,
    })
}

#[cfg(test)]
#[path = "batch_map_tests.rs"]
mod tests;
