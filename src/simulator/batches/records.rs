//! The provider's own account of batches and files: what tests judge by.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::desk::{Desk, Kept};
use super::files::{Content, Stored};
use super::job::{Job, Kind};
use super::output;
use super::plan::{Fate, Row};
use super::settings::BatchEnd;
use crate::simulator::ledger::Counters;
use crate::simulator::state::Shared;

/// What was counted of batches, of both vendors and all models.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BatchCounters {
    /// Batches accepted, also those whose answer was lost and those that failed for their input.
    pub accepted: u64,
    /// Creates refused with 503.
    pub refused_503: u64,
    /// Creates refused with 429, for too many batches or tokens.
    pub refused_429: u64,
    /// Of all, those that had too many tokens: refused by Gemini, failed by OpenAI.
    pub refused_tokens: u64,
    /// Accepted, and the connection was reset.
    pub lost_replies: u64,
    /// Ended well.
    pub succeeded: u64,
    /// Ended as a whole failure.
    pub failed: u64,
    /// Ended by time.
    pub expired: u64,
    /// Ended by somebody's order, or by the settings.
    pub cancelled: u64,
    /// Files uploaded.
    pub uploads: u64,
    /// Uploaded, and the connection was reset.
    pub lost_uploads: u64,
}

impl BatchCounters {
    pub(super) fn ended(&mut self, end: BatchEnd) {
        *match end {
            BatchEnd::Succeeded => &mut self.succeeded,
            BatchEnd::Failed => &mut self.failed,
            BatchEnd::Expired => &mut self.expired,
            BatchEnd::Cancelled => &mut self.cancelled,
        } += 1;
    }
}

/// What was counted of one model's items.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::simulator) struct BatchTally {
    answered: u64,
    failed: u64,
    input_tokens: u64,
}

impl BatchTally {
    pub(super) fn add<'a>(
        &mut self,
        job: &Job,
        answered: impl Iterator<Item = &'a Row>,
        rows: &[Row],
    ) {
        for row in answered {
            self.answered += 1;
            self.input_tokens += job.draft.items[row.at].input_tokens;
        }
        let failed = rows.iter().filter(|row| row.fate == Fate::Failed);
        self.failed += u64::try_from(failed.count()).unwrap_or(u64::MAX);
    }
}

/// A batch that was accepted, as the simulator has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchRecord {
    /// Counts the batches accepted, from 1.
    pub seq: u64,
    /// Its name, without `batches/`.
    pub id: String,
    /// `gemini` or `openai`.
    pub vendor: String,
    /// The model asked.
    pub model: String,
    /// `answers` or `vectors`.
    pub kind: String,
    /// Gemini's displayName, OpenAI's `metadata.submission`.
    pub token: String,
    /// `waiting`, `running`, `finalizing`, `cancelling`, `succeeded`, `failed`, `expired` or
    /// `cancelled`.
    pub state: String,
    /// Items handed in; 0 if the input could not be read.
    pub items: usize,
    /// Items done, with an answer or an error of their own.
    pub done: usize,
    /// When it was created, in milliseconds since 1970.
    pub unix_ms: u64,
    /// When it ended.
    pub ended_unix_ms: Option<u64>,
    /// Of each item, in the order of the input, the hash of its prompt, as in
    /// [`CallRecord`](crate::simulator::CallRecord).
    pub prompts: Vec<String>,
    /// The keys or custom_ids, in the same order.
    pub keys: Vec<String>,
    /// The id of the file that it was made of; `None`: its items were in the request.
    pub input_file: Option<String>,
    /// The first 4 bytes, in hex, of the SHA-256 of the API key.
    pub key: String,
    /// Somebody cancelled it before its end.
    pub cancelled: bool,
    /// It was deleted.
    pub deleted: bool,
    /// Who created it got no answer.
    pub lost_reply: bool,
}

