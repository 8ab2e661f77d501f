//! `GET /v1/models` and `GET /v1/models/{model}`, as OpenAI lists them.

use axum::Json;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::chat::key;
use super::failure::Failure;
use crate::simulator::state::Shared;

/// All models.
pub(in crate::simulator) fn list(shared: &Shared, headers: &HeaderMap) -> Response {
    if let Err(failure) = key(shared, headers) {
        return failure.into_response();
    }
    let models = shared.settings.models.iter();
    let data: Vec<Value> = models.map(|model| described(&model.name)).collect();
    Json(json!({"object": "list", "data": data})).into_response()
}

/// One model.
pub(in crate::simulator) fn one(shared: &Shared, model: &str, headers: &HeaderMap) -> Response {
    match key(shared, headers).map(|_| shared.model(model)) {
        Err(failure) => failure.into_response(),
        Ok(None) => Failure::unknown_model(model).into_response(),
        Ok(Some((_, model))) => Json(described(&model.name)).into_response(),
    }
}

fn described(name: &str) -> Value {
    json!({"id": name, "object": "model", "created": 1_700_000_000, "owned_by": "simulator"})
}
