//! `files` of OpenAI's: uploaded, listed, told of, read, deleted.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{ConnectInfo, Path, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::chat::key;
use super::failure::Failure;
use super::multipart::{Field, fields};
use crate::simulator::batches::{NewFile, Stored, Vendor, size, stream};
use crate::simulator::listener::Wire;
use crate::simulator::query::query;
use crate::simulator::sent::reset;
use crate::simulator::state::Shared;

/// `POST /v1/files`.
pub(in crate::simulator) async fn upload(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(wire): ConnectInfo<Wire>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    match kept(&shared, &headers, body) {
        Ok((_, true)) => reset(&wire),
        Ok((file, false)) => Json(described(&shared, &file)).into_response(),
        Err(failure) => failure.into_response(),
    }
}

fn kept(
    shared: &Shared,
    headers: &HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<(Stored, bool), Failure> {
    key(shared, headers)?;
    let body = body.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Failure::too_large(),
        _ => Failure::invalid(rejection.to_string()),
    })?;
    let kind = headers
        .get(header::CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok());
    let fields = fields(kind.unwrap_or_default(), &body)
        .ok_or_else(|| Failure::invalid("Could not parse multipart form"))?;
    let text = |name: &str| {
        let field = fields.iter().find(|field| field.name == name)?;
        std::str::from_utf8(&field.bytes).ok()
    };
    let missing = |name: &str| {
        let message = format!("'{name}' is a required property");
        Failure::of(name, "missing_required_parameter", message)
    };
    let file = fields.iter().find(|field| field.name == "file");
    let file = file.ok_or_else(|| missing("file"))?;
    let purpose = text("purpose").ok_or_else(|| missing("purpose"))?;
    let purpose = PURPOSES.into_iter().find(|known| *known == purpose);
    let purpose = purpose.ok_or_else(|| {
        let message = format!("Invalid 'purpose': expected one of {PURPOSES:?}.");
        Failure::of("purpose", "invalid_value", message)
    })?;
    let live_s = expiry(
        text("expires_after[anchor]"),
        text("expires_after[seconds]"),
    )?;
    let new = NewFile {
        vendor: Vendor::OpenAi,
        id: None,
        name: filename(file),
        mime: "application/octet-stream".to_owned(),
        purpose,
        bytes: file.bytes.clone(),
        live_s,
    };
    shared
        .at_desk(|desk, now_ms| desk.keep(new, now_ms))
        .ok_or_else(Failure::internal)
}

/// What a file may be uploaded for.
const PURPOSES: [&str; 6] = [
    "batch",
    "fine-tune",
    "assistants",
    "vision",
    "user_data",
    "evals",
];

fn filename(file: &Field) -> String {
    file.filename.clone().unwrap_or_else(|| "file".to_owned())
}

fn expiry(anchor: Option<&str>, seconds: Option<&str>) -> Result<Option<u64>, Failure> {
    match (anchor, seconds.map(str::parse::<u64>)) {
        (None, None) => Ok(None),
        (Some("created_at"), Some(Ok(seconds))) if (3_600..=2_592_000).contains(&seconds) => {
            Ok(Some(seconds))
        }
        _ => Err(Failure::of(
            "expires_after",
            "invalid_value",
            "Invalid 'expires_after': expected created_at and 3600 to 2592000 seconds.",
        )),
    }
}

/// `GET /v1/files`.
pub(in crate::simulator) fn files(shared: &Shared, uri: &Uri, headers: &HeaderMap) -> Response {
    let listed = || {
        key(shared, headers)?;
        let mut files = shared.at_desk(|desk, now_ms| desk.files_of(Vendor::OpenAi, now_ms));
        if let Some(purpose) = query(uri, "purpose") {
            files.retain(|file| file.purpose == purpose);
        }
        if query(uri, "order") == Some("asc") {
            files.reverse();
        }
        let (page, more) = page(&files, uri, (10_000, 10_000), |file| &file.id)?;
        let told = page.iter().map(|file| described(shared, file));
        Ok::<_, Failure>(Json(list(told.collect(), more)))
    };
    listed().into_response()
}

/// `GET /v1/files/{id}`.
pub(in crate::simulator) fn file(shared: &Shared, id: &str, headers: &HeaderMap) -> Response {
    match found(shared, id, headers) {
        Ok(file) => Json(described(shared, &file)).into_response(),
        Err(failure) => failure.into_response(),
    }
}

/// `GET /v1/files/{id}/content`.
pub(in crate::simulator) async fn content(
    State(shared): State<Arc<Shared>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response {
    match found(&shared, &id, &headers) {
        Ok(file) => {
            let kind = [(header::CONTENT_TYPE, "application/octet-stream")];
            (kind, stream(shared.clone(), &file)).into_response()
        }
        Err(failure) => failure.into_response(),
    }
}

/// `DELETE /v1/files/{id}`.
pub(in crate::simulator) fn delete_file(
    shared: &Shared,
    id: &str,
    headers: &HeaderMap,
) -> Response {
    let deleted = key(shared, headers).and_then(|_| {
        let deleted = shared.at_desk(|desk, now_ms| desk.delete_file(Vendor::OpenAi, id, now_ms));
        deleted.then_some(()).ok_or_else(|| Failure::no_file(id))
    });
    match deleted {
        Ok(()) => Json(json!({"id": id, "object": "file", "deleted": true})).into_response(),
        Err(failure) => failure.into_response(),
    }
}

fn found(shared: &Shared, id: &str, headers: &HeaderMap) -> Result<Stored, Failure> {
    key(shared, headers)?;
    let found = shared.at_desk(|desk, now_ms| desk.file(Vendor::OpenAi, id, now_ms).cloned());
    found.ok_or_else(|| Failure::no_file(id))
}

/// A page of a list, from the one after `after` on, and whether more follow.
pub(super) fn page<'a, T>(
    all: &'a [T],
    uri: &Uri,
    (usual, most): (usize, usize),
    id: impl Fn(&T) -> &str,
) -> Result<(&'a [T], bool), Failure> {
    let size = match query(uri, "limit") {
        None => usual,
        Some(text) => text
            .parse()
            .ok()
            .filter(|limit| (1..=most).contains(limit))
            .ok_or_else(|| {
                let message = format!("Invalid 'limit': expected 1 to {most}.");
                Failure::of("limit", "invalid_value", message)
            })?,
    };
    let start = match query(uri, "after") {
        None => 0,
        Some(after) => {
            let place = all.iter().position(|one| id(one) == after);
            place.map(|place| place + 1).ok_or_else(|| {
                let message = format!("Invalid 'after': there is no '{after}'.");
                Failure::of("after", "invalid_value", message)
            })?
        }
    };
    let end = (start + size).min(all.len());
    Ok((&all[start..end], end < all.len()))
}

/// A list, as OpenAI frames it.
pub(super) fn list(data: Vec<Value>, has_more: bool) -> Value {
    let id = |one: Option<&Value>| one.map_or(Value::Null, |one| one["id"].clone());
    let (first, last) = (id(data.first()), id(data.last()));
    json!({
        "object": "list", "data": data, "first_id": first, "last_id": last, "has_more": has_more,
    })
}

fn described(shared: &Shared, file: &Stored) -> Value {
    json!({
        "id": file.id,
        "object": "file",
        "bytes": size(shared, file),
        "created_at": file.created_ms / 1000,
        "filename": file.name,
        "purpose": file.purpose,
        "status": "processed",
        "status_details": null,
        "expires_at": file.expires_ms.map(|at_ms| at_ms / 1000),
    })
}
