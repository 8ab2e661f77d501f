//! The history checker: facts collected from clients, provider and database, and what they break.
//!
//! Pure. The ids of the laws (I1 ...) are those of the reliability bar. What an act of unknown
//! outcome did may be either. Itself held to planted faults by `tests/it/chaos/`.

mod attempts;
mod batches;
mod books;
mod calls;
mod completions;
mod windows;

use std::collections::BTreeMap;

use uuid::Uuid;

/// All that was seen of a time of trouble, after everything has ended.
#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    pub(crate) acts: Vec<Act>,
    pub(crate) arrivals: Vec<Arrival>,
    pub(crate) runs: Vec<Run>,
    pub(crate) tasks: Vec<Task>,
    pub(crate) books: Vec<Booked>,
    /// The tasks of the open keys.
    pub(crate) open_keys: Vec<Uuid>,
    pub(crate) attempts: Vec<Attempt>,
    pub(crate) results: Vec<Answer>,
    pub(crate) calls: Vec<Call>,
    pub(crate) events: Vec<Event>,
    pub(crate) sink: Vec<Sunk>,
    /// Cost by model, as the ledger's view tells it.
    pub(crate) spend: BTreeMap<String, i64>,
    pub(crate) limits: Vec<Limit>,
    pub(crate) cooldowns: Vec<Cooldown>,
    pub(crate) batches: Vec<Batch>,
    /// Files at the provider that nobody removed.
    pub(crate) files_left: Vec<String>,
    /// Processes that were declared lost, and those that were stopped by a signal.
    pub(crate) lives_ended: usize,
    /// Calls at once of one process.
    pub(crate) slots: usize,
}

/// What a client did, and what it was told.
#[derive(Clone, Debug)]
pub(crate) struct Act {
    pub(crate) what: What,
    pub(crate) told: Told,
}

/// What a client did.
#[derive(Clone, Debug)]
pub(crate) enum What {
    /// Loaded a run; these items were in the source before it began.
    Load { items: Vec<String> },
    /// Cancelled these tasks.
    Cancel(Vec<Uuid>),
    /// Put these tasks back.
    Retry(Vec<Uuid>),
    /// Paused or resumed a run.
    Switch,
}

/// What a client was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// It is done; of so many tasks.
    Ok { run: Option<Uuid>, tasks: usize },
    /// It is not done.
    Failed,
    /// Nothing: it may be done or not.
    Unknown,
}

/// A call by the provider's own log.
#[derive(Clone, Debug)]
pub(crate) struct Arrival {
    pub(crate) model: String,
    /// Since 1970.
    pub(crate) at_ms: i64,
    /// The provider's word for what became of it.
    pub(crate) outcome: String,
    /// The item that was asked about.
    pub(crate) item: Option<String>,
    pub(crate) input_tokens: i64,
    /// What it costs, in micro-dollars.
    pub(crate) bill: i64,
}

#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub(crate) id: Uuid,
    pub(crate) state: String,
}

#[derive(Clone, Debug)]
pub(crate) struct Task {
    pub(crate) id: Uuid,
    pub(crate) run: Uuid,
    pub(crate) item: String,
    pub(crate) state: String,
    pub(crate) generation: i32,
    pub(crate) attempts: i32,
    pub(crate) max_attempts: i32,
    pub(crate) claims: i32,
    pub(crate) error_class: Option<String>,
}

impl Task {
    fn is_over(&self) -> bool {
        ["done", "failed", "cancelled"].contains(&self.state.as_str())
    }
}

/// A row of a book.
#[derive(Clone, Debug)]
pub(crate) struct Booked {
    pub(crate) book: String,
    pub(crate) task: Uuid,
}

/// A row of `task_attempts`.
#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    pub(crate) task: Uuid,
    pub(crate) generation: i32,
    pub(crate) epoch: i32,
    pub(crate) outcome: String,
    pub(crate) charged: bool,
}

/// A row of `task_results`.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) task: Uuid,
    pub(crate) generation: i32,
}

/// A row of the ledger.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) task: Uuid,
    pub(crate) model: String,
    pub(crate) sent: bool,
    /// `None`: its outcome is unknown.
    pub(crate) outcome: Option<String>,
    pub(crate) cost: Option<i64>,
    /// What stands for the cost of an unknown outcome.
    pub(crate) estimate: i64,
}

#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) task: Uuid,
    pub(crate) at_us: i64,
    pub(crate) kind: String,
}

/// A row that the user's sink wrote.
#[derive(Clone, Debug)]
pub(crate) struct Sunk {
    pub(crate) task: Uuid,
}

/// What the fleet was told of a model, per minute.
#[derive(Clone, Debug)]
pub(crate) struct Limit {
    pub(crate) model: String,
    pub(crate) requests: Option<i64>,
    pub(crate) tokens: Option<i64>,
}

/// A committed cooldown, as it was seen at a moment.
#[derive(Clone, Debug)]
pub(crate) struct Cooldown {
    pub(crate) model: String,
    pub(crate) seen_ms: i64,
    pub(crate) until_ms: i64,
}

/// A provider batch by its token, as the provider and the fleet have it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Batch {
    pub(crate) token: String,
    /// Its state in `provider_batches`. `None`: nobody knows it.
    pub(crate) known: Option<String>,
    /// How many the provider was asked for and nobody cancelled.
    pub(crate) kept: usize,
    /// How many are under way there.
    pub(crate) under_way: usize,
}

/// A law that was broken.
#[derive(Clone, Debug)]
pub(crate) struct Violation {
    pub(crate) law: &'static str,
    pub(crate) what: String,
    /// Whose rows tell more.
    pub(crate) tasks: Vec<Uuid>,
}

impl Violation {
    fn of(law: &'static str, task: Uuid, what: String) -> Self {
        Self {
            law,
            what: format!("task {task}: {what}"),
            tasks: vec![task],
        }
    }

    fn plain(law: &'static str, what: String) -> Self {
        Self {
            law,
            what,
            tasks: Vec::new(),
        }
    }
}

/// All that this history breaks.
pub(crate) fn check(history: &History) -> Vec<Violation> {
    let checks: [fn(&History) -> Vec<Violation>; 13] = [
        books::accepted_items_have_tasks,
        books::everything_has_ended,
        books::books_agree,
        completions::one_end_a_generation,
        completions::answers_agree,
        completions::acts_by_hand_agree,
        attempts::every_claim_has_an_attempt,
        attempts::attempts_are_bounded,
        calls::no_call_beyond_what_trouble_explains,
        calls::the_ledger_is_true,
        batches::each_batch_once,
        windows::limits_hold,
        windows::cooldowns_are_obeyed,
    ];
    checks.iter().flat_map(|check| check(history)).collect()
}

/// How many of each there are.
fn tally<K: Ord>(keys: impl Iterator<Item = K>) -> BTreeMap<K, usize> {
    let mut counts = BTreeMap::new();
    for key in keys {
        *counts.entry(key).or_default() += 1;
    }
    counts
}
