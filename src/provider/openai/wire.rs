//! OpenAI's JSON. What comes in is never trusted: all of it may be absent, or of another type.

use serde::{Deserialize, Serialize};
use serde_json::{Value, value::RawValue};

/// Body of `chat/completions`. One choice, which is the default, and not every copy knows the word.
#[derive(Serialize)]
pub(super) struct Ask<'a> {
    pub(super) model: &'a str,
    pub(super) messages: Vec<Message<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) top_p: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) max_completion_tokens: Option<u32>,
    /// The former name, which most copies know.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) max_tokens: Option<u32>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    pub(super) stop: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) seed: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reasoning_effort: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) response_format: Option<ResponseFormat<'a>>,
    /// Left out of what is answered whole: that is the default, and not every copy knows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) stream: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) stream_options: Option<StreamOptions>,
}

#[derive(Serialize)]
pub(super) struct StreamOptions {
    pub(super) include_usage: bool,
}

/// Body of `embeddings`.
#[derive(Serialize)]
pub(super) struct EmbedAsk<'a> {
    pub(super) model: &'a str,
    pub(super) input: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) dimensions: Option<u32>,
    pub(super) encoding_format: &'static str,
}

#[derive(Serialize)]
pub(super) struct Message<'a> {
    pub(super) role: &'static str,
    pub(super) content: &'a str,
}

#[derive(Serialize)]
pub(super) struct ResponseFormat<'a> {
    #[serde(rename = "type")]
    pub(super) kind: &'static str,
    pub(super) json_schema: JsonSchema<'a>,
}

#[derive(Serialize)]
pub(super) struct JsonSchema<'a> {
    pub(super) name: &'static str,
    pub(super) strict: bool,
    pub(super) schema: &'a Value,
}

/// Body of an answer with status 200.
#[derive(Deserialize)]
pub(super) struct Told {
    pub(super) choices: Option<Vec<Choice>>,
    /// Read apart, so that an odd count does not lose a paid answer.
    pub(super) usage: Option<Box<RawValue>>,
    pub(super) model: Option<Value>,
    pub(super) id: Option<Value>,
    /// Of copies: an error under a 200.
    pub(super) error: Option<Value>,
}

#[derive(Deserialize)]
pub(super) struct Choice {
    pub(super) message: Option<ToldMessage>,
    /// A string, since the list of values grows.
    pub(super) finish_reason: Option<Value>,
    /// Of routers: why the model behind them failed.
    pub(super) error: Option<Value>,
}

#[derive(Default, Deserialize)]
pub(super) struct ToldMessage {
    /// A text, or a list of parts.
    pub(super) content: Option<Value>,
    pub(super) refusal: Option<Value>,
}

/// One event of a stream.
#[derive(Deserialize)]
pub(super) struct ToldChunk {
    pub(super) choices: Option<Vec<ToldDelta>>,
    /// `null` in all but the last.
    pub(super) usage: Option<Box<RawValue>>,
    pub(super) model: Option<Value>,
    pub(super) id: Option<Value>,
    pub(super) error: Option<Value>,
}

#[derive(Deserialize)]
pub(super) struct ToldDelta {
    pub(super) index: Option<Value>,
    pub(super) delta: Option<ToldMessage>,
    pub(super) finish_reason: Option<Value>,
    pub(super) error: Option<Value>,
}

/// Body of an answer of `embeddings`.
#[derive(Deserialize)]
pub(super) struct EmbedTold {
    pub(super) data: Option<Vec<ToldVector>>,
    pub(super) usage: Option<Box<RawValue>>,
    pub(super) model: Option<Value>,
    pub(super) error: Option<Value>,
}

#[derive(Deserialize)]
pub(super) struct ToldVector {
    pub(super) index: Option<u64>,
    pub(super) embedding: Option<Numbers>,
}

/// A vector, as either format writes it.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Numbers {
    List(Vec<f32>),
    Text(String),
}

/// Token counts.
#[derive(Deserialize)]
pub(super) struct Counts {
    pub(super) prompt_tokens: Option<Value>,
    pub(super) completion_tokens: Option<Value>,
    pub(super) total_tokens: Option<Value>,
    pub(super) prompt_tokens_details: Option<Value>,
    pub(super) completion_tokens_details: Option<Value>,
}

/// The error object, whatever of it could be understood.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Fault {
    /// `code` where it is a number that is an HTTP status.
    pub(super) status: Option<u16>,
    pub(super) kind: String,
    pub(super) code: String,
    pub(super) message: String,
}

impl Fault {
    /// Reads `{"error": {...}}`, also inside an array, also with an error that is only a text.
    pub(super) fn read(body: &Value) -> Option<Self> {
        let body = body.as_array().map_or(Some(body), |array| array.first())?;
        match body.get("error") {
            None | Some(Value::Null) => (text(body, "object") == "error").then(|| Self::of(body)),
            Some(Value::Object(_)) => Some(Self::of(&body["error"])),
            Some(Value::String(words)) => Some(Self {
                message: words.clone(),
                // beside it some put the code
                code: text(body, "code"),
                kind: text(body, "type"),
                ..Self::default()
            }),
            Some(_) => None,
        }
    }

    /// The same for an answer that is an error by its status: `message` or `detail` alone will do.
    pub(super) fn read_refusal(body: &Value) -> Option<Self> {
        Self::read(body).or_else(|| {
            let fault = Self::of(body);
            (!fault.message.is_empty()).then_some(fault)
        })
    }

    pub(super) fn of(error: &Value) -> Self {
        let code = match error.get("code") {
            Some(Value::Number(number)) => number.to_string(),
            _ => text(error, "code"),
        };
        let kind = match text(error, "type") {
            none if none.is_empty() => text(error, "status"),
            kind => kind,
        };
        let message = ["message", "detail", "msg"]
            .iter()
            .map(|key| text(error, key))
            .find(|words| !words.is_empty());
        Self {
            status: code.parse().ok().filter(|code| (400..600).contains(code)),
            kind,
            code,
            message: message.unwrap_or_default(),
        }
    }

    /// Whether type or code is this word.
    pub(super) fn is(&self, word: &str) -> bool {
        self.kind == word || self.code == word
    }
}

/// A count, as number or as string of digits; one beyond reason is cut, so that sums of it fit.
pub(super) fn count(value: &Value) -> Option<u64> {
    let count = match value {
        Value::String(digits) => digits.parse().ok(),
        other => other.as_u64(),
    };
    count.map(|count: u64| count.min(COUNT_MAX))
}

/// More tokens than any call has.
const COUNT_MAX: u64 = 1_000_000_000;

fn text(object: &Value, key: &str) -> String {
    object
        .get(key)
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned()
}
