//! The queue's protocol as a state space: claim, heartbeat, declaring lost, rescue, settle, cancel,
//! retry, giving back what was not heard of. Transitions are those of `task::State::after`.
//!
//! A nonce is as weak here as the rules allow: one for each life of a process, another for a claim
//! whose answer was lost, and another after a failover. Time is only this: a lease may be over once its process is silent.

use stateright::{Model, Property};
use tidegate::task::{Event, State};

use super::world::{Budget, Claim, TASKS, Task, Worker, World};

const WORKERS: usize = 2;
const ATTEMPTS: u8 = 2;

/// A rule taken out, to see that it is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Broken {
    FenceWithoutEpoch,
    FenceWithoutNonce,
    NonceOfALife,
    RescueOfTheSilent,
    HeartbeatTakesBack,
    SalvageOverwrites,
    CancelForgetsTheBook,
    RescueForgetsTheAttempt,
    ReleaseOfAll,
    NobodyRescues,
}

/// The protocol, whole or with one rule broken, for the first `tasks` tasks.
#[derive(Clone, Debug)]
pub(super) struct Queue {
    pub(super) tasks: usize,
    pub(super) budget: Budget,
    pub(super) broken: Option<Broken>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Step {
    Claim(usize, usize),
    ClaimUnheard(usize, usize),
    ReleaseUnheard(usize),
    Answer(usize, usize, usize),
    Fail(usize, usize, usize),
    Due(usize),
    Pause(usize),
    Resume(usize),
    Crash(usize),
    LeaseEnds(usize),
    Heartbeat(usize),
    DeclareLost(usize),
    Rescue(usize),
    Cancel(usize),
    Retry(usize),
    LoseLastCommit,
}

impl Queue {
    fn is(&self, rule: Broken) -> bool {
        self.broken == Some(rule)
    }

    /// The fence: the row of exactly this claim.
    fn fences(&self, row: Option<Claim>, claim: Claim) -> bool {
        row.is_some_and(|row| {
            (row.epoch == claim.epoch || self.is(Broken::FenceWithoutEpoch))
                && (row.nonce == claim.nonce || self.is(Broken::FenceWithoutNonce))
        })
    }

    fn answer(&self, world: &mut World, worker: usize, task: usize, slot: usize) -> Option<()> {
        let (claim, _) = world.workers[worker].held[task][slot].take()?;
        let row = world.tasks[task].running;
        if self.fences(row, claim) {
            world.unlawful |= row != Some(claim);
            world.close(task);
            world.complete(task);
        } else if matches!(world.tasks[task].told, State::Ready | State::Scheduled) {
            // salvaged: it waits again
            world.tasks[task].in_ready = false;
            world.tasks[task].epoch += 1;
            world.complete(task);
        } else if self.is(Broken::SalvageOverwrites) && world.tasks[task].told.is_settled() {
            world.complete(task);
        }
        Some(())
    }

    fn fail(&self, world: &mut World, worker: usize, task: usize, slot: usize) -> Option<()> {
        let (claim, _) = world.workers[worker].held[task][slot].take()?;
        let row = world.tasks[task].running;
        if self.fences(row, claim) {
            world.unlawful |= row != Some(claim);
            world.close(task);
            let last = world.tasks[task].attempts >= ATTEMPTS;
            world.on(
                task,
                if last {
                    Event::Exhausted
                } else {
                    Event::Rescheduled
                },
            );
        }
        Some(())
    }

    fn rescue(&self, world: &mut World, task: usize) -> Option<()> {
        let row = world.tasks[task].running?;
        let worker = &world.workers[row.worker];
        // a process that began another life was lost in the former one
        let dead = worker.life != row.life || worker.lost;
        let silent = self.is(Broken::RescueOfTheSilent) && worker.lease_over;
        (dead || silent).then_some(())?;
        world.close(task);
        if self.is(Broken::RescueForgetsTheAttempt) {
            world.tasks[task].recorded -= 1;
        }
        if world.tasks[task].attempts >= ATTEMPTS {
            world.on(task, Event::Exhausted);
        } else {
            world.on(task, Event::Rescued);
            world.tasks[task].in_ready = true;
        }
        Some(())
    }

