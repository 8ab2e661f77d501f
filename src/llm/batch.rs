//! A job at a provider's Batch API: what is sent, where it stands, what came back.

use std::time::Duration;

use super::{CallError, Embedding, Reply, Usage};

/// What every token begins with by which a batch of ours is found again at its provider.
pub const TOKEN_PREFIX: &str = "tide-";

/// A batch to be created over a file that is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchDraft<'a> {
    /// The provider's name of the model; all lines of the file are for it.
    pub wire_name: &'a str,
    /// Its lines ask for vectors, else for text.
    pub embeds: bool,
    /// By which it is found again: [`TOKEN_PREFIX`] and 32 hexadecimal digits. The provider shows it
    /// in its list, and does not refuse one that it knows.
    pub token: &'a str,
    /// The uploaded file, by the provider's id.
    pub file: &'a str,
}

/// A batch as its provider tells of it.
#[derive(Clone, Debug, PartialEq)]
pub struct RemoteBatch {
    /// The provider's id.
    pub id: String,
    /// The token that it was created with. `None`: it has none, somebody else made it.
    pub token: Option<String>,
    /// Where it stands.
    pub state: BatchState,
    /// The provider's own word for that.
    pub state_word: String,
    /// The file it was made of, where that is told.
    pub input_file: Option<String>,
    /// Files of what came of it, which may be there whatever its end was; none, one or two.
    pub outputs: Vec<String>,
    /// Items that are through, good or bad, where that is told.
    pub through: Option<u64>,
    /// Items in all, where that is told.
    pub items: Option<u64>,
}

/// Where a batch stands at its provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BatchState {
    /// It waits to be begun, or is being checked.
    Waiting,
    /// Under way; being cancelled counts as that.
    Running,
    /// Through. Single items may have failed all the same.
    Succeeded,
    /// Refused or broken as a whole.
    Failed(BatchFailure),
    /// Not through within the provider's time; what is done may be there.
    Expired,
    /// Cancelled; what was done before may be there.
    Cancelled,
}

impl BatchState {
    /// Nothing more will come of it.
    pub fn is_final(&self) -> bool {
        !matches!(self, Self::Waiting | Self::Running)
    }
}

/// Why a batch failed as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BatchFailure {
    /// The provider's words, as far as they cannot quote what was asked, cut to 500 characters.
    pub message: String,
    /// More was enqueued than the account may: the same may pass later.
    pub over_limit: bool,
    /// Its content is at fault, so that the same will fail again.
    pub bad_input: bool,
    /// Lines of the file, from 1, that are named as bad, with the words for each.
    pub lines: Vec<(u64, String)>,
}

/// What came back for one item of a batch.
#[derive(Clone, Debug, PartialEq)]
pub struct BatchLine {
    /// The key that the item was sent with. `None`: it has none, or the line cannot be read.
    pub key: Option<String>,
    /// Its answer, or what went wrong with it alone.
    pub answer: Result<BatchAnswer, CallError>,
}

/// The answer to one item of a batch.
#[derive(Clone, Debug, PartialEq)]
pub enum BatchAnswer {
    /// Text.
    Text(Reply),
    /// A vector.
    Vector {
        /// The vector.
        embedding: Embedding,
        /// Tokens counted. `None`: the provider did not say.
        usage: Option<Usage>,
        /// The exact model that answered, where the provider names it.
        model_version: Option<String>,
    },
}

/// A file that was uploaded for a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteFile {
    /// The provider's id.
    pub id: String,
    /// The token that it was uploaded with. `None`: somebody else's.
    pub token: Option<String>,
}

/// The most that a provider takes in one batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchBounds {
    /// Items.
    pub items: usize,
    /// Bytes of the file.
    pub bytes: u64,
    /// How long its batches may take before they expire.
    pub expires: Duration,
}
