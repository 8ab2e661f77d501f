//! What a call asks for, and Gemini's words when it asks wrongly. Pure.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::failure::Failure;
use super::wire::{CONFIG_KEYS, Content, GenerateRequest, REQUEST_KEYS};
use crate::simulator::answer::tokens;
use crate::simulator::asked::{Asked, FILE_TOKENS, Form, prompt_hash};
use crate::simulator::settings::ModelSettings;

/// Reads the body of generateContent.
pub(super) fn question(body: &[u8], model: &ModelSettings) -> Result<Asked, Failure> {
    let members = object(body)?;
    known_keys(&members, &REQUEST_KEYS, None)?;
    if let Some(config) = member(&members, "generationConfig").and_then(Value::as_object) {
        known_keys(config, &CONFIG_KEYS, Some("generation_config"))?;
    }
    let request: GenerateRequest = typed(Value::Object(members))?;
    check_contents(&request.contents)?;
    let asked = asked(request, model)?;
    if asked.input_tokens > model.input_token_limit {
        return Err(Failure::invalid(format!(
            "The input token count ({}) exceeds the maximum number of tokens allowed ({}).",
            asked.input_tokens, model.input_token_limit
        )));
    }
    Ok(asked)
}

/// Reads the body of countTokens, whose answer is the number it gives back.
pub(super) fn token_count(body: &[u8]) -> Result<u64, Failure> {
    let mut members = object(body)?;
    let keys = ["contents", "generateContentRequest", "model"];
    known_keys(&members, &keys, None)?;
    let inner = ["generateContentRequest", "generate_content_request"]
        .iter()
        .find_map(|key| members.remove(*key));
    let request: GenerateRequest = typed(inner.unwrap_or(Value::Object(members)))?;
    check_contents(&request.contents)?;
    Ok(input_tokens(&request))
}

fn asked(request: GenerateRequest, model: &ModelSettings) -> Result<Asked, Failure> {
    let input_tokens = input_tokens(&request);
    let system = request.system_instruction.as_ref().map_or(vec![], texts);
    let prompt = request.contents.iter().flat_map(texts);
    let prompt = prompt.collect::<Vec<_>>().join("\n");
    let prompt_hash = prompt_hash(&system.join("\n"), &prompt);
    let config = request.generation_config.unwrap_or_default();
    let schema = config.response_schema.or(config.response_json_schema);
    let mime = config
        .response_mime_type
        .unwrap_or_else(|| "text/plain".to_owned());
    check_mime(&mime, schema.is_some())?;
    let output_tokens_max = match config.max_output_tokens {
        None => model.output_token_limit,
        Some(most) => match u64::try_from(most) {
            Ok(most) if most > 0 => most.min(model.output_token_limit),
            _ => {
                return Err(Failure::invalid(
                    "* GenerateContentRequest.generation_config.max_output_tokens: \
                     max_output_tokens must be positive.\n",
                ));
            }
        },
    };
    Ok(Asked {
        prompt,
        prompt_hash,
        input_tokens,
        // Gemini counts the prompt alone
        charged_tokens: input_tokens,
        output_tokens_max,
        mime,
        schema,
        form: Form::Whole,
    })
}

/// Four characters are a token; a part that is not text counts like an image.
fn input_tokens(request: &GenerateRequest) -> u64 {
    let turns = request.system_instruction.iter().chain(&request.contents);
    turns
        .flat_map(|turn| &turn.parts)
        .map(|part| part.text.as_deref().map_or(FILE_TOKENS, tokens))
        .sum()
}

pub(super) fn texts(content: &Content) -> Vec<&str> {
    let parts = content.parts.iter();
    parts.filter_map(|part| part.text.as_deref()).collect()
}

fn check_contents(contents: &[Content]) -> Result<(), Failure> {
    if contents.is_empty() {
        return Err(Failure::invalid(
            "* GenerateContentRequest.contents: contents is not specified\n",
        ));
    }
    for (at, content) in contents.iter().enumerate() {
        if content.parts.is_empty() {
            return Err(Failure::invalid(format!(
                "* GenerateContentRequest.contents[{at}].parts: contents.parts must not be empty.\n"
            )));
        }
        if !matches!(content.role.as_deref(), None | Some("" | "user" | "model")) {
            return Err(Failure::invalid("Please use a valid role: user, model."));
        }
    }
    Ok(())
}

fn check_mime(mime: &str, schema: bool) -> Result<(), Failure> {
    match (mime, schema) {
        ("application/json" | "text/x.enum", _) | ("text/plain", false) => Ok(()),
        ("text/plain", true) => Err(Failure::invalid(
            "* GenerateContentRequest.generation_config.response_schema: a response schema needs \
             response_mime_type application/json.\n",
        )),
        _ => Err(Failure::invalid(
            "* GenerateContentRequest.generation_config.response_mime_type: allowed mimetypes are \
             `text/plain`, `application/json` and `text/x.enum`.\n",
        )),
    }
}

pub(super) fn object(body: &[u8]) -> Result<Map<String, Value>, Failure> {
    typed_by(serde_json::from_slice(body))
}

pub(super) fn typed<T: DeserializeOwned>(value: Value) -> Result<T, Failure> {
    typed_by(serde_json::from_value(value))
}

