//! The twin of a task: what it should be, moved by the one transition table.

use tidegate::{
    store::enqueue::OnFailedNeed,
    task::{Event, State},
};
use uuid::Uuid;

use super::op::New;

/// Deaths of its process after which a task is set aside.
const DEATHS: i32 = 3;

/// What a task should be.
#[derive(Clone, Debug)]
pub(super) struct Twin {
    pub(super) id: Uuid,
    pub(super) new: New,
    pub(super) state: State,
    pub(super) generation: i32,
    pub(super) attempts: i32,
    pub(super) rescues: i32,
    pub(super) epoch: i32,
    /// Epochs of its claims.
    pub(super) claimed: Vec<i32>,
    /// Claims up to this epoch were for a payload that was replaced.
    pub(super) outdated: i32,
    pub(super) holder: Option<Uuid>,
    pub(super) needs: Vec<Uuid>,
    pub(super) on_failed_need: OnFailedNeed,
    /// Its moment is still to come.
    pub(super) later: bool,
    /// Whether its expiry is still to come.
    pub(super) expires: Option<bool>,
    /// Expiries that nobody looked at yet: whether each is still to come.
    pub(super) expiries: Vec<bool>,
    pub(super) unrendered: bool,
    pub(super) was_rendered: bool,
    pub(super) failed_by_sink: bool,
}

impl Twin {
    pub(super) fn born(id: Uuid, new: &New, needs: Vec<Uuid>) -> Self {
        let mut twin = Self {
            id,
            new: new.clone(),
            state: State::Ready,
            generation: 1,
            attempts: 0,
            rescues: 0,
            epoch: 0,
            claimed: Vec::new(),
            outdated: 0,
            holder: None,
            on_failed_need: new.on_failed_need,
            needs,
            later: new.later == Some(true),
            expires: new.expires_later,
            expiries: new.expires_later.into_iter().collect(),
            unrendered: !new.local,
            was_rendered: false,
            failed_by_sink: false,
        };
        twin.wait(!new.local || !twin.needs.is_empty());
        twin
    }

    /// The only way its state changes.
    pub(super) fn on(&mut self, event: Event) {
        let next = self.state.after(event);
        self.state =
            next.unwrap_or_else(|| panic!("the table has no {event:?} of a {} task", self.state));
        if self.state != State::Running {
            self.holder = None;
        }
    }

    /// Ready, but for what it still waits for.
    fn wait(&mut self, held: bool) {
        if held {
            self.on(Event::Held);
        } else if self.later {
            self.on(Event::Deferred);
        }
    }

    pub(super) fn waits(&self) -> bool {
        matches!(self.state, State::Blocked | State::Scheduled | State::Ready)
    }

    pub(super) fn is_held_by_claim(&self, epoch: i32) -> bool {
        self.state == State::Running && self.epoch == epoch
    }

    /// Whether a late answer of this claim completes it.
    pub(super) fn takes_late(&self, epoch: i32) -> bool {
        matches!(self.state, State::Scheduled | State::Ready) && epoch > self.outdated
    }

    pub(super) fn replace(&mut self, new: &New) {
        let held = self.state == State::Blocked || !new.local;
        self.on(Event::Replaced);
        self.new = New {
            on_failed_need: self.on_failed_need,
            ..new.clone()
        };
        self.attempts = 0;
        self.rescues = 0;
        self.outdated = self.epoch;
        self.later = new.later == Some(true);
        self.expires = new.expires_later;
        self.expiries.extend(new.expires_later);
        self.unrendered = !new.local;
        self.was_rendered = false;
        self.wait(held);
    }

    pub(super) fn claim(&mut self, process: Uuid) {
        self.on(Event::Claimed);
        self.epoch += 1;
        self.attempts += 1;
        self.claimed.push(self.epoch);
        self.holder = Some(process);
        self.later = false;
    }

    /// It leaves for a batch: a claim by nobody.
    pub(super) fn submit(&mut self) {
        self.on(Event::Submitted);
        self.epoch += 1;
        self.attempts += 1;
        self.claimed.push(self.epoch);
        self.later = false;
    }

    /// It waits in a batch under this claim.
    pub(super) fn is_in_batch(&self, epoch: i32) -> bool {
        self.state == State::InBatch && self.epoch == epoch
    }

    pub(super) fn rescue(&mut self) {
        self.rescues += 1;
        self.on(if self.rescues >= DEATHS {
            Event::Quarantined
        } else if self.attempts >= self.new.max_attempts {
            Event::Exhausted
        } else {
            Event::Rescued
        });
    }

    pub(super) fn retry(&mut self) {
        self.on(Event::Retried);
        self.generation += 1;
        self.attempts = 0;
        self.rescues = 0;
        self.later = false;
        self.expires = None;
        self.needs.clear();
        let held = !self.new.local && !self.was_rendered;
        self.unrendered = held;
        self.wait(held);
    }

    pub(super) fn unblock(&mut self) {
        self.on(Event::Unblocked);
        self.wait(false);
    }
}
