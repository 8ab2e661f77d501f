//! What is said in Gemini's words: whole, piece by piece, as vectors.

use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::failure::Failure;
use super::wire::{EmbedResponse, GenerateResponse, Vector, usage};
use crate::simulator::answer::{Answer, tokens};
use crate::simulator::asked::Form;
use crate::simulator::faults::Fault;
use crate::simulator::speech::{Said, Voice};

/// Gemini's words.
pub(super) struct Gemini {
    /// Of a stream: server-sent events, or else one array of JSON.
    pub(super) sse: bool,
    /// Of vectors: several were asked for, be it a list of one.
    pub(super) several: bool,
}

impl Voice for Gemini {
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
        let output_tokens = said.answer.map_or(0, |answer| answer.tokens);
        let candidates = if said.blocked {
            Vec::new()
        } else {
            vec![candidate(said.answer, said.fault)]
        };
        response(said, candidates, output_tokens)
    }

    fn pieces(&self, said: &Said<'_>, texts: &[String]) -> Vec<String> {
        let Some(answer) = said.answer.filter(|_| !texts.is_empty()) else {
            return self.framed(vec![self.body(said)]);
        };
        let mut so_far = 0;
        let pieces = texts.iter().enumerate().map(|(at, text)| {
            let is_last = at + 1 == texts.len();
            so_far += tokens(text);
            let mut piece = json!({
                "content": {"parts": [{"text": text}], "role": "model"},
                "index": 0,
            });
            if is_last {
                piece["finishReason"] = json!(reason(answer));
            }
            let counted = if is_last { answer.tokens } else { so_far };
            response(said, vec![piece], counted.min(answer.tokens))
        });
        self.framed(pieces.collect())
    }

    /// JSON between the events, as Gemini writes it.
    fn failing(&self) -> String {
        let error = Failure::overloaded().envelope();
        let text = serde_json::to_string_pretty(&error).unwrap_or_default();
        if self.sse {
            text + "\n"
        } else {
            format!(",\r\n{text}]")
        }
    }

    fn stream_type(&self) -> &'static str {
        if self.sse {
            "text/event-stream"
        } else {
            "application/json; charset=UTF-8"
        }
    }

    fn finish(&self, response: Response) -> Response {
        response
    }
}

impl Gemini {
    fn framed(&self, bodies: Vec<String>) -> Vec<String> {
        if self.sse {
            let events = bodies.into_iter();
            return events.map(|body| format!("data: {body}\r\n\r\n")).collect();
        }
        let last = bodies.len().saturating_sub(1);
        let parts = bodies.into_iter().enumerate().map(|(at, body)| {
            let before = if at == 0 { "[" } else { ",\r\n" };
            let after = if at == last { "]" } else { "" };
            format!("{before}{body}{after}")
        });
        parts.collect()
    }

    fn vectors(&self, said: &Said<'_>) -> String {
        let counted = || json!({"promptTokenCount": said.asked.input_tokens});
        let mut all = said.vectors.iter().map(|values| Vector { values });
        let (embedding, embeddings) = if self.several {
            (None, Some(all.collect()))
        } else {
            (all.next(), None)
        };
        let response = EmbedResponse {
            embedding,
            embeddings,
            usage_metadata: (said.fault != Some(Fault::NoUsage)).then(counted),
        };
        serde_json::to_string(&response).unwrap_or_default()
    }
}

fn response(said: &Said<'_>, candidates: Vec<Value>, output_tokens: u64) -> String {
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

fn reason(answer: &Answer) -> &'static str {
    if answer.cut { "MAX_TOKENS" } else { "STOP" }
}

fn candidate(answer: Option<&Answer>, fault: Option<Fault>) -> Value {
    match answer {
        Some(answer) => json!({
            "content": {"parts": [{"text": answer.text}], "role": "model"},
            "finishReason": reason(answer),
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
