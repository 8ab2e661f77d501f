//! OpenAI's JSON of batches and files. What comes in is never trusted: all of it may be absent, or of
//! another type.

use serde::{Deserialize, Serialize};
use serde_json::{Value, value::RawValue};

/// One line of a batch's file. `T` is the body of a single call.
#[derive(Serialize)]
pub(super) struct Line<'a, T> {
    pub(super) custom_id: &'a str,
    pub(super) method: &'static str,
    pub(super) url: &'static str,
    pub(super) body: T,
}

/// Body of `POST batches`.
#[derive(Serialize)]
pub(super) struct Create<'a> {
    pub(super) input_file_id: &'a str,
    pub(super) endpoint: &'static str,
    pub(super) completion_window: &'static str,
    pub(super) metadata: Submission<&'a str>,
}

/// What we put beside a batch, by which it is found again.
#[derive(Serialize, Deserialize)]
pub(super) struct Submission<T> {
    pub(super) submission: Option<T>,
}

/// A batch.
#[derive(Deserialize)]
pub(super) struct Batch {
    pub(super) id: Option<String>,
    pub(super) status: Option<String>,
    pub(super) input_file_id: Option<Value>,
    pub(super) output_file_id: Option<Value>,
    pub(super) error_file_id: Option<Value>,
    pub(super) errors: Option<Value>,
    pub(super) request_counts: Option<Value>,
    pub(super) metadata: Option<Value>,
}

/// One reason why a batch failed as a whole.
#[derive(Deserialize)]
pub(super) struct LineFault {
    pub(super) code: Option<Value>,
    pub(super) message: Option<String>,
    /// From 1.
    pub(super) line: Option<Value>,
}

/// A page of a list.
#[derive(Deserialize)]
pub(super) struct Page {
    pub(super) data: Option<Vec<Box<RawValue>>>,
    pub(super) last_id: Option<String>,
    pub(super) has_more: Option<bool>,
}

/// A file.
#[derive(Deserialize)]
pub(super) struct File {
    pub(super) id: Option<String>,
    pub(super) filename: Option<String>,
    pub(super) status: Option<String>,
}

/// One line of a file of results.
#[derive(Deserialize)]
pub(super) struct ToldLine {
    pub(super) custom_id: Option<Value>,
    pub(super) response: Option<ToldResponse>,
    pub(super) error: Option<Value>,
}

#[derive(Deserialize)]
pub(super) struct ToldResponse {
    pub(super) status_code: Option<Value>,
    pub(super) body: Option<Box<RawValue>>,
}

impl Batch {
    /// `errors` is an object with a list, and of some copies the list.
    pub(super) fn faults(&self) -> Vec<LineFault> {
        let errors = self.errors.as_ref();
        let list = errors.and_then(|it| it.get("data").unwrap_or(it).as_array());
        let read = |it: &Value| LineFault::deserialize(it).ok();
        list.into_iter().flatten().filter_map(read).collect()
    }

    /// A count of `request_counts`.
    pub(super) fn count(&self, name: &str) -> Option<u64> {
        super::wire::count(self.request_counts.as_ref()?.get(name)?)
    }
}

impl LineFault {
    pub(super) fn code(&self) -> String {
        match &self.code {
            Some(Value::String(code)) => code.clone(),
            Some(Value::Number(code)) => code.to_string(),
            _ => String::new(),
        }
    }
}
