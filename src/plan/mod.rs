//! How work is asked: one by one, by the provider's batches, or both; and what leaves together.
//!
//! Owns: [`decide`], what it is told ([`Case`], [`Latency`]) and what it says ([`Choice`], [`Reason`]);
//! [`coalesce`], whether callers who come one by one share a call.
//! Never: I/O, a clock, chance: the same case has the same choice.

mod case;
mod choice;
pub mod coalesce;
mod decide;
mod estimate;
mod explore;
#[cfg(test)]
mod learn_tests;

pub use case::{Case, Latency, STALE};
pub use choice::{Choice, Reason, Side, Way};
pub use decide::decide;
