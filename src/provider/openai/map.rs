//! Our request into OpenAI's words, and its answer back into ours.

use serde_json::{Value, value::RawValue};

use super::{
    error, strict,
    wire::{self, Fault, count},
};
use crate::{
    llm::{CallError, Reply, Request, Usage, parse_lenient},
    provider::words::{self, Veil},
};

/// Who answers: decides the words of a request that differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    /// OpenAI itself, or Azure in its place.
    Original,
    /// A server that copies it.
    Copy,
}

impl Dialect {
    pub(super) fn of_host(host: &str) -> Self {
        let is_theirs = |domain: &str| {
            let below = host.strip_suffix(domain);
            below.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        };
        if is_theirs("openai.com") || is_theirs("openai.azure.com") {
            Self::Original
        } else {
            Self::Copy
        }
    }
}

/// The body that asks `request`.
pub(super) fn ask<'a>(wire_name: &'a str, request: &'a Request, dialect: Dialect) -> wire::Ask<'a> {
    let params = &request.params;
    let reasons = reasons(wire_name);
    let message = |role, content| wire::Message { role, content };
    let system = request.system.as_deref();
    let messages = system
        .map(|system| message("system", system))
        .into_iter()
        .chain([message("user", request.prompt.as_str())]);
    // reasoning models refuse the former name; most copies know no other
    let is_new = reasons || dialect == Dialect::Original;
    let (new, former) = match params.max_output_tokens {
        most if is_new => (most, None),
        most => (None, most),
    };
    wire::Ask {
        model: wire_name,
        messages: messages.collect(),
        // these a reasoning model refuses, and a ladder may hold both sorts
        temperature: params.temperature.filter(|_| !reasons),
        top_p: params.top_p.filter(|_| !reasons),
        stop: if reasons { &[] } else { &params.stop },
        max_completion_tokens: new,
        max_tokens: former,
        seed: params.seed,
        reasoning_effort: params.thinking_budget.filter(|_| reasons).and_then(effort),
        response_format: request.schema.as_ref().map(|schema| wire::ResponseFormat {
            kind: "json_schema",
            json_schema: wire::JsonSchema {
                name: "answer",
                strict: strict::fits(schema),
                schema,
            },
        }),
        stream: None,
        stream_options: None,
    }
}

/// The body that asks `request` and wants the answer while it is written, its counts at the end.
pub(super) fn ask_for_stream<'a>(
    wire_name: &'a str,
    request: &'a Request,
    dialect: Dialect,
) -> wire::Ask<'a> {
    wire::Ask {
        stream: Some(true),
        stream_options: Some(wire::StreamOptions {
            include_usage: true,
        }),
        ..ask(wire_name, request, dialect)
    }
}

/// Whether this is one of OpenAI's reasoning models (`o1` and on, `gpt-5` and on), by its name,
/// also behind a router (`openai/o3-mini`).
fn reasons(wire_name: &str) -> bool {
    let name = wire_name.rsplit('/').next().unwrap_or(wire_name);
    let number = |rest: &str| -> Option<u32> {
        let end = rest.find(|c: char| !c.is_ascii_digit());
        rest[..end.unwrap_or(rest.len())].parse().ok()
    };
    let o_series = name.strip_prefix('o').and_then(number).is_some();
    let gpt = name.strip_prefix("gpt-").and_then(number);
    o_series || (gpt.is_some_and(|version| version >= 5) && !name.contains("-chat"))
}

/// Effort by thinking tokens allowed, where Google's own translation between the two puts them. 0 is
/// `low`, which every such model takes; below 0 the model decides.
fn effort(thinking_budget: i32) -> Option<&'static str> {
    match thinking_budget {
        ..0 => None,
        0..=1_024 => Some("low"),
        1_025..=8_192 => Some("medium"),
        _ => Some("high"),
    }
}

/// Why the body of a 200 is no reply.
#[derive(Debug, PartialEq)]
pub(super) enum Spoiled {
    /// It is an answer, and not a usable one.
    Answer(CallError),
    /// It is an error object, which stands for this status.
    Fault { status: u16, fault: Fault },
}

/// The reply in the body of a 200, or what is wrong with it.
pub(super) fn reply(body: &[u8], veil: &Veil<'_>) -> Result<Reply, Spoiled> {
    let Ok(told) = parse_lenient::<wire::Told>(body) else {
        return Err(unreadable(body, veil));
    };
    if told.error.as_ref().is_some_and(|error| !error.is_null()) {
        return Err(unreadable(body, veil));
    }
    let usage = told.usage.as_deref().and_then(usage);
    let Some(choices) = told.choices else {
        return Err(unreadable(body, veil));
    };
    let damaged = |message: &str| {
        Err(Spoiled::Answer(CallError::Damaged {
            message: message.to_owned(),
            usage,
        }))
    };
    let Some(choice) = choices.into_iter().next() else {
        return damaged("no choices");
    };
    if let Some(fault) = choice.error.as_ref().filter(|error| error.is_object()) {
        return Err(of_fault(Fault::of(fault), veil));
    }
    let Some(message) = choice.message else {
        return damaged("a choice without a message");
    };
    let text = content(message.content.as_ref());
    let refuses = |refusal: &Value| {
        refusal
            .as_str()
            .is_some_and(|words| !words.trim().is_empty())
    };
    if message.refusal.as_ref().is_some_and(refuses) {
        // the model's own words are an answer, and not for errors
        return Err(Spoiled::Answer(filtered(
            "the model refuses to answer (refusal)",
            usage,
        )));
    }
    let reason = choice.finish_reason.as_ref().and_then(Value::as_str);
    ended(reason, &text, usage, veil).map_err(Spoiled::Answer)?;
    let named = |value: Option<Value>| value.as_ref().and_then(Value::as_str).map(words::plain);
    Ok(Reply {
        text,
        usage,
        model_version: named(told.model),
        response_id: named(told.id),
    })
}