fn typed_by<T>(read: Result<T, serde_json::Error>) -> Result<T, Failure> {
    read.map_err(|error| Failure::invalid(format!("Invalid JSON payload received. {error}")))
}

pub(super) fn known_keys(
    members: &Map<String, Value>,
    keys: &[&str],
    inside: Option<&str>,
) -> Result<(), Failure> {
    let unknown = members
        .keys()
        .find(|key| !keys.iter().any(|known| same_key(key, known)));
    unknown.map_or(Ok(()), |key| Err(Failure::unknown_key(key, inside)))
}

fn member<'a>(members: &'a Map<String, Value>, key: &str) -> Option<&'a Value> {
    members
        .iter()
        .find(|(name, _)| same_key(name, key))
        .map(|(_, value)| value)
}

/// Whether a name is `camel`, or the same in snake_case.
fn same_key(name: &str, camel: &str) -> bool {
    let mut expected = camel.chars();
    let mut rest = name.chars().peekable();
    if name == camel {
        return true;
    }
    loop {
        match (expected.next(), rest.next()) {
            (None, None) => return true,
            (Some(upper), Some('_')) if upper.is_ascii_uppercase() => {
                if rest.next() != Some(upper.to_ascii_lowercase()) {
                    return false;
                }
            }
            (Some(one), Some(other)) if one == other && !one.is_ascii_uppercase() => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(body: Value) -> Result<Asked, Failure> {
        question(body.to_string().as_bytes(), &ModelSettings::named("m"))
    }

    fn words(body: Value) -> String {
        format!("{:?}", read(body).unwrap_err())
    }

    #[test]
    fn camel_and_snake_case_mean_the_same() {
        let camel = read(
            json!({"systemInstruction": {"parts": [{"text": "be good"}]},
            "contents": [{"role": "user", "parts": [{"text": "hello"}]}],
            "generationConfig": {"maxOutputTokens": 5, "responseMimeType": "application/json"}}),
        );
        let snake = read(
            json!({"system_instruction": {"parts": [{"text": "be good"}]},
            "contents": [{"role": "user", "parts": [{"text": "hello"}]}],
            "generation_config": {"max_output_tokens": 5, "response_mime_type": "application/json"}}),
        );
        let (camel, snake) = (camel.unwrap(), snake.unwrap());
        assert_eq!(camel.prompt_hash, snake.prompt_hash);
        assert_eq!(
            (camel.input_tokens, camel.output_tokens_max),
            (2 + 2, snake.output_tokens_max)
        );
        assert_eq!(
            (camel.prompt.as_str(), snake.mime.as_str()),
            ("hello", "application/json")
        );
    }

    #[test]
    fn the_prompt_hash_is_the_sha256_of_the_prompt() {
        let asked = read(json!({"contents": [{"parts": [{"text": "hello"}]}]})).unwrap();
        assert_eq!(
            hex::encode(asked.prompt_hash),
            "2cf24dba5fb0a30e26e83b2ac5b9e29e"
        );
    }

    #[test]
    fn wrong_bodies_are_told_so_in_geminis_words() {
        let hello = json!([{"parts": [{"text": "x"}]}]);
        for (body, told) in [
            (json!({}), "contents is not specified"),
            (json!({"contents": []}), "contents is not specified"),
            (
                json!({"contents": [{"parts": []}]}),
                "contents.parts must not be empty",
            ),
            (json!({"contents": "x"}), "Invalid JSON payload received."),
            (
                json!({"contents": [{"role": "assistant", "parts": [{"text": "x"}]}]}),
                "valid role",
            ),
            (
                json!({"contents": hello, "prompt": 1}),
                "Unknown name \\\"prompt\\\": Cannot find field.",
            ),
            (
                json!({"contents": hello, "generationConfig": {"max_tokens": 1}}),
                "Unknown name \\\"max_tokens\\\" at 'generation_config'",
            ),
            (
                json!({"contents": hello, "generationConfig": {"responseSchema": {}}}),
                "application/json",
            ),
            (
                json!({"contents": hello, "generationConfig": {"maxOutputTokens": 0}}),
                "must be positive",
            ),
        ] {
            let said = words(body);
            assert!(said.contains(told), "{said}");
        }
        let said = question(b"{\"contents\": [", &ModelSettings::named("m")).unwrap_err();
        assert!(format!("{said:?}").contains("Invalid JSON payload received."));
    }

    #[test]
    fn a_prompt_above_the_models_limit_is_refused_with_both_numbers() {
        let model = ModelSettings {
            input_token_limit: 2,
            ..ModelSettings::named("m")
        };
        let body = json!({"contents": [{"parts": [{"text": "123456789"}]}]}).to_string();
        let said = question(body.as_bytes(), &model).unwrap_err();
        assert!(format!("{said:?}").contains(
            "The input token count (3) exceeds the maximum number of tokens allowed (2)."
        ));
    }

    #[test]
    fn tokens_are_counted_with_and_without_the_wrapping_request() {
        let contents = json!([{"parts": [{"text": "12345678"}, {"inlineData": {}}]}]);
        let bare = json!({"contents": contents});
        let wrapped =
            json!({"generateContentRequest": {"model": "models/m", "contents": contents}});
        for body in [bare, wrapped] {
            assert_eq!(token_count(body.to_string().as_bytes()), Ok(260));
        }
    }
}
