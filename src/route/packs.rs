//! Packs of a claim: calls of lanes whose tasks may travel together, and who may still join them.

use uuid::Uuid;

use super::{Board, Lane, Task};

/// A call of this claim.
#[derive(Clone, Copy, Debug)]
pub(super) struct Open {
    /// The task that leads it.
    pub(super) lead: Uuid,
    /// Place of the model in the ladder.
    pub(super) rung: usize,
    /// Input tokens of all that travel with it.
    pub(super) tokens: u64,
    lane: usize,
    tasks: u32,
    /// How many may still join.
    room: u32,
}

/// The calls of this claim, in the order in which they were taken.
#[derive(Debug, Default)]
pub(super) struct Packs(Vec<Open>);

impl Packs {
    /// The last call of its lane that this task may join, as far as the pack goes.
    pub(super) fn joinable(&self, place: usize, lane: &Lane, task: &Task) -> Option<usize> {
        let most = lane.most(task);
        let may_join = |it: &Open| {
            it.lane == place
                && it.room > 0
                && it.tasks < most
                && it.tokens + u64::from(task.est_input) <= lane.pack.tokens
        };
        self.0.iter().rposition(may_join)
    }

    /// Whether anybody may still join any.
    pub(super) fn is_any_open(&self) -> bool {
        self.0.iter().any(|it| it.room > 0)
    }

    pub(super) fn get(&self, call: usize) -> Open {
        self.0[call]
    }

    /// A call of this task's own. One for which an earlier model is used up goes alone: its neighbours
    /// would have that model.
    pub(super) fn open(&mut self, place: usize, lane: &Lane, task: &Task, rung: usize) {
        let goes_alone = (0..rung).any(|earlier| !lane.may_try(task, earlier));
        let room = if goes_alone { 0 } else { lane.most(task) - 1 };
        self.0.push(Open {
            lead: task.id,
            rung,
            tokens: task.est_input.into(),
            lane: place,
            tasks: 1,
            room,
        });
    }

    /// One more travels with it: with no more than this one bears, either.
    pub(super) fn join(&mut self, call: usize, lane: &Lane, task: &Task) {
        let it = &mut self.0[call];
        it.tasks += 1;
        it.room = (it.room - 1).min(lane.most(task) - it.tasks);
        it.tokens += u64::from(task.est_input);
    }
}

impl Lane {
    /// With how many at most a task travels, itself included: alone after a death of its process, with
    /// fewer after it was lost in a pack.
    fn most(&self, task: &Task) -> u32 {
        match task.rescues {
            0 => task.most.unwrap_or(u32::MAX).min(self.pack.size),
            _ => 1,
        }
    }

    /// The place of the lane on its board.
    pub(super) fn place(&self, board: &Board) -> usize {
        let its = |lane: &&Lane| std::ptr::eq(*lane, self);
        board.lanes.iter().take_while(|it| !its(it)).count()
    }
}
