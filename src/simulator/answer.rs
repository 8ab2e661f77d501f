//! What the model says: a function of prompt, model and seed. Pure.

use serde_json::{Value, json};

use super::asked::Asked;
use super::chance::{hash, mix};
use super::faults::Fault;
use super::instance;
use super::packed::{self, Pack, Task};
use super::sections::sections;

/// What the model says, and whether it came to its end.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Answer {
    pub(super) text: String,
    pub(super) tokens: u64,
    /// Cut short by the output limit.
    pub(super) cut: bool,
}

/// Stands for half a surrogate pair, which no `String` can hold, until the answer is JSON bytes.
/// From the private use area: no prompt is expected to hold it.
pub(super) const LONE_SURROGATE_MARK: char = '\u{f8d8}';

/// How the half is written in JSON.
pub(super) const LONE_SURROGATE: &str = "\\ud800";

/// Answers a request; `fault` may spoil the text.
pub(super) fn answer(asked: &Asked, model: &str, seed: u64, fault: Option<Fault>) -> Answer {
    let salt = |prompt: &str| mix(seed ^ hash(prompt) ^ hash(model).rotate_left(17));
    let mut whole = match packed::read(asked) {
        Some(pack) => answers(asked, &pack, salt, fault),
        None => text(asked, salt(&asked.prompt), spoiler(fault)),
    };
    if fault == Some(Fault::ProseAround) {
        whole = format!("Here is what you asked for:\n```json\n{whole}\n```\nI hope this [helps].");
    }
    if fault == Some(Fault::MaxTokens) {
        whole = take_chars(&whole, whole.chars().count().div_ceil(2));
    }
    let limit = usize::try_from(asked.output_tokens_max.saturating_mul(CHARS_PER_TOKEN));
    let kept = take_chars(&whole, limit.unwrap_or(usize::MAX));
    let cut = kept.len() < whole.len() || fault == Some(Fault::MaxTokens);
    Answer {
        tokens: tokens(&kept),
        text: kept,
        cut,
    }
}

/// One token is four characters, rounded up.
pub(super) fn tokens(text: &str) -> u64 {
    let chars = u64::try_from(text.chars().count()).unwrap_or(u64::MAX);
    chars.div_ceil(CHARS_PER_TOKEN)
}

const CHARS_PER_TOKEN: u64 = 4;

fn text(asked: &Asked, salt: u64, spoiler: Option<char>) -> String {
    let material = sections(&asked.prompt);
    let value = match (&asked.schema, asked.mime.as_str()) {
        (Some(schema), "text/x.enum") => {
            let picked = instance::instance(schema, &material, salt);
            return picked.as_str().unwrap_or_default().to_owned();
        }
        (Some(schema), _) => instance::instance(schema, &material, salt),
        (None, "application/json") => json!({"answer": prose(material[0].text, salt)}),
        (None, _) => {
            let mut text = prose(material[0].text, salt);
            text.extend(spoiler);
            return text;
        }
    };
    spoiled(value, spoiler)
        .to_string()
        .replace(LONE_SURROGATE_MARK, LONE_SURROGATE)
}

/// What is said to a pack: to each task the same as if it were asked alone.
fn answers(
    asked: &Asked,
    pack: &Pack<'_>,
    salt: impl Fn(&str) -> u64,
    fault: Option<Fault>,
) -> String {
    let mut spoiler = spoiler(fault);
    let answer = |task: &Task<'_>| {
        let (material, salt) = (sections(&task.prompt), salt(&task.prompt));
        let value = match (&asked.schema, pack.schema) {
            (Some(root), Some(schema)) => instance::part(root, schema, &material, salt),
            _ => json!(prose(material[0].text, salt)),
        };
        (task.id.to_owned(), spoiled(value, spoiler.take()))
    };
    let answers = pack.tasks.iter().map(answer).collect();
    packed::told(answers, fault, salt(&asked.prompt)).replace(LONE_SURROGATE_MARK, LONE_SURROGATE)
}

fn prose(material: &str, salt: u64) -> String {
    let words: Vec<&str> = material.split_whitespace().take(40).collect();
    format!("In short ({:08x}): {}", salt >> 32, words.join(" "))
}

