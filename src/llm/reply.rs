//! One answer of a model.

use serde::{Deserialize, Serialize};

/// A complete answer: the model ended by itself and the text is not empty. Whatever else came back
/// is a [`CallError`](super::CallError).
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    /// The answer's text, thoughts left out.
    pub text: String,
    /// Tokens counted by the provider. `None`: it did not say, and the cost is an estimate.
    pub usage: Option<Usage>,
    /// The exact model that answered, as the provider names it.
    pub model_version: Option<String>,
    /// The provider's id of the answer, for its support.
    pub response_id: Option<String>,
}

/// A piece of an answer that is still being written: text that follows what came before it. Never
/// empty; all chunks of an answer in a row are its [`text`](Reply::text).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// The text that is added.
    pub text: String,
}

/// Tokens of one call, as the provider counted them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Prompt tokens, cached ones included.
    pub input_tokens: u64,
    /// The part of `input_tokens` that the provider had cached.
    pub cached_tokens: u64,
    /// Answer tokens, without thinking.
    pub output_tokens: u64,
    /// Thinking tokens; billed as output.
    pub thought_tokens: u64,
}
