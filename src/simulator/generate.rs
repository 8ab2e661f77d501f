//! One call of generateContent, from its arrival to its last byte.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::rejection::BytesRejection;
use axum::extract::{ConnectInfo, Path, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::{Json, http};
use futures_util::stream;
use serde_json::{Value, json};

use super::answer::{self, Answer};
use super::chance::{hash, mix};
use super::failure::Failure;
use super::faults::Fault;
use super::judge::{self, Asked};
use super::listener::Wire;
use super::state::{Fate, Shared, Ticket};
use super::wire::{GenerateResponse, usage};

/// `POST /v1beta/models/{model}:{method}`.
pub(super) async fn post(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(wire): ConnectInfo<Wire>,
    Path(call): Path<String>,
    uri: Uri,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let (model, method) = call.rsplit_once(':').unwrap_or((&call, ""));
    match method {
        "generateContent" => match admit(&shared, model, &uri, &headers, body) {
            Ok(call) => call.answer(&shared, &wire).await,
            Err(failure) => failure.into_response(),
        },
        "countTokens" => match count_tokens(&shared, model, &uri, &headers, body) {
            Ok(counted) => Json(counted).into_response(),
            Err(failure) => failure.into_response(),
        },
        _ => Failure::not_found().into_response(),
    }
}

/// The key of a call, by header or, as Gemini does, by query; or why it is not let in.
pub(super) fn key<'a>(
    shared: &Shared,
    uri: &'a Uri,
    headers: &'a HeaderMap,
) -> Result<&'a str, Failure> {
    let header = headers
        .get("x-goog-api-key")
        .and_then(|value| value.to_str().ok());
    let key = header.or_else(|| query(uri, "key")).unwrap_or("");
    let known = &shared.settings.api_keys;
    if key.is_empty() {
        Err(Failure::no_key())
    } else if known.is_empty() || known.iter().any(|one| one == key) {
        Ok(key)
    } else {
        Err(Failure::wrong_key())
    }
}

/// A value of the query, as it stands there.
pub(super) fn query<'a>(uri: &'a Uri, name: &str) -> Option<&'a str> {
    let pairs = uri.query()?.split('&');
    pairs
        .filter_map(|pair| pair.split_once('='))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value)
}

/// `v1beta` or `v1`: the first segment of the path.
pub(super) fn version(uri: &Uri) -> &str {
    uri.path().split('/').nth(1).unwrap_or("v1beta")
}

/// A call that was let in.
struct Call {
    asked: Asked,
    model: String,
    ticket: Ticket,
    fate: Fate,
}

