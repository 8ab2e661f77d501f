//! The control surface below `/sim`: what happened, and changes while running. No key needed.

use std::sync::Arc;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde::{Deserialize, Deserializer};
use serde_json::json;

use super::ledger::{Counters, line};
use super::limits::{Book, Limits};
use super::model::ms;
use super::query::query;
use super::settings::{OutageKind, SECONDS_MAX, WindowKind};
use super::state::Shared;

/// `GET /sim/counters`.
pub(super) async fn counters(State(shared): State<Arc<Shared>>) -> Json<Counters> {
    // of batches, answers are counted by giving them: that may take a while
    let counted = tokio::task::spawn_blocking(move || shared.counters()).await;
    Json(counted.unwrap_or_default())
}

/// `GET /sim/log?from=N`: the calls kept, in the order in which they ended, from the Nth on.
pub(super) async fn log(State(shared): State<Arc<Shared>>, uri: Uri) -> Response {
    /// Calls read under one hold of the lock.
    const SLICE: usize = 1000;
    let from = query(&uri, "from").and_then(|text| text.parse().ok());
    let slices = stream::unfold(from.unwrap_or(0), move |from| {
        let (records, next) = shared.log_slice(from, SLICE);
        let lines: String = records.iter().map(line).collect();
        let slice = (!lines.is_empty())
            .then(|| (Ok::<_, std::convert::Infallible>(Bytes::from(lines)), next));
        std::future::ready(slice)
    });
    let headers = [(header::CONTENT_TYPE, "application/jsonl")];
    (headers, Body::from_stream(slices)).into_response()
}

/// `POST /sim/outage`.
pub(super) async fn outage(
    State(shared): State<Arc<Shared>>,
    body: Result<Json<OutageOrder>, JsonRejection>,
) -> Response {
    let order = match body {
        Ok(Json(order)) => order,
        Err(rejection) => return wrong(rejection.body_text()),
    };
    if !(0.0..=SECONDS_MAX).contains(&order.seconds) {
        return wrong("seconds lie between 0 and 315360000");
    }
    if shared.close(&order.model, order.kind, ms(order.seconds)) {
        done()
    } else {
        unknown(&order.model)
    }
}

/// `POST /sim/limits`.
pub(super) async fn limits(
    State(shared): State<Arc<Shared>>,
    body: Result<Json<LimitsOrder>, JsonRejection>,
) -> Response {
    let order = match body {
        Ok(Json(order)) => order,
        Err(rejection) => return wrong(rejection.body_text()),
    };
    let changed = shared.with_model(&order.model, |model| {
        let before = model.limits.window;
        order.apply(&mut model.limits);
        // What was used cannot be told from one way of counting to another.
        if model.limits.window != before {
            model.book = Book::new(model.limits.window);
        }
        model.limits.clone()
    });
    match changed {
        Some(limits) => Json(limits).into_response(),
        None => unknown(&order.model),
    }
}

/// `POST /sim/reset`.
pub(super) async fn reset(State(shared): State<Arc<Shared>>) -> Response {
    shared.reset();
    done()
}

/// Closes a model from now on.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OutageOrder {
    model: String,
    kind: OutageKind,
    seconds: f64,
}

/// New limits: a key left out stays, `null` lifts it.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LimitsOrder {
    model: String,
    #[serde(default, deserialize_with = "named")]
    rpm: Option<Option<u64>>,
    #[serde(default, deserialize_with = "named")]
    tpm: Option<Option<u64>>,
    #[serde(default, deserialize_with = "named")]
    rpd: Option<Option<u64>>,
    #[serde(default)]
    window: Option<WindowKind>,
    #[serde(default, deserialize_with = "named")]
    burst: Option<Option<u64>>,
    #[serde(default, deserialize_with = "named")]
    token_burst: Option<Option<u64>>,
}

impl LimitsOrder {
    fn apply(&self, limits: &mut Limits) {
        limits.rpm = self.rpm.unwrap_or(limits.rpm);
        limits.tpm = self.tpm.unwrap_or(limits.tpm);
        limits.rpd = self.rpd.unwrap_or(limits.rpd);
        limits.window = self.window.unwrap_or(limits.window);
        limits.burst = self.burst.unwrap_or(limits.burst);
        limits.token_burst = self.token_burst.unwrap_or(limits.token_burst);
    }
}

/// Tells `null` from a key that is not there.
fn named<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<u64>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

fn done() -> Response {
    Json(json!({"ok": true})).into_response()
}

pub(super) fn wrong(told: impl Into<String>) -> Response {
    let told: String = told.into();
    (StatusCode::BAD_REQUEST, Json(json!({"error": told}))).into_response()
}

fn unknown(model: &str) -> Response {
    let told = json!({"error": format!("no model {model:?} here")});
    (StatusCode::NOT_FOUND, Json(told)).into_response()
}
