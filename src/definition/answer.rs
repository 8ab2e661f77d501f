//! Judging an answer: is it JSON, does it meet the schema.

use std::borrow::Cow;

use jsonschema::Validator;
use serde_json::Value;

use crate::task::Judgement;

/// A schema, compiled once.
#[derive(Debug)]
pub(super) struct Judge(Option<Validator>);

impl Judge {
    /// Compiles a schema; without one every text is accepted.
    pub(super) fn new(schema: Option<&Value>) -> Result<Self, String> {
        let compile = |schema: &Value| {
            if !schema.is_object() {
                return Err("is no JSON Schema: it must be an object".to_owned());
            }
            jsonschema::validator_for(schema).map_err(|error| {
                let at = error.instance_path().to_string();
                let at = if at.is_empty() { "its top" } else { &at };
                format!("is no valid JSON Schema, at {at}: {error}")
            })
        };
        schema.map(compile).transpose().map(Self)
    }

    /// Accepts an answer, or says where it fails and by which keyword, never what it says.
    pub(super) fn judge(&self, answer: &str) -> Judgement {
        let Some(validator) = &self.0 else {
            return Judgement::Accept(Value::String(answer.replace('\0', "\u{fffd}")));
        };
        let value = match parse_lenient(unfenced(answer)) {
            Ok(value) => value,
            Err(error) => return Judgement::Reject(format!("the answer is not JSON: {error}")),
        };
        match validator.validate(&value) {
            Ok(()) => Judgement::Accept(value),
            Err(error) => {
                let path: String = error
                    .instance_path()
                    .as_str()
                    .chars()
                    .take(PATH_CHARS_MAX)
                    .collect();
                let path = if path.is_empty() {
                    "/".to_owned()
                } else {
                    path
                };
                let keyword = error.kind().keyword();
                Judgement::Reject(format!(
                    "the answer does not meet the schema: {path}: {keyword}"
                ))
            }
        }
    }
}

/// The answer without white space and an optional code fence around it.
fn unfenced(answer: &str) -> &str {
    let answer = answer.trim();
    let inner = answer
        .strip_prefix("```")
        .and_then(|rest| rest.strip_suffix("```"));
    match inner.and_then(|inner| inner.split_once('\n')) {
        Some((word, inner))
            if ["", "json"].contains(&word.trim().to_ascii_lowercase().as_str()) =>
        {
            inner.trim()
        }
        _ => answer,
    }
}

/// Parses JSON in which models have cut surrogate pairs in two. What Postgres cannot keep in jsonb
/// (lone surrogates, U+0000) becomes U+FFFD. To be replaced by `llm::json::parse_lenient` once that
/// exists and does the same.
fn parse_lenient(json: &str) -> Result<Value, serde_json::Error> {
    serde_json::from_str(&storable(json))
}

/// The text with every escape that jsonb refuses put as `\ufffd`.
fn storable(json: &str) -> Cow<'_, str> {
    if !json.contains("\\u") {
        return Cow::Borrowed(json);
    }
    let (mut out, mut rest) = (String::with_capacity(json.len()), json);
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let take = match (escape(rest), rest.get(6..).and_then(escape)) {
            (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => 12,
            (Some(0 | 0xd800..=0xdfff), _) => {
                out.push_str("\\ufffd");
                rest = &rest[6..];
                continue;
            }
            (Some(_), _) => 6,
            // The backslash and what it escapes, which may be wide; at the end only the backslash.
            (None, _) => 1 + rest[1..].chars().next().map_or(0, char::len_utf8),
        };
        out.push_str(&rest[..take]);
        rest = &rest[take..];
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// The number of a `\uXXXX` that stands at the beginning.
fn escape(text: &str) -> Option<u32> {
    u32::from_str_radix(text.strip_prefix("\\u")?.get(..4)?, 16).ok()
}

const PATH_CHARS_MAX: usize = 200;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn judge() -> Judge {
        let schema = json!({
            "type": "object", "required": ["a"], "additionalProperties": false,
            "properties": {"a": {"type": "array", "items": {"type": "string", "enum": ["x", "y"]}}},
        });
        Judge::new(Some(&schema)).unwrap()
    }

    #[test]
    fn a_fence_and_white_space_are_taken_off_and_nothing_else() {
        for answer in [
            r#"{"a":["x"]}"#,
            " \n{\"a\":[\"x\"]}\n",
            "```json\n{\"a\":[\"x\"]}\n```",
            "\n```\n{\"a\": [\"x\"]}```\n",
            "```JSON \n{\"a\":[\"x\"]}\n```",
        ] {
            assert_eq!(
                judge().judge(answer),
                Judgement::Accept(json!({"a": ["x"]})),
                "{answer}"
            );
        }
        for answer in [
            "Here: {\"a\":[]}",
            "```yaml\n{\"a\":[]}\n```",
            "",
            "```",
            "{\"a\":[]} {}",
        ] {
            assert!(
                matches!(judge().judge(answer), Judgement::Reject(_)),
                "{answer}"
            );
        }
    }

    #[test]
    fn a_rejection_says_where_and_never_what() {
        for (answer, place) in [
            (r#"{"a":["x","secret"]}"#, "/a/1: enum"),
            (r#"{"a":"secret"}"#, "/a: type"),
            (r#"{"secret":1}"#, "/: "),
        ] {
            let Judgement::Reject(reason) = judge().judge(answer) else {
                panic!("{answer}")
            };
            assert!(reason.contains(place), "{reason}");
            assert!(!reason.contains("secret"), "{reason}");
        }
    }

    #[test]
    fn escapes_that_jsonb_refuses_are_mended() {
        for (given, wanted) in [
            (r#""a\ud83d b""#, "a\u{fffd} b"),
            (r#""\ud83d\ude00\udc00""#, "😀\u{fffd}"),
            (r#""\ud83d\ud83d\ude00""#, "\u{fffd}😀"),
            (r#""\u0000""#, "\u{fffd}"),
            (r#""\\u0000\u0041""#, "\\u0000A"),
            (r#""\\\ud800""#, "\\\u{fffd}"),
        ] {
            assert_eq!(parse_lenient(given).unwrap(), json!(wanted), "{given}");
        }
        assert!(parse_lenient("\"\\u12").is_err());
        assert!(parse_lenient("\"\\u00é\\").is_err());
    }

    #[test]
    fn without_a_schema_every_text_is_an_answer() {
        let accepted = Judge::new(None).unwrap().judge(" any\0 ");
        assert_eq!(accepted, Judgement::Accept(json!(" any\u{fffd} ")));
    }
}