    fn cancel(&self, world: &mut World, task: usize) {
        if world.tasks[task].running.is_some() && !self.is(Broken::CancelForgetsTheBook) {
            world.close(task);
        }
        world.tasks[task].in_ready = false;
        world.on(task, Event::Cancelled);
        world.excuse(task);
    }

    /// Renews the lease, or learns that it was lost and begins another life.
    fn heartbeat(&self, worker: &mut Worker) {
        if worker.lost && !self.is(Broken::HeartbeatTakesBack) {
            *worker = Worker {
                life: worker.life + 1,
                ..Worker::new()
            };
        } else {
            worker.lost = false;
            worker.lease_over = false;
        }
    }

    fn release_unheard(&self, world: &mut World, worker: usize) -> Option<()> {
        world.workers[worker].unheard.take()?;
        let life = world.workers[worker].life;
        for task in 0..self.tasks {
            let Some(row) = world.tasks[task].running else {
                continue;
            };
            let its = row.worker == worker && row.life == life;
            if its && (row.nonce % 2 == 1 || self.is(Broken::ReleaseOfAll)) {
                world.release(task);
            }
        }
        Some(())
    }

    /// The world after a step; `None`: it can't be taken.
    fn take(&self, world: &mut World, step: Step) -> Option<()> {
        let last_claim = world.last_claim.take();
        let failovers = self.budget.lost_commits - world.left.lost_commits;
        let drawn = if self.is(Broken::NonceOfALife) {
            0
        } else {
            failovers
        };
        match step {
            Step::Claim(worker, task) => world.claim(worker, task, true, drawn),
            Step::ClaimUnheard(worker, task) => {
                world.left.unheard -= 1;
                world.claim(worker, task, false, drawn);
            }
            Step::ReleaseUnheard(worker) => self.release_unheard(world, worker)?,
            Step::Answer(worker, task, slot) => self.answer(world, worker, task, slot)?,
            Step::Fail(worker, task, slot) => self.fail(world, worker, task, slot)?,
            Step::Due(task) => {
                world.on(task, Event::Due);
                world.tasks[task].in_ready = true;
            }
            Step::Pause(worker) => {
                world.left.pauses -= 1;
                world.workers[worker].paused = true;
                world.last_claim = last_claim;
            }
            Step::Resume(worker) => {
                world.workers[worker].paused = false;
                world.last_claim = last_claim;
            }
            Step::Crash(worker) => {
                world.left.crashes -= 1;
                let held = [[None; 2]; TASKS];
                let gone = &mut world.workers[worker];
                (gone.crashed, gone.held, gone.unheard) = (true, held, None);
                world.last_claim = last_claim;
            }
            Step::LeaseEnds(worker) => {
                world.workers[worker].lease_over = true;
                world.last_claim = last_claim;
            }
            Step::Heartbeat(worker) => self.heartbeat(&mut world.workers[worker]),
            Step::DeclareLost(worker) => world.workers[worker].lost = true,
            Step::Rescue(task) => self.rescue(world, task)?,
            Step::Cancel(task) => {
                world.left.cancels -= 1;
                self.cancel(world, task);
            }
            Step::Retry(task) => {
                world.left.retries -= 1;
                world.on(task, Event::Retried);
                let row = &mut world.tasks[task];
                (row.in_ready, row.retried) = (true, true);
                (row.attempts, row.completions) = (0, 0);
            }
            Step::LoseLastCommit => {
                world.left.lost_commits -= 1;
                let task = last_claim?;
                let row = &mut world.tasks[task];
                (row.running, row.in_ready, row.told) = (None, true, State::Ready);
                row.epoch -= 1;
                row.attempts -= 1;
                row.claims -= 1;
                world.excuse(task);
            }
        }
        Some(())
    }
}

impl Model for Queue {
    type State = World;
    type Action = Step;

