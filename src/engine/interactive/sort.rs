//! What texts must have in common to share a call, and how long they may wait for each other.

use std::time::Duration;

use super::{EmbedQuestion, asking::seconds};
use crate::{llm::EmbedParams, model::ModelId};

/// How texts travel that somebody waits for as vectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EmbedSettings {
    /// How long a text may wait for others to share a call with. Default 5 ms, up to 1 s; never longer
    /// than half of what a call takes, and not at all where nobody is likely to come.
    pub window: Duration,
    /// Calls of one sort side by side. Default 5, at least 1.
    pub calls: usize,
}

impl Default for EmbedSettings {
    fn default() -> Self {
        Self {
            window: Duration::from_millis(5),
            calls: 5,
        }
    }
}

/// What all texts of a call have in common.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Sort {
    pub(super) models: Vec<ModelId>,
    /// What the provider is told of; no tag.
    params: EmbedParams,
    pub(super) cache_s: Option<i64>,
    pub(super) patience: Duration,
    pub(super) timeout: Duration,
}

impl Sort {
    pub(super) fn of(question: &EmbedQuestion) -> Self {
        Self {
            models: question.models.clone(),
            params: EmbedParams {
                tag: None,
                ..question.params.clone()
            },
            cache_s: question.cache.map(seconds),
            patience: question.patience,
            timeout: question.timeout,
        }
    }
}
