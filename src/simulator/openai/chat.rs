//! `POST /v1/chat/completions` and `/v1/embeddings`: who is let in. What is said: `speak`.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{ConnectInfo, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value};

use super::failure::Failure;
use super::speak::OpenAi;
use super::{embed, headers, judge};
use crate::simulator::asked::{Asked, key_hash};
use crate::simulator::call::Call;
use crate::simulator::chance::Chance;
use crate::simulator::listener::Wire;
use crate::simulator::settings::ModelSettings;
use crate::simulator::state::{Rejected, Shared};

/// Asks for an answer.
pub(in crate::simulator) async fn chat(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(wire): ConnectInfo<Wire>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    match admit(&shared, Asks::Answer, &headers, body) {
        Ok((call, voice)) => call.answer(&shared, &wire, &voice).await,
        Err(response) => response,
    }
}

/// Asks for vectors.
pub(in crate::simulator) async fn embeddings(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(wire): ConnectInfo<Wire>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    match admit(&shared, Asks::Vectors, &headers, body) {
        Ok((call, voice)) => call.answer(&shared, &wire, &voice).await,
        Err(response) => response,
    }
}

/// What is asked for.
#[derive(Clone, Copy, PartialEq)]
enum Asks {
    Answer,
    Vectors,
}

impl Asks {
    fn keys(self) -> &'static [&'static str] {
        match self {
            Self::Answer => &judge::KEYS,
            Self::Vectors => &embed::KEYS,
        }
    }

    fn is_for(self, model: &ModelSettings) -> bool {
        (self == Self::Vectors) == model.dimensions().is_some()
    }

    fn question(self, body: &Map<String, Value>, model: &ModelSettings) -> Result<Asked, Failure> {
        match self {
            Self::Answer => judge::question(body, model),
            Self::Vectors => embed::question(body, model),
        }
    }
}

/// The key of a call, or why it is not let in.
pub(super) fn key<'a>(shared: &Shared, headers: &'a HeaderMap) -> Result<&'a str, Failure> {
    let key = given(headers);
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
pub(super) fn noted_key(shared: &Shared, headers: &HeaderMap) -> Result<u32, Failure> {
    let hash = key_hash(given(headers));
    key(shared, headers)
        .inspect_err(|failure| shared.reject(Rejected::BadKey, hash, failure.http))
        .map(|_| hash)
}

fn given(headers: &HeaderMap) -> &str {
    let header = headers.get(header::AUTHORIZATION);
    let text = header.and_then(|value| value.to_str().ok());
    text.and_then(|text| text.strip_prefix("Bearer "))
        .unwrap_or("")
        .trim()
}

#[expect(
    clippy::result_large_err,
    reason = "a response is what becomes of either way, and it is moved once"
)]
fn admit(
    shared: &Arc<Shared>,
    asks: Asks,
    headers: &HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<(Call, OpenAi), Response> {
    let hash = key_hash(given(headers));
    let rejected = |rejected, failure: Failure| {
        shared.reject(rejected, hash, failure.http);
        failure.into_response()
    };
    key(shared, headers).map_err(|failure| rejected(Rejected::BadKey, failure))?;
    let body = read(body)
        .and_then(|body| judge::body(&body, asks.keys()))
        .map_err(|failure| rejected(Rejected::BadRequest(None), failure))?;
    let name =
        judge::model(&body).map_err(|failure| rejected(Rejected::BadRequest(None), failure))?;
    let found = shared.model(name);
    let Some((at, settings)) = found.filter(|(_, settings)| asks.is_for(settings)) else {
        let failure = Failure::unknown_model(name);
        return Err(rejected(Rejected::UnknownModel, failure));
    };
    let asked = asks
        .question(&body, settings)
        .map_err(|failure| rejected(Rejected::BadRequest(Some(at)), failure))?;
    let admission = shared.admit(at, &asked, hash);
    let voice = OpenAi {
        headers: headers::of(
            &admission.standing,
            shared.settings.rate_headers,
            Chance::of(&[shared.settings.seed, admission.seq]),
        ),
        seq: admission.seq,
        include_usage: judge::includes_usage(&body),
        base64: embed::is_base64(&body).unwrap_or(false),
    };
    match admission.judged {
        Ok((ticket, fate)) => {
            let call = Call {
                asked,
                model: settings.name.clone(),
                ticket,
                fate,
            };
            Ok((call, voice))
        }
        Err(denied) => {
            let failure = Failure::denied(&denied, name, &shared.settings);
            // a bare refusal says nothing, in headers neither
            let told = if shared.settings.bare_429 {
                HeaderMap::new()
            } else {
                voice.headers
            };
            Err(failure.respond(told))
        }
    }
}

pub(super) fn read(body: Result<Bytes, BytesRejection>) -> Result<Bytes, Failure> {
    body.map_err(|rejection| {
        if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
            Failure::invalid("Request too large: at most 20971520 bytes.")
        } else {
            Failure::invalid(format!(
                "We could not read the body of your request. {rejection}"
            ))
        }
    })
}
