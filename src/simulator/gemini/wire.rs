//! Gemini's wire format: what comes in and what goes out. Errors: `failure`.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The keys of a generateContent body; JSON may write them in camelCase or snake_case.
pub(super) const REQUEST_KEYS: [&str; 10] = [
    "tools",
    "cachedContent",
    "store",
    "systemInstruction",
    "contents",
    "toolConfig",
    "model",
    "safetySettings",
    "generationConfig",
    "serviceTier",
];

/// The keys of generationConfig.
pub(super) const CONFIG_KEYS: [&str; 25] = [
    "enableAffectiveDialog",
    "speechConfig",
    "frequencyPenalty",
    "topK",
    "topP",
    "translationConfig",
    "temperature",
    "mediaResolution",
    "imageConfig",
    "maxOutputTokens",
    "candidateCount",
    "enableEnhancedCivicAnswers",
    "responseLogprobs",
    "responseModalities",
    "stopSequences",
    "responseJsonSchema",
    "seed",
    "responseSchema",
    "logprobs",
    "responseFormat",
    "presencePenalty",
    "thinkingConfig",
    "audioTranscriptionConfig",
    "responseMimeType",
    "_responseJsonSchema",
];

/// The part of a generateContent body that the simulator reads.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct GenerateRequest {
    #[serde(default, alias = "system_instruction")]
    pub(super) system_instruction: Option<Content>,
    #[serde(default)]
    pub(super) contents: Vec<Content>,
    #[serde(default, alias = "generation_config")]
    pub(super) generation_config: Option<GenerationConfig>,
}

/// The keys of an embedContent body.
pub(super) const EMBED_KEYS: [&str; 6] = [
    "model",
    "content",
    "taskType",
    "title",
    "outputDimensionality",
    "embedContentConfig",
];

/// The part of an embedContent body that the simulator reads.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct EmbedRequest {
    #[serde(default)]
    pub(super) model: Option<String>,
    pub(super) content: Content,
    #[serde(default, alias = "task_type")]
    pub(super) task_type: Option<String>,
    #[serde(default, alias = "output_dimensionality")]
    pub(super) output_dimensionality: Option<i64>,
    #[serde(default, alias = "embed_content_config")]
    pub(super) embed_content_config: Option<EmbedConfig>,
}

/// The newer place for what a vector shall be.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct EmbedConfig {
    #[serde(default, alias = "task_type")]
    pub(super) task_type: Option<String>,
    #[serde(default, alias = "output_dimensionality")]
    pub(super) output_dimensionality: Option<i64>,
}

/// A body of the answer to either method of embeddings.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct EmbedResponse<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) embedding: Option<Vector<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) embeddings: Option<Vec<Vector<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) usage_metadata: Option<Value>,
}

/// A vector; an empty one is left out, as proto3 does.
#[derive(Debug, Serialize)]
pub(super) struct Vector<'a> {
    #[serde(skip_serializing_if = "<[f32]>::is_empty")]
    pub(super) values: &'a [f32],
}

/// One turn.
#[derive(Debug, Deserialize)]
pub(super) struct Content {
    #[serde(default)]
    pub(super) role: Option<String>,
    #[serde(default)]
    pub(super) parts: Vec<Part>,
}

/// A piece of a turn; anything that is not text is a file to the simulator.
#[derive(Debug, Deserialize)]
pub(super) struct Part {
    #[serde(default)]
    pub(super) text: Option<String>,
}

/// The part of generationConfig that the simulator obeys.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct GenerationConfig {
    #[serde(default, alias = "max_output_tokens")]
    pub(super) max_output_tokens: Option<i32>,
    #[serde(default, alias = "response_mime_type")]
    pub(super) response_mime_type: Option<String>,
    #[serde(default, alias = "response_schema")]
    pub(super) response_schema: Option<Value>,
    #[serde(default, alias = "response_json_schema", alias = "_responseJsonSchema")]
    pub(super) response_json_schema: Option<Value>,
}

/// A body of generateContent's answer.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct GenerateResponse<'a> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) candidates: Vec<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) prompt_feedback: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) usage_metadata: Option<Value>,
    pub(super) model_version: &'a str,
    pub(super) response_id: String,
}

/// usageMetadata; a candidate count of 0 is left out, as proto3 does.
pub(super) fn usage(input_tokens: u64, output_tokens: u64) -> Value {
    let mut usage = json!({
        "promptTokenCount": input_tokens,
        "candidatesTokenCount": output_tokens,
        "totalTokenCount": input_tokens + output_tokens,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": input_tokens}],
    });
    if let (0, Some(members)) = (output_tokens, usage.as_object_mut()) {
        members.remove("candidatesTokenCount");
    }
    usage
}
