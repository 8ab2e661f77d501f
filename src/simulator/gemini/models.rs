//! `GET /v1beta/models` and `GET /v1beta/models/{model}`, as Gemini lists them.

use axum::Json;
use axum::http::{HeaderMap, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::failure::Failure;
use super::generate::{key, version};
use crate::simulator::query::query;
use crate::simulator::settings::ModelSettings;
use crate::simulator::state::Shared;

/// Lists the models, page by page; a page token is the place of its first model.
pub(in crate::simulator) fn list(shared: &Shared, uri: &Uri, headers: &HeaderMap) -> Response {
    match page(shared, uri, headers) {
        Ok(page) => Json(page).into_response(),
        Err(failure) => failure.into_response(),
    }
}

/// One model.
pub(in crate::simulator) fn one(
    shared: &Shared,
    model: &str,
    uri: &Uri,
    headers: &HeaderMap,
) -> Response {
    let found = key(shared, uri, headers).and_then(|_| {
        let unknown = || Failure::unknown_model(model, version(uri), "generateContent");
        shared.model(model).ok_or_else(unknown)
    });
    match found {
        Ok((_, model)) => Json(described(model)).into_response(),
        Err(failure) => failure.into_response(),
    }
}

fn page(shared: &Shared, uri: &Uri, headers: &HeaderMap) -> Result<Value, Failure> {
    key(shared, uri, headers)?;
    let number = |name, default: usize| match query(uri, name) {
        None | Some("") => Ok(default),
        Some(text) => text
            .parse()
            .map_err(|_| Failure::invalid(format!("Invalid value at '{name}': {text}"))),
    };
    let size = number("pageSize", 50)?.clamp(1, 1000);
    let start = number("pageToken", 0)?;
    let models = &shared.settings.models;
    let shown: Vec<Value> = models
        .iter()
        .skip(start)
        .take(size)
        .map(described)
        .collect();
    let next = start + shown.len();
    let mut page = json!({"models": shown});
    if next < models.len() {
        page["nextPageToken"] = json!(next.to_string());
    }
    Ok(page)
}

fn described(model: &ModelSettings) -> Value {
    let (call, batch) = match model.dimensions() {
        Some(_) => ("embedContent", "asyncBatchEmbedContent"),
        None => ("generateContent", "batchGenerateContent"),
    };
    let mut methods = vec![call, "countTokens"];
    methods.extend(model.batch.then_some(batch));
    json!({
        "name": format!("models/{}", model.name),
        "version": "001",
        "displayName": model.name,
        "description": "A model of the simulator.",
        "inputTokenLimit": model.input_token_limit,
        "outputTokenLimit": model.output_token_limit,
        "supportedGenerationMethods": methods,
    })
}
