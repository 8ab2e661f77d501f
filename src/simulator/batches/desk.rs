//! The desk where batches are handed in, and where they are asked for: all that is known of them and
//! of files, behind one lock of its own.

use std::sync::Arc;

use super::course::{Course, Ended, Phase};
use super::files::Stored;
use super::job::{Job, Vendor};
use super::plan::{self, Fate, Part};
use super::records::{BatchCounters, BatchTally};
use super::settings::{BatchEnd, BatchSettings};
use super::uploads::Upload;
use crate::simulator::settings::Settings;

/// All batches and files.
pub(in crate::simulator) struct Desk {
    pub(super) settings: BatchSettings,
    pub(super) seed: u64,
    pub(super) jobs: Vec<Kept>,
    pub(super) files: Vec<Stored>,
    pub(super) uploads: Vec<Upload>,
    pub(super) counters: BatchCounters,
    /// Each model's, in the order of the settings.
    pub(super) tallies: Vec<BatchTally>,
    /// Creates that were well-formed, which seeds their chance.
    pub(super) creates: u64,
}

/// A batch, and what became of it.
pub(super) struct Kept {
    pub(super) job: Arc<Job>,
    pub(super) course: Course,
    pub(super) ended: Option<Ended>,
    /// The ids of its files: all or the answers, and the errors.
    pub(super) output: Option<String>,
    pub(super) errors: Option<String>,
    /// Counted at its end.
    failed: usize,
    pub(super) deleted: bool,
    /// Its create got no answer.
    pub(super) lost: bool,
}

/// A batch as it is now.
#[derive(Clone)]
pub(in crate::simulator) struct View {
    pub(in crate::simulator) job: Arc<Job>,
    pub(in crate::simulator) phase: Phase,
    /// Items done.
    pub(in crate::simulator) done: usize,
    /// Of these, items without an answer.
    pub(in crate::simulator) failed: usize,
    pub(in crate::simulator) ended: Option<Ended>,
    pub(in crate::simulator) takes_ms: u64,
    pub(in crate::simulator) cancelled_ms: Option<u64>,
    pub(in crate::simulator) now_ms: u64,
    /// The ids of its files, once they are told.
    pub(in crate::simulator) output: Option<String>,
    pub(in crate::simulator) errors: Option<String>,
}

impl Desk {
    pub(in crate::simulator) fn new(settings: &Settings) -> Self {
        Self {
            settings: settings.batches.clone(),
            seed: settings.seed,
            jobs: Vec::new(),
            files: Vec::new(),
            uploads: Vec::new(),
            counters: BatchCounters::default(),
            tallies: vec![BatchTally::default(); settings.models.len()],
            creates: 0,
        }
    }

    /// Forgets all but the settings, which stay as they were changed.
    pub(in crate::simulator) fn reset(&mut self, settings: &Settings) {
        let changed = self.settings.clone();
        *self = Self {
            settings: changed,
            ..Self::new(settings)
        };
    }

    /// How batches behave from now on.
    pub(in crate::simulator) fn change(&mut self, settings: BatchSettings) {
        self.settings = settings;
    }

    /// Writes down what ended since somebody last looked.
    pub(in crate::simulator) fn settle(&mut self, now_ms: u64) {
        for at in 0..self.jobs.len() {
            let kept = &self.jobs[at];
            if kept.ended.is_some() {
                continue;
            }
            let ended = kept.course.end(&kept.job);
            if ended.at_ms <= now_ms {
                self.end(at, ended);
            }
        }
    }

