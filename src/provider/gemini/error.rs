//! Gemini's refusals, by status and body.
//!
//! | HTTP | what | becomes |
//! | --- | --- | --- |
//! | 400 | key invalid or expired; FAILED_PRECONDITION (country, billing) | `KeyRefused` |
//! | 400 | input token count exceeds the maximum | `TooLong` |
//! | 400 | any other | `Rejected` |
//! | 401, 403 | | `KeyRefused` |
//! | 402; 429 with depleted prepayment | | `NoMoney` |
//! | 404 | | `ModelGone` |
//! | 429 | | `RateLimited` |
//! | 408, 409, 425, 499, 3xx, 5xx | | `Failed` |
//! | 503, 529 | | `Overloaded` |
//! | other 4xx | | `Rejected` |

use std::time::Duration;

use serde_json::Value;

use super::wire::{Fault, Violation};
use crate::{
    llm::{CallError, Quota, QuotaWindow, parse_lenient},
    provider::{
        http::Answer,
        spans::{in_words, seconds},
        words::Veil,
    },
};

/// Most quotas taken from one refusal.
const QUOTAS_MAX: usize = 16;

/// What an answer with another status than 2xx means.
pub(super) fn of_answer(answer: &Answer, veil: &Veil<'_>) -> CallError {
    classify(answer.status, &fault(answer), answer.retry_after, veil)
}

/// The error object of an answer, or what there is in its place.
pub(super) fn fault(answer: &Answer) -> Fault {
    let body = parse_lenient::<Value>(&answer.body).ok();
    let told = body.as_ref().and_then(Fault::read);
    told.unwrap_or_else(|| Fault {
        message: answer.without_object(),
        ..Fault::default()
    })
}

/// The error object that came under a 200, if it is one.
pub(super) fn in_success(body: &Value, veil: &Veil<'_>) -> Option<CallError> {
    let fault = Fault::read(body)?;
    let Some(status) = http_status(&fault) else {
        let message = veil.words(&format!("an error under a 200: {}", fault.message));
        return Some(CallError::Damaged {
            message,
            usage: None,
        });
    };
    Some(classify(status, &fault, None, veil))
}

pub(super) fn classify(
    status: u16,
    fault: &Fault,
    header_wait: Option<Duration>,
    veil: &Veil<'_>,
) -> CallError {
    let message = match veil.words(&fault.message) {
        words if words.is_empty() => format!("(no message; {})", veil.words(&fault.status)),
        words => words,
    };
    let retry_after = wait(fault)
        .or(header_wait)
        .or_else(|| in_words(&fault.message));
    match status {
        400 if refuses_key(fault) => CallError::KeyRefused { message },
        400 if too_long(&fault.message) => CallError::TooLong { message },
        401 | 403 => CallError::KeyRefused { message },
        402 => CallError::NoMoney { message },
        404 => CallError::ModelGone { message },
        429 if no_money(&fault.message) => CallError::NoMoney { message },
        429 => CallError::RateLimited {
            quotas: quotas(fault, veil),
            retry_after,
            message,
        },
        503 | 529 => CallError::Overloaded {
            status,
            retry_after,
            message,
        },
        408 | 409 | 425 | 499 => CallError::Failed {
            status,
            retry_after,
            message,
        },
        400..=499 => CallError::Rejected { status, message },
        _ => CallError::Failed {
            status,
            retry_after,
            message,
        },
    }
}

/// Narrow on purpose: words of the request quoted in a 400 must not stop the whole provider.
fn refuses_key(fault: &Fault) -> bool {
    names_key(fault) || fault.status == "FAILED_PRECONDITION"
}

/// Whether it says that it is about the key.
pub(super) fn names_key(fault: &Fault) -> bool {
    let begins = fault
        .message
        .get(..7)
        .is_some_and(|head| head.eq_ignore_ascii_case("api key"));
    let mut reasons = fault.reasons.iter();
    begins || reasons.any(|reason| reason.starts_with("API_KEY_"))
}

/// "The input token count (1200001) exceeds the maximum number of tokens allowed (1048576)."
fn too_long(message: &str) -> bool {
    message.contains("token count") && message.contains("exceeds the maximum")
}

/// "Your prepayment credits are depleted." Every 429 speaks of billing; this one means it.
fn no_money(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    message.contains("prepayment credits") || message.contains("credits are depleted")
}

