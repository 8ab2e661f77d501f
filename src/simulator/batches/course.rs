//! How far a batch is, by the time that passed. Pure: nothing runs, what is asked for is computed.

use super::job::{Job, Vendor};
use super::settings::BatchEnd;

/// When what happened to a batch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Course {
    pub(super) created_ms: u64,
    pub(super) takes_ms: u64,
    pub(super) cancelled_ms: Option<u64>,
}

/// Where a batch is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::simulator) enum Phase {
    /// Pending, validating.
    Waiting,
    Running,
    Finalizing,
    /// OpenAI's, between the order and the end.
    Cancelling,
    Ended(BatchEnd),
}

impl Phase {
    /// The word of the control surface.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Finalizing => "finalizing",
            Self::Cancelling => "cancelling",
            Self::Ended(BatchEnd::Succeeded) => "succeeded",
            Self::Ended(BatchEnd::Failed) => "failed",
            Self::Ended(BatchEnd::Expired) => "expired",
            Self::Ended(BatchEnd::Cancelled) => "cancelled",
        }
    }
}

/// How a batch ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::simulator) struct Ended {
    pub(in crate::simulator) at_ms: u64,
    pub(in crate::simulator) end: BatchEnd,
    /// Of its items, in the order in which they are done.
    pub(in crate::simulator) done: usize,
}

impl Course {
    /// When it will have ended, and how.
    pub(super) fn end(&self, job: &Job) -> Ended {
        let tenth = self.takes_ms / 10;
        if let Some(cancelled_ms) = self.cancelled_ms {
            let rest = match job.draft.vendor {
                Vendor::Gemini => 0,
                Vendor::OpenAi => tenth,
            };
            return Ended {
                at_ms: cancelled_ms + rest,
                end: BatchEnd::Cancelled,
                done: self.done(job, cancelled_ms),
            };
        }
        let takes_ms = if job.draft.flaws.is_empty() {
            self.takes_ms
        } else {
            tenth
        };
        Ended {
            at_ms: self.created_ms + takes_ms,
            end: job.end(),
            done: job.done_at_end(),
        }
    }

    /// Where it is before its end.
    pub(super) fn phase(&self, job: &Job, now_ms: u64) -> Phase {
        if self.cancelled_ms.is_some() {
            return Phase::Cancelling;
        }
        let tenth = self.takes_ms / 10;
        let passed = now_ms.saturating_sub(self.created_ms);
        if passed <= tenth || !job.draft.flaws.is_empty() {
            Phase::Waiting
        } else if passed <= tenth * 9 {
            Phase::Running
        } else {
            Phase::Finalizing
        }
    }

    /// How many items are done before its end: evenly between the first and the last tenth of its
    /// time.
    pub(super) fn done(&self, job: &Job, now_ms: u64) -> usize {
        let until_ms = self
            .cancelled_ms
            .map_or(now_ms, |cancelled| cancelled.min(now_ms));
        let tenth = self.takes_ms / 10;
        let worked = until_ms
            .saturating_sub(self.created_ms + tenth)
            .min(tenth * 8);
        let all = u128::try_from(job.done_at_end()).unwrap_or(0);
        let done = all * u128::from(worked) / u128::from((tenth * 8).max(1));
        usize::try_from(done).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{draft, job};
    use super::super::{BatchSettings, Flaw};
    use super::*;

    fn course(cancelled_ms: Option<u64>) -> Course {
        Course {
            created_ms: 5_000,
            takes_ms: 1_000,
            cancelled_ms,
        }
    }

    #[test]
    fn a_batch_goes_through_its_phases_in_order() {
        let job = job(draft(Vendor::OpenAi, 80), BatchSettings::default());
        let seen: Vec<_> = [5_000, 5_100, 5_101, 5_500, 5_900, 5_901]
            .map(|now| (course(None).phase(&job, now), course(None).done(&job, now)))
            .into();
        assert_eq!(
            seen,
            [
                (Phase::Waiting, 0),
                (Phase::Waiting, 0),
                (Phase::Running, 0),
                (Phase::Running, 40),
                (Phase::Running, 80),
                (Phase::Finalizing, 80),
            ]
        );
        let ended = course(None).end(&job);
        assert_eq!(
            (ended.at_ms, ended.end, ended.done),
            (6_000, BatchEnd::Succeeded, 80)
        );
    }

    #[test]
    fn a_cancelled_batch_keeps_what_was_done() {
        for (vendor, at_ms) in [(Vendor::Gemini, 5_500), (Vendor::OpenAi, 5_600)] {
            let job = job(draft(vendor, 80), BatchSettings::default());
            let ended = course(Some(5_500)).end(&job);
            assert_eq!(
                (ended.at_ms, ended.end, ended.done),
                (at_ms, BatchEnd::Cancelled, 40)
            );
        }
    }

    #[test]
    fn a_batch_that_expires_has_done_its_share() {
        let settings = BatchSettings {
            end: BatchEnd::Expired,
            end_at: 0.25,
            ..BatchSettings::default()
        };
        let job = job(draft(Vendor::OpenAi, 80), settings);
        assert_eq!(course(None).end(&job).done, 20);
        assert_eq!(course(None).done(&job, 5_500), 10);
    }

    #[test]
    fn a_flaw_ends_a_batch_before_it_runs() {
        let mut flawed = draft(Vendor::OpenAi, 8);
        flawed.flaws.push(Flaw {
            code: "x",
            message: String::new(),
            param: None,
            line: None,
        });
        let job = job(flawed, BatchSettings::default());
        let ended = course(None).end(&job);
        assert_eq!(
            (ended.at_ms, ended.end, ended.done),
            (5_100, BatchEnd::Failed, 0)
        );
    }
}