/// A file that was ever there, as the simulator has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRecord {
    /// Counts the files, from 1.
    pub seq: u64,
    /// Its id, without `files/`.
    pub id: String,
    /// `gemini` or `openai`.
    pub vendor: String,
    /// Gemini's displayName, OpenAI's filename.
    pub name: String,
    /// Of an uploaded file; `None`: results, which are made while they are read.
    pub bytes: Option<usize>,
    /// Of results: the batch's id.
    pub batch: Option<String>,
    /// When it was there first, in milliseconds since 1970.
    pub unix_ms: u64,
    /// It was deleted.
    pub deleted: bool,
    /// Who uploaded it got no answer.
    pub lost_upload: bool,
}

/// Adds what batches have to the counters.
pub(in crate::simulator) fn fill(shared: &Shared, counters: &mut Counters) {
    let (tallies, ended) = shared.at_desk(|desk, _| {
        counters.batches = desk.counters.clone();
        let jobs = desk.jobs.iter();
        let ended: Vec<_> = jobs
            .filter_map(|kept| kept.ended.map(|ended| (kept.job.clone(), ended)))
            .collect();
        (desk.tallies.clone(), ended)
    });
    for (model, tally) in shared.settings.models.iter().zip(tallies) {
        let Some(counted) = counters.models.get_mut(&model.name) else {
            continue;
        };
        counted.batch_items = tally.answered;
        counted.batch_items_failed = tally.failed;
        counted.batch_input_tokens = tally.input_tokens;
    }
    // outside the lock: the answers are made for it, once for each batch
    for (job, ended) in ended {
        if let Some(counted) = counters.models.get_mut(job.model()) {
            counted.batch_output_tokens += output::tokens(shared, &job, &ended);
        }
    }
}

/// All batches ever accepted, from the `from`th on, at most `count`.
pub(in crate::simulator) fn jobs(
    shared: &Arc<Shared>,
    from: usize,
    count: usize,
) -> Vec<BatchRecord> {
    shared.at_desk(|desk, now_ms| {
        let jobs = desk.jobs.iter().skip(from).take(count);
        jobs.map(|kept| record(kept, now_ms)).collect()
    })
}

impl Desk {
    /// All files that ever were.
    pub(in crate::simulator) fn file_records(&self) -> Vec<FileRecord> {
        self.files.iter().map(of_file).collect()
    }
}

fn record(kept: &Kept, now_ms: u64) -> BatchRecord {
    let (job, view) = (&kept.job, kept.view(now_ms));
    let items = job.draft.items.iter();
    BatchRecord {
        seq: job.number,
        id: job.id.clone(),
        vendor: job.draft.vendor.word().to_owned(),
        model: job.model().to_owned(),
        kind: match job.draft.kind {
            Kind::Answers => "answers",
            Kind::Vectors => "vectors",
        }
        .to_owned(),
        token: job.draft.token.clone(),
        state: view.phase.word().to_owned(),
        items: job.count(),
        done: view.done,
        unix_ms: job.created_ms,
        ended_unix_ms: view.ended.map(|ended| ended.at_ms),
        prompts: items
            .clone()
            .map(|item| hex::encode(item.prompt_hash))
            .collect(),
        keys: items.map(|item| item.key.clone()).collect(),
        input_file: job.draft.input_file.clone(),
        key: format!("{:08x}", job.draft.key_hash),
        cancelled: view.cancelled_ms.is_some(),
        deleted: kept.deleted,
        lost_reply: kept.lost,
    }
}

fn of_file(file: &Stored) -> FileRecord {
    let (bytes, batch) = match &file.content {
        Content::Uploaded { bytes, .. } => (Some(bytes.len()), None),
        Content::Output(output) => (None, Some(output.job.id.clone())),
    };
    FileRecord {
        seq: file.number,
        id: file.id.clone(),
        vendor: file.vendor.word().to_owned(),
        name: file.name.clone(),
        bytes,
        batch,
        unix_ms: file.created_ms,
        deleted: file.deleted,
        lost_upload: file.lost,
    }
}
