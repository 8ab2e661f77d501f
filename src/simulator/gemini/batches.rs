//! `batchGenerateContent`, `asyncBatchEmbedContent` and `batches`: who is let in, and what is told.
//! The form of what is told: `operation`.

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::http::{HeaderMap, Uri, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use serde_json::value::RawValue;

use super::failure::Failure;
use super::files::{page, proto};
use super::generate::{key, noted_key, read, version};
use super::handed_in;
use super::operation::operation;
use crate::simulator::batches::{self, Kind, Vendor, View};
use crate::simulator::listener::Wire;
use crate::simulator::model::Denied;
use crate::simulator::sent::reset;
use crate::simulator::state::{Rejected, Shared};

/// What a batch is asked of.
pub(super) struct Asks<'a> {
    pub(super) model: &'a str,
    pub(super) kind: Kind,
}

/// The kind of batch that a method creates.
pub(super) fn kind(method: &str) -> Option<Kind> {
    match method {
        "batchGenerateContent" => Some(Kind::Answers),
        "asyncBatchEmbedContent" => Some(Kind::Vectors),
        _ => None,
    }
}

/// Hands a batch in.
pub(super) fn create(
    shared: &Shared,
    wire: &Wire,
    asks: &Asks<'_>,
    uri: &Uri,
    headers: &HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    match submit(shared, asks, uri, headers, body) {
        Ok((_, true)) => reset(wire),
        Ok((view, false)) => told(&view, None),
        Err(failure) => failure.into_response(),
    }
}

/// `GET batches`. Inline results are not in it.
pub(in crate::simulator) fn jobs(shared: &Shared, uri: &Uri, headers: &HeaderMap) -> Response {
    let listed = || {
        key(shared, uri, headers)?;
        let jobs = shared.at_desk(|desk, now_ms| desk.listed(Vendor::Gemini, now_ms));
        let (page, next) = page(&jobs, uri, (50, 100), |view| view.job.number)?;
        let told: Vec<_> = page.map(|view| operation(view, None)).collect();
        let mut list = json!({"operations": told});
        proto(&mut list, "operations", next);
        Ok::<_, Failure>(Json(list))
    };
    listed().into_response()
}

/// `GET batches/{id}`.
pub(in crate::simulator) fn job(
    shared: &Shared,
    id: &str,
    uri: &Uri,
    headers: &HeaderMap,
) -> Response {
    let found = key(shared, uri, headers).and_then(|_| {
        let found = shared.at_desk(|desk, now_ms| desk.job(Vendor::Gemini, id, now_ms));
        found.ok_or_else(Failure::not_found)
    });
    match found {
        Ok(view) => {
            let ended = view.ended.filter(|_| view.job.draft.input_file.is_none());
            let list = ended.map(|ended| batches::inline(shared, &view.job, &ended));
            let list = list.and_then(|list| RawValue::from_string(list).ok());
            told(&view, list.as_deref())
        }
        Err(failure) => failure.into_response(),
    }
}

/// `POST batches/{id}:cancel`: best effort, so what has ended stays as it is.
pub(in crate::simulator) fn cancel(
    shared: &Shared,
    call: &str,
    uri: &Uri,
    headers: &HeaderMap,
) -> Response {
    let done = key(shared, uri, headers).and_then(|_| {
        let id = call.strip_suffix(":cancel").unwrap_or_default();
        let found = shared.at_desk(|desk, now_ms| desk.cancel(Vendor::Gemini, id, now_ms));
        found.map(|_| ()).ok_or_else(Failure::not_found)
    });
    nothing(done)
}

/// `DELETE batches/{id}`: it is told of no more, which does not cancel it.
pub(in crate::simulator) fn delete(
    shared: &Shared,
    id: &str,
    uri: &Uri,
    headers: &HeaderMap,
) -> Response {
    let done = key(shared, uri, headers).and_then(|_| {
        let found = shared.at_desk(|desk, _| desk.delete(Vendor::Gemini, id));
        found.then_some(()).ok_or_else(Failure::not_found)
    });
    nothing(done)
}

fn submit(
    shared: &Shared,
    asks: &Asks<'_>,
    uri: &Uri,
    headers: &HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<(View, bool), Failure> {
    let key_hash = noted_key(shared, uri, headers)?;
    let (model, embeds) = (asks.model, asks.kind == Kind::Vectors);
    let found = shared
        .model(model)
        .filter(|(_, settings)| settings.batch && settings.dimensions().is_some() == embeds);
    let Some((at, settings)) = found else {
        let method = if embeds {
            "asyncBatchEmbedContent"
        } else {
            "batchGenerateContent"
        };
        let failure = Failure::unknown_model(model, version(uri), method);
        shared.reject(Rejected::UnknownModel, key_hash, failure.http);
        return Err(failure);
    };
    if shared.is_broke(at) {
        return Err(Failure::denied(&Denied::NoMoney, model, &shared.settings));
    }
    let body = read(body)?;
    let batch = handed_in::read(&body)?;
    let file = batch.file_id().map(|id| {
        let found = shared.at_desk(|desk, now_ms| desk.file(Vendor::Gemini, id, now_ms).cloned());
        found.ok_or_else(|| Failure::no_file(id))
    });
    let draft = handed_in::draft(
        &batch,
        &body,
        file.transpose()?.as_ref(),
        (at, settings),
        asks.kind,
        key_hash,
    )?;
    shared
        .at_desk(|desk, now_ms| desk.submit(draft, now_ms))
        .map_err(|refused| Failure::refused(refused, model))
}

fn told(view: &View, list: Option<&RawValue>) -> Response {
    let body = serde_json::to_string(&operation(view, list)).unwrap_or_default();
    let kind = [(header::CONTENT_TYPE, "application/json; charset=UTF-8")];
    (kind, body).into_response()
}

fn nothing(done: Result<(), Failure>) -> Response {
    match done {
        Ok(()) => Json(json!({})).into_response(),
        Err(failure) => failure.into_response(),
    }
}
