//! Gemini's refusals about batches and files, and the failures of items and of whole batches.
//!
//! | about | HTTP | what | becomes |
//! | --- | --- | --- | --- |
//! | a batch, a file | 404; 403 "it may not exist" | | `Rejected` 404 |
//! | any | 400 FAILED_PRECONDITION | this cannot be done now, or not by this account | `Rejected` 400 |
//! | a create | 403, 404 about its file | | `Rejected` 400 |
//!
//! An item has a number of gRPC in place of a status; so has a batch that failed as a whole. All else is
//! what it is of a call.

use serde_json::{Value, json};

use super::{
    error::{classify, fault, http_status, names_key},
    wire::Fault,
};
use crate::{
    llm::{BatchFailure, CallError},
    provider::{
        http::Answer,
        jobs,
        words::{self, Veil},
    },
};

/// What a refusal means that answers a question about a batch or a file.
pub(super) fn of_thing(answer: &Answer, veil: &Veil<'_>) -> CallError {
    let fault = fault(answer);
    match classify(answer.status, &fault, answer.retry_after, veil) {
        CallError::ModelGone { message } => rejected(404, message),
        // so a file is called that expired
        CallError::KeyRefused { message } if is_absent(&fault) => rejected(404, message),
        CallError::KeyRefused { message } if is_about_state(answer, &fault) => {
            rejected(400, message)
        }
        other => other,
    }
}

/// What a refusal means that answers a create.
pub(super) fn of_create(answer: &Answer, veil: &Veil<'_>) -> CallError {
    let fault = fault(answer);
    let names_file = fault.message.contains("files/") || fault.message.contains("File");
    match classify(answer.status, &fault, answer.retry_after, veil) {
        CallError::ModelGone { message } if names_file => rejected(400, message),
        CallError::KeyRefused { message }
            if is_about_state(answer, &fault) || (names_file && is_absent(&fault)) =>
        {
            rejected(400, message)
        }
        other => other,
    }
}

/// "You do not have permission to access the File x or it may not exist."
fn is_absent(fault: &Fault) -> bool {
    fault.message.contains("may not exist") && !names_key(fault)
}

/// Such as a batch that is over, or an account that has no batches: single calls are made all the same.
fn is_about_state(answer: &Answer, fault: &Fault) -> bool {
    answer.status == 400 && !names_key(fault)
}

fn rejected(status: u16, message: String) -> CallError {
    CallError::Rejected { status, message }
}

/// What the error of one item means.
pub(super) fn of_item(error: &Value, veil: &Veil<'_>) -> CallError {
    let fault = read(error);
    let status = status_of(&fault);
    jobs::of_item(status, classify(status, &fault, None, veil))
}

/// Why a batch failed as a whole.
pub(super) fn of_batch(error: Option<&Value>, veil: &Veil<'_>) -> BatchFailure {
    let Some(fault) = error.map(read) else {
        return BatchFailure {
            message: "(it does not say why)".to_owned(),
            ..BatchFailure::default()
        };
    };
    let status = status_of(&fault);
    let code = fault.code.map(|code| format!("code {code}"));
    let named = Some(words::plain(&fault.status)).filter(|it| !it.is_empty());
    let said = Some(veil.words(&fault.message)).filter(|it| !it.is_empty());
    let parts: Vec<String> = [code, named, said].into_iter().flatten().collect();
    BatchFailure {
        message: words::plain(&parts.join(": ")),
        over_limit: status == 429,
        bad_input: status == 400 && fault.code != Some(9) && fault.status != "FAILED_PRECONDITION",
        lines: Vec::new(),
    }
}

/// Whether it was ended by somebody's wish.
pub(super) fn is_cancelled(error: &Value) -> bool {
    let fault = read(error);
    fault.code == Some(1) || fault.status == "CANCELLED"
}

fn read(error: &Value) -> Fault {
    Fault::read(&json!({ "error": error })).unwrap_or_default()
}

/// The HTTP status that is most like the number of gRPC.
fn status_of(fault: &Fault) -> u16 {
    match fault.code {
        Some(1) => 499,
        Some(3 | 9 | 11) => 400,
        Some(6 | 10) => 409,
        Some(12) => 501,
        _ => http_status(fault).unwrap_or(500),
    }
}

#[cfg(test)]
mod tests {
    use secrecy::SecretString;

    use super::*;

    fn item(error: &Value) -> CallError {
        let key = SecretString::from("a-long-key");
        of_item(error, &Veil::blind(&key))
    }

    #[test]
    fn an_items_number_says_whether_it_may_pass_another_time() {
        for (code, status) in [(3, 400), (5, 404), (7, 403), (9, 400), (11, 400)] {
            let error = item(&json!({"code": code, "message": "API key not valid"}));
            let seen = matches!(error, CallError::Rejected { status: it, .. } if it == status);
            assert!(seen, "{code}: {error:?}");
        }
        for (code, status) in [
            (1, 499),
            (2, 500),
            (4, 504),
            (8, 429),
            (10, 409),
            (13, 500),
            (14, 503),
            (16, 401),
            (99, 500),
            (503, 503),
        ] {
            let error = item(&json!({"code": code, "message": "credits are depleted"}));
            let seen = matches!(error, CallError::Failed { status: it, .. } if it == status);
            assert!(seen, "{code}: {error:?}");
        }
        assert_eq!(item(&json!({})).class(), "provider_failed");
        assert_eq!(item(&json!("odd")).class(), "provider_failed");
    }

    #[test]
    fn an_item_that_is_too_long_goes_to_another_model() {
        let words = "The input token count (9) exceeds the maximum number of tokens allowed (8).";
        let error = item(&json!({"code": 3, "message": words}));
        assert_eq!(error.class(), "too_long");
    }

    #[test]
    fn a_whole_batch_fails_for_its_content_for_a_limit_or_for_neither() {
        let key = SecretString::from("a-long-key");
        let read = |error: Option<Value>| {
            let failure = of_batch(error.as_ref(), &Veil::blind(&key));
            (failure.bad_input, failure.over_limit)
        };
        assert_eq!(
            read(Some(json!({"code": 3, "message": "m"}))),
            (true, false)
        );
        assert_eq!(
            read(Some(json!({"code": 8, "message": "m"}))),
            (false, true)
        );
        assert_eq!(
            read(Some(json!({"code": 9, "message": "m"}))),
            (false, false)
        );
        assert_eq!(read(Some(json!({"code": 13}))), (false, false));
        assert_eq!(read(None), (false, false));
    }
}
