//! Who listens to an answer while it is written.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::llm::Chunk;

/// A listener, and whether it has heard anything.
pub(super) struct Listening<'a> {
    chunks: &'a (dyn Fn(Chunk) + Send + Sync),
    has_heard: AtomicBool,
}

impl<'a> Listening<'a> {
    pub(super) fn new(chunks: &'a (dyn Fn(Chunk) + Send + Sync)) -> Self {
        Self {
            chunks,
            has_heard: AtomicBool::new(false),
        }
    }

    pub(super) fn hear_chunk(&self, chunk: Chunk) {
        self.has_heard.store(true, Ordering::Relaxed);
        (self.chunks)(chunk);
    }

    /// A whole answer as one piece.
    pub(super) fn hear(&self, text: String) {
        self.hear_chunk(Chunk { text });
    }

    /// What it heard cannot be taken back.
    pub(super) fn has_heard(&self) -> bool {
        self.has_heard.load(Ordering::Relaxed)
    }
}
