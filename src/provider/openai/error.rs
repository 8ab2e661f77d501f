//! OpenAI's refusals and those of its copies, by status, type, code and words.
//!
//! | HTTP | what | becomes |
//! | --- | --- | --- |
//! | any | `insufficient_quota`, `billing_...`, `..._spend_limit_...`; 402 | `NoMoney` |
//! | 429, 5xx | `slow_down`, `server_is_overloaded`, words "overloaded"; 503, 529 | `Overloaded` |
//! | 400, 413, 422, 429 | `context_length_exceeded`, "request too large" | `TooLong` |
//! | any | `model_not_found`; 404 | `ModelGone` |
//! | 400 | `content_filter`, `content_policy_violation` | `Filtered` |
//! | 401, 403 | also `invalid_api_key` | `KeyRefused` |
//! | 429 | also `rate_limit_exceeded` | `RateLimited` |
//! | 408, 409, 425, 499, 3xx, 5xx | | `Failed` |
//! | other 4xx | | `Rejected` |
//!
//! Words of a message decide only where the request cannot be quoted in them, or where being wrong
//! costs one task: never that a provider is stopped.

use std::time::Duration;

use serde_json::Value;

use super::{limits, wire::Fault};
use crate::{
    llm::{CallError, Exchange, LimitNotice, Quota, parse_lenient},
    provider::{http::Answer, spans, words::Veil},
};

/// What an answer with another status than 2xx means.
pub(super) fn of_answer<T>(answer: &Answer, veil: &Veil<'_>) -> Exchange<T> {
    refused(answer.status, &fault(answer), answer, veil)
}

/// The error object of an answer, or what there is in its place.
pub(super) fn fault(answer: &Answer) -> Fault {
    let body = parse_lenient::<Value>(&answer.body).ok();
    let told = body.as_ref().and_then(Fault::read_refusal);
    told.unwrap_or_else(|| Fault {
        message: answer.without_object(),
        ..Fault::default()
    })
}

/// What an error object means that stands for `status`, and what was told beside it.
pub(super) fn refused<T>(
    status: u16,
    fault: &Fault,
    answer: &Answer,
    veil: &Veil<'_>,
) -> Exchange<T> {
    let (error, told) = refusal(status, fault, answer, veil);
    Exchange::new(Err(error), told)
}

/// The same in its two parts.
pub(super) fn refusal(
    status: u16,
    fault: &Fault,
    answer: &Answer,
    veil: &Veil<'_>,
) -> (CallError, Vec<LimitNotice>) {
    let mut told = limits::told(&answer.headers);
    let quotas = limits::quotas(&fault.message, &told, veil);
    let mut wish = answer
        .retry_after
        .or_else(|| spans::in_words(&fault.message));
    if status == 429 {
        wish = limits::wait(wish, &told);
    }
    let error = classify(status, fault, wish, &quotas, veil);
    if matches!(
        error,
        CallError::RateLimited { .. } | CallError::TooLong { .. }
    ) {
        let named = limits::in_words(&fault.message);
        told.extend(named.filter(|notice| notice.size.is_some()));
    }
    (error, told)
}

