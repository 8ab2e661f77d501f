//! One question to a model.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::EmbedParams;

/// One question to a model, complete: nothing else shapes the answer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// Instructions that stand above the prompt. `None`: none are sent.
    pub system: Option<String>,
    /// The text asked.
    pub prompt: String,
    /// JSON Schema the answer must meet; the provider is asked for JSON. `None`: plain text.
    pub schema: Option<Value>,
    /// Parameters of generation.
    #[serde(default)]
    pub params: Params,
    /// It asks for a vector of the prompt, not for text: `system`, `schema` and `params` say nothing then.
    /// The reply's text is [`Embedding::answer`](super::Embedding::answer).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub embed: Option<EmbedParams>,
}

/// Parameters of generation. Every `None` leaves the provider's default.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// Sampling temperature, 0 to 2.
    pub temperature: Option<f64>,
    /// Nucleus sampling, 0 to 1.
    pub top_p: Option<f64>,
    /// Top-k sampling.
    pub top_k: Option<u32>,
    /// Most tokens the answer may have (thinking included, where the provider counts it so).
    pub max_output_tokens: Option<u32>,
    /// Strings that end the answer.
    #[serde(default)]
    pub stop: Vec<String>,
    /// Seed, where the provider takes one.
    pub seed: Option<i64>,
    /// Thinking tokens allowed, where the model thinks; 0 switches it off.
    pub thinking_budget: Option<i32>,
}
