//! What is said in OpenAI's words: whole, piece by piece, as vectors; and the headers beside it.

use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Response};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde::Serialize;
use serde_json::{Value, json};

use super::failure::Failure;
use crate::simulator::asked::Form;
use crate::simulator::faults::Fault;
use crate::simulator::speech::{Said, Voice};

/// OpenAI's words, and the headers beside them.
pub(super) struct OpenAi {
    pub(super) headers: HeaderMap,
    pub(super) seq: u64,
    /// Of a stream: its counts are wanted at the end.
    pub(super) include_usage: bool,
    /// Of vectors: as base64, and not as lists of numbers.
    pub(super) base64: bool,
}

impl Voice for OpenAi {
    fn internal(&self) -> Response {
        Failure::internal().into_response()
    }

    fn overloaded(&self) -> Response {
        Failure::overloaded().into_response()
    }

    fn body(&self, said: &Said<'_>) -> String {
        if matches!(said.asked.form, Form::Vectors(_)) {
            return self.vectors(said);
        }
        let mut body = json!({
            "id": format!("chatcmpl-sim{:016x}", said.id),
            "object": "chat.completion",
            "created": said.at_s,
            "model": said.model,
            "choices": [choice(said)],
            "usage": usage(said),
            "service_tier": "default",
        });
        if let (Some(Fault::NoUsage), Some(members)) = (said.fault, body.as_object_mut()) {
            members.remove("usage");
        }
        body.to_string()
    }

    fn pieces(&self, said: &Said<'_>, texts: &[String]) -> Vec<String> {
        let (content, refusal, reason) = outcome(said);
        let with_usage = self.include_usage && said.fault != Some(Fault::NoUsage);
        let event = |choices: Value, usage: Value| {
            let mut chunk = json!({
                "id": format!("chatcmpl-sim{:016x}", said.id),
                "object": "chat.completion.chunk",
                "created": said.at_s,
                "model": said.model,
                "service_tier": "default",
                "choices": choices,
            });
            if with_usage {
                chunk["usage"] = usage;
            }
            format!("data: {chunk}\n\n")
        };
        let choice = |delta: Value, reason: Value| json!([{"index": 0, "delta": delta, "logprobs": null, "finish_reason": reason}]);
        let delta = |delta: Value| event(choice(delta, Value::Null), Value::Null);
        let content = content.map_or(Value::Null, |_| json!(""));
        let role = json!({"role": "assistant", "content": content, "refusal": null});
        let mut events = vec![delta(role)];
        events.extend(texts.iter().map(|text| delta(json!({"content": text}))));
        events.extend(refusal.map(|words| delta(json!({"refusal": words}))));
        events.push(event(choice(json!({}), json!(reason)), Value::Null));
        if with_usage {
            events.push(event(json!([]), usage(said)));
        }
        events.push("data: [DONE]\n\n".to_owned());
        events
    }

    fn failing(&self) -> String {
        format!("data: {}\n\n", Failure::overloaded().envelope())
    }

    fn stream_type(&self) -> &'static str {
        "text/event-stream; charset=utf-8"
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

impl OpenAi {
    fn vectors(&self, said: &Said<'_>) -> String {
        #[derive(Serialize)]
        #[serde(untagged)]
        enum Numbers<'a> {
            List(&'a [f32]),
            Text(String),
        }
        #[derive(Serialize)]
        struct One<'a> {
            object: &'static str,
            index: usize,
            embedding: Numbers<'a>,
        }
        #[derive(Serialize)]
        struct All<'a> {
            object: &'static str,
            data: Vec<One<'a>>,
            model: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            usage: Option<Value>,
        }
        let text = |values: &[f32]| {
            let bytes: Vec<u8> = values.iter().flat_map(|it| it.to_le_bytes()).collect();
            Numbers::Text(STANDARD.encode(bytes))
        };
        let vectors = said.vectors.iter().enumerate();
        let data = vectors.map(|(index, values)| One {
            object: "embedding",
            index,
            embedding: if self.base64 {
                text(values)
            } else {
                Numbers::List(values)
            },
        });
        let tokens = said.asked.input_tokens;
        let all = All {
            object: "list",
            data: data.collect(),
            model: said.model,
            usage: (said.fault != Some(Fault::NoUsage))
                .then(|| json!({"prompt_tokens": tokens, "total_tokens": tokens})),
        };
        serde_json::to_string(&all).unwrap_or_default()
    }
}

fn usage(said: &Said<'_>) -> Value {
    let input = said.asked.input_tokens;
    let output = said.answer.map_or(0, |answer| answer.tokens);
    json!({
        "prompt_tokens": input,
        "completion_tokens": output,
        "total_tokens": input + output,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
    })
}

/// Content, refusal and finish reason.
fn outcome<'a>(said: &Said<'a>) -> (Option<&'a str>, Option<&'static str>, &'static str) {
    match said.answer {
        Some(answer) if answer.cut => (Some(&answer.text), None, "length"),
        Some(answer) => (Some(&answer.text), None, "stop"),
        None if said.blocked => (None, Some("I can't help with that."), "stop"),
        None if said.fault == Some(Fault::Safety) => (Some(""), None, "content_filter"),
        None => (Some(""), None, "stop"),
    }
}

fn choice(said: &Said<'_>) -> Value {
    let (content, refusal, reason) = outcome(said);
    json!({
        "index": 0,
        "message": {"role": "assistant", "content": content, "refusal": refusal, "annotations": []},
        "logprobs": null,
        "finish_reason": reason,
    })
}
