//! What is asked of a model and what comes back, in words no vendor owns.
//!
//! Owns: the provider-neutral [`Request`], [`Reply`], [`Chunk`], [`EmbedRequest`], [`EmbedReply`], [`Usage`], batches ([`BatchDraft`], [`RemoteBatch`], [`BatchLine`]),
//! [`CallError`] with its [`Verdict`], what is told of limits ([`LimitNotice`]); reading JSON that a model wrote. Never: a vendor's field name, I/O, a clock.

mod batch;
mod embed;
mod error;
mod json;
mod notice;
mod reply;
mod request;

pub use batch::{
    BatchAnswer, BatchBounds, BatchDraft, BatchFailure, BatchLine, BatchState, RemoteBatch,
    RemoteFile, TOKEN_PREFIX,
};
pub use embed::{EmbedParams, EmbedReply, EmbedRequest, Embedding, TASK_TYPES, TaskType};
pub use error::{CallError, Quota, QuotaWindow, Verdict};
pub use json::{parse_lenient, read_lenient};
pub use notice::{Exchange, LimitNotice};
pub use reply::{Chunk, Reply, Usage};
pub use request::{Params, Request};
