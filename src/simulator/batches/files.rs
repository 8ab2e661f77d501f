//! Files: what was uploaded, and the results that batches hand out.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::course::Ended;
use super::desk::Desk;
use super::job::{Job, Vendor};
use super::plan::Part;
use crate::simulator::chance::{Chance, hash, mix};

/// A file that is kept.
#[derive(Clone, Debug)]
pub(in crate::simulator) struct Stored {
    /// Counts the files, from 1.
    pub(in crate::simulator) number: u64,
    pub(in crate::simulator) vendor: Vendor,
    /// Without `files/`.
    pub(in crate::simulator) id: String,
    /// displayName or filename.
    pub(in crate::simulator) name: String,
    pub(in crate::simulator) mime: String,
    /// OpenAI's word for what it is for.
    pub(in crate::simulator) purpose: &'static str,
    pub(in crate::simulator) content: Content,
    pub(in crate::simulator) created_ms: u64,
    pub(in crate::simulator) expires_ms: Option<u64>,
    pub(super) deleted: bool,
    /// Its upload got no answer.
    pub(super) lost: bool,
}

/// What is in a file.
#[derive(Clone, Debug)]
pub(in crate::simulator) enum Content {
    Uploaded {
        bytes: Bytes,
        sha256: String,
    },
    /// Made while it is read.
    Output(Arc<Output>),
}

/// The results of a batch.
#[derive(Debug)]
pub(in crate::simulator) struct Output {
    pub(super) job: Arc<Job>,
    pub(super) ended: Ended,
    pub(super) part: Part,
    /// Counted when somebody first wants to know.
    pub(super) bytes: OnceLock<u64>,
}

/// A file to be kept.
pub(in crate::simulator) struct NewFile {
    pub(in crate::simulator) vendor: Vendor,
    /// Chosen by the client; `None`: by the simulator.
    pub(in crate::simulator) id: Option<String>,
    pub(in crate::simulator) name: String,
    pub(in crate::simulator) mime: String,
    pub(in crate::simulator) purpose: &'static str,
    pub(in crate::simulator) bytes: Bytes,
    pub(in crate::simulator) live_s: Option<u64>,
}

impl Stored {
    fn is_there(&self, now_ms: u64) -> bool {
        !self.deleted && self.created_ms <= now_ms && self.expires_ms.is_none_or(|at| now_ms < at)
    }
}

impl Desk {
    /// Keeps a file, unless its id is taken; and whether the answer to its upload is lost.
    pub(in crate::simulator) fn keep(
        &mut self,
        new: NewFile,
        now_ms: u64,
    ) -> Option<(Stored, bool)> {
        let taken = |id: &str| self.file(new.vendor, id, now_ms).is_some();
        if new.id.as_deref().is_some_and(taken) {
            return None;
        }
        self.counters.uploads += 1;
        let draw = Chance::of(&[self.seed, hash("upload"), self.counters.uploads]).unit();
        let lost = draw < self.settings.lost_uploads;
        self.counters.lost_uploads += u64::from(lost);
        let id = new.id.unwrap_or_else(|| self.name(new.vendor));
        let file = Stored {
            number: 0,
            vendor: new.vendor,
            id,
            name: new.name,
            mime: new.mime,
            purpose: new.purpose,
            content: Content::Uploaded {
                sha256: hex::encode(Sha256::digest(&new.bytes)),
                bytes: new.bytes,
            },
            created_ms: now_ms,
            expires_ms: new
                .live_s
                .map(|seconds| now_ms + seconds.saturating_mul(1000)),
            deleted: false,
            lost,
        };
        Some((self.put(file), lost))
    }

    /// A file that is there.
    pub(in crate::simulator) fn file(
        &self,
        vendor: Vendor,
        id: &str,
        now_ms: u64,
    ) -> Option<&Stored> {
        let mut files = self.files.iter().rev();
        files.find(|file| file.vendor == vendor && file.id == id && file.is_there(now_ms))
    }

    /// A vendor's files, the newest first.
    pub(in crate::simulator) fn files_of(&self, vendor: Vendor, now_ms: u64) -> Vec<Stored> {
        let files = self.files.iter().rev();
        files
            .filter(|file| file.vendor == vendor && file.is_there(now_ms))
            .cloned()
            .collect()
    }

    /// Deletes a file; false: it was not there.
    pub(in crate::simulator) fn delete_file(
        &mut self,
        vendor: Vendor,
        id: &str,
        now_ms: u64,
    ) -> bool {
        let mut files = self.files.iter_mut().rev();
        let found =
            files.find(|file| file.vendor == vendor && file.id == id && file.is_there(now_ms));
        found.is_some_and(|file| {
            file.deleted = true;
            true
        })
    }

    /// Keeps the results of a batch as a file, and says under which id.
    pub(super) fn put_output(&mut self, job: &Arc<Job>, ended: Ended, part: Part) -> String {
        /// OpenAI keeps results for 30 days.
        const MONTH_S: u64 = 2_592_000;
        let vendor = job.draft.vendor;
        let (id, name, purpose, live_s) = match vendor {
            Vendor::Gemini => {
                let id = format!("batch-{}", job.id);
                (id, String::new(), "", self.settings.files_live_s)
            }
            Vendor::OpenAi => {
                let word = if part == Part::Errors {
                    "error"
                } else {
                    "output"
                };
                let name = format!("{}_{word}.jsonl", job.id);
                let live_s = job.draft.output_live_s.unwrap_or(MONTH_S);
                (self.name(vendor), name, "batch_output", live_s)
            }
        };
        let output = Output {
            job: job.clone(),
            ended,
            part,
            bytes: OnceLock::new(),
        };
        let file = Stored {
            number: 0,
            vendor,
            id,
            name,
            mime: "application/jsonl".to_owned(),
            purpose,
            content: Content::Output(Arc::new(output)),
            created_ms: ended.at_ms,
            expires_ms: Some(ended.at_ms + live_s.saturating_mul(1000)),
            deleted: false,
            lost: false,
        };
        self.put(file).id
    }

    /// An id that no other file has.
    fn name(&self, vendor: Vendor) -> String {
        let number = u64::try_from(self.files.len()).unwrap_or(u64::MAX);
        let drawn = mix(self.seed ^ hash("file") ^ number);
        match vendor {
            Vendor::Gemini => format!("{:012x}", drawn >> 16),
            Vendor::OpenAi => format!("file-{drawn:016x}"),
        }
    }

    fn put(&mut self, mut file: Stored) -> Stored {
        file.number = u64::try_from(self.files.len()).unwrap_or(u64::MAX) + 1;
        self.files.push(file.clone());
        file
    }
}