fn admit(
    shared: &Arc<Shared>,
    model: &str,
    uri: &Uri,
    headers: &HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Call, Failure> {
    let key = key(shared, uri, headers).inspect_err(|failure| {
        let given = headers
            .get("x-goog-api-key")
            .map(http::HeaderValue::as_bytes);
        let given = given.map(String::from_utf8_lossy).unwrap_or_default();
        shared.reject_key(judge::key_hash(&given), failure);
    })?;
    let key_hash = judge::key_hash(key);
    let Some((at, settings)) = shared.model(model) else {
        let failure = Failure::unknown_model(model, version(uri), "generateContent");
        shared.reject(None, key_hash, &failure);
        return Err(failure);
    };
    let asked = read(body)
        .and_then(|body| judge::question(&body, settings))
        .inspect_err(|failure| shared.reject(Some(at), key_hash, failure))?;
    let (ticket, fate) = shared.admit(at, &asked, key_hash)?;
    Ok(Call {
        asked,
        model: settings.name.clone(),
        ticket,
        fate,
    })
}

fn count_tokens(
    shared: &Shared,
    model: &str,
    uri: &Uri,
    headers: &HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Value, Failure> {
    key(shared, uri, headers)?;
    shared
        .model(model)
        .ok_or_else(|| Failure::unknown_model(model, version(uri), "countTokens"))?;
    let tokens = judge::token_count(&read(body)?)?;
    Ok(json!({
        "totalTokens": tokens,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": tokens}],
    }))
}

fn read(body: Result<Bytes, BytesRejection>) -> Result<Bytes, Failure> {
    body.map_err(|rejection| {
        if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
            Failure::invalid("Request payload size exceeds the limit: 20971520 bytes.")
        } else {
            Failure::invalid(format!("Invalid JSON payload received. {rejection}"))
        }
    })
}

impl Call {
    async fn answer(self, shared: &Shared, wire: &Wire) -> Response {
        if !self.wait(shared, self.fate.delay_ms).await {
            self.ticket.close(0, "stopped", 0);
            return reset(wire);
        }
        match self.fate.fault {
            Some(Fault::Http500) => self.fail(Failure::internal()),
            Some(Fault::Http503) => self.fail(Failure::overloaded()),
            Some(Fault::Reset) => {
                self.ticket.close(0, "reset", 0);
                reset(wire)
            }
            Some(Fault::Hang) => {
                self.wait(shared, shared.settings.faults.hang_ms_max).await;
                self.ticket.close(0, "hang", 0);
                reset(wire)
            }
            Some(Fault::NotJson) => {
                self.ticket.close(200, "not_json", 0);
                ([(header::CONTENT_TYPE, "text/html")], NOT_JSON).into_response()
            }
            _ => self.speak(shared),
        }
    }

    /// Waits; false when the server stops before.
    async fn wait(&self, shared: &Shared, delay_ms: u64) -> bool {
        if delay_ms == 0 {
            return true;
        }
        tokio::select! {
            () = shared.stop.cancelled() => false,
            () = tokio::time::sleep(Duration::from_millis(delay_ms)) => true,
        }
    }

    fn fail(self, failure: Failure) -> Response {
        self.ticket.close(failure.http, "fault", 0);
        failure.into_response()
    }

    /// 200, with the answer whole or damaged.
    fn speak(self, shared: &Shared) -> Response {
        let (asked, fault) = (&self.asked, self.fate.fault);
        let answer = match fault {
            Some(Fault::Safety | Fault::Empty) => None,
            _ => Some(answer::answer(
                asked,
                &self.model,
                shared.settings.seed,
                fault,
            )),
        };
        let body = self.body(shared, answer.as_ref());
        let tokens = answer.as_ref().map_or(0, |answer| answer.tokens);
        let outcome = if answer.is_some_and(|answer| answer.cut) {
            "cut"
        } else {
            "ok"
        };
        self.ticket.close(200, outcome, tokens);
        match fault {
            Some(Fault::CutJson) => whole(half(&body).to_owned()),
            Some(Fault::ShortBody) => short(&body),
            _ => whole(body),
        }
    }

    fn body(&self, shared: &Shared, answer: Option<&Answer>) -> String {
        let (input_tokens, fault) = (self.asked.input_tokens, self.fate.fault);
        let blocked = fault == Some(Fault::Safety) && self.fate.draw.is_multiple_of(4);
        let output_tokens = answer.map_or(0, |answer| answer.tokens);
        let response = GenerateResponse {
            candidates: if blocked {
                Vec::new()
            } else {
                vec![candidate(answer, fault)]
            },
            prompt_feedback: blocked.then(|| json!({"blockReason": "PROHIBITED_CONTENT"})),
            usage_metadata: (fault != Some(Fault::NoUsage))
                .then(|| usage(input_tokens, output_tokens)),
            model_version: &self.model,
            response_id: format!(
                "sim{:016x}",
                mix(shared.settings.seed ^ hash(&self.model) ^ self.fate.seq)
            ),
        };
        let body = serde_json::to_string(&response).unwrap_or_default();
        match fault {
            Some(Fault::LoneSurrogate) => {
                body.replace(answer::LONE_SURROGATE_MARK, answer::LONE_SURROGATE)
            }
            _ => body,
        }
    }
}

fn candidate(answer: Option<&Answer>, fault: Option<Fault>) -> Value {
    match answer {
        Some(answer) => json!({
            "content": {"parts": [{"text": answer.text}], "role": "model"},
            "finishReason": if answer.cut { "MAX_TOKENS" } else { "STOP" },
            "index": 0,
        }),
        None if fault == Some(Fault::Safety) => json!({
            "finishReason": "SAFETY",
            "index": 0,
            "safetyRatings": [{
                "category": "HARM_CATEGORY_DANGEROUS_CONTENT",
                "probability": "HIGH",
                "blocked": true,
            }],
        }),
        None => json!({"content": {"role": "model"}, "finishReason": "STOP", "index": 0}),
    }
}

const JSON_TYPE: &str = "application/json; charset=UTF-8";
const NOT_JSON: &str = "<!DOCTYPE html><html><title>Error</title><p>That's an error.</html>";

fn whole(body: String) -> Response {
    ([(header::CONTENT_TYPE, JSON_TYPE)], body).into_response()
}

/// The first half, not cutting a character.
fn half(body: &str) -> &str {
    &body[..body.floor_char_boundary(body.len() / 2)]
}

/// Promises the whole body, sends half of it and closes the connection.
fn short(body: &str) -> Response {
    let first = Bytes::from(half(body).to_owned());
    let pieces = stream::unfold(Some(first), |first| async move {
        let Some(first) = first else {
            // Lets the connection send what it has before it fails.
            tokio::task::yield_now().await;
            let broken = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
            return Some((Err(broken), None));
        };
        Some((Ok(first), None))
    });
    let headers = [
        (header::CONTENT_TYPE, JSON_TYPE.to_owned()),
        (header::CONTENT_LENGTH, body.len().to_string()),
    ];
    (headers, Body::from_stream(pieces)).into_response()
}

/// What is returned here is never sent: the write that would send it resets the connection.
fn reset(wire: &Wire) -> Response {
    wire.reset();
    StatusCode::INTERNAL_SERVER_ERROR.into_response()
}
