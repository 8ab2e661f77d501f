//! How often a question was asked already, and what follows.

use std::time::Duration;

use crate::{
    engine::{
        ProcessId,
        member::Member,
        settle::{Closing, Outcome},
    },
    store::{
        claim::{Claimed, TaskBody},
        settle::Fate,
    },
    task::Item,
};

/// What a question has behind it, in the process that asks: its task is given back between two calls, so
/// that it waits for no other process.
#[derive(Default)]
pub(super) struct Tries {
    calls: i32,
    of_rungs: Vec<i16>,
    spent_ms: i64,
}

impl Tries {
    pub(super) fn member(&self, process: ProcessId, claimed: Claimed, item: &Item) -> Member {
        Member {
            process,
            body: Some(TaskBody {
                task: claimed.task,
                item: item.id.clone(),
                body: item.body.get().to_owned(),
                version: None,
            }),
            needed: Vec::new(),
            claimed: Claimed {
                attempt: self.calls + 1,
                tries: self.of_rungs.clone(),
                spent_ms: self.spent_ms,
                ..claimed
            },
        }
    }

    /// Notes what befell it. Returns how long to wait before it is asked again; `None`: it is over.
    pub(super) fn after(&mut self, outcome: &mut Outcome, rung: i16) -> Option<Duration> {
        let Closing::Open { attempt, .. } = &mut outcome.closing else {
            return None;
        };
        self.spent_ms += i64::from(attempt.spent.latency_ms);
        match attempt.fate {
            Fate::Release => Some(Duration::ZERO),
            Fate::Reschedule { delay_ms } => {
                self.calls += 1;
                self.spent_ms += delay_ms;
                let rung = usize::try_from(rung.max(1)).unwrap_or(1);
                if self.of_rungs.len() < rung {
                    self.of_rungs.resize(rung, 0);
                }
                self.of_rungs[rung - 1] += 1;
                attempt.fate = Fate::Release;
                Some(Duration::from_millis(delay_ms.unsigned_abs()))
            }
            Fate::Fail | Fate::Expire => None,
        }
    }
}

/// It is over: who listened has heard a part of an answer that does not come.
pub(super) fn give_up(outcome: &mut Outcome) -> Option<Duration> {
    if let Closing::Open { attempt, .. } = &mut outcome.closing {
        attempt.fate = Fate::Fail;
    }
    None
}
