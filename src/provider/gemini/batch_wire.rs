//! Gemini's JSON of batches and files. What comes in is never trusted: all of it may be absent.

use serde::{Deserialize, Serialize};
use serde_json::{Value, value::RawValue};

use super::wire;

/// One line of a batch's file. `T` is the body of a single call.
#[derive(Serialize)]
pub(super) struct Line<'a, T> {
    pub(super) key: &'a str,
    pub(super) request: T,
}

/// The request of a line that asks for a vector; the batch names the model.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct EmbedLine<'a> {
    pub(super) content: wire::Content<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) task_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) output_dimensionality: Option<u32>,
}

/// A batch, as a create, a look and a list tell of it.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Operation {
    pub(super) name: Option<String>,
    pub(super) done: Option<bool>,
    pub(super) metadata: Option<Metadata>,
    pub(super) response: Option<Output>,
    pub(super) error: Option<Value>,
}

/// What an operation is about: the batch itself.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Metadata {
    pub(super) name: Option<String>,
    pub(super) display_name: Option<String>,
    /// A string, since there are two sets of words for it.
    pub(super) state: Option<String>,
    pub(super) input_config: Option<InputConfig>,
    pub(super) batch_stats: Option<Stats>,
    pub(super) output: Option<Output>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct InputConfig {
    pub(super) file_name: Option<String>,
}

/// int64 on the wire, so a string of digits; a zero is left out.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Stats {
    pub(super) request_count: Option<Value>,
    pub(super) successful_request_count: Option<Value>,
    pub(super) failed_request_count: Option<Value>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Output {
    pub(super) responses_file: Option<String>,
    /// Of a batch that was made without a file. A list, or an object that holds it by this name again.
    pub(super) inlined_responses: Option<Box<RawValue>>,
}

/// The inner of the two `inlinedResponses`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Inlined {
    pub(super) inlined_responses: Option<Vec<Box<RawValue>>>,
}

/// A page of `GET batches`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Operations {
    pub(super) operations: Option<Vec<Box<RawValue>>>,
    pub(super) next_page_token: Option<String>,
    /// Not a list after all: without a look at it that would be an empty one.
    pub(super) error: Option<Value>,
}

/// One line of a file of results, or one of the inlined ones, which have their key in `metadata`.
#[derive(Deserialize)]
pub(super) struct ToldLine {
    pub(super) key: Option<Value>,
    pub(super) metadata: Option<Value>,
    pub(super) response: Option<Box<RawValue>>,
    pub(super) error: Option<Value>,
}

/// A file, and the answer to an upload that is complete.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct File {
    pub(super) name: Option<String>,
    pub(super) display_name: Option<String>,
    pub(super) state: Option<String>,
    pub(super) source: Option<String>,
    pub(super) error: Option<Value>,
}

#[derive(Deserialize)]
pub(super) struct Uploaded {
    pub(super) file: Option<File>,
}

/// A page of `GET files`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Files {
    pub(super) files: Option<Vec<Box<RawValue>>>,
    pub(super) next_page_token: Option<String>,
    /// Not a list after all: without a look at it that would be an empty one.
    pub(super) error: Option<Value>,
}
