//! OpenAI's refusals about batches and files, and the failures of items and of whole batches.
//!
//! | about | HTTP | what | becomes |
//! | --- | --- | --- | --- |
//! | a batch, a file | 404, 409 | not known; over already | `Rejected` |
//! | a create | `token_limit_exceeded`, "enqueued token limit" | other batches fill the queue | `RateLimited` |
//! | a create | 404 about its file | | `Rejected` 400 |
//!
//! All else is what it is of a call.

use serde_json::Value;

use super::{
    batch_wire::{Batch, LineFault},
    error::{self, classify},
    map::Spoiled,
    wire::{Fault, count},
};
use crate::{
    llm::{BatchFailure, CallError, Reply},
    provider::{
        http::Answer,
        jobs,
        words::{self, Veil},
    },
};

/// Most lines named of one batch.
const LINES_MAX: usize = 1_000;

/// What a refusal means that answers a question about a batch or a file.
pub(super) fn of_thing(answer: &Answer, veil: &Veil<'_>) -> CallError {
    match of_answer(answer, veil) {
        CallError::ModelGone { message } => rejected(404, message),
        CallError::Failed {
            status: 409,
            message,
            ..
        } => rejected(409, message),
        other => other,
    }
}

/// What a refusal means that answers a create.
pub(super) fn of_create(answer: &Answer, veil: &Veil<'_>) -> CallError {
    let fault = error::fault(answer);
    let names_file = ["input_file_id", "file-", "File"];
    let names_file = || names_file.iter().any(|it| fault.message.contains(it));
    match of_answer(answer, veil) {
        CallError::Rejected { message, .. } | CallError::TooLong { message }
            if is_over_limit(&fault.code, &fault.message) =>
        {
            CallError::RateLimited {
                quotas: Vec::new(),
                retry_after: answer.retry_after,
                message,
            }
        }
        CallError::ModelGone { message } if names_file() => rejected(400, message),
        other => other,
    }
}

fn of_answer(answer: &Answer, veil: &Veil<'_>) -> CallError {
    let refused = error::of_answer::<Reply>(answer, veil).answer;
    refused.err().unwrap_or_else(|| jobs::damaged("no refusal"))
}

fn rejected(status: u16, message: String) -> CallError {
    CallError::Rejected { status, message }
}

/// "Enqueued token limit reached for M in organization O. Limit: 900,000 enqueued tokens."
fn is_over_limit(code: &str, message: &str) -> bool {
    let plain = message.to_ascii_lowercase();
    code == "token_limit_exceeded" || plain.contains("enqueued token")
}

/// What the answer to one item means, which is none: its status and body are those of a call.
pub(super) fn of_item(status: u16, body: &str, veil: &Veil<'_>) -> CallError {
    let body = serde_json::from_str::<Value>(body).ok();
    let fault = body.as_ref().and_then(Fault::read_refusal);
    spoiled(status, &fault.unwrap_or_default(), veil)
}

/// What the body of an item's 2xx means that holds no answer.
pub(super) fn of_spoiled(spoiled_by: Spoiled, veil: &Veil<'_>) -> CallError {
    match spoiled_by {
        Spoiled::Answer(error) => error,
        Spoiled::Fault { status, fault } => spoiled(status, &fault, veil),
    }
}

fn spoiled(status: u16, fault: &Fault, veil: &Veil<'_>) -> CallError {
    jobs::of_item(status, classify(status, fault, None, &[], veil))
}

/// An item that was not asked at all: expired, cancelled, lost.
pub(super) fn of_unasked(error: Option<&Value>, veil: &Veil<'_>) -> CallError {
    let fault = error.map(Fault::of).unwrap_or_default();
    let message = match (words::plain(&fault.code), veil.words(&fault.message)) {
        (code, said) if code.is_empty() && said.is_empty() => "(no answer)".to_owned(),
        (code, said) if said.is_empty() => code,
        (code, said) if code.is_empty() => said,
        (code, said) => format!("{code}: {said}"),
    };
    jobs::failed(0, message)
}

/// Why a batch failed as a whole.
pub(super) fn of_batch(told: &Batch, veil: &Veil<'_>) -> BatchFailure {
    let faults = told.faults();
    let words = |fault: &LineFault| {
        let said = [
            words::plain(&fault.code()),
            veil.words(fault.message.as_deref().unwrap_or_default()),
        ];
        said.into_iter()
            .filter(|it| !it.is_empty())
            .collect::<Vec<_>>()
            .join(": ")
    };
    let mut reasons: Vec<String> = faults.iter().map(words).collect();
    reasons.dedup();
    let over = |fault: &LineFault| {
        is_over_limit(&fault.code(), fault.message.as_deref().unwrap_or_default())
    };
    let over_limit = faults.iter().any(over);
    let line = |fault: &LineFault| Some((fault.line.as_ref().and_then(count)?, words(fault)));
    let lines: Vec<(u64, String)> = faults.iter().filter_map(line).take(LINES_MAX).collect();
    let is_bad = |fault: &LineFault| is_bad_input(&fault.code());
    BatchFailure {
        message: match reasons.is_empty() {
            true => "(it does not say why)".to_owned(),
            false => words::plain(&reasons.join("; ")),
        },
        over_limit,
        bad_input: !over_limit && (!lines.is_empty() || faults.iter().any(is_bad)),
        lines,
    }
}

/// Whether the file is at fault by this code: `invalid_json_line`, `duplicate_custom_id`,
/// `mismatched_model`, `empty_file`, `missing_required_parameter`, `model_not_found`...
fn is_bad_input(code: &str) -> bool {
    const BEGIN: [&str; 9] = [
        "invalid_",
        "duplicate_",
        "mismatched_",
        "missing_",
        "unsupported_",
        "unknown_",
        "empty_",
        "too_many_",
        "model_",
    ];
    BEGIN.iter().any(|begin| code.starts_with(begin))
}