/// The quotas that a 429 names, and those it gives as "limit: 0".
fn quotas(fault: &Fault, veil: &Veil<'_>) -> Vec<Quota> {
    let limits = limits_in_words(&fault.message);
    let named = fault.violations.iter().map(|violation| {
        // proto3 leaves out a zero, so a missing value is looked for in the words.
        let size = violation
            .value
            .or_else(|| size_in_words(violation, &limits));
        quota(&violation.id, &violation.metric, size, veil)
    });
    let unnamed = limits.iter().filter(|(metric, size)| {
        *size == 0
            && !fault
                .violations
                .iter()
                .any(|violation| same(&violation.metric, metric))
    });
    let ungranted = unnamed.map(|(metric, _)| quota("", metric, Some(0), veil));
    named.chain(ungranted).take(QUOTAS_MAX).collect()
}

fn quota(id: &str, metric: &str, size: Option<u64>, veil: &Veil<'_>) -> Quota {
    let counts_tokens = |name: &str| name.to_ascii_lowercase().contains("token");
    Quota {
        id: veil.words(if id.is_empty() { metric } else { id }),
        window: if id.contains("PerDay") {
            QuotaWindow::Day
        } else {
            QuotaWindow::Minute
        },
        tokens: counts_tokens(id) || counts_tokens(metric),
        refills: false,
        size,
    }
}

/// The size that the words give for the violation's metric, unless they give several.
fn size_in_words(violation: &Violation, limits: &[(&str, u64)]) -> Option<u64> {
    let mut sizes = limits
        .iter()
        .filter(|(metric, _)| same(&violation.metric, metric));
    let (_, first) = sizes.next()?;
    sizes.all(|(_, size)| size == first).then_some(*first)
}

/// Whether two names mean one metric; the words may leave out the service.
fn same(one: &str, other: &str) -> bool {
    let short = |name: &str| name.rsplit('/').next().map(str::to_owned);
    short(one) == short(other)
}

/// Each "metric: M, limit: N" of a message. M is empty where the message names none.
fn limits_in_words(message: &str) -> Vec<(&str, u64)> {
    let places = message.match_indices("limit: ");
    let limits = places.filter_map(|(at, found)| {
        let (before, after) = (&message[..at], &message[at + found.len()..]);
        let end = after
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(after.len());
        let line = before.rsplit('\n').next().unwrap_or_default();
        let metric = line
            .rsplit_once("metric: ")
            .map_or("", |(_, metric)| metric);
        let metric = metric.split(',').next().unwrap_or_default().trim();
        Some((metric, after[..end].parse().ok()?))
    });
    limits.take(QUOTAS_MAX).collect()
}

/// RetryInfo's delay: seconds with an `s`, as protobuf writes a duration.
fn wait(fault: &Fault) -> Option<Duration> {
    seconds(fault.retry_delay.as_deref()?.strip_suffix('s')?, 1.0)
}

/// The HTTP status that an error object stands for; its code may be that of gRPC.
pub(super) fn http_status(fault: &Fault) -> Option<u16> {
    let by_name = match fault.status.as_str() {
        "INVALID_ARGUMENT" | "FAILED_PRECONDITION" | "OUT_OF_RANGE" => Some(400),
        "UNAUTHENTICATED" => Some(401),
        "PERMISSION_DENIED" => Some(403),
        "NOT_FOUND" => Some(404),
        "ABORTED" | "ALREADY_EXISTS" => Some(409),
        "RESOURCE_EXHAUSTED" => Some(429),
        "CANCELLED" => Some(499),
        "INTERNAL" | "UNKNOWN" | "DATA_LOSS" => Some(500),
        "UNAVAILABLE" => Some(503),
        "DEADLINE_EXCEEDED" => Some(504),
        _ => None,
    };
    match fault.code {
        Some(code @ 400..=599) => u16::try_from(code).ok(),
        Some(3 | 9 | 11) => by_name.or(Some(400)),
        Some(5) => Some(404),
        Some(7) => Some(403),
        Some(8) => Some(429),
        Some(1 | 2 | 13 | 15) => Some(500),
        Some(4) => Some(504),
        Some(14) => Some(503),
        Some(16) => Some(401),
        _ => by_name,
    }
}

#[cfg(test)]
#[path = "error_tests.rs"]
mod tests;
