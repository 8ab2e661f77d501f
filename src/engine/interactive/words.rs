//! What is asked interactively, and what comes of it.

use std::{sync::Arc, time::Duration};

use uuid::Uuid;

use crate::{
    llm::Usage,
    model::ModelId,
    store::StoreError,
    task::{Answer, Handler, Item},
};

/// What is asked of whom.
#[derive(Clone)]
pub struct Question {
    /// The models, the first choice first. The next one is called where the one before has no room, or
    /// failed too often.
    pub models: Vec<ModelId>,
    /// Says what to ask, and judges what comes back.
    pub handler: Arc<dyn Handler>,
    /// What it is asked about.
    pub item: Item,
    /// How old a kept answer may be that is taken instead of a call. `None`: a model is asked, and its
    /// answer is not kept.
    pub cache: Option<Duration>,
    /// How long it may take until a call may start, refusals included.
    pub patience: Duration,
    /// How long one call may take.
    pub timeout: Duration,
}

/// An answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    /// JSON text as the model wrote it; for a question without a schema, a JSON string.
    pub answer: Answer,
    /// The model that answered.
    pub model: String,
    /// That model as its provider names it.
    pub model_version: Option<String>,
    /// Tokens of the call, where it was made and counted.
    pub usage: Option<Usage>,
    /// Micro-dollars of the call. `None`: no call was made, or its price is not known.
    pub cost_microusd: Option<i64>,
    /// It was kept already: no call was made.
    pub cached: bool,
    /// How long limits, cooldowns and retries were waited for.
    pub waited: Duration,
    /// From sending to the last byte, of the call that brought it.
    pub latency: Duration,
    /// Its task. `None`: the cache answered.
    pub task: Option<Uuid>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// Nothing can be asked about this.
    #[error("{0}")]
    Input(String),
    /// No model could be called in time.
    #[error("no model could be called within {} s: {why}", waited.as_secs())]
    Waited {
        /// So long.
        waited: Duration,
        /// What closed them.
        why: String,
    },
    /// No model may be called until a person acts.
    #[error("no model may be called: {why}")]
    Parked {
        /// Why, by model.
        why: String,
    },
    /// The models were asked, and none answered.
    #[error("{words}")]
    Failed {
        /// A fixed word for what happened.
        class: String,
        /// The reason in words.
        words: String,
    },
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl AskError {
    /// The same for one of several who share it; `of`: which of its texts it is about.
    pub(super) fn again(&self, of: Option<usize>) -> Self {
        match self {
            Self::Input(words) => Self::Input(words.clone()),
            Self::Waited { waited, why } => Self::Waited {
                waited: *waited,
                why: why.clone(),
            },
            Self::Parked { why } => Self::Parked { why: why.clone() },
            Self::Failed { class, words } => Self::Failed {
                class: class.clone(),
                words: match of {
                    Some(at) => format!("text {}: {words}", at + 1),
                    None => words.clone(),
                },
            },
            Self::Store(StoreError::Broken) => Self::Store(StoreError::Broken),
            Self::Store(StoreError::NoAnswer) => Self::Store(StoreError::NoAnswer),
            Self::Store(error) => Self::Store(StoreError::Refused(error.to_string())),
        }
    }
}
