//! A batch as OpenAI tells of it.

use serde_json::{Value, json};

use crate::simulator::batches::{BatchEnd, Flaw, Phase, View};

/// A batch. What is not known yet is null.
pub(super) fn described(view: &View) -> Value {
    let draft = &view.job.draft;
    let at = |wanted: &str| moment(view, wanted).map(|ms| ms / 1000);
    let endpoint = if view.job.is_of_vectors() {
        "/v1/embeddings"
    } else {
        "/v1/chat/completions"
    };
    json!({
        "id": view.job.id,
        "object": "batch",
        "endpoint": endpoint,
        "model": Some(view.job.model()).filter(|name| !name.is_empty()),
        "errors": errors(view),
        "input_file_id": draft.input_file,
        "completion_window": "24h",
        "status": status(view),
        "output_file_id": view.output,
        "error_file_id": view.errors,
        "created_at": view.job.created_ms / 1000,
        "in_progress_at": at("in_progress"),
        "expires_at": view.job.created_ms / 1000 + DAY_S,
        "finalizing_at": at("finalizing"),
        "completed_at": at("completed"),
        "failed_at": at("failed"),
        "expired_at": at("expired"),
        "cancelling_at": at("cancelling"),
        "cancelled_at": at("cancelled"),
        "request_counts": counts(view),
        "metadata": draft.metadata,
    })
}

/// OpenAI's word for where a batch is.
pub(super) fn status(view: &View) -> &'static str {
    match view.phase {
        Phase::Waiting => "validating",
        Phase::Running => "in_progress",
        Phase::Finalizing => "finalizing",
        Phase::Cancelling => "cancelling",
        Phase::Ended(BatchEnd::Succeeded) => "completed",
        Phase::Ended(BatchEnd::Failed) => "failed",
        Phase::Ended(BatchEnd::Expired) => "expired",
        Phase::Ended(BatchEnd::Cancelled) => "cancelled",
    }
}

/// The window that a batch has.
const DAY_S: u64 = 86_400;

/// When a batch came into a state, if it was there.
fn moment(view: &View, wanted: &str) -> Option<u64> {
    let ended_ms = view.ended.map(|ended| ended.at_ms);
    let last_ms = ended_ms.or(view.cancelled_ms).unwrap_or(view.now_ms);
    let tenth = view.takes_ms / 10;
    let passed = |ms: u64| Some(ms).filter(|ms| *ms <= last_ms && view.phase != Phase::Waiting);
    match wanted {
        _ if !view.job.draft.flaws.is_empty() && wanted != "failed" => None,
        "in_progress" => passed(view.job.created_ms + tenth),
        "finalizing" if view.cancelled_ms.is_none() => passed(view.job.created_ms + tenth * 9),
        "cancelling" => view.cancelled_ms,
        word if word == status(view) => ended_ms,
        _ => None,
    }
}

/// Why the whole batch failed.
fn errors(view: &View) -> Value {
    if view.phase != Phase::Ended(BatchEnd::Failed) {
        return Value::Null;
    }
    let internal = [Flaw {
        code: "internal_error",
        message: "The batch failed because of an internal error.".to_owned(),
        param: None,
        line: None,
    }];
    let flaws = match view.job.draft.flaws.as_slice() {
        [] => &internal,
        flaws => flaws,
    };
    let told = flaws.iter().map(|flaw| {
        json!({
            "code": flaw.code, "message": flaw.message, "param": flaw.param, "line": flaw.line,
        })
    });
    json!({"object": "list", "data": told.collect::<Vec<_>>()})
}

/// Nothing is counted before the input was read.
fn counts(view: &View) -> Value {
    let unread = view.phase == Phase::Waiting || !view.job.draft.flaws.is_empty();
    let total = if unread {
        0
    } else {
        view.job.draft.items.len()
    };
    let done = view.done.min(total);
    let failed = view.failed.min(done);
    let unfinished = match view.phase {
        Phase::Ended(BatchEnd::Expired | BatchEnd::Cancelled) => total - done,
        _ => 0,
    };
    json!({"total": total, "completed": done - failed, "failed": failed + unfinished})
}
