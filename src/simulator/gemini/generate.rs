//! `POST /v1beta/models/{model}:{method}`: who is let in. What is said: `speak`.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{ConnectInfo, Path, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::failure::Failure;
use super::speak::Gemini;
use super::{batches, embed, given, judge};
use crate::simulator::asked::{Asked, Form, key_hash};
use crate::simulator::call::Call;
use crate::simulator::listener::Wire;
use crate::simulator::query::query;
use crate::simulator::settings::ModelSettings;
use crate::simulator::state::{Rejected, Shared};

/// Asks for an answer or for vectors, or counts the tokens of a question.
pub(in crate::simulator) async fn post(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(wire): ConnectInfo<Wire>,
    Path(call): Path<String>,
    uri: Uri,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let (model, method) = call.rsplit_once(':').unwrap_or((&call, ""));
    if method == "countTokens" {
        return match count_tokens(&shared, model, &uri, &headers, body) {
            Ok(counted) => Json(counted).into_response(),
            Err(failure) => failure.into_response(),
        };
    }
    if let Some(kind) = batches::kind(method) {
        let asks = batches::Asks { model, kind };
        return batches::create(&shared, &wire, &asks, &uri, &headers, body);
    }
    let Some(method) = Method::named(method) else {
        return Failure::not_found().into_response();
    };
    let voice = Gemini {
        sse: query(&uri, "alt") == Some("sse"),
        several: matches!(method, Method::EmbedSeveral),
    };
    match admit(&shared, model, method, &uri, &headers, body) {
        Ok(call) => call.answer(&shared, &wire, &voice).await,
        Err(failure) => failure.into_response(),
    }
}

/// What a model is asked to do.
#[derive(Clone, Copy)]
enum Method {
    Generate,
    Stream,
    Embed,
    EmbedSeveral,
}

impl Method {
    const ALL: [Self; 4] = [
        Self::Generate,
        Self::Stream,
        Self::Embed,
        Self::EmbedSeveral,
    ];

    fn named(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.word() == word)
    }

    fn word(self) -> &'static str {
        match self {
            Self::Generate => "generateContent",
            Self::Stream => "streamGenerateContent",
            Self::Embed => "embedContent",
            Self::EmbedSeveral => "batchEmbedContents",
        }
    }

    fn is_for(self, model: &ModelSettings) -> bool {
        let embeds = matches!(self, Self::Embed | Self::EmbedSeveral);
        embeds == model.dimensions().is_some()
    }

    fn question(self, body: &[u8], model: &ModelSettings) -> Result<Asked, Failure> {
        match self {
            Self::Generate => judge::question(body, model),
            Self::Stream => judge::question(body, model).map(|asked| Asked {
                form: Form::Stream,
                ..asked
            }),
            Self::Embed => embed::question(body, model, false),
            Self::EmbedSeveral => embed::question(body, model, true),
        }
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

/// The hash of the key of a call that is noted if it is not let in.
pub(super) fn noted_key(shared: &Shared, uri: &Uri, headers: &HeaderMap) -> Result<u32, Failure> {
    let key = key(shared, uri, headers).inspect_err(|failure| {
        let header = headers.get(super::KEY_HEADER);
        let given = header.map(|value| String::from_utf8_lossy(value.as_bytes()));
        let hash = key_hash(&given.unwrap_or_default());
        shared.reject(Rejected::BadKey, hash, failure.http);
    })?;
    Ok(key_hash(key))
}

/// `v1beta` or `v1`: the first segment of the path.
pub(super) fn version(uri: &Uri) -> &str {
    uri.path().split('/').nth(1).unwrap_or("v1beta")
}

fn admit(
    shared: &Arc<Shared>,
    model: &str,
    method: Method,
    uri: &Uri,
    headers: &HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Call, Failure> {
    let key_hash = noted_key(shared, uri, headers)?;
    let found = shared.model(model);
    let Some((at, settings)) = found.filter(|(_, settings)| method.is_for(settings)) else {
        let failure = Failure::unknown_model(model, version(uri), method.word());
        shared.reject(Rejected::UnknownModel, key_hash, failure.http);
        return Err(failure);
    };
    let asked = read(body)
        .and_then(|body| method.question(&body, settings))
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

pub(super) fn read(body: Result<Bytes, BytesRejection>) -> Result<Bytes, Failure> {
    body.map_err(|rejection| {
        if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
            Failure::invalid("Request payload size exceeds the limit: 20971520 bytes.")
        } else {
            Failure::invalid(format!("Invalid JSON payload received. {rejection}"))
        }
    })
}
