//! The list of models, and what is not there, in the words of whoever asks: `/v1` is of both vendors.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, Uri};
use axum::response::{IntoResponse, Response};

use super::state::Shared;
use super::{gemini, openai};

/// All models.
pub(super) async fn list(
    State(shared): State<Arc<Shared>>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    if gemini::speaks(&uri, &headers) {
        gemini::list(&shared, &uri, &headers)
    } else {
        openai::list(&shared, &headers)
    }
}

/// One model.
pub(super) async fn one(
    State(shared): State<Arc<Shared>>,
    Path(model): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    if gemini::speaks(&uri, &headers) {
        gemini::one(&shared, &model, &uri, &headers)
    } else {
        openai::one(&shared, &model, &headers)
    }
}

/// No such path, or not by this method.
pub(super) async fn none(uri: Uri, headers: HeaderMap) -> Response {
    if gemini::speaks(&uri, &headers) {
        gemini::Failure::not_found().into_response()
    } else {
        openai::Failure::not_found().into_response()
    }
}
