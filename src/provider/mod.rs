//! Doors to the providers of models.
//!
//! Owns: the [`Provider`] trait and everything of a vendor: wire format, HTTP, keys, the meaning of
//! its errors. One call in, one [`Reply`](crate::llm::Reply), [`EmbedReply`] or [`CallError`] out, and
//! beside it what was told of limits; on the way, if wanted, the answer as it is written. Never: a retry, a wait between
//! calls, a price, the database, a clock.
//!
//! What every provider holds to, and the conformance suite checks:
//!
//! - The key travels in a header, only to the configured host; redirects are not followed.
//! - Plain http goes to loopback only, unless the entry allows more. Certificates are checked.
//! - One call is at most one request on the wire, bounded in time and in bytes (after
//!   decompression).
//! - [`CallError::Unreachable`] means that nothing was sent. Once sending may have begun, an end
//!   without an answer is [`CallError::Unknown`].
//! - No error and no `Debug` output holds the key, the prompt or a URL's query.

mod batches;
mod settings;
mod words;

mod cargo;
mod events;
mod flow;
mod http;
mod jobs;
mod lines;
mod retry_after;
mod spans;
mod stream;
mod vectors;

mod gemini;
mod openai;

use std::sync::Arc;

use async_trait::async_trait;

use crate::llm::{CallError, Chunk, EmbedReply, EmbedRequest, Exchange, Request};

pub use batches::Batches;
pub use settings::{CallLimits, Kind, ProviderError, ProviderSettings};

/// One account at one vendor, ready to be called. Shared by all workers of a process; calls run
/// side by side over pooled connections.
#[async_trait]
pub trait Provider: Send + Sync {
    /// Asks `wire_name` (the provider's name of the model) once.
    ///
    /// A reply is complete: the model ended by itself and the text is not empty. Everything else is
    /// a [`CallError`]; its [`verdict`](CallError::verdict) says what follows. Nothing is retried
    /// here. What the provider told of its limits comes with replies and refusals alike.
    ///
    /// # Cancel safety
    ///
    /// A dropped call is cut off. Unless it was dropped before the first poll, the provider may have
    /// received it and may bill it: count it as [`CallError::Unknown`].
    async fn generate(&self, wire_name: &str, request: &Request, limits: &CallLimits) -> Exchange;

    /// Asks once, and hands out the answer while it is written: `chunks` is called with each piece as
    /// it arrives, in order, never after this has returned. It must return at once: while it runs
    /// nothing is read. All pieces in a row are the reply's text.
    ///
    /// A reply is as complete as that of [`generate`](Self::generate), with the same text and
    /// counts. A stream that is cut, falls silent, holds an error object or ends without the
    /// vendor's word that it is the end is a [`CallError`] which says after how many characters;
    /// the pieces handed out are then part of no answer. A server that answers whole although it was
    /// asked for a stream makes one piece.
    ///
    /// # Cancel safety
    ///
    /// As [`generate`](Self::generate).
    async fn stream(
        &self,
        wire_name: &str,
        request: &Request,
        limits: &CallLimits,
        chunks: &(dyn Fn(Chunk) + Send + Sync),
    ) -> Exchange;

    /// Makes a vector of each text, by one call.
    ///
    /// A reply has one vector for each text, in their order, of the length asked for. Anything else
    /// under a 200 is [`CallError::Damaged`]: fewer or more vectors, one of another length, one that
    /// is empty or holds what is no number. No text, more than [`embeds_at_once`](Self::embeds_at_once)
    /// or 0 dimensions are [`CallError::Rejected`], and nothing is sent.
    ///
    /// Gemini cuts a text that is longer than its model takes and does not say so. OpenAI has no task
    /// types: it is not told of one. It refuses an empty text, and more than 300,000 tokens in all.
    ///
    /// # Cancel safety
    ///
    /// As [`generate`](Self::generate).
    async fn embed(
        &self,
        wire_name: &str,
        request: &EmbedRequest,
        limits: &CallLimits,
    ) -> Exchange<EmbedReply>;

    /// Most texts in one call of [`embed`](Self::embed): 100 of Gemini, 2,048 of OpenAI. Copies of
    /// OpenAI may take fewer.
    fn embeds_at_once(&self) -> usize;

    /// Its Batch API. `None`: it has none. A server that copies a vendor may lack it all the same: then a
    /// create says so, with status 404 or 405.
    fn batches(&self) -> Option<&dyn Batches> {
        None
    }

    /// The vendor's fixed word, for metrics and columns: `gemini` or `openai`.
    fn kind(&self) -> &'static str;

    /// Whether the key is accepted: lists one model, which costs nothing. Ends within 20 s.
    ///
    /// # Errors
    ///
    /// [`CallError::KeyRefused`] if it is not; [`CallError::Rejected`] with status 404 if there is no
    /// such list, which hints at a wrong base URL; else as [`generate`](Self::generate).
    async fn check(&self) -> Result<(), CallError>;
}

/// Opens the door that the settings describe. Nothing is sent yet.
///
/// Installs the ring TLS provider for the process if none is installed.
///
/// ```
/// # use tidegate::provider::{self, Kind, ProviderSettings};
/// let gemini = provider::build(ProviderSettings::new("gemini", Kind::Gemini, "a-key"))?;
/// assert_eq!(gemini.kind(), "gemini");
/// # Ok::<(), provider::ProviderError>(())
/// ```
///
/// # Errors
///
/// [`ProviderError`] if the key or the base URL cannot be used, or the system's root certificates
/// cannot be read.
pub fn build(settings: ProviderSettings) -> Result<Arc<dyn Provider>, ProviderError> {
    // A second installation fails and leaves the first in place.
    let _ = rustls::crypto::ring::default_provider().install_default();
    match settings.kind {
        Kind::Gemini => Ok(Arc::new(gemini::Gemini::open(settings)?)),
        Kind::OpenAi => Ok(Arc::new(openai::OpenAi::open(settings)?)),
    }
}
