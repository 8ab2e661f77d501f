//! What a call asks for, and OpenAI's words when it asks wrongly. Pure.

use serde_json::{Map, Value};

use super::failure::Failure;
use super::schema;
use crate::simulator::answer::tokens;
use crate::simulator::asked::{Asked, FILE_TOKENS, Form, prompt_hash};
use crate::simulator::settings::ModelSettings;

/// The keys of a body; what else it has is refused.
pub(super) const KEYS: [&str; 36] = [
    "model",
    "messages",
    "audio",
    "frequency_penalty",
    "function_call",
    "functions",
    "logit_bias",
    "logprobs",
    "max_completion_tokens",
    "max_tokens",
    "metadata",
    "modalities",
    "moderation",
    "n",
    "parallel_tool_calls",
    "prediction",
    "presence_penalty",
    "prompt_cache_key",
    "prompt_cache_retention",
    "reasoning_effort",
    "response_format",
    "safety_identifier",
    "seed",
    "service_tier",
    "stop",
    "store",
    "stream",
    "stream_options",
    "temperature",
    "tool_choice",
    "tools",
    "top_logprobs",
    "top_p",
    "user",
    "verbosity",
    "web_search_options",
];

/// The body as an object of these keys.
pub(super) fn body(bytes: &[u8], keys: &[&str]) -> Result<Map<String, Value>, Failure> {
    let body: Map<String, Value> = serde_json::from_slice(bytes).map_err(|error| {
        Failure::invalid(format!(
            "We could not parse the JSON body of your request. {error}"
        ))
    })?;
    match body.keys().find(|key| !keys.contains(&key.as_str())) {
        Some(key) => {
            let message = format!("Unknown parameter: '{key}'.");
            Err(Failure::of(key, "unknown_parameter", message))
        }
        None => Ok(body),
    }
}

/// The model that is asked.
pub(super) fn model(body: &Map<String, Value>) -> Result<&str, Failure> {
    let name = body.get("model").and_then(Value::as_str);
    name.ok_or_else(|| Failure::invalid("you must provide a model parameter"))
}

/// Reads the question.
pub(super) fn question(body: &Map<String, Value>, model: &ModelSettings) -> Result<Asked, Failure> {
    check_plain(body)?;
    let reasons = reasons(&model.name);
    check_sampling(body, reasons)?;
    let asked_max = output_limit(body, reasons)?;
    let turns = turns(body)?;
    let (mime, schema) = format(body, &turns)?;
    let input_tokens = turns.iter().map(|turn| turn.tokens).sum();
    if input_tokens > model.input_token_limit {
        let limit = model.input_token_limit;
        let message = format!(
            "This model's maximum context length is {limit} tokens. However, your messages resulted \
             in {input_tokens} tokens. Please reduce the length of the messages."
        );
        return Err(Failure::of("messages", "context_length_exceeded", message));
    }
    let joined = |system: bool| {
        let texts = turns.iter().filter(|turn| turn.system == system);
        let texts: Vec<_> = texts.map(|turn| turn.text.as_str()).collect();
        texts.join("\n")
    };
    let prompt = joined(false);
    Ok(Asked {
        prompt_hash: prompt_hash(&joined(true), &prompt),
        prompt,
        input_tokens,
        // the larger of what is sent and of what the answer may have: so OpenAI counts
        charged_tokens: input_tokens.max(asked_max.unwrap_or(0)),
        output_tokens_max: asked_max.unwrap_or(u64::MAX).min(model.output_token_limit),
        mime,
        schema,
        form: if streams(body) {
            Form::Stream
        } else {
            Form::Whole
        },
    })
}

fn streams(body: &Map<String, Value>) -> bool {
    body.get("stream").and_then(Value::as_bool) == Some(true)
}

/// Whether a stream shall end with its counts.
pub(super) fn includes_usage(body: &Map<String, Value>) -> bool {
    let wanted = body
        .get("stream_options")
        .and_then(|it| it.get("include_usage"));
    wanted.and_then(Value::as_bool) == Some(true)
}

/// What the simulator offers in one way only.
fn check_plain(body: &Map<String, Value>) -> Result<(), Failure> {
    let unsupported = |key: &str, message: &str| Failure::of(key, "unsupported_value", message);
    let options = body.get("stream_options").is_some_and(|it| !it.is_null());
    if options && !streams(body) {
        let message = "The 'stream_options' parameter is only allowed when 'stream' is enabled.";
        return Err(Failure::of("stream_options", "invalid_value", message));
    }
    match body.get("n") {
        None | Some(Value::Null) => Ok(()),
        Some(choices) if choices.as_u64() == Some(1) => Ok(()),
        Some(_) => Err(unsupported("n", "The simulator gives one choice.")),
    }
}

