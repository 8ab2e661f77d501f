//! The states of a task and the only transition table. SQL guards the same law in its `where`.

use std::{fmt, str::FromStr};

/// Where a task stands. The words are those of the column `tidegate.tasks.state`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum State {
    /// Waits for other tasks, or for its prompt to be rendered.
    Blocked,
    /// Waits for a moment (`run_at`, or a retry's back-off).
    Scheduled,
    /// May be claimed.
    Ready,
    /// Claimed by a process, whose lease it lives by.
    Running,
    /// Sent to a provider's Batch API.
    InBatch,
    /// Answered.
    Done,
    /// Ended without an answer.
    Failed,
    /// Ended by a person's wish.
    Cancelled,
}

/// What can happen to a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// Its needs are done and its prompt is rendered.
    Unblocked,
    /// Its moment came.
    Due,
    /// A process took it together with the right to call.
    Claimed,
    /// It left for a provider batch.
    Submitted,
    /// An answer was accepted and stored (a salvaged late one included).
    Succeeded,
    /// It is tried again later: an attempt was spent.
    Rescheduled,
    /// It was given back unspent: cooldown, expired grant, graceful stop.
    Released,
    /// Its process died: given back, the attempt counts.
    Rescued,
    /// No attempts or no models are left.
    Exhausted,
    /// Asking again cannot help.
    Rejected,
    /// A person ended it.
    Cancelled,
    /// It was not worth starting any more.
    Expired,
    /// A task that it needs failed or was cancelled.
    NeedLost,
    /// Too many processes died while they held it: set aside.
    Quarantined,
    /// The user's sink refused the answer, in the transaction that was to complete the task.
    SinkRefused,
    /// The sink took the kept answer after all.
    SinkApplied,
    /// A person put it back: the next generation.
    Retried,
    /// It waits again with another payload, as if it had just come. [`Held`](Self::Held) or
    /// [`Deferred`](Self::Deferred) may follow at once.
    Replaced,
    /// In the transaction that made it ready: a need or its prompt is still missing.
    Held,
    /// In the transaction that made it ready: its moment is still to come.
    Deferred,
}

impl State {
    /// Every state, in the order people read them.
    pub const ALL: [Self; 8] = [
        Self::Blocked,
        Self::Scheduled,
        Self::Ready,
        Self::Running,
        Self::InBatch,
        Self::Done,
        Self::Failed,
        Self::Cancelled,
    ];

    /// The only transition table. `None`: the event is stale here; drop it, never repair the row.
    pub fn after(self, event: Event) -> Option<Self> {
        use State::{Blocked, Cancelled, Done, Failed, InBatch, Ready, Running, Scheduled};
        Some(match (self, event) {
            (Blocked, Event::Unblocked) => Ready,
            (Scheduled, Event::Due) => Ready,
            (Ready, Event::Claimed) => Running,
            (Ready, Event::Submitted) => InBatch,
            // Scheduled, Ready and Blocked (by an equal task that is asked): a late paid answer completes a
            // task that waits again.
            (Running | InBatch | Scheduled | Ready | Blocked, Event::Succeeded) => Done,
            (Running | InBatch, Event::Rescheduled) => Scheduled,
            (Running | InBatch, Event::Released | Event::Rescued) => Ready,
            (Blocked | Running | InBatch, Event::Exhausted | Event::Rejected) => Failed,
            (Running | InBatch, Event::Quarantined) => Failed,
            (Running | InBatch | Scheduled | Ready | Blocked, Event::SinkRefused) => Failed,
            (Failed, Event::SinkApplied) => Done,
            (Blocked | Scheduled | Ready | Running | InBatch, Event::Cancelled) => Cancelled,
            (Blocked | Scheduled | Ready | Running, Event::Expired) => Cancelled,
            (Blocked, Event::NeedLost) => Cancelled,
            (Failed | Cancelled, Event::Retried) => Ready,
            (Blocked | Scheduled | Ready, Event::Replaced) => Ready,
            (Ready, Event::Held) => Blocked,
            (Ready, Event::Deferred) => Scheduled,
            _ => return None,
        })
    }

    /// Whether the task has ended (within its generation).
    pub fn is_settled(self) -> bool {
        matches!(self, Self::Done | Self::Failed | Self::Cancelled)
    }

    /// The word used in SQL, on the command line and in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Blocked => "blocked",
            Self::Scheduled => "scheduled",
            Self::Ready => "ready",
            Self::Running => "running",
            Self::InBatch => "in_batch",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

/// A word that names no state.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no state: blocked, scheduled, ready, running, in_batch, done, failed, cancelled")]
pub struct StateError(String);

impl FromStr for State {
    type Err = StateError;

    fn from_str(word: &str) -> Result<Self, StateError> {
        Self::ALL
            .into_iter()
            .find(|state| state.as_str() == word)
            .ok_or_else(|| StateError(word.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const EVENTS: [Event; 20] = [
        Event::Unblocked,
        Event::Due,
        Event::Claimed,
        Event::Submitted,
        Event::Succeeded,
        Event::Rescheduled,
        Event::Released,
        Event::Rescued,
        Event::Exhausted,
        Event::Rejected,
        Event::Cancelled,
        Event::Expired,
        Event::NeedLost,
        Event::Quarantined,
        Event::SinkRefused,
        Event::SinkApplied,
        Event::Retried,
        Event::Replaced,
        Event::Held,
        Event::Deferred,
    ];

    proptest! {
        #[test]
        fn a_settled_task_leaves_only_by_a_retry(
            start in prop::sample::select(State::ALL.to_vec()),
            events in prop::collection::vec(prop::sample::select(EVENTS.to_vec()), 0..40),
        ) {
            let mut state = start;
            for event in events {
                if let Some(next) = state.after(event) {
                    let retried = matches!(event, Event::Retried | Event::SinkApplied);
                    prop_assert!(!state.is_settled() || retried);
                    prop_assert!(state != State::Done, "done is for ever");
                    state = next;
                }
            }
        }
    }

    #[test]
    fn every_word_reads_back() {
        for state in State::ALL {
            assert_eq!(state.as_str().parse(), Ok(state));
        }
    }
}
