//! Gemini's side of the simulator: its paths, its JSON, its words for what goes wrong.

mod batches;
mod embed;
mod failure;
mod files;
mod generate;
mod handed_in;
mod items;
mod judge;
mod models;
mod operation;
mod refusals;
mod speak;
mod upload;
mod wire;

pub(super) use batches::{cancel, delete, job, jobs};
pub(super) use failure::Failure;
pub(super) use files::{delete_file, file, files};
pub(super) use generate::post;
pub(super) use items::{asked, inline, line};
pub(super) use models::{list, one};
pub(super) use upload::upload;

use axum::http::{HeaderMap, Uri};

use super::query::query;

const KEY_HEADER: &str = "x-goog-api-key";

/// The key as it was given: by header or, as Gemini does, by query.
fn given<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> Option<&'a str> {
    let header = headers
        .get(KEY_HEADER)
        .and_then(|value| value.to_str().ok());
    header.or_else(|| query(uri, "key"))
}

/// Whether a call comes from a client of Gemini's: by its path, and where both vendors have the
/// same by the way that its key is given.
pub(super) fn speaks(uri: &Uri, headers: &HeaderMap) -> bool {
    !uri.path().starts_with("/v1/") || given(uri, headers).is_some()
}