/// Models that reason take no sampling.
fn check_sampling(body: &Map<String, Value>, reasons: bool) -> Result<(), Failure> {
    for (key, most) in [("temperature", 2.0), ("top_p", 1.0)] {
        let Some(value) = body.get(key).filter(|value| !value.is_null()) else {
            continue;
        };
        let Some(number) = value
            .as_f64()
            .filter(|number| (0.0..=most).contains(number))
        else {
            let message = format!("Invalid '{key}': expected a number between 0 and {most}.");
            return Err(Failure::of(key, "invalid_value", message));
        };
        if reasons && (number - 1.0).abs() > f64::EPSILON {
            let message = format!(
                "Unsupported value: '{key}' does not support {number} with this model. Only the \
                 default (1) value is supported."
            );
            return Err(Failure::of(key, "unsupported_value", message));
        }
    }
    let stops = body.get("stop").is_some_and(|stop| !stop.is_null());
    if reasons && stops {
        let message = "Unsupported parameter: 'stop' is not supported with this model.";
        return Err(Failure::of("stop", "unsupported_parameter", message));
    }
    Ok(())
}

/// Whether OpenAI's model of this name reasons.
fn reasons(name: &str) -> bool {
    let mut letters = name.chars();
    let o_series =
        letters.next() == Some('o') && letters.next().is_some_and(|c| c.is_ascii_digit());
    o_series || (name.starts_with("gpt-5") && !name.contains("chat"))
}

fn output_limit(body: &Map<String, Value>, reasons: bool) -> Result<Option<u64>, Failure> {
    let mut limit = None;
    for key in ["max_tokens", "max_completion_tokens"] {
        let Some(value) = body.get(key).filter(|value| !value.is_null()) else {
            continue;
        };
        if key == "max_tokens" && reasons {
            let message = "Unsupported parameter: 'max_tokens' is not supported with this model. \
                           Use 'max_completion_tokens' instead.";
            return Err(Failure::of(key, "unsupported_parameter", message));
        }
        if limit.is_some() {
            let message = "Setting 'max_tokens' and 'max_completion_tokens' at the same time is \
                           not supported.";
            return Err(Failure::of(key, "invalid_parameter_combination", message));
        }
        limit = value.as_u64().filter(|most| *most > 0);
        if limit.is_none() {
            let message = format!("Invalid '{key}': expected a positive integer.");
            return Err(Failure::of(key, "invalid_value", message));
        }
    }
    Ok(limit)
}

/// One message.
struct Turn {
    system: bool,
    text: String,
    tokens: u64,
}

fn turns(body: &Map<String, Value>) -> Result<Vec<Turn>, Failure> {
    let messages = body.get("messages").and_then(Value::as_array);
    let messages = messages.filter(|messages| !messages.is_empty());
    let Some(messages) = messages else {
        let message = "Invalid 'messages': expected an array with at least one message.";
        return Err(Failure::of("messages", "empty_array", message));
    };
    messages.iter().enumerate().map(turn).collect()
}

fn turn((at, message): (usize, &Value)) -> Result<Turn, Failure> {
    let role = message.get("role").and_then(Value::as_str).unwrap_or("");
    if !["system", "developer", "user", "assistant", "tool"].contains(&role) {
        let place = format!("messages[{at}].role");
        let told = format!(
            "Invalid value: '{role}'. Supported values are: 'system', 'assistant', 'user', \
             'developer' and 'tool'."
        );
        return Err(Failure::of(&place, "invalid_value", told));
    }
    let (text, tokens) = match message.get("content") {
        Some(Value::String(text)) => (text.clone(), tokens(text)),
        Some(Value::Array(parts)) if !parts.is_empty() => {
            let texts = parts.iter().map(|part| part.get("text")?.as_str());
            let counted = texts.clone().map(|text| text.map_or(FILE_TOKENS, tokens));
            (
                texts.flatten().collect::<Vec<_>>().join("\n"),
                counted.sum(),
            )
        }
        Some(Value::Null) | None if role == "assistant" => (String::new(), 0),
        _ => {
            let place = format!("messages[{at}].content");
            let told = format!(
                "Invalid value for 'content' of messages[{at}]: expected a string or a list of parts."
            );
            return Err(Failure::of(&place, "invalid_type", told));
        }
    };
    Ok(Turn {
        system: matches!(role, "system" | "developer"),
        text,
        tokens,
    })
}

/// What form the answer has, in the words that answers are made by.
fn format(body: &Map<String, Value>, turns: &[Turn]) -> Result<(String, Option<Value>), Failure> {
    let format = body.get("response_format").filter(|it| !it.is_null());
    let Some(format) = format else {
        return Ok(("text/plain".to_owned(), None));
    };
    let json = "application/json".to_owned();
    match format.get("type").and_then(Value::as_str) {
        Some("text") => Ok(("text/plain".to_owned(), None)),
        Some("json_object") => {
            let says_json = |turn: &Turn| turn.text.to_ascii_lowercase().contains("json");
            if turns.iter().any(says_json) {
                return Ok((json, None));
            }
            Err(Failure::invalid(
                "'messages' must contain the word 'json' in some form, to use 'response_format' of \
                 type 'json_object'.",
            ))
        }
        Some("json_schema") => {
            let wanted = &format["json_schema"];
            schema::check(wanted)?;
            Ok((json, wanted.get("schema").cloned()))
        }
        _ => Err(Failure::of(
            "response_format.type",
            "invalid_value",
            "Supported values are: 'json_object', 'json_schema', and 'text'.",
        )),
    }
}

#[cfg(test)]
#[path = "judge_tests.rs"]
mod tests;
