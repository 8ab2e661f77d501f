//! What a choice is made of.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::task::{Purpose, Strategy};

/// How long one way of asking took lately: of `individual` one call, of `batch` a whole batch from its
/// making until its answers are stored.
///
/// A choice is as good as its latencies are new: who keeps the samples keeps few of them (the last five
/// batches and fifty calls), and forgets those that are more than [`STALE`] choices older than the
/// newest. Held to by `learn_tests.rs`: kept twice as long, a change is seen too late.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Latency {
    /// Half of the samples took no longer.
    pub p50: Duration,
    /// Nine of ten took no longer.
    pub p90: Duration,
    /// How many samples this was made of, from 1.
    pub samples: u32,
    /// Choices since the last one that went this way, whose answers may still be under way; 0: the
    /// last one did.
    pub age: u32,
}

/// Some tasks that wait for one model, and what is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// How many tasks, from 0.
    pub items: u32,
    /// What was asked for. Default `individual`.
    pub mode: Strategy,
    /// What answers are wanted for. Default `bulk`.
    pub purpose: Purpose,
    /// Answers are wanted within so long from now. `None` (the default): no matter when.
    pub within: Option<Duration>,
    /// How long calls of the model took. `None`: not known.
    pub individual: Option<Latency>,
    /// How long its batches took. `None`: not known.
    pub batch: Option<Latency>,
    /// Choices that were made for this model so far, of whatever kind.
    pub decisions: u32,
    /// Calls at once, from 1 (less counts as 1). Default 5.
    pub parallel: u32,
    /// Single calls that the model's limits let through a minute. `None`: not bounded. Batches have a
    /// quota of their own.
    pub per_minute: Option<u32>,
    /// Whether the model has a batch mode. Default true.
    pub has_batch: bool,
    /// What a task costs singly, in micro-dollars. `None`: not known.
    pub individual_microusd: Option<u64>,
    /// What it costs in a batch. `None`: not known.
    pub batch_microusd: Option<u64>,
}

impl Default for Case {
    fn default() -> Self {
        Self {
            items: 0,
            mode: Strategy::default(),
            purpose: Purpose::default(),
            within: None,
            individual: None,
            batch: None,
            decisions: 0,
            parallel: 5,
            per_minute: None,
            has_batch: true,
            individual_microusd: None,
            batch_microusd: None,
        }
    }
}

/// A batch holds at least so many tasks: fewer go singly.
pub(super) const BATCH_MIN: u32 = 2;
/// So many tasks of a hybrid go singly, at once.
pub(super) const SINGLES: u32 = 5;
/// From so many tasks the default is a batch, below it single calls (R22).
pub(super) const MANY: u32 = 10;
/// Up to so many the default is a hybrid where the deadline is nearer than a batch's latency (R22).
pub(super) const HYBRID_MAX: u32 = 30;
/// A latency that more choices than this did not look at may be another one by now: half of the 20 within
/// which a change is to be found out, as small choices teach little.
pub const STALE: u32 = 10;
/// How long a batch takes before one was seen. Providers promise 24 h and are mostly back within minutes; a
/// guess that is too small costs no deadline, since what is not back in time is asked singly.
pub(super) const BATCH_GUESS: Duration = Duration::from_secs(60);
/// How long a call takes before one was seen.
pub(super) const CALL_GUESS: Duration = Duration::from_secs(3);