    pub(super) fn end(&mut self, at: usize, ended: Ended) {
        let job = self.jobs[at].job.clone();
        self.jobs[at].ended = Some(ended);
        self.jobs[at].failed = job.failed(ended.done);
        self.counters.ended(ended.end);
        let parts: &[Part] = match job.draft.vendor {
            Vendor::Gemini => &[Part::All],
            Vendor::OpenAi => &[Part::Answers, Part::Errors],
        };
        for part in parts {
            let rows = plan::sound(&job, &ended, *part);
            if let Some(tally) = job.draft.model.0.and_then(|at| self.tallies.get_mut(at)) {
                tally.add(
                    &job,
                    rows.iter().filter(|row| row.fate == Fate::Answered),
                    &rows,
                );
            }
            let inline = job.draft.input_file.is_none();
            if rows.is_empty() || inline {
                continue;
            }
            let id = Some(self.put_output(&job, ended, *part));
            match part {
                Part::Errors => self.jobs[at].errors = id,
                Part::All | Part::Answers => self.jobs[at].output = id,
            }
        }
    }

    /// A batch of a vendor's that was not deleted.
    pub(in crate::simulator) fn job(&self, vendor: Vendor, id: &str, now_ms: u64) -> Option<View> {
        self.found(vendor, id).map(|at| self.jobs[at].view(now_ms))
    }

    /// A vendor's batches, the newest first; the youngest are not in it yet.
    pub(in crate::simulator) fn listed(&self, vendor: Vendor, now_ms: u64) -> Vec<View> {
        let shown = |kept: &&Kept| {
            let from_ms = kept.course.created_ms + kept.job.settings.list_lag_ms;
            kept.job.draft.vendor == vendor && !kept.deleted && from_ms <= now_ms
        };
        let jobs = self.jobs.iter().rev().filter(shown);
        jobs.map(|kept| kept.view(now_ms)).collect()
    }

    /// Cancels a batch that has not ended; `None`: there is none.
    pub(in crate::simulator) fn cancel(
        &mut self,
        vendor: Vendor,
        id: &str,
        now_ms: u64,
    ) -> Option<View> {
        let at = self.found(vendor, id)?;
        let kept = &mut self.jobs[at];
        if kept.ended.is_none() {
            kept.course.cancelled_ms.get_or_insert(now_ms);
        }
        Some(kept.view(now_ms))
    }

    /// Deletes a batch, which does not cancel it.
    pub(in crate::simulator) fn delete(&mut self, vendor: Vendor, id: &str) -> bool {
        let found = self.found(vendor, id);
        found.is_some_and(|at| {
            self.jobs[at].deleted = true;
            true
        })
    }

    fn found(&self, vendor: Vendor, id: &str) -> Option<usize> {
        self.jobs
            .iter()
            .rposition(|kept| kept.job.draft.vendor == vendor && kept.job.id == id && !kept.deleted)
    }
}

impl Kept {
    pub(super) fn new(job: Arc<Job>, lost: bool) -> Self {
        Self {
            course: Course {
                created_ms: job.created_ms,
                takes_ms: job.takes_ms(),
                cancelled_ms: None,
            },
            job,
            ended: None,
            output: None,
            errors: None,
            failed: 0,
            deleted: false,
            lost,
        }
    }

    pub(super) fn view(&self, now_ms: u64) -> View {
        let job = &self.job;
        let told = self.ended.is_some_and(|ended| {
            let late = ended.end == BatchEnd::Succeeded && job.draft.vendor == Vendor::OpenAi;
            let late_ms = if late { job.settings.late_output_ms } else { 0 };
            ended.at_ms.saturating_add(late_ms) <= now_ms
        });
        let file = |id: &Option<String>| id.clone().filter(|_| told);
        let (phase, done, failed) = match self.ended {
            Some(ended) => (Phase::Ended(ended.end), ended.done, self.failed),
            None => {
                let done = self.course.done(job, now_ms);
                (self.course.phase(job, now_ms), done, job.failed(done))
            }
        };
        View {
            phase,
            done,
            failed,
            ended: self.ended,
            takes_ms: self.course.takes_ms,
            cancelled_ms: self.course.cancelled_ms,
            now_ms,
            output: file(&self.output),
            errors: file(&self.errors),
            job: self.job.clone(),
        }
    }
}
