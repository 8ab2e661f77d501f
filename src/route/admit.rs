//! What a claim takes: shares, phases, and for each task the model of its ladder that it may have.

use std::collections::HashSet;

use uuid::Uuid;

use super::{Board, Lane, SUSPECT_AT, Task, cells, fit::Choice};

/// What a claim takes of a board.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Admission {
    /// Tasks with the model each may call now, in the order in which they were taken.
    pub picks: Vec<Pick>,
    /// The first task per limit of tokens that did not fit and was not taken elsewhere: from 5 s on, others
    /// leave it room.
    pub passed_over: Vec<PassedOver>,
}

/// A task taken together with the right to call its model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pick {
    /// The task.
    pub task: Uuid,
    /// The model.
    pub model: usize,
    /// The model's place in the ladder, from 1.
    pub rung: usize,
    /// The task that leads its call: itself, where it does not travel with another.
    pub lead: Uuid,
}

/// A task that was larger than what was left of a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PassedOver {
    /// The limit.
    pub limit: usize,
    /// The task.
    pub task: Uuid,
    /// How much it needs of it.
    pub need: u64,
}

/// Takes up to `slots` tasks. `offset` in `[0, 1)` is where the sampling of the shares begins.
///
/// First each cell's share on primaries, then the rest of its share on fallbacks, then what others left,
/// again by shares. So a fallback's own first-choice tasks come before those that fall back to it, and
/// an empty tier's share goes to the others.
///
/// A slot is a call. Of a lane with packs, the next tasks join the call of the one before while it has room
/// for them: they take tokens and money, and neither a request nor a slot.
pub fn admit(board: &Board, slots: u32, offset: f64) -> Admission {
    let mut cells = cells::cells(board);
    let mut choice = Choice::new(board);
    let mut left = slots;
    let mut quotas = Vec::new();
    for phase in 1..=PHASES {
        if phase != 2 {
            match cells::deal(&cells, left, offset) {
                Some(dealt) => quotas = dealt,
                None => break,
            }
        }
        for (cell, quota) in cells.iter_mut().zip(&mut quotas) {
            let want = (*quota).min(left);
            if want == 0 {
                continue;
            }
            let got = serve(board, &mut choice, (cell.run, cell.tier), want, phase == 1);
            left -= got;
            if phase == 1 {
                *quota -= got;
            } else if got < want {
                cell.share = 0.0; // nothing more to be had here in this claim
            }
        }
        if left == 0 {
            break;
        }
    }
    choice.admission()
}

/// Takes up to `want` calls of one cell; `primaries`: each by its first choice only.
fn serve(
    board: &Board,
    choice: &mut Choice<'_>,
    (run, tier): (usize, usize),
    want: u32,
    primaries: bool,
) -> u32 {
    let mut got = 0;
    for (lane, task) in candidates(board, choice, (run, tier), want) {
        let is_suspect = task.rescues >= SUSPECT_AT;
        if is_suspect && choice.holds_suspect() {
            continue;
        }
        let is_long = lane.pack.size > 1 && choice.picks().len() >= PACKED_MAX;
        let is_over = got >= want || choice.is_paced_out(run) || is_long;
        if is_over && !choice.is_any_pack_open() {
            break;
        }
        // first a place in the pack that is open, then a call of its own
        if !choice.join(lane, task) && !is_over && choice.take(lane, task, primaries) {
            got += 1;
        }
    }
    got
}

/// The tasks of a cell that are looked at, in the order of the claim: component priority, priority,
/// oldest. Of each lane so many as are wanted and a few more, in case some must be passed over.
fn candidates<'a>(
    board: &'a Board,
    choice: &Choice<'_>,
    (run, tier): (usize, usize),
    want: u32,
) -> Vec<(&'a Lane, &'a Task)> {
    let taken: HashSet<Uuid> = choice.picks().iter().map(|pick| pick.task).collect();
    let look_at = |lane: &Lane| {
        let tasks = u64::from(want) * u64::from(lane.pack.size);
        usize::try_from(tasks).unwrap_or(usize::MAX) + LOOK_FURTHER
    };
    let mut all = Vec::new();
    let of_cell = |lane: &&Lane| {
        let has_open_model = lane.ladder.iter().any(|&model| board.is_open(model));
        lane.run == run && lane.tier == tier && has_open_model
    };
    for lane in board.lanes.iter().filter(of_cell) {
        // rows that no open model may have, too large or tried too often, must not stand before those
        // that can be served
        let can_be_served = |task: &&Task| {
            let may_have = |(rung, &model): (usize, &usize)| {
                let never = board.never_passes(task.est_input.into(), model);
                board.is_open(model) && lane.may_try(task, rung) && !never
            };
            !taken.contains(&task.id)
                && (task.rescues < SUSPECT_AT || !choice.holds_suspect())
                && lane.ladder.iter().enumerate().any(may_have)
        };
        let mut tasks: Vec<&Task> = lane.tasks.iter().filter(can_be_served).collect();
        tasks.sort_by(|a, b| by_priority(a, b));
        all.extend(
            tasks
                .into_iter()
                .take(look_at(lane))
                .map(|task| (lane, task)),
        );
    }
    all.sort_by(|(lane, task), (other, than)| {
        let component = lane.component_priority.cmp(&other.component_priority);
        component.then_with(|| by_priority(task, than))
    });
    all
}

fn by_priority(task: &Task, than: &Task) -> std::cmp::Ordering {
    let higher_first = than.priority.total_cmp(&task.priority);
    higher_first.then_with(|| task.id.cmp(&than.id))
}

/// Own share on primaries, own share on fallbacks, and four times what others left.
const PHASES: u32 = 6;
/// A claim that took so many opens no further pack: its calls must not be later than their grant.
const PACKED_MAX: usize = 1_000;
/// Rows looked at beyond those wanted.
const LOOK_FURTHER: usize = 16;

#[cfg(test)]
#[path = "admit_tests.rs"]
mod tests;
