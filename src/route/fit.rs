//! Which model of its ladder a task may have now, and what is left after it.

use uuid::Uuid;

use super::{
    Admission, Board, Lane, PassedOver, Pick, Policy, SUSPECT_AT, Task,
    packs::{Open, Packs},
};
use crate::limits::{Dimension, Opening};

/// A claim in the making: the board, and what this claim has taken of it.
pub(super) struct Choice<'a> {
    board: &'a Board,
    /// What is left of each limit.
    room: Vec<u64>,
    /// Whether the hold on each limit still binds.
    held: Vec<bool>,
    /// What the gate of each model still lets through.
    gate: Vec<Option<u32>>,
    /// Calls given to each model in this claim.
    given: Vec<u32>,
    /// What the pacing of each run still lets start.
    allowance: Vec<Option<u32>>,
    holds_suspect: bool,
    packs: Packs,
    admission: Admission,
}

impl<'a> Choice<'a> {
    pub(super) fn new(board: &'a Board) -> Self {
        Self {
            board,
            room: board.limits.iter().map(|limit| limit.room).collect(),
            held: (board.limits.iter())
                .map(|it| it.hold.is_some() && it.keeps_room())
                .collect(),
            gate: board.models.iter().map(|model| model.gate).collect(),
            given: vec![0; board.models.len()],
            allowance: board.runs.iter().map(|run| run.allowance).collect(),
            holds_suspect: board.holds_suspect,
            packs: Packs::default(),
            admission: Admission::default(),
        }
    }

    pub(super) fn picks(&self) -> &[Pick] {
        &self.admission.picks
    }

    pub(super) fn holds_suspect(&self) -> bool {
        self.holds_suspect
    }

    pub(super) fn is_paced_out(&self, run: usize) -> bool {
        self.allowance[run] == Some(0)
    }

    pub(super) fn is_any_pack_open(&self) -> bool {
        self.packs.is_any_open()
    }

    /// What was taken; a task that was passed over once and taken by another model is no longer.
    pub(super) fn admission(mut self) -> Admission {
        let picks = &self.admission.picks;
        let taken = |task: Uuid| picks.iter().any(|pick| pick.task == task);
        self.admission.passed_over.retain(|it| !taken(it.task));
        self.admission
    }

    /// Takes this task, if a model of its ladder may be called for it. `primary`: its first choice
    /// only; of a spread, all are first choices.
    pub(super) fn take(&mut self, lane: &Lane, task: &Task, primary: bool) -> bool {
        let mut best: Option<(usize, f64)> = None;
        for (rung, &model) in lane.ladder.iter().enumerate() {
            // a rung whose calls are used up for this task is as if it were not there
            if !lane.may_try(task, rung) {
                continue;
            }
            let may_have = self.board.is_open(model)
                && self.gate[model] != Some(0)
                && !self.board.never_passes(task.est_input.into(), model)
                && self.has_waited(lane, task, rung);
            if may_have && let Some(left) = self.fits(lane, task, rung, None) {
                let spread = self.after_one_more(model, left);
                if best.is_none_or(|(_, most)| spread > most) {
                    best = Some((rung, spread));
                }
                if lane.policy != Policy::Spread {
                    break;
                }
            }
            if primary && lane.policy != Policy::Spread {
                break;
            }
        }
        let Some((rung, _)) = best else { return false };
        self.debit(lane, task, rung, None);
        self.packs.open(lane.place(self.board), lane, task, rung);
        true
    }

    /// Lets this task travel with the last call of its lane that has room for it.
    pub(super) fn join(&mut self, lane: &Lane, task: &Task) -> bool {
        let place = lane.place(self.board);
        let Some(call) = self.packs.joinable(place, lane, task) else {
            return false;
        };
        let pack = self.packs.get(call);
        let tokens = pack.tokens + u64::from(task.est_input);
        let may_join = lane.may_try(task, pack.rung)
            && !self.board.never_passes(tokens, lane.ladder[pack.rung])
            && self.has_waited(lane, task, pack.rung)
            && self.fits(lane, task, pack.rung, Some(pack)).is_some();
        if may_join {
            self.debit(lane, task, pack.rung, Some(pack));
            self.packs.join(call, lane, task);
        }
        may_join
    }

    /// To a later rung (of another provider, for `auto`) only where no earlier one that takes such a
    /// task opens within the patience; one whose first call after a cooldown has not come back for longer
    /// than that does not.
    fn has_waited(&self, lane: &Lane, task: &Task, rung: usize) -> bool {
        let board = self.board;
        let provider = &board.models[lane.ladder[rung]].provider;
        let is_worth_waiting = |earlier: usize| {
            let model = lane.ladder[earlier];
            let opens = if board.is_open(model) {
                Opening::At(board.now)
            } else {
                board.opens(model)
            };
            lane.may_try(task, earlier)
                && (lane.policy == Policy::Patient || board.models[model].provider != *provider)
                && opens.is_by(board.now.saturating_add(lane.patience))
                && board.is_asked_within(lane.patience, model)
                && !board.never_passes(task.est_input.into(), model)
        };
        match lane.policy {
            Policy::Ladder | Policy::Spread => true,
            Policy::Auto | Policy::Patient => !(0..rung).any(is_worth_waiting),
        }
    }

