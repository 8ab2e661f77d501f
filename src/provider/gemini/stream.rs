//! Gemini's `streamGenerateContent`, event by event: each is an answer that holds only what is new.

use serde_json::Value;

use super::{
    error,
    map::{self, ended, filtered, said, usage},
    wire,
};
use crate::{
    llm::{CallError, Reply, Usage, parse_lenient},
    provider::{
        events::Event,
        stream::{Heard, Reader},
        words::{self, Veil},
    },
};

/// What was heard so far.
pub(super) struct Hearing<'a> {
    veil: &'a Veil<'a>,
    text: String,
    /// The last one told, as are the counts.
    finish_reason: Option<String>,
    usage: Option<Usage>,
    model_version: Option<String>,
    response_id: Option<String>,
    /// Why the prompt was refused.
    blocked: Option<String>,
}

impl<'a> Hearing<'a> {
    pub(super) fn new(veil: &'a Veil<'a>) -> Self {
        Self {
            veil,
            text: String::new(),
            finish_reason: None,
            usage: None,
            model_version: None,
            response_id: None,
            blocked: None,
        }
    }
}

impl Reader for Hearing<'_> {
    fn take(&mut self, event: &Event) -> Result<Heard, CallError> {
        let none = || Ok(Heard::Text(String::new()));
        // a proxy's habit; the end is the end of the body
        if event.data.trim_ascii() == b"[DONE]" {
            return none();
        }
        let Ok(told) = parse_lenient::<wire::Told>(&event.data) else {
            return Err(map::unreadable(&event.data, self.veil));
        };
        if told.candidates.is_none() && told.prompt_feedback.is_none() {
            let value = parse_lenient::<Value>(&event.data).unwrap_or_default();
            if let Some(error) = error::in_success(&value, self.veil) {
                return Err(error);
            }
        }
        if event.is_error {
            return Err(map::unreadable(&event.data, self.veil));
        }
        self.usage = told
            .usage_metadata
            .as_deref()
            .and_then(usage)
            .or(self.usage);
        let plain = |text: String| words::plain(&text);
        self.model_version = told.model_version.map(plain).or(self.model_version.take());
        self.response_id = told.response_id.map(plain).or(self.response_id.take());
        if let Some(reason) = told.prompt_feedback.and_then(|it| it.block_reason) {
            self.blocked = Some(reason);
        }
        let Some(candidate) = told.candidates.into_iter().flatten().next() else {
            return none();
        };
        let text = said(candidate.content);
        self.finish_reason = candidate.finish_reason.or(self.finish_reason.take());
        self.text.push_str(&text);
        Ok(Heard::Text(text))
    }

    fn whole(&mut self, json: &[u8]) -> Result<Reply, CallError> {
        map::reply(json, self.veil)
    }

    fn ended(&mut self, _is_sure: bool) -> Result<Reply, CallError> {
        if let (Some(reason), None) = (&self.blocked, &self.finish_reason) {
            return Err(filtered(reason, self.usage, self.veil));
        }
        ended(
            self.finish_reason.as_deref(),
            &self.text,
            self.usage,
            self.veil,
        )?;
        Ok(Reply {
            text: std::mem::take(&mut self.text),
            usage: self.usage,
            model_version: self.model_version.take(),
            response_id: self.response_id.take(),
        })
    }
}
