//! What was chosen, and why.

use std::{fmt, time::Duration};

use serde::{Serialize, Serializer};

use crate::task::Strategy;

/// How the tasks are asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Choice {
    /// One by one, by batch, or both.
    pub strategy: Way,
    /// How many go singly, the first ones; the rest is a batch. Of `individual` all, of `batch` none.
    pub singles: u32,
    /// Why.
    pub reason: Reason,
    /// How long all of them would take singly. `None`: not known.
    #[serde(rename = "individual_takes_s", serialize_with = "seconds_or_null")]
    pub individual_takes: Option<Duration>,
    /// How long a batch would take. `None`: not known, or the model has none.
    #[serde(rename = "batch_takes_s", serialize_with = "seconds_or_null")]
    pub batch_takes: Option<Duration>,
    /// With a batch: what is not back after so long must be asked singly, so that it still ends within the
    /// deadline; a batch of 2 that only explores has one without a deadline too, and is left to end
    /// besides, since how long it takes is what is to be learned. `None`: there is no hurry, or no batch.
    #[serde(rename = "rescue_after_s", serialize_with = "seconds_or_null")]
    pub rescue_after: Option<Duration>,
}

impl Choice {
    /// How many of these tasks go into the batch.
    pub fn batched(&self, items: u32) -> u32 {
        items.saturating_sub(self.singles)
    }
}

/// The way that was chosen: the words of the column `strategy_decisions.strategy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// One call a task.
    Individual,
    /// All by the provider's Batch API.
    Batch,
    /// The first singly, the rest by batch, both at the same time.
    Hybrid,
}

impl Way {
    /// The word used in SQL, on the command line and in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Individual => "individual",
            Self::Batch => "batch",
            Self::Hybrid => "hybrid",
        }
    }
}

/// One of the two ways that latencies are known of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// Single calls.
    Individual,
    /// Batches.
    Batch,
}

/// Why it was chosen, as data; it displays as one plain line. Money is micro-dollars a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "why", rename_all = "snake_case")]
pub enum Reason {
    /// It was asked for.
    Forced {
        /// What was asked for.
        mode: Strategy,
    },
    /// The model has no batch mode.
    NoBatchMode,
    /// Fewer than 2 would be in the batch.
    TooFew {
        /// How many there are in all.
        items: u32,
    },
    /// Latencies are not known yet, and there are fewer than 10.
    Few {
        /// How many there are.
        items: u32,
    },
    /// Latencies are not known yet, and there are 10 or more.
    Many {
        /// How many there are.
        items: u32,
    },
    /// 10 to 30, and the deadline is nearer than a batch's latency.
    DeadlineNearer {
        /// The deadline.
        #[serde(rename = "within_s", serialize_with = "seconds")]
        within: Duration,
        /// What a batch is thought to take.
        #[serde(rename = "batch_s", serialize_with = "seconds")]
        batch: Duration,
    },
    /// Before a batch could be back, its tasks would have to be asked singly to meet the deadline.
    NoTimeForBatch {
        /// The deadline.
        #[serde(rename = "within_s", serialize_with = "seconds")]
        within: Duration,
    },
    /// It takes less time.
    LessTime {
        /// What single calls take.
        #[serde(rename = "individual_s", serialize_with = "seconds")]
        individual: Duration,
        /// What a batch takes.
        #[serde(rename = "batch_s", serialize_with = "seconds")]
        batch: Duration,
        /// The limit that slows single calls, where one does: calls a minute.
        per_minute: Option<u32>,
    },
    /// It costs less, and the deadline allows it.
    Cheaper {
        /// A task singly.
        individual_microusd: u64,
        /// A task in a batch.
        batch_microusd: u64,
    },
    /// It is dearer, and the cheaper way would miss the deadline.
    InTime {
        /// The deadline.
        #[serde(rename = "within_s", serialize_with = "seconds")]
        within: Duration,
        /// What the cheaper way takes at most, nine times of ten.
        #[serde(rename = "cheaper_s", serialize_with = "seconds")]
        cheaper: Duration,
    },
    /// To learn how long one way takes, where that costs little.
    Explores {
        /// What is to be learned.
        side: Side,
        /// Choices since it was last looked at. `None`: it never was.
        age: Option<u32>,
    },
}

impl fmt::Display for Reason {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Forced { mode } => write!(out, "{mode} was asked for"),
            Self::NoBatchMode => out.write_str("the model has no batch mode"),
            Self::TooFew { items } => {
                write!(out, "of {items} fewer than 2 would be in the batch")
            }
            Self::Few { items } => write!(
                out,
                "{items} are fewer than 10, and it is not known yet how long both ways take"
            ),
            Self::Many { items } => write!(
                out,
                "{items} are 10 or more, and it is not known yet how long both ways take"
            ),
            Self::DeadlineNearer { within, batch } => write!(
                out,
                "the deadline in {} is nearer than a batch, which takes about {}",
                Span(*within),
                Span(*batch)
            ),
            Self::NoTimeForBatch { within } => write!(
                out,
                "the deadline in {} leaves no time to wait for a batch",
                Span(*within)
            ),
            Self::LessTime {
                individual,
                batch,
                per_minute,
            } => {
                let (single, batch) = (Span(*individual), Span(*batch));
                write!(out, "less time: {single} singly, {batch} by batch")?;
                match per_minute {
                    Some(calls) => write!(out, "; {calls} calls a minute bind"),
                    None => Ok(()),
                }
            }
            Self::Cheaper {
                individual_microusd: single,
                batch_microusd: batch,
            } => write!(
                out,
                "less money: {single} micro-dollars a task singly, {batch} by batch"
            ),
            Self::InTime { within, cheaper } => write!(
                out,
                "the cheaper way takes up to {}, and the deadline is in {}",
                Span(*cheaper),
                Span(*within)
            ),
            Self::Explores { side, age } => {
                let side = match side {
                    Side::Individual => "single calls",
                    Side::Batch => "batches",
                };
                match age {
                    Some(age) => write!(
                        out,
                        "to see how long {side} take now: {age} choices went another way"
                    ),
                    None => write!(out, "to see how long {side} take"),
                }
            }
        }
    }
}

/// A span of time for people.
struct Span(Duration);

impl fmt::Display for Span {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs_f64();
        match seconds {
            ..10.0 => write!(out, "{seconds:.1} s"),
            ..120.0 => write!(out, "{seconds:.0} s"),
            ..7_200.0 => write!(out, "{:.0} min", seconds / 60.0),
            _ => write!(out, "{:.1} h", seconds / 3_600.0),
        }
    }
}

fn seconds<S: Serializer>(span: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_f64(span.as_secs_f64())
}

fn seconds_or_null<S: Serializer>(span: &Option<Duration>, to: S) -> Result<S::Ok, S::Error> {
    span.map(|span| span.as_secs_f64()).serialize(to)
}
