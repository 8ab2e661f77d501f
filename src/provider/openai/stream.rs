//! A streamed chat completion, event by event: each is a chunk with the text that is new; then, by
//! `stream_options`, one with the counts and no choice; then `[DONE]`.
//!
//! Some copies leave `[DONE]` out. Then HTTP must say that the stream ended as it should.

use super::{
    error,
    map::{Spoiled, content, ended, filtered, of_fault, reply, unreadable, usage},
    wire::{self, Fault},
};
use crate::{
    llm::{CallError, LimitNotice, Reply, Usage, parse_lenient},
    provider::{
        events::Event,
        http::Answer,
        stream::{Heard, Reader},
        words::{self, Veil},
    },
};
use serde_json::Value;

/// What was heard so far.
pub(super) struct Hearing<'a> {
    /// Status and headers; its body is what is listened to.
    head: &'a Answer,
    veil: &'a Veil<'a>,
    /// What was told of limits.
    pub(super) told: Vec<LimitNotice>,
    text: String,
    refuses: bool,
    /// The last one told, as are the counts.
    finish_reason: Option<String>,
    usage: Option<Usage>,
    model: Option<String>,
    id: Option<String>,
}

impl<'a> Hearing<'a> {
    /// `told` is what the headers tell.
    pub(super) fn new(head: &'a Answer, told: Vec<LimitNotice>, veil: &'a Veil<'a>) -> Self {
        Self {
            head,
            veil,
            told,
            text: String::new(),
            refuses: false,
            finish_reason: None,
            usage: None,
            model: None,
            id: None,
        }
    }

    fn spoiled(&mut self, spoiled: Spoiled) -> CallError {
        match spoiled {
            Spoiled::Answer(error) => error,
            Spoiled::Fault { status, fault } => {
                let (error, told) = error::refusal(status, &fault, self.head, self.veil);
                self.told = told;
                error
            }
        }
    }

    fn fault(&mut self, fault: Fault) -> CallError {
        self.spoiled(of_fault(fault, self.veil))
    }

    fn take_choice(&mut self, choice: wire::ToldDelta) -> Result<String, CallError> {
        if let Some(fault) = choice.error.as_ref().filter(|error| error.is_object()) {
            return Err(self.fault(Fault::of(fault)));
        }
        let delta = choice.delta.unwrap_or_default();
        let refusal = delta.refusal.as_ref().and_then(Value::as_str);
        self.refuses |= refusal.is_some_and(|words| !words.trim().is_empty());
        let reason = choice.finish_reason.as_ref().and_then(Value::as_str);
        if let Some(reason) = reason.filter(|reason| !reason.is_empty()) {
            self.finish_reason = Some(reason.to_owned());
        }
        Ok(content(delta.content.as_ref()))
    }
}

impl Reader for Hearing<'_> {
    fn take(&mut self, event: &Event) -> Result<Heard, CallError> {
        if event.data.trim_ascii() == b"[DONE]" {
            return Ok(Heard::End);
        }
        let Ok(told) = parse_lenient::<wire::ToldChunk>(&event.data) else {
            let spoiled = unreadable(&event.data, self.veil);
            return Err(self.spoiled(spoiled));
        };
        if event.is_error || told.error.as_ref().is_some_and(|error| !error.is_null()) {
            let value = parse_lenient::<Value>(&event.data).unwrap_or_default();
            let fault = Fault::read(&value).or_else(|| Fault::read_refusal(&value));
            let fault = fault.unwrap_or_default();
            return Err(self.fault(fault));
        }
        self.usage = told.usage.as_deref().and_then(usage).or(self.usage);
        let named = |value: Option<Value>| value.as_ref().and_then(Value::as_str).map(words::plain);
        self.model = self.model.take().or_else(|| named(told.model));
        self.id = self.id.take().or_else(|| named(told.id));
        let mut choices = told.choices.into_iter().flatten();
        // one answer was asked for
        let first = choices.find(|choice| choice.index.as_ref().is_none_or(|at| *at == 0));
        let text = match first {
            Some(choice) => self.take_choice(choice)?,
            None => String::new(),
        };
        self.text.push_str(&text);
        Ok(Heard::Text(text))
    }

    fn whole(&mut self, json: &[u8]) -> Result<Reply, CallError> {
        reply(json, self.veil).map_err(|spoiled| self.spoiled(spoiled))
    }

    fn ended(&mut self, is_sure: bool) -> Result<Reply, CallError> {
        if self.refuses {
            // the model's own words are an answer, and not for errors
            return Err(filtered(
                "the model refuses to answer (refusal)",
                self.usage,
            ));
        }
        if self.finish_reason.is_some() && !is_sure {
            return Err(CallError::Damaged {
                message: "the stream ended without its mark of the end".to_owned(),
                usage: self.usage,
            });
        }
        let reason = self.finish_reason.as_deref();
        ended(reason, &self.text, self.usage, self.veil)?;
        Ok(Reply {
            text: std::mem::take(&mut self.text),
            usage: self.usage,
            model_version: self.model.take(),
            response_id: self.id.take(),
        })
    }
}
