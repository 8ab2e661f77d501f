//! The paths that both vendors have, told in the words of whoever asks: `/v1` is of both.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, Uri};
use axum::response::{IntoResponse, Response};

use super::state::Shared;
use super::{gemini, openai};

/// `GET files`.
pub(super) async fn files(
    State(shared): State<Arc<Shared>>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    if gemini::speaks(&uri, &headers) {
        gemini::files(&shared, &uri, &headers)
    } else {
        openai::files(&shared, &uri, &headers)
    }
}

/// `GET files/{id}`.
pub(super) async fn file(
    State(shared): State<Arc<Shared>>,
    Path(id): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    if gemini::speaks(&uri, &headers) {
        gemini::file(&shared, &id, &uri, &headers)
    } else {
        openai::file(&shared, &id, &headers)
    }
}

/// `DELETE files/{id}`.
pub(super) async fn delete_file(
    State(shared): State<Arc<Shared>>,
    Path(id): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    if gemini::speaks(&uri, &headers) {
        gemini::delete_file(&shared, &id, &uri, &headers)
    } else {
        openai::delete_file(&shared, &id, &headers)
    }
}

/// `GET batches`.
pub(super) async fn jobs(
    State(shared): State<Arc<Shared>>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    if gemini::speaks(&uri, &headers) {
        gemini::jobs(&shared, &uri, &headers)
    } else {
        openai::jobs(&shared, &uri, &headers)
    }
}

/// `GET batches/{id}`.
pub(super) async fn job(
    State(shared): State<Arc<Shared>>,
    Path(id): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    if gemini::speaks(&uri, &headers) {
        gemini::job(&shared, &id, &uri, &headers)
    } else {
        openai::job(&shared, &id, &headers)
    }
}

/// `POST batches/{id}:cancel`, which is Gemini's alone.
pub(super) async fn cancel(
    State(shared): State<Arc<Shared>>,
    Path(call): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    if gemini::speaks(&uri, &headers) {
        gemini::cancel(&shared, &call, &uri, &headers)
    } else {
        openai::Failure::not_found().into_response()
    }
}

/// `DELETE batches/{id}`, which is Gemini's alone.
pub(super) async fn delete(
    State(shared): State<Arc<Shared>>,
    Path(id): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    if gemini::speaks(&uri, &headers) {
        gemini::delete(&shared, &id, &uri, &headers)
    } else {
        openai::Failure::not_found().into_response()
    }
}
