//! `POST /v1beta/models/{model}:{method}`: who is let in, and what is said in Gemini's words.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{ConnectInfo, Path, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::failure::Failure;
use super::wire::{GenerateResponse, usage};
use super::{given, judge};
use crate::simulator::answer::Answer;
use crate::simulator::asked::key_hash;
use crate::simulator::call::{Call, Said, Voice};
use crate::simulator::faults::Fault;
use crate::simulator::listener::Wire;
use crate::simulator::state::{Rejected, Shared};

/// Asks, or counts the tokens of a question.
pub(in crate::simulator) async fn post(
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
            Ok(call) => call.answer(&shared, &wire, &Gemini).await,
            Err(failure) => failure.into_response(),
        },
        "countTokens" => match count_tokens(&shared, model, &uri, &headers, body) {
            Ok(counted) => Json(counted).into_response(),
            Err(failure) => failure.into_response(),
        },
        _ => Failure::not_found().into_response(),
    }
}

/// The key of a call, or why it is not let in.
pub(super) fn key<'a>(
    shared: &Shared,
    uri: &'a Uri,
    headers: &'a HeaderMap,
) -> Result<&'a str, Failure> {
    let key = given(uri, headers).unwrap_or("");
    let known = &shared.settings.api_keys;
    if key.is_empty() {
        Err(Failure::no_key())
    } else if known.is_empty() || known.iter().any(|one| one == key) {
        Ok(key)
    } else {
        Err(Failure::wrong_key())
    }
}

/// `v1beta` or `v1`: the first segment of the path.
pub(super) fn version(uri: &Uri) -> &str {
    uri.path().split('/').nth(1).unwrap_or("v1beta")
}

fn admit(
    shared: &Arc<Shared>,
    model: &str,
    uri: &Uri,
    headers: &HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Call, Failure> {
    let key = key(shared, uri, headers).inspect_err(|failure| {
        let header = headers.get(super::KEY_HEADER);
        let given = header.map(|value| String::from_utf8_lossy(value.as_bytes()));
        let hash = key_hash(&given.unwrap_or_default());
        shared.reject(Rejected::BadKey, hash, failure.http);
    })?;
    let key_hash = key_hash(key);
    let Some((at, settings)) = shared.model(model) else {
        let failure = Failure::unknown_model(model, version(uri), "generateContent");
        shared.reject(Rejected::UnknownModel, key_hash, failure.http);
        return Err(failure);
    };
    let asked = read(body)
        .and_then(|body| judge::question(&body, settings))
        .inspect_err(|failure| {
            shared.reject(Rejected::BadRequest(Some(at)), key_hash, failure.http);
        })?;
    let admission = shared.admit(at, &asked, key_hash);
    let (ticket, fate) = admission
        .judged
        .map_err(|denied| Failure::denied(&denied, model, &shared.settings))?;
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

/// Gemini's words.
struct Gemini;

impl Voice for Gemini {
    fn internal(&self) -> Response {
        Failure::internal().into_response()
    }

    fn overloaded(&self) -> Response {
        Failure::overloaded().into_response()
    }

    fn body(&self, said: &Said<'_>) -> String {
        let output_tokens = said.answer.map_or(0, |answer| answer.tokens);
        let candidates = if said.blocked {
            Vec::new()
        } else {
            vec![candidate(said.answer, said.fault)]
        };
        let response = GenerateResponse {
            candidates,
            prompt_feedback: said
                .blocked
                .then(|| json!({"blockReason": "PROHIBITED_CONTENT"})),
            usage_metadata: (said.fault != Some(Fault::NoUsage))
                .then(|| usage(said.asked.input_tokens, output_tokens)),
            model_version: said.model,
            response_id: format!("sim{:016x}", said.id),
        };
        serde_json::to_string(&response).unwrap_or_default()
    }

    fn finish(&self, response: Response) -> Response {
        response
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
