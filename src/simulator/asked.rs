//! A question in no vendor's words. Pure.

use serde_json::Value;
use sha2::{Digest, Sha256};

/// A well-formed question.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    /// The text of the turns, joined by line breaks; without the system instruction.
    pub(super) prompt: String,
    /// SHA-256 of system instruction and prompt, cut to 16 bytes.
    pub(super) prompt_hash: [u8; 16],
    pub(super) input_tokens: u64,
    /// What counts against the tokens of the minute.
    pub(super) charged_tokens: u64,
    /// The smaller of what the caller allows and the model can.
    pub(super) output_tokens_max: u64,
    pub(super) mime: String,
    pub(super) schema: Option<Value>,
    pub(super) form: Form,
}

/// How the answer is to come.
#[derive(Clone, Debug, Default)]
pub(super) enum Form {
    /// As one body.
    #[default]
    Whole,
    /// Piece by piece.
    Stream,
    /// As vectors, one for each.
    Vectors(Vec<Wanted>),
}

/// A text whose vector is wanted.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Wanted {
    pub(super) text: String,
    /// What it is for, as the vendor calls it; empty: not told.
    pub(super) task: String,
    /// At least 1.
    pub(super) dimensions: usize,
}

impl Asked {
    /// A question for the vectors of texts; their tokens are counted beforehand.
    pub(super) fn for_vectors(wanted: Vec<Wanted>, input_tokens: u64) -> Self {
        let texts: Vec<&str> = wanted.iter().map(|it| it.text.as_str()).collect();
        let prompt = texts.join("\n");
        Self {
            prompt_hash: prompt_hash("", &prompt),
            prompt,
            input_tokens,
            charged_tokens: input_tokens,
            output_tokens_max: 0,
            mime: String::new(),
            schema: None,
            form: Form::Vectors(wanted),
        }
    }
}

/// What a part of a turn that is not text counts, in tokens.
pub(super) const FILE_TOKENS: u64 = 258;

/// SHA-256 of system instruction and prompt, cut to 16 bytes.
pub(super) fn prompt_hash(system: &str, prompt: &str) -> [u8; 16] {
    let mut digest = Sha256::new();
    if !system.is_empty() {
        digest.update(system.as_bytes());
        digest.update(b"\n");
    }
    digest.update(prompt.as_bytes());
    let mut short = [0; 16];
    short.copy_from_slice(&digest.finalize()[..16]);
    short
}

/// The version of a key that may be in a log.
pub(super) fn key_hash(key: &str) -> u32 {
    let digest = Sha256::digest(key.as_bytes());
    u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]])
}