fn spoiler(fault: Option<Fault>) -> Option<char> {
    match fault {
        Some(Fault::LoneSurrogate) => Some(LONE_SURROGATE_MARK),
        Some(Fault::U0000) => Some('\0'),
        _ => None,
    }
}

/// Puts the spoiler into the first string there is; into a new one if there is none.
fn spoiled(mut value: Value, spoiler: Option<char>) -> Value {
    let Some(spoiler) = spoiler else { return value };
    if let Some(text) = first_string(&mut value) {
        text.push(spoiler);
    } else if let Value::Object(members) = &mut value {
        members.insert("note".to_owned(), json!(spoiler));
    } else {
        value = json!(spoiler);
    }
    value
}

fn first_string(value: &mut Value) -> Option<&mut String> {
    match value {
        Value::String(text) => Some(text),
        Value::Array(values) => values.iter_mut().find_map(first_string),
        Value::Object(members) => members.values_mut().find_map(first_string),
        _ => None,
    }
}

fn take_chars(text: &str, count: usize) -> String {
    text.chars().take(count).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(prompt: &str, mime: &str, schema: Option<Value>) -> Asked {
        Asked {
            prompt: prompt.to_owned(),
            prompt_hash: [0; 16],
            input_tokens: tokens(prompt),
            charged_tokens: tokens(prompt),
            output_tokens_max: 1000,
            mime: mime.to_owned(),
            schema,
            form: crate::simulator::asked::Form::default(),
        }
    }

    fn labels() -> Option<Value> {
        Some(json!({"type": "OBJECT", "properties": {
            "label": {"type": "STRING", "enum": ["bug", "praise"]}, "why": {"type": "STRING"}}}))
    }

    #[test]
    fn an_answer_depends_on_prompt_model_and_seed_only() {
        let ask = asked("hello there", "text/plain", None);
        let said = answer(&ask, "m", 1, None);
        assert_eq!(said, answer(&ask, "m", 1, None));
        assert_ne!(said, answer(&ask, "n", 1, None));
        assert_ne!(said, answer(&ask, "m", 2, None));
        assert_ne!(
            said,
            answer(&asked("hello", "text/plain", None), "m", 1, None)
        );
        assert!(said.text.ends_with("hello there") && !said.cut);
    }

    #[test]
    fn an_answer_longer_than_allowed_is_cut() {
        let mut ask = asked("a b c d e f g h", "text/plain", None);
        ask.output_tokens_max = 3;
        let said = answer(&ask, "m", 1, None);
        assert_eq!((said.text.len(), said.tokens, said.cut), (12, 3, true));
    }

    #[test]
    fn json_is_asked_for_and_given() {
        let said = answer(&asked("a bug", "application/json", labels()), "m", 1, None);
        let value: Value = serde_json::from_str(&said.text).unwrap();
        assert_eq!(value["label"], "bug");
        let said = answer(&asked("a bug", "application/json", None), "m", 1, None);
        assert!(serde_json::from_str::<Value>(&said.text).unwrap()["answer"].is_string());
        let labels = Some(json!({"type": "STRING", "enum": ["bug", "praise"]}));
        let said = answer(&asked("some praise", "text/x.enum", labels), "m", 1, None);
        assert_eq!(said.text, "praise");
    }

    #[test]
    fn spoiled_json_holds_what_postgres_refuses() {
        let ask = asked("a bug", "application/json", labels());
        let lone = answer(&ask, "m", 1, Some(Fault::LoneSurrogate)).text;
        assert!(lone.contains("\\ud800") && serde_json::from_str::<Value>(&lone).is_err());
        let nul = answer(&ask, "m", 1, Some(Fault::U0000)).text;
        assert!(nul.contains("\\u0000") && serde_json::from_str::<Value>(&nul).is_ok());
        let none = asked("", "application/json", Some(json!({"type": "INTEGER"})));
        assert!(
            answer(&none, "m", 1, Some(Fault::U0000))
                .text
                .contains("\\u0000")
        );
    }
}