    /// Whether all limits have room for this task on this rung, and how many times it would fit into the
    /// narrowest. Notes the first task that does not fit into a limit of tokens, if nothing else keeps
    /// it from being taken. Who joins a pack asks for no further call.
    fn fits(&mut self, lane: &Lane, task: &Task, rung: usize, joins: Option<Open>) -> Option<f64> {
        let board = self.board;
        let model = &board.models[lane.ladder[rung]];
        for &limit in &board.runs[lane.run].limits {
            let need = match board.limits[limit].dimension {
                // a budget holds only where the price is known
                Dimension::Money => lane.worst_cost(task, rung, model.prices)?,
                _ if joins.is_some() => continue,
                _ => 1,
            };
            if self.room[limit] < need || self.room[limit] == 0 {
                return None;
            }
        }
        let mut times = UNLIMITED;
        for &limit in &model.limits {
            let need = self.need(lane, task, rung, limit, joins);
            if joins.is_some() && need == 0 {
                continue;
            }
            let room = self.room[limit];
            if room < need || room == 0 {
                if joins.is_none() && room < need && board.limits[limit].keeps_room() {
                    self.pass_over(limit, task, need);
                }
                return None;
            }
            // room that a large task waits for is for that task
            if let Some(hold) = board.limits[limit].hold
                && self.held[limit]
                && hold.task != task.id
                && room < hold.need.min(board.limits[limit].size).saturating_add(need)
            {
                return None;
            }
            times = times.min(room as f64 / need.max(1) as f64);
        }
        Some(times)
    }

    /// How much of a model's limit this task takes, at most all of it.
    fn need(
        &self,
        lane: &Lane,
        task: &Task,
        rung: usize,
        limit: usize,
        joins: Option<Open>,
    ) -> u64 {
        let (input, output) = (u64::from(task.est_input), u64::from(lane.est_output[rung]));
        let limit = &self.board.limits[limit];
        match limit.dimension {
            Dimension::InputTokens => input.min(limit.size),
            Dimension::OutputTokens => output.min(limit.size),
            // the longest answer is charged at first, whatever it comes to
            Dimension::TotalTokens => {
                let longest = lane.max_output.map_or(0, u64::from);
                (input + output).max(longest).min(limit.size)
            }
            Dimension::Requests | Dimension::Concurrency | Dimension::Money => {
                u64::from(joins.is_none())
            }
        }
    }

    /// In proportion to what they had left when the claim began: highest averages (V. D'Hondt, 1878).
    fn after_one_more(&self, model: usize, left: f64) -> f64 {
        let given = f64::from(self.given[model]);
        let left = self.gate[model].map_or(left, |gate| left.min(f64::from(gate)));
        (left + given) / (given + 1.0)
    }

    fn pass_over(&mut self, limit: usize, task: &Task, need: u64) {
        let passed_over = &mut self.admission.passed_over;
        if passed_over.iter().all(|it| it.limit != limit) {
            let task = task.id;
            passed_over.push(PassedOver { limit, task, need });
        }
    }

    fn debit(&mut self, lane: &Lane, task: &Task, rung: usize, joins: Option<Open>) {
        let board = self.board;
        let model = lane.ladder[rung];
        for &limit in &board.models[model].limits {
            self.room[limit] -= self.need(lane, task, rung, limit, joins);
            if board.limits[limit]
                .hold
                .is_some_and(|it| it.task == task.id)
            {
                self.held[limit] = false;
            }
        }
        for &limit in &board.runs[lane.run].limits {
            let cost = || lane.worst_cost(task, rung, board.models[model].prices);
            self.room[limit] -= match board.limits[limit].dimension {
                Dimension::Money => cost().unwrap_or(0),
                _ => u64::from(joins.is_none()),
            };
        }
        if joins.is_none() {
            self.given[model] += 1;
            self.gate[model] = self.gate[model].map(|left| left - 1);
            self.allowance[lane.run] = self.allowance[lane.run].map(|left| left - 1);
        }
        self.holds_suspect |= task.rescues >= SUSPECT_AT;
        self.admission.picks.push(Pick {
            task: task.id,
            model,
            rung: rung + 1,
            lead: joins.map_or(task.id, |pack| pack.lead),
        });
    }
}

/// A model without limits fits a task so many times.
const UNLIMITED: f64 = 1e9;
