//! What a request will weigh, before a provider has counted it.

use super::Component;
use crate::llm::{Params, Request};

/// Output tokens reserved for an answer where no limit of its length is set.
pub const EST_OUTPUT_TOKENS: u32 = 256;

/// Estimated tokens of a text: a quarter of its weight, rounded up.
///
/// An ASCII letter or white space weighs 1, an ASCII digit or mark 2 (they seldom share a token),
/// another character as it is long in UTF-8: 2 for two bytes (Latin with marks, Greek, Cyrillic),
/// 4 for three (CJK: one token each), 8 for four (emoji). English prose comes out some 5 to 20 %
/// above what today's tokenizers count. Saturates at `u32::MAX`.
///
/// ```
/// # use tidegate::definition::estimated_tokens;
/// assert_eq!(estimated_tokens("four words are here."), 6);
/// assert_eq!(estimated_tokens("东京"), 2);
/// assert_eq!(estimated_tokens(""), 0);
/// ```
pub fn estimated_tokens(text: &str) -> u32 {
    let weight: u64 = text.chars().map(weight).sum();
    u32::try_from(weight.div_ceil(4)).unwrap_or(u32::MAX)
}

/// Estimated input tokens of a whole request: system text, prompt, the schema as compact JSON, and
/// 8 for what frames each part. A text that is to become a vector weighs what it weighs alone.
pub fn estimated_request_tokens(request: &Request) -> u32 {
    if request.embed.is_some() {
        return estimated_tokens(&request.prompt);
    }
    let schema = request.schema.as_ref().map(ToString::to_string);
    [
        Some(request.prompt.as_str()),
        request.system.as_deref(),
        schema.as_deref(),
    ]
    .into_iter()
    .flatten()
    .map(|part| estimated_tokens(part).saturating_add(FRAME_TOKENS))
    .fold(0, u32::saturating_add)
}

/// Estimated input tokens of a step whose needs are not done: its template, system text and schema, the
/// item whole, and the answers of its needs as long as they may be (a local one's as long as its
/// template). Rather too many than too few.
pub fn estimated_step_tokens(step: &Component, all: &[Component], body: &str) -> u32 {
    let prompt = &step.prompt;
    let own = estimated_request_tokens(&Request {
        system: prompt.system.clone(),
        prompt: prompt.template.clone(),
        schema: prompt.schema.clone(),
        params: Params::default(),
        embed: None,
    });
    let needed = all.iter().filter(|other| step.needs.contains(&other.name));
    needed
        .map(|other| match other.prompt.params.max_output_tokens {
            Some(most) if !other.local => most,
            _ => estimated_tokens(&other.prompt.template),
        })
        .fold(own, u32::saturating_add)
        .saturating_add(estimated_tokens(body))
}

fn weight(c: char) -> u64 {
    match (c, c.len_utf8()) {
        (c, 1) if c.is_ascii_alphabetic() || c.is_ascii_whitespace() => 1,
        (_, 1 | 2) => 2,
        (_, 3) => 4,
        _ => 8,
    }
}

const FRAME_TOKENS: u32 = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_counts() {
        let mut request = Request {
            prompt: "abcd".into(),
            ..Request::default()
        };
        assert_eq!(estimated_request_tokens(&request), 9);
        request.system = Some("abcd".into());
        assert_eq!(estimated_request_tokens(&request), 18);
        request.schema = Some(serde_json::json!({"a": 1}));
        assert!(estimated_request_tokens(&request) > 26);
    }

    #[test]
    fn more_text_never_weighs_less() {
        let text = "Straße, 12 東京 🚀 done";
        let cuts = text
            .char_indices()
            .map(|(at, _)| estimated_tokens(&text[..at]));
        assert!(cuts.collect::<Vec<_>>().is_sorted());
    }
}