pub(super) fn classify(
    status: u16,
    fault: &Fault,
    retry_after: Option<Duration>,
    quotas: &[Quota],
    veil: &Veil<'_>,
) -> CallError {
    let message = match veil.words(&fault.message) {
        words if words.is_empty() => {
            let named = [fault.kind.as_str(), fault.code.as_str()].join(" ");
            format!("(no message; {})", veil.words(&named))
        }
        words => words,
    };
    match status {
        _ if means_money(status, fault) => CallError::NoMoney { message },
        _ if is_overloaded(status, fault) => CallError::Overloaded {
            status,
            retry_after,
            message,
        },
        400 | 413 | 422 | 429 if is_too_long(fault) => CallError::TooLong { message },
        400..=499 if is_model_gone(status, fault) => CallError::ModelGone { message },
        400..=499 if fault.is("content_filter") || fault.is("content_policy_violation") => {
            CallError::Filtered {
                reason: message,
                usage: None,
            }
        }
        401 | 403 => CallError::KeyRefused { message },
        400 if refuses_key(fault) => CallError::KeyRefused { message },
        429 => CallError::RateLimited {
            quotas: quotas.to_vec(),
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

/// Never heals by waiting. The words "exceeded your current quota" alone do not mean it: a copy says
/// so of every limit.
fn means_money(status: u16, fault: &Fault) -> bool {
    const CODES: [&str; 6] = [
        "insufficient_quota",
        "credit_balance_exhausted",
        "billing_hard_limit_reached",
        "billing_not_active",
        "insufficient_balance",
        "insufficient_credits",
    ];
    const WORDS: [&str; 6] = [
        "insufficient_quota",
        "insufficient quota",
        "insufficient balance",
        "insufficient credit",
        "credit balance is too low",
        "billing hard limit",
    ];
    let by_code = CODES.iter().any(|code| fault.is(code))
        || [&fault.kind, &fault.code]
            .iter()
            .any(|it| it.contains("_spend_limit_"));
    let plain = fault.message.to_ascii_lowercase();
    let by_words = WORDS.iter().any(|words| plain.contains(words));
    match status {
        402 => true,
        429 => by_code || by_words,
        400 | 403 => by_code,
        _ => false,
    }
}

/// The model cannot keep up, or traffic grew too fast: no limit is spent.
fn is_overloaded(status: u16, fault: &Fault) -> bool {
    const CODES: [&str; 6] = [
        "slow_down",
        "server_is_overloaded",
        "service_unavailable_error",
        "overloaded_error",
        "engine_overloaded",
        "engine_overloaded_error",
    ];
    let says = || {
        let plain = fault.message.to_ascii_lowercase();
        CODES.iter().any(|code| fault.is(code)) || plain.contains("overloaded")
    };
    match status {
        503 | 529 => true,
        429 | 500..=599 => says(),
        _ => false,
    }
}

/// "This model's maximum context length is 8192 tokens", or one request above the whole minute's
/// tokens: "Request too large for M on tokens per min (TPM): Limit 30000, Requested 45000."
fn is_too_long(fault: &Fault) -> bool {
    const WORDS: [&str; 4] = [
        "maximum context length",
        "context window",
        "request too large for",
        "prompt is too long",
    ];
    let plain = fault.message.to_ascii_lowercase();
    fault.is("context_length_exceeded")
        || fault.is("string_above_max_length")
        || WORDS.iter().any(|words| plain.contains(words))
}

/// Whatever a 404 names (the model, or the path: a wrong base URL), no task is at fault.
fn is_model_gone(status: u16, fault: &Fault) -> bool {
    let forbidden = || fault.message.contains("does not have access to model");
    status == 404 || fault.is("model_not_found") || (status == 403 && forbidden())
}

/// Of copies: OpenAI itself says 401.
fn refuses_key(fault: &Fault) -> bool {
    let begins = fault.message.get(..7);
    fault.is("invalid_api_key") || begins.is_some_and(|head| head.eq_ignore_ascii_case("api key"))
}

/// The HTTP status that an error object under a 200 stands for.
pub(super) fn status_of(fault: &Fault) -> Option<u16> {
    if fault.status.is_some() {
        return fault.status;
    }
    let by_word = [
        ("insufficient_quota", 429),
        ("rate_limit_exceeded", 429),
        ("rate_limit_error", 429),
        ("slow_down", 429),
        ("server_is_overloaded", 503),
        ("service_unavailable_error", 503),
        ("overloaded_error", 503),
        ("server_error", 500),
        ("internal_error", 500),
        ("invalid_api_key", 401),
        ("authentication_error", 401),
        ("permission_error", 403),
        ("model_not_found", 404),
        ("not_found_error", 404),
        ("context_length_exceeded", 400),
        ("invalid_request_error", 400),
    ];
    let mut words = by_word.iter();
    words
        .find(|(word, _)| fault.is(word))
        .map(|(_, status)| *status)
}

#[cfg(test)]
#[path = "error_tests.rs"]
mod tests;