    fn init_states(&self) -> Vec<World> {
        let task = Task {
            told: State::Ready,
            in_ready: true,
            running: None,
            epoch: 0,
            attempts: 0,
            retried: false,
            claims: 0,
            recorded: 0,
            completions: 0,
        };
        vec![World {
            tasks: vec![task; self.tasks],
            workers: vec![Worker::new(); WORKERS],
            left: self.budget,
            last_claim: None,
            unlawful: false,
        }]
    }

    fn actions(&self, world: &World, steps: &mut Vec<Step>) {
        for (at, worker) in world.workers.iter().enumerate() {
            let silent = worker.paused || worker.crashed;
            if worker.paused {
                steps.push(Step::Resume(at));
            }
            if silent && !worker.lease_over {
                steps.push(Step::LeaseEnds(at));
            }
            if worker.lease_over && !worker.lost {
                steps.push(Step::DeclareLost(at));
            }
            if !world.awake(at) {
                continue;
            }
            if worker.lost || worker.lease_over {
                steps.push(Step::Heartbeat(at));
            }
            if world.left.pauses > 0 {
                steps.push(Step::Pause(at));
            }
            // one is left alive
            if world.left.crashes > 0 {
                steps.push(Step::Crash(at));
            }
            if worker.unheard.is_some() {
                steps.push(Step::ReleaseUnheard(at));
            }
            for (task, row) in world.tasks.iter().enumerate() {
                // the calls of a process are bounded: it does not take again what it still works on
                let idle = worker.held[task][usize::from(row.retried)].is_none();
                if row.in_ready && idle && world.holds_lease(at) {
                    steps.push(Step::Claim(at, task));
                    if world.left.unheard > 0 {
                        steps.push(Step::ClaimUnheard(at, task));
                    }
                }
                for slot in 0..2 {
                    if worker.held[task][slot].is_some() {
                        steps.push(Step::Answer(at, task, slot));
                        steps.push(Step::Fail(at, task, slot));
                    }
                }
            }
        }
        for (task, row) in world.tasks.iter().enumerate() {
            if row.told == State::Scheduled {
                steps.push(Step::Due(task));
            }
            if row.running.is_some() && !self.is(Broken::NobodyRescues) {
                steps.push(Step::Rescue(task));
            }
            if world.left.cancels > 0 && !row.told.is_settled() {
                steps.push(Step::Cancel(task));
            }
            if world.left.retries > 0 && matches!(row.told, State::Failed | State::Cancelled) {
                steps.push(Step::Retry(task));
            }
        }
        if world.left.lost_commits > 0 && world.last_claim.is_some() {
            steps.push(Step::LoseLastCommit);
        }
    }

    fn next_state(&self, world: &World, step: Step) -> Option<World> {
        let mut next = world.clone();
        self.take(&mut next, step)?;
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(ONCE, |_, world: &World| {
                world.tasks.iter().all(|task| task.completions <= 1)
            }),
            Property::always(LAWFUL, |_, world: &World| !world.unlawful),
            Property::always(BOOKS, |_, world: &World| {
                world.tasks.iter().all(Task::is_in_its_book)
            }),
            Property::always(RECORDED, |_, world: &World| {
                let rows = |task: &Task| task.recorded + u8::from(task.running.is_some());
                world.tasks.iter().all(|task| rows(task) == task.claims)
            }),
            Property::always(LEASE, |_, world: &World| world.leases_are_kept()),
            Property::eventually(ENDS, |_, world: &World| {
                world.tasks.iter().all(|task| task.told.is_settled())
            }),
        ]
    }
}

/// The laws.
pub(super) const ONCE: &str = "at most one completion a generation";
pub(super) const LAWFUL: &str =
    "each transition is in the table, and each row is taken out by its own claim";
pub(super) const BOOKS: &str =
    "the book that holds a task is its state: none is lost or twice there";
pub(super) const RECORDED: &str = "no attempt is unrecorded";
pub(super) const LEASE: &str = "who holds the lease holds what it took";
pub(super) const ENDS: &str = "every task ends";
