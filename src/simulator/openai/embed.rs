//! What `POST /v1/embeddings` asks for, and OpenAI's words when it asks wrongly. Pure.

use serde_json::{Map, Value};

use super::failure::Failure;
use crate::simulator::answer::tokens;
use crate::simulator::asked::{Asked, Wanted};
use crate::simulator::settings::{DIMENSIONS_MAX, ModelSettings};

/// The keys of a body; what else it has is refused.
pub(super) const KEYS: [&str; 5] = ["model", "input", "encoding_format", "dimensions", "user"];
/// Most texts in one call.
const AT_ONCE: usize = 2048;
/// Most tokens of all texts of one call.
const TOKENS_MAX: u64 = 300_000;

/// Reads the question.
pub(super) fn question(body: &Map<String, Value>, model: &ModelSettings) -> Result<Asked, Failure> {
    is_base64(body)?;
    let dimensions = dimensions(body, model)?;
    let texts = texts(body)?;
    let counts = texts.iter().map(|text| tokens(text));
    let limit = model.input_token_limit;
    if let Some(most) = counts.clone().max().filter(|most| *most > limit) {
        let message = format!(
            "This model's maximum context length is {limit} tokens, however you requested {most} \
             tokens. Please reduce your prompt."
        );
        return Err(Failure::invalid(message));
    }
    let counted = counts.sum();
    if counted > TOKENS_MAX {
        let message = format!("Requested {counted} tokens, max {TOKENS_MAX} tokens per request.");
        return Err(Failure::invalid(message));
    }
    let wanted = texts.into_iter().map(|text| Wanted {
        text,
        task: String::new(),
        dimensions,
    });
    Ok(Asked::for_vectors(wanted.collect(), counted))
}

/// Whether vectors are wanted as base64.
pub(super) fn is_base64(body: &Map<String, Value>) -> Result<bool, Failure> {
    match body.get("encoding_format").filter(|it| !it.is_null()) {
        None => Ok(false),
        Some(format) if format == "float" => Ok(false),
        Some(format) if format == "base64" => Ok(true),
        Some(_) => Err(Failure::of(
            "encoding_format",
            "invalid_value",
            "Supported values are: 'float' and 'base64'.",
        )),
    }
}

fn dimensions(body: &Map<String, Value>, model: &ModelSettings) -> Result<usize, Failure> {
    let asked = body.get("dimensions").filter(|it| !it.is_null());
    let own = || u64::from(model.dimensions().unwrap_or(1));
    let count = asked.map_or_else(|| Some(own()), Value::as_u64);
    let count = count.filter(|count| (1..=u64::from(DIMENSIONS_MAX)).contains(count));
    let count = count.and_then(|count| usize::try_from(count).ok());
    count.ok_or_else(|| {
        let message = "Invalid 'dimensions': expected an integer between 1 and 3072.";
        Failure::of("dimensions", "invalid_value", message)
    })
}

/// A text, or a list of texts. Lists of tokens are understood as their numbers in a row.
fn texts(body: &Map<String, Value>) -> Result<Vec<String>, Failure> {
    let wrong = |message: &str| Failure::of("input", "invalid_value", message);
    let one = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Array(numbers) if numbers.iter().all(Value::is_u64) => {
            let words = numbers.iter().map(ToString::to_string);
            Some(words.collect::<Vec<_>>().join(" "))
        }
        _ => None,
    };
    let input = body.get("input").unwrap_or(&Value::Null);
    let texts: Option<Vec<String>> = match input {
        Value::Array(all) if !all.iter().all(Value::is_u64) => all.iter().map(one).collect(),
        other => one(other).map(|text| vec![text]),
    };
    let Some(texts) = texts else {
        return Err(wrong(
            "Invalid 'input': expected a string or a list of strings.",
        ));
    };
    if texts.len() > AT_ONCE {
        return Err(wrong("Invalid 'input': at most 2048 texts in one request."));
    }
    if texts.iter().any(String::is_empty) {
        return Err(wrong("Invalid 'input': input cannot be an empty string."));
    }
    Ok(texts)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::simulator::asked::Form;

    fn read(more: Value) -> Result<Asked, Failure> {
        let mut body = json!({"model": "text-embedding-x", "input": "hello"});
        for (key, value) in more.as_object().unwrap() {
            body[key] = value.clone();
        }
        let model = ModelSettings::named("text-embedding-x");
        question(body.as_object().unwrap(), &model)
    }

    #[test]
    fn texts_and_dimensions_are_read() {
        for (more, count, dimensions, tokens) in [
            (json!({}), 1, 1_536, 2),
            (json!({"input": ["hello", "you"], "dimensions": 5}), 2, 5, 3),
            (
                json!({"input": [[1, 2], [3]], "encoding_format": "base64"}),
                2,
                1_536,
                2,
            ),
            (json!({"input": [1, 2, 3], "dimensions": null}), 1, 1_536, 2),
        ] {
            let asked = read(more).unwrap();
            let Form::Vectors(wanted) = &asked.form else {
                panic!("no vectors")
            };
            let seen = (wanted.len(), wanted[0].dimensions, asked.charged_tokens);
            assert_eq!(seen, (count, dimensions, tokens));
        }
    }

    #[test]
    fn wrong_bodies_are_told_so() {
        for more in [
            json!({"input": null}),
            json!({"input": []}),
            json!({"input": ""}),
            json!({"input": ["a", ""]}),
            json!({"input": [{}]}),
            json!({"input": vec!["a"; 2_049]}),
            json!({"input": vec!["a".repeat(4_000); 301]}),
            json!({"dimensions": 0}),
            json!({"dimensions": 3_073}),
            json!({"dimensions": "7"}),
            json!({"encoding_format": "hex"}),
        ] {
            assert!(read(more.clone()).is_err(), "{more}");
        }
    }
}
