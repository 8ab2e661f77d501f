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
/// is enqueued; `Rejected` with another status that this create is refused: its file is gone, or the
/// account is granted no batches (Gemini's FAILED_PRECONDITION, which of a call would park the provider).
/// No error and no log line holds a prompt or an answer: of a provider's words about them the first clause
/// is kept, up to where a quote may begin.
///
/// Outside of a create nothing is [`ModelGone`](CallError::ModelGone): what is not known is `Rejected` with
/// status 404. A single item's failure parks and closes nothing, whatever it says of key, money, model or
/// limits: it is `Failed` where the same may pass another time, `Rejected` where not, `Failed` with status 0
/// where the item was not asked (expired, cancelled, lost).
#[async_trait]
pub trait Batches: Send + Sync {
    /// The most that one batch takes.
    fn bounds(&self) -> BatchBounds;

    /// The line of the file that asks this under this key, without its end.
    fn line(&self, wire_name: &str, key: &str, request: &Request) -> String;

    /// Uploads a file of lines, in pieces, with memory that does not grow with it. Returns the provider's id.
    /// Gemini keeps one file of a token: one that is there already is replaced. OpenAI makes another.
    ///
    /// # Errors
    /// As a call; [`Unreachable`](CallError::Unreachable) too where the file cannot be read.
    async fn upload(&self, token: &str, file: &Path) -> Result<String, CallError>;

    /// Files that were uploaded for batches (5,000 at most), those that batches made left out.
    ///
    /// # Errors
    /// As a call.
    async fn files(&self) -> Result<Vec<RemoteFile>, CallError>;

    /// Creates a batch, by one request.
    ///
    /// # Errors
    /// As a call; what they mean is told above.
    async fn create(&self, draft: &BatchDraft<'_>) -> Result<RemoteBatch, CallError>;

    /// All batches of the account, each once (5,000 at most).
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
    /// As a call; [`Rejected`](CallError::Rejected) where the batch is over already (400, 409) or not
    /// known (404).
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
