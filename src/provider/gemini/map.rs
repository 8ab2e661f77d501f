//! Our request into Gemini's words, and its answer back into ours.

use serde_json::{Value, value::RawValue};

use super::{
    error,
    wire::{self, count},
};
use crate::{
    llm::{CallError, Reply, Request, Usage, parse_lenient},
    provider::words::{self, Veil},
};

/// The body that asks `request`.
pub(super) fn ask(request: &Request) -> wire::Ask<'_> {
    let content = |role, text| wire::Content {
        role,
        parts: [wire::Part { text }],
    };
    let params = &request.params;
    wire::Ask {
        system_instruction: request
            .system
            .as_deref()
            .map(|system| content(None, system)),
        contents: [content(Some("user"), &request.prompt)],
        generation_config: wire::GenerationConfig {
            temperature: params.temperature,
            top_p: params.top_p,
            top_k: params.top_k,
            max_output_tokens: params.max_output_tokens,
            stop_sequences: &params.stop,
            seed: params.seed.map(seed),
            response_mime_type: request.schema.as_ref().map(|_| "application/json"),
            response_json_schema: request.schema.as_ref(),
            thinking_config: params
                .thinking_budget
                .map(|thinking_budget| wire::ThinkingConfig { thinking_budget }),
        },
    }
}

/// The wire takes 32 bits. A larger seed is folded, always the same way: the lower half of its bits.
fn seed(seed: i64) -> i32 {
    let [a, b, c, d, ..] = seed.to_le_bytes();
    i32::try_from(seed).unwrap_or(i32::from_le_bytes([a, b, c, d]))
}

/// The reply in the body of a 200, or what is wrong with it.
pub(super) fn reply(body: &[u8], veil: &Veil<'_>) -> Result<Reply, CallError> {
    let Ok(told) = parse_lenient::<wire::Told>(body) else {
        return Err(unreadable(body, veil));
    };
    let usage = told.usage_metadata.as_deref().and_then(usage);
    let Some(candidate) = told.candidates.into_iter().flatten().next() else {
        let Some(feedback) = told.prompt_feedback else {
            // Perhaps an error object under a 200, or JSON of somebody else.
            return Err(match (usage, told.model_version) {
                (None, None) => unreadable(body, veil),
                _ => filtered("no candidates", usage, veil),
            });
        };
        let reason = feedback
            .block_reason
            .unwrap_or_else(|| "no candidates".to_owned());
        return Err(filtered(&reason, usage, veil));
    };
    let text = said(candidate.content);
    ended(candidate.finish_reason.as_deref(), &text, usage, veil)?;
    Ok(Reply {
        text,
        usage,
        model_version: told.model_version.map(|version| words::plain(&version)),
        response_id: told.response_id.map(|id| words::plain(&id)),
    })
}

/// The texts of a candidate, thoughts left out.
pub(super) fn said(content: Option<wire::ToldContent>) -> String {
    let parts = content.and_then(|content| content.parts);
    let own = parts.into_iter().flatten();
    own.filter(|part| part.thought != Some(true))
        .filter_map(|part| part.text)
        .collect()
}

/// What the finish reason says of the answer.
pub(super) fn ended(
    reason: Option<&str>,
    text: &str,
    usage: Option<Usage>,
    veil: &Veil<'_>,
) -> Result<(), CallError> {
    let damaged = |message| Err(CallError::Damaged { message, usage });
    match reason {
        Some("STOP") if text.trim().is_empty() => damaged("ended with no text".to_owned()),
        Some("STOP") => Ok(()),
        Some("MAX_TOKENS") => Err(CallError::Truncated { usage }),
        Some(
            reason @ ("SAFETY"
            | "RECITATION"
            | "BLOCKLIST"
            | "PROHIBITED_CONTENT"
            | "SPII"
            | "LANGUAGE"
            | "NO_IMAGE"
            | "MALFORMED_FUNCTION_CALL"
            | "UNEXPECTED_TOOL_CALL"
            | "TOO_MANY_TOOL_CALLS"
            | "MISSING_THOUGHT_SIGNATURE"),
        ) => Err(filtered(reason, usage, veil)),
        Some(reason) if reason.starts_with("IMAGE_") => Err(filtered(reason, usage, veil)),
        Some("PUP_LIMITED_DISABLED") => Err(CallError::KeyRefused {
            message: "the account is limited (PUP_LIMITED_DISABLED)".to_owned(),
        }),
        // OTHER, MALFORMED_RESPONSE, FINISH_REASON_UNSPECIFIED, and whatever comes next.
        Some(reason) => damaged(format!("ended unclearly: {}", veil.words(reason))),
        None => damaged("no finish reason: the answer is not complete".to_owned()),
    }
}

pub(super) fn filtered(reason: &str, usage: Option<Usage>, veil: &Veil<'_>) -> CallError {
    CallError::Filtered {
        reason: veil.words(reason),
        usage,
    }
}

/// A 200 that holds no answer: an error object after all, or damage.
pub(super) fn unreadable(body: &[u8], veil: &Veil<'_>) -> CallError {
    let damaged = |message: String| CallError::Damaged {
        message,
        usage: None,
    };
    if body.trim_ascii().is_empty() {
        return damaged("the body is empty".to_owned());
    }
    match parse_lenient::<Value>(body) {
        Ok(value) => error::in_success(&value, veil)
            .unwrap_or_else(|| damaged("JSON, but not of Gemini's shape".to_owned())),
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

/// The counts; `None` if there are none.
pub(super) fn usage(raw: &RawValue) -> Option<Usage> {
    let counts: wire::UsageMetadata = serde_json::from_str(raw.get()).ok()?;
    let [prompt, cached, candidates, thoughts, tools, total] = [
        counts.prompt_token_count,
        counts.cached_content_token_count,
        counts.candidates_token_count,
        counts.thoughts_token_count,
        counts.tool_use_prompt_token_count,
        counts.total_token_count,
    ]
    .map(|value| value.as_ref().and_then(count));
    prompt.or(candidates).or(total)?;
    let input_tokens = prompt.unwrap_or(0).saturating_add(tools.unwrap_or(0));
    let thought_tokens = thoughts.unwrap_or(0);
    // The total is prompt, thoughts and candidates together.
    let rest = || {
        total.map(|all| {
            all.saturating_sub(input_tokens)
                .saturating_sub(thought_tokens)
        })
    };
    Some(Usage {
        input_tokens,
        cached_tokens: cached.unwrap_or(0),
        output_tokens: candidates.or_else(rest).unwrap_or(0),
        thought_tokens,
    })
}

#[cfg(test)]
#[path = "map_tests.rs"]
mod tests;
