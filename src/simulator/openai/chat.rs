//! `POST /v1/chat/completions`: who is let in, and what is said in OpenAI's words.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{ConnectInfo, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::failure::Failure;
use super::{headers, judge};
use crate::simulator::asked::key_hash;
use crate::simulator::call::{Call, Said, Voice};
use crate::simulator::chance::Chance;
use crate::simulator::faults::Fault;
use crate::simulator::listener::Wire;
use crate::simulator::state::{Rejected, Shared};

/// Asks.
pub(in crate::simulator) async fn post(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(wire): ConnectInfo<Wire>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    match admit(&shared, &headers, body) {
        Ok((call, voice)) => call.answer(&shared, &wire, &voice).await,
        Err(response) => response,
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
        .and_then(|body| judge::body(&body))
        .map_err(|failure| rejected(Rejected::BadRequest(None), failure))?;
    let name =
        judge::model(&body).map_err(|failure| rejected(Rejected::BadRequest(None), failure))?;
    let Some((at, settings)) = shared.model(name) else {
        let failure = Failure::unknown_model(name);
        return Err(rejected(Rejected::UnknownModel, failure));
    };
    let asked = judge::question(&body, settings)
        .map_err(|failure| rejected(Rejected::BadRequest(Some(at)), failure))?;
    let admission = shared.admit(at, &asked, hash);
    let voice = OpenAi {
        headers: headers::of(
            &admission.standing,
            shared.settings.rate_headers,
            Chance::of(&[shared.settings.seed, admission.seq]),
        ),
        seq: admission.seq,
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

fn read(body: Result<Bytes, BytesRejection>) -> Result<Bytes, Failure> {
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

/// OpenAI's words, and the headers beside them.
struct OpenAi {
    headers: HeaderMap,
    seq: u64,
}

impl Voice for OpenAi {
    fn internal(&self) -> Response {
        Failure::internal().into_response()
    }

    fn overloaded(&self) -> Response {
        Failure::overloaded().into_response()
    }

    fn body(&self, said: &Said<'_>) -> String {
        let (input, output) = (
            said.asked.input_tokens,
            said.answer.map_or(0, |answer| answer.tokens),
        );
        let mut body = json!({
            "id": format!("chatcmpl-sim{:016x}", said.id),
            "object": "chat.completion",
            "created": said.at_s,
            "model": said.model,
            "choices": [choice(said)],
            "usage": {
                "prompt_tokens": input,
                "completion_tokens": output,
                "total_tokens": input + output,
                "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
                "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
            },
            "service_tier": "default",
        });
        if let (Some(Fault::NoUsage), Some(members)) = (said.fault, body.as_object_mut()) {
            members.remove("usage");
        }
        body.to_string()
    }

    fn finish(&self, mut response: Response) -> Response {
        let headers = response.headers_mut();
        headers.extend(self.headers.clone());
        if let Ok(id) = HeaderValue::from_str(&format!("req_sim{}", self.seq)) {
            headers.insert("x-request-id", id);
        }
        response
    }
}

fn choice(said: &Said<'_>) -> Value {
    let (content, refusal, reason) = match said.answer {
        Some(answer) if answer.cut => (json!(answer.text), Value::Null, "length"),
        Some(answer) => (json!(answer.text), Value::Null, "stop"),
        None if said.blocked => (Value::Null, json!("I can't help with that."), "stop"),
        None if said.fault == Some(Fault::Safety) => (json!(""), Value::Null, "content_filter"),
        None => (json!(""), Value::Null, "stop"),
    };
    json!({
        "index": 0,
        "message": {"role": "assistant", "content": content, "refusal": refusal, "annotations": []},
        "logprobs": null,
        "finish_reason": reason,
    })
}
