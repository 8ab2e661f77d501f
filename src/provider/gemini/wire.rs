//! Gemini's JSON. What comes in is never trusted: all of it may be absent.

use serde::{Deserialize, Serialize};
use serde_json::{Value, value::RawValue};

/// Body of `generateContent`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Ask<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) system_instruction: Option<Content<'a>>,
    pub(super) contents: [Content<'a>; 1],
    pub(super) generation_config: GenerationConfig<'a>,
}

#[derive(Serialize)]
pub(super) struct Content<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) role: Option<&'static str>,
    pub(super) parts: [Part<'a>; 1],
}

#[derive(Serialize)]
pub(super) struct Part<'a> {
    pub(super) text: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct GenerationConfig<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) top_p: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) top_k: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) max_output_tokens: Option<u32>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    pub(super) stop_sequences: &'a [String],
    /// int32 on the wire.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) seed: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) response_mime_type: Option<&'static str>,
    /// JSON Schema; `responseSchema` would take only a subset of OpenAPI.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) response_json_schema: Option<&'a Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) thinking_config: Option<ThinkingConfig>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ThinkingConfig {
    pub(super) thinking_budget: i32,
}

/// Body of `embedContent`, and one request of `batchEmbedContents`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct EmbedAsk<'a> {
    /// The whole name, `models/...`: in a batch each names it again.
    pub(super) model: &'a str,
    pub(super) content: Content<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) task_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) output_dimensionality: Option<u32>,
}

/// Body of `batchEmbedContents`.
#[derive(Serialize)]
pub(super) struct EmbedAsks<'a> {
    pub(super) requests: Vec<EmbedAsk<'a>>,
}

/// Body of an embedding answer with status 200: `embedding` of one, `embeddings` of a batch.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct EmbedTold {
    pub(super) embedding: Option<Vector>,
    pub(super) embeddings: Option<Vec<Vector>>,
    pub(super) usage_metadata: Option<Box<RawValue>>,
}

#[derive(Deserialize)]
pub(super) struct Vector {
    pub(super) values: Option<Vec<f32>>,
}

/// Body of an answer with status 200, and of each event of a stream.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Told {
    pub(super) candidates: Option<Vec<Candidate>>,
    pub(super) prompt_feedback: Option<PromptFeedback>,
    /// Read apart, so that an odd count does not lose a paid answer.
    pub(super) usage_metadata: Option<Box<RawValue>>,
    pub(super) model_version: Option<String>,
    pub(super) response_id: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Candidate {
    pub(super) content: Option<ToldContent>,
    /// A string, since the list of values grows.
    pub(super) finish_reason: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct ToldContent {
    pub(super) parts: Option<Vec<ToldPart>>,
}

#[derive(Deserialize)]
pub(super) struct ToldPart {
    pub(super) text: Option<String>,
    pub(super) thought: Option<bool>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PromptFeedback {
    pub(super) block_reason: Option<String>,
}

/// Token counts: int32, but a string of digits is understood too.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct UsageMetadata {
    pub(super) prompt_token_count: Option<Value>,
    pub(super) cached_content_token_count: Option<Value>,
    pub(super) candidates_token_count: Option<Value>,
    pub(super) thoughts_token_count: Option<Value>,
    pub(super) tool_use_prompt_token_count: Option<Value>,
    pub(super) total_token_count: Option<Value>,
}

/// Body of `GET models`.
#[derive(Deserialize)]
pub(super) struct Models {
    pub(super) models: Option<Vec<serde::de::IgnoredAny>>,
}

/// The error object, whatever of it could be understood.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Fault {
    pub(super) code: Option<u64>,
    pub(super) status: String,
    pub(super) message: String,
    /// `reason` of each ErrorInfo.
    pub(super) reasons: Vec<String>,
    /// `retryDelay` of the RetryInfo.
    pub(super) retry_delay: Option<String>,
    pub(super) violations: Vec<Violation>,
}

/// One violation of a QuotaFailure.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Violation {
    pub(super) id: String,
    pub(super) metric: String,
    pub(super) value: Option<u64>,
}

impl Fault {
    /// Reads `{"error": {...}}`, also inside an array, also with an error that is only a text.
    pub(super) fn read(body: &Value) -> Option<Self> {
        let body = body.as_array().map_or(Some(body), |array| array.first())?;
        let error = body.get("error").filter(|error| !error.is_null())?;
        if let Some(text) = error.as_str() {
            return Some(Self {
                message: text.to_owned(),
                ..Self::default()
            });
        }
        let mut fault = Self {
            code: error.get("code").and_then(count),
            status: text(error, "status"),
            message: text(error, "message"),
            ..Self::default()
        };
        for detail in error
            .get("details")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            fault.read_detail(detail);
        }
        Some(fault)
    }

    fn read_detail(&mut self, detail: &Value) {
        let kind = text(detail, "@type");
        if kind.ends_with("google.rpc.ErrorInfo") {
            self.reasons.push(text(detail, "reason"));
        } else if kind.ends_with("google.rpc.RetryInfo") {
            self.retry_delay = Some(text(detail, "retryDelay"));
        } else if kind.ends_with("google.rpc.QuotaFailure") {
            let violations = detail.get("violations").and_then(Value::as_array);
            self.violations
                .extend(violations.into_iter().flatten().map(|violation| Violation {
                    id: text(violation, "quotaId"),
                    metric: text(violation, "quotaMetric"),
                    value: violation.get("quotaValue").and_then(count),
                }));
        }
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
