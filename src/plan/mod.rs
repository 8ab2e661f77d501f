//! How work is asked: one by one, by the provider's batches, or both.
//!
//! Owns: [`decide`], what it is told ([`Case`], [`Latency`]) and what it says ([`Choice`], [`Reason`]).
//! Never: I/O, a clock, chance: the same case has the same choice.

mod case;
mod choice;
mod decide;
mod estimate;
mod explore;
#[cfg(test)]
mod learn_tests;

pub use case::{Case, Latency, STALE};
pub use choice::{Choice, Reason, Side, Way};
pub use decide::decide;
