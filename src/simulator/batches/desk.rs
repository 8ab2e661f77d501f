//! The desk where batches are handed in, and where they are asked for: all that is known of them and
//! of files, behind one lock of its own.

use std::sync::{Arc, OnceLock};

use super::course::{Course, Ended, Phase};
use super::files::Stored;
use super::job::{Draft, Flaw, Job, Vendor};
use super::plan::{self, Fate, Part};
use super::records::{BatchCounters, BatchTally};
use super::settings::{BatchEnd, BatchSettings};
use super::uploads::Upload;
use crate::simulator::chance::{Chance, hash, mix};
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
    creates: u64,
}

/// A batch, and what became of it.
pub(super) struct Kept {
    pub(super) job: Arc<Job>,
    pub(super) course: Course,
    pub(super) ended: Option<Ended>,
    /// The ids of its files: all or the answers, and the errors.
    output: Option<String>,
    errors: Option<String>,
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
    pub(in crate::simulator) ended: Option<Ended>,
    pub(in crate::simulator) takes_ms: u64,
    pub(in crate::simulator) cancelled_ms: Option<u64>,
    pub(in crate::simulator) now_ms: u64,
    /// The ids of its files, once they are told.
    pub(in crate::simulator) output: Option<String>,
    pub(in crate::simulator) errors: Option<String>,
}

/// Why a batch was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::simulator) enum Refused {
    Overloaded,
    /// Too many are under way.
    Jobs,
    /// Too many tokens wait.
    Tokens {
        limit: u64,
    },
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

    /// Accepts a batch; true: but its answer is lost.
    pub(in crate::simulator) fn submit(
        &mut self,
        mut draft: Draft,
        now_ms: u64,
    ) -> Result<(View, bool), Refused> {
        self.creates += 1;
        let mut chance = Chance::of(&[self.seed, hash("create"), self.creates]);
        if chance.unit() < self.settings.create_503 {
            self.counters.refused_503 += 1;
            return Err(Refused::Overloaded);
        }
        let waiting = || self.jobs.iter().filter(|kept| kept.ended.is_none());
        let of_vendor = waiting().filter(|kept| kept.job.draft.vendor == draft.vendor);
        if u64::try_from(of_vendor.count()).unwrap_or(u64::MAX) >= self.settings.max_jobs {
            self.counters.refused_429 += 1;
            return Err(Refused::Jobs);
        }
        let of_model = waiting().filter(|kept| {
            kept.job.draft.flaws.is_empty() && kept.job.draft.model.0 == draft.model.0
        });
        let waits: u64 = of_model.map(|kept| kept.job.input_tokens()).sum();
        let asked: u64 = draft.items.iter().map(|item| item.input_tokens).sum();
        if let Some(limit) = self.settings.max_enqueued_tokens
            && waits.saturating_add(asked) > limit
            && draft.flaws.is_empty()
        {
            self.counters.refused_tokens += 1;
            if draft.vendor == Vendor::Gemini {
                self.counters.refused_429 += 1;
                return Err(Refused::Tokens { limit });
            }
            draft.flaws.push(too_many_tokens(&draft.model.1, limit));
        }
        let lost = chance.unit() < self.settings.lost_replies;
        self.counters.accepted += 1;
        self.counters.lost_replies += u64::from(lost);
        Ok((self.accept(draft, lost, now_ms), lost))
    }

    fn accept(&mut self, draft: Draft, lost: bool, now_ms: u64) -> View {
        let number = u64::try_from(self.jobs.len()).unwrap_or(u64::MAX) + 1;
        let drawn = mix(self.seed ^ hash("batch") ^ number);
        let id = match draft.vendor {
            Vendor::Gemini => format!("{drawn:016x}"),
            Vendor::OpenAi => format!("batch_{drawn:016x}"),
        };
        let job = Arc::new(Job {
            draft,
            number,
            id,
            created_ms: now_ms,
            settings: self.settings.clone(),
            seed: self.seed,
            output_tokens: OnceLock::new(),
        });
        let kept = Kept {
            course: Course {
                created_ms: now_ms,
                takes_ms: job.takes_ms(),
                cancelled_ms: None,
            },
            job,
            ended: None,
            output: None,
            errors: None,
            deleted: false,
            lost,
        };
        // who creates one is never told that it has ended
        let view = View {
            phase: Phase::Waiting,
            ..kept.view(now_ms)
        };
        self.jobs.push(kept);
        view
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
    pub(super) fn view(&self, now_ms: u64) -> View {
        let job = &self.job;
        let told = self.ended.is_some_and(|ended| {
            let late = ended.end == BatchEnd::Succeeded && job.draft.vendor == Vendor::OpenAi;
            let late_ms = if late { job.settings.late_output_ms } else { 0 };
            ended.at_ms.saturating_add(late_ms) <= now_ms
        });
        let file = |id: &Option<String>| id.clone().filter(|_| told);
        View {
            phase: match self.ended {
                Some(ended) => Phase::Ended(ended.end),
                None => self.course.phase(job, now_ms),
            },
            done: match self.ended {
                Some(ended) => ended.done,
                None => self.course.done(job, now_ms),
            },
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

fn too_many_tokens(model: &str, limit: u64) -> Flaw {
    Flaw {
        code: "token_limit_exceeded",
        message: format!(
            "Enqueued token limit reached for {model} in organization org-simulator. Limit: {limit} \
             enqueued tokens. Please try again once some in_progress batches have been completed."
        ),
        param: None,
        line: None,
    }
}
