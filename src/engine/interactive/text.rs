//! A text that is to become a vector: who waits for it, and the task that it is.

use std::sync::Arc;

use serde_json::{json, value::to_raw_value};
use tokio::sync::oneshot;
use uuid::Uuid;

use super::{AskError, VectorTold, tries::Tries};
use crate::{
    llm::Request,
    task::{Item, new_id},
};

/// A text and who waits for its vector.
pub(super) struct Text {
    /// It, and what is asked of its vector.
    pub(super) request: Request,
    pub(super) key: [u8; 32],
    /// Estimated.
    pub(super) tokens: u32,
    /// One at least.
    pub(super) replies: Vec<Reply>,
}

/// How a caller hears of a text's vector.
pub(super) type Reply = oneshot::Sender<Told>;
/// A vector, or why there is none: several may have the same reason.
pub(super) type Told = Result<VectorTold, Arc<AskError>>;

impl Text {
    /// Nobody waits for it any more.
    pub(super) fn is_unheard(&self) -> bool {
        self.replies.iter().all(oneshot::Sender::is_closed)
    }

    pub(super) fn tell(self, told: &Told) {
        let mut told = told.clone();
        for reply in self.replies {
            // who has gone need not know, and bears no cost
            if reply.send(told.clone()).is_ok()
                && let Ok(vector) = &mut told
            {
                (vector.usage, vector.cost_microusd) = (None, None);
            }
        }
    }
}

/// Tells all that they get none.
pub(super) fn refused(texts: Vec<Text>, error: AskError) {
    let told = Err(Arc::new(error));
    for text in texts {
        text.tell(&told);
    }
}

/// A text with its task.
pub(super) struct Asked {
    pub(super) text: Text,
    pub(super) task: Uuid,
    pub(super) item: Item,
    pub(super) tries: Tries,
}

impl Asked {
    pub(super) fn of(text: Text) -> Option<Self> {
        let embed = text.request.embed.as_ref();
        let body = json!({
            "text": text.request.prompt,
            "task_type": embed.and_then(|it| it.task_type),
            "dimensions": embed.and_then(|it| it.dimensions),
            "tag": embed.and_then(|it| it.tag.clone()),
        });
        let task = new_id();
        Some(Self {
            item: Item::new(task.to_string(), to_raw_value(&body).ok()?),
            text,
            task,
            tries: Tries::default(),
        })
    }
}
