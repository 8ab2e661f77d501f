//! What holds of any vendor's Batch API: jobs over uploaded files, each step one exchange or a few, none of
//! them retried here.

use std::path::Path;

use async_trait::async_trait;
use tokio::sync::mpsc;

use crate::llm::{
    BatchBounds, BatchDraft, BatchLine, CallError, EmbedParams, RemoteBatch, RemoteFile, Request,
};

/// A provider's Batch API: half the price, some time within a day. Creating is not idempotent at any
/// vendor: whoever cannot know whether a batch was created looks for its token in [`list`](Self::list).
///
/// Errors are those of calls, and what they mean is the caller's: a create that ends in
/// [`CallError::Unknown`], [`Failed`](CallError::Failed) or [`Overloaded`](CallError::Overloaded) may have
/// created; one of [`ModelGone`](CallError::ModelGone) or of [`Rejected`](CallError::Rejected) with status
/// 404 or 405 says that this model has no batch mode; [`RateLimited`](CallError::RateLimited) that too much
/// is enqueued. No error and no log line holds a prompt or an answer.
#[async_trait]
pub trait Batches: Send + Sync {
    /// The most that one batch takes.
    fn bounds(&self) -> BatchBounds;

    /// The line of the file that asks this under this key, without its end.
    fn line(&self, wire_name: &str, key: &str, request: &Request) -> String;

    /// Uploads a file of lines, in pieces, with memory that does not grow with it. Returns the provider's id.
    ///
    /// # Errors
    /// As a call.
    async fn upload(&self, token: &str, file: &Path) -> Result<String, CallError>;

    /// Files that were uploaded for batches: all pages.
    ///
    /// # Errors
    /// As a call.
    async fn files(&self) -> Result<Vec<RemoteFile>, CallError>;

    /// Creates a batch, by one request.
    ///
    /// # Errors
    /// As a call; what they mean is told above.
    async fn create(&self, draft: &BatchDraft<'_>) -> Result<RemoteBatch, CallError>;

    /// All batches of the account, all pages (5,000 at most).
    ///
    /// # Errors
    /// As a call.
    async fn list(&self) -> Result<Vec<RemoteBatch>, CallError>;

    /// One batch, as it stands now.
    ///
    /// # Errors
    /// As a call; [`Rejected`](CallError::Rejected) with status 404 where it is not known.
    async fn look(&self, id: &str) -> Result<RemoteBatch, CallError>;

    /// Reads a file of results and hands on each line as it comes; waits while `lines` is full, and ends
    /// quietly where nobody listens any more. A line that cannot be read is handed on without a key. Where
    /// vectors were asked for, one of another length than asked for is damaged.
    ///
    /// # Errors
    /// As a call: what was handed on before is good all the same.
    async fn results(
        &self,
        output: &str,
        embed: Option<&EmbedParams>,
        lines: &mpsc::Sender<BatchLine>,
    ) -> Result<(), CallError>;

    /// Asks for an end; best effort at every vendor: go on looking.
    ///
    /// # Errors
    /// As a call.
    async fn cancel(&self, id: &str) -> Result<(), CallError>;

    /// Removes a file. One that is gone is removed.
    ///
    /// # Errors
    /// As a call.
    async fn remove_file(&self, id: &str) -> Result<(), CallError>;

    /// Removes a batch that is over from the provider's list, where that can be done. One that is gone is
    /// removed.
    ///
    /// # Errors
    /// As a call.
    async fn remove(&self, id: &str) -> Result<(), CallError>;
}
