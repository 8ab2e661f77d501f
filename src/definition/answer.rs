//! Judging an answer: is it JSON, does it meet the schema.

use jsonschema::{Validator, error::ValidationErrorKind};
use serde_json::{Value, value::RawValue};

use crate::{
    llm::read_lenient,
    task::{Answer, Judgement},
};

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
            return Judgement::Accept(Answer::text(answer));
        };
        let answer = unfenced(answer);
        let (value, text) = match read_lenient::<Value>(answer) {
            Ok(read) => read,
            Err(error) => return Judgement::Reject(unreadable(answer, &error)),
        };
        match validator.validate(&value) {
            Ok(()) => match Answer::json(text) {
                Ok(answer) => Judgement::Accept(answer),
                Err(error) => Judgement::Reject(unreadable(answer, &error)),
            },
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
                // the schema's own words may be told, the answer's may not
                let wanted = match error.kind() {
                    ValidationErrorKind::Required { property } => format!(" {property}"),
                    _ => String::new(),
                };
                Judgement::Reject(format!(
                    "the answer does not meet the schema: {path}: {keyword}{wanted}"
                ))
            }
        }
    }
}

/// Where an answer cannot be read, never what it says: the error's own words may quote it.
fn unreadable(answer: &str, error: &serde_json::Error) -> String {
    let what = if serde_json::from_str::<&RawValue>(answer).is_ok() {
        "is nested deeper than 128, or holds a number larger than 1.8e308"
    } else {
        "is not JSON"
    };
    let (line, column) = (error.line(), error.column());
    format!("the answer {what} (line {line}, column {column})")
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
        for (answer, kept) in [
            (r#"{"a":["x"]}"#, r#"{"a":["x"]}"#),
            (" \n{\"a\":[\"x\"]}\n", r#"{"a":["x"]}"#),
            ("```json\n{\"a\":[\"x\"]}\n```", r#"{"a":["x"]}"#),
            ("\n```\n{\"a\": [\"x\"]}```\n", r#"{"a": ["x"]}"#),
            ("```JSON \n{\"a\":[\"x\"]}\n```", r#"{"a":["x"]}"#),
        ] {
            assert_eq!(
                judge().judge(answer),
                Judgement::Accept(Answer::json(kept).unwrap()),
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
    fn half_a_surrogate_pair_is_mended_and_all_else_is_kept_byte_for_byte() {
        let any = Judge::new(Some(&json!({}))).unwrap();
        for (given, wanted) in [
            (r#""a\ud83d b""#, r#""a\ufffd b""#),
            ("\u{feff}[1.0]", "[1.0]"),
            (r#""\ud83d\ude00""#, r#""\ud83d\ude00""#),
            (r#""a\u0000b""#, r#""a\u0000b""#),
            (
                r#"{"n": 1.0e2, "n": 9223372036854775809, "\u0061": 1.50}"#,
                r#"{"n": 1.0e2, "n": 9223372036854775809, "\u0061": 1.50}"#,
            ),
        ] {
            assert_eq!(
                any.judge(given),
                Judgement::Accept(Answer::json(wanted).unwrap()),
                "{given}"
            );
        }
    }

    #[test]
    fn what_is_json_but_cannot_be_checked_is_told_as_that() {
        let any = Judge::new(Some(&json!({}))).unwrap();
        let deep = "[".repeat(10_000) + &"]".repeat(10_000);
        for answer in [deep.as_str(), "[1e400000]"] {
            let Judgement::Reject(reason) = any.judge(answer) else {
                panic!("accepted")
            };
            assert!(reason.contains("nested deeper than 128"), "{reason}");
        }
    }

    #[test]
    fn without_a_schema_every_text_is_an_answer() {
        let accepted = Judge::new(None).unwrap().judge(" any\0 ");
        assert_eq!(accepted, Judgement::Accept(Answer::text(" any\0 ")));
    }
}