/// A text, or the texts of a list of parts.
pub(super) fn content(content: Option<&Value>) -> String {
    match content {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(parts)) => {
            let texts = parts.iter().filter(|part| {
                let kind = part.get("type").and_then(Value::as_str);
                matches!(kind, None | Some("text" | "output_text"))
            });
            texts
                .filter_map(|part| part.get("text").and_then(Value::as_str))
                .collect()
        }
        _ => String::new(),
    }
}

/// What the finish reason says of the answer. Copies write it in capitals, or by names of their own.
pub(super) fn ended(
    reason: Option<&str>,
    text: &str,
    usage: Option<Usage>,
    veil: &Veil<'_>,
) -> Result<(), CallError> {
    let damaged = |message| Err(CallError::Damaged { message, usage });
    let lower = reason.map(str::to_ascii_lowercase);
    match lower.as_deref() {
        Some("stop" | "eos" | "end_turn" | "stop_sequence") if text.trim().is_empty() => {
            damaged("ended with no text".to_owned())
        }
        Some("stop" | "eos" | "end_turn" | "stop_sequence") => Ok(()),
        Some("length" | "max_tokens") => Err(CallError::Truncated { usage }),
        Some(known @ ("content_filter" | "tool_calls" | "function_call")) => {
            Err(filtered(known, usage))
        }
        Some(_) => {
            let reason = veil.words(reason.unwrap_or_default());
            damaged(format!("ended unclearly: {reason}"))
        }
        None => damaged("no finish reason: the answer is not complete".to_owned()),
    }
}

pub(super) fn filtered(reason: &str, usage: Option<Usage>) -> CallError {
    CallError::Filtered {
        reason: reason.to_owned(),
        usage,
    }
}

/// A 200 that holds no answer: an error object after all, or damage.
pub(super) fn unreadable(body: &[u8], veil: &Veil<'_>) -> Spoiled {
    let damaged = |message: String| {
        Spoiled::Answer(CallError::Damaged {
            message,
            usage: None,
        })
    };
    if body.trim_ascii().is_empty() {
        return damaged("the body is empty".to_owned());
    }
    match parse_lenient::<Value>(body) {
        Ok(value) => match Fault::read(&value) {
            Some(fault) => of_fault(fault, veil),
            None => damaged("JSON, but not of OpenAI's shape".to_owned()),
        },
        // serde_json's own words quote the body.
        Err(error) => damaged(format!(
            "not JSON ({:?} at line {} column {} of {} bytes)",
            error.classify(),
            error.line(),
            error.column(),
            body.len()
        )),
    }
}

/// An error object that came under a 200.
pub(super) fn of_fault(fault: Fault, veil: &Veil<'_>) -> Spoiled {
    match error::status_of(&fault) {
        Some(status) => Spoiled::Fault { status, fault },
        None => Spoiled::Answer(CallError::Damaged {
            message: veil.words(&format!("an error under a 200: {}", fault.message)),
            usage: None,
        }),
    }
}

/// The counts; `None` if there are none.
pub(super) fn usage(raw: &RawValue) -> Option<Usage> {
    let counts: wire::Counts = serde_json::from_str(raw.get()).ok()?;
    let [prompt, completion, total] = [
        counts.prompt_tokens,
        counts.completion_tokens,
        counts.total_tokens,
    ]
    .map(|value| value.as_ref().and_then(count));
    let detail = |details: Option<Value>, key: &str| details?.get(key).and_then(count);
    let cached = detail(counts.prompt_tokens_details, "cached_tokens");
    let thought = detail(counts.completion_tokens_details, "reasoning_tokens").unwrap_or(0);
    prompt.or(completion).or(total)?;
    let input_tokens = prompt.unwrap_or(0);
    let rest = || total.map(|all| all.saturating_sub(input_tokens));
    let completion = completion.or_else(rest).unwrap_or(0);
    // some copies count reasoning beside the completion, and not in it: the total tells
    let is_beside = thought > 0 && total == Some(input_tokens + completion + thought);
    let output_tokens = if is_beside {
        completion
    } else {
        completion.saturating_sub(thought)
    };
    Some(Usage {
        input_tokens,
        cached_tokens: cached.unwrap_or(0),
        output_tokens,
        thought_tokens: thought,
    })
}

#[cfg(test)]
#[path = "map_tests.rs"]
mod tests;
