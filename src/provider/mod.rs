//! Doors to the providers of models.
//!
//! Owns: the [`Provider`] trait and everything of a vendor: wire format, HTTP, keys, the meaning of
//! its errors. One call in, one [`Reply`](crate::llm::Reply) or [`CallError`] out, and
//! beside it what was told of limits. Never: a retry, a wait between
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

mod settings;
mod words;

mod http;
mod retry_after;
mod spans;

mod gemini;
mod openai;

use std::sync::Arc;

use async_trait::async_trait;

use crate::llm::{CallError, Exchange, Request};

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
