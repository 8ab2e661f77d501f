//! The small world that the protocol is walked in: rows, and what processes believe.

use tidegate::task::{Event, State};

/// Tasks that are modelled, at most.
pub(super) const TASKS: usize = 2;

/// How often each disturbance may come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Budget {
    pub(super) pauses: u8,
    pub(super) crashes: u8,
    pub(super) cancels: u8,
    pub(super) retries: u8,
    pub(super) unheard: u8,
    /// The server fails over to one that lacks the last commit, a claim.
    pub(super) lost_commits: u8,
}

/// A row of the running book; the claim as its process remembers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Claim {
    pub(super) worker: usize,
    pub(super) life: u8,
    pub(super) epoch: u8,
    pub(super) nonce: u8,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Task {
    pub(super) told: State,
    pub(super) in_ready: bool,
    pub(super) running: Option<Claim>,
    pub(super) epoch: u8,
    pub(super) attempts: u8,
    pub(super) retried: bool,
    /// Claims committed, and attempts recorded when they were over.
    pub(super) claims: u8,
    pub(super) recorded: u8,
    /// Completions of this generation.
    pub(super) completions: u8,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Worker {
    pub(super) life: u8,
    pub(super) paused: bool,
    pub(super) crashed: bool,
    /// As the database sees it.
    pub(super) lease_over: bool,
    pub(super) lost: bool,
    /// What it works at, of each task before and after its retry; `false`: taken away by a person.
    pub(super) held: [[Option<(Claim, bool)>; 2]; TASKS],
    /// What the claim took whose answer it never heard.
    pub(super) unheard: Option<usize>,
}

/// Everything.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct World {
    pub(super) tasks: Vec<Task>,
    pub(super) workers: Vec<Worker>,
    pub(super) left: Budget,
    /// The last commit, if it was a claim.
    pub(super) last_claim: Option<usize>,
    /// A transition that the table lacks, or a book row taken by a claim that is not its own.
    pub(super) unlawful: bool,
}

impl World {
    /// One event of a task: by the table, or the law is broken.
    pub(super) fn on(&mut self, task: usize, event: Event) {
        match self.tasks[task].told.after(event) {
            Some(next) => self.tasks[task].told = next,
            None => self.unlawful = true,
        }
    }

    pub(super) fn awake(&self, worker: usize) -> bool {
        !self.workers[worker].paused && !self.workers[worker].crashed
    }

    pub(super) fn holds_lease(&self, worker: usize) -> bool {
        !self.workers[worker].lost && !self.workers[worker].lease_over
    }

    pub(super) fn claim(&mut self, worker: usize, task: usize, heard: bool, drawn: u8) {
        let life = self.workers[worker].life;
        self.on(task, Event::Claimed);
        let row = &mut self.tasks[task];
        row.in_ready = false;
        row.epoch += 1;
        row.attempts += 1;
        row.claims += 1;
        let nonce = u8::from(!heard) + 2 * u8::from(worker > 0) + 4 * life + 64 * drawn;
        let claim = Claim {
            worker,
            life,
            epoch: row.epoch,
            nonce,
        };
        row.running = Some(claim);
        if heard {
            let slot = usize::from(self.tasks[task].retried);
            self.workers[worker].held[task][slot] = Some((claim, true));
        } else {
            self.workers[worker].unheard = Some(task);
        }
        self.last_claim = Some(task);
    }

    /// Takes the row out of the running book; the attempt is over.
    pub(super) fn close(&mut self, task: usize) {
        self.tasks[task].running = None;
        self.tasks[task].recorded += 1;
    }

    pub(super) fn release(&mut self, task: usize) {
        self.close(task);
        self.on(task, Event::Released);
        self.tasks[task].in_ready = true;
        self.tasks[task].attempts = self.tasks[task].attempts.saturating_sub(1);
    }

    pub(super) fn complete(&mut self, task: usize) {
        self.on(task, Event::Succeeded);
        self.tasks[task].completions += 1;
    }

    /// What a person did: a claim that ran out by it is no breach of the lease.
    pub(super) fn excuse(&mut self, task: usize) {
        for worker in &mut self.workers {
            for (_, good) in worker.held[task].iter_mut().flatten() {
                *good = false;
            }
        }
    }
}

impl Worker {
    pub(super) fn new() -> Self {
        Self {
            life: 0,
            paused: false,
            crashed: false,
            lease_over: false,
            lost: false,
            held: [[None; 2]; TASKS],
            unheard: None,
        }
    }
}

impl Task {
    pub(super) fn is_in_its_book(&self) -> bool {
        self.in_ready == (self.told == State::Ready)
            && self.running.is_some() == (self.told == State::Running)
    }
}

impl World {
    pub(super) fn leases_are_kept(&self) -> bool {
        self.workers.iter().enumerate().all(|(at, worker)| {
            let good = |(task, held): (usize, &[Option<(Claim, bool)>; 2])| {
                let mut good = held.iter().flatten().filter(|(_, good)| *good);
                good.all(|(claim, _)| self.tasks[task].running == Some(*claim))
            };
            let valid = self.awake(at) && self.holds_lease(at);
            !valid || worker.held.iter().enumerate().all(good)
        })
    }
}
