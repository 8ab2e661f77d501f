//! The public trait for work that a template cannot say: what to ask, and how to judge what came.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::Answer;
use crate::llm::{Reply, Request};

/// One row of the source, as it was given, and the step of the worker that is done for it.
#[derive(Clone, Debug)]
pub struct Item {
    /// The item's id: the value of the source's id column, as text.
    pub id: String,
    /// The whole row as JSON text, byte for byte.
    pub body: Box<RawValue>,
    /// The component that is done for it. Empty: the worker is one step.
    pub component: String,
    /// The answers of the components that this one needs, by their names.
    pub results: BTreeMap<String, Answer>,
}

impl Item {
    /// An item of a worker of one step.
    pub fn new(id: impl Into<String>, body: Box<RawValue>) -> Self {
        Self {
            id: id.into(),
            body,
            component: String::new(),
            results: BTreeMap::new(),
        }
    }

    /// The same for this component, with the answers of those that it needs.
    #[must_use]
    pub fn of(
        mut self,
        component: impl Into<String>,
        results: impl IntoIterator<Item = (String, Answer)>,
    ) -> Self {
        self.component = component.into();
        self.results = results.into_iter().collect();
        self
    }
}

/// What a handler says of a reply.
#[derive(Clone, Debug, PartialEq)]
pub enum Judgement {
    /// The answer stands: its JSON text is kept byte for byte, and given to the sink as jsonb.
    Accept(Answer),
    /// The answer does not do; asking again may help (spends an attempt). The text says why and
    /// must not repeat the answer.
    Reject(String),
}

/// A handler that cannot ask: the item is at fault, and asking again cannot help.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct HandlerError(pub String);

/// Says what to ask for an item, and judges what came back. It never calls a provider.
///
/// Both functions must be pure: the request is made twice (when the task becomes ready, for its
/// estimate and cache key, and after its claim), and must come out the same.
pub trait Handler: Send + Sync {
    /// The request for one item.
    ///
    /// # Errors
    /// When the item cannot be asked about (a missing field, text that is no valid Unicode): the
    /// task fails with this reason, others go on.
    fn request(&self, item: &Item) -> Result<Request, HandlerError>;

    /// Accepts or rejects a complete reply.
    fn judge(&self, item: &Item, reply: &Reply) -> Judgement;
}
