//! Which item matters more: signals to a score, a rank to a tier, the mix of tiers in a claim.
//!
//! Owns: [`Weights`], [`Shares`] and [`Mix`]. At run time SQL ranks and claims; these functions are
//! its executable specification and serve the dry run. Never: I/O, SQL, a clock, chance (the offset
//! of a quota is an argument).

mod mix;
mod score;
mod tier;

pub use mix::{Mix, quota};
pub use score::Weights;
pub use tier::Shares;

/// A whole, in basis points: shares of tiers are counted in ten-thousandths.
pub const WHOLE_BP: u32 = 10_000;

/// Numbers that say no priority.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PriorityError {
    /// A weight that is NaN or infinite.
    #[error("the weight of `{signal}` is {weight}: it must be a finite number")]
    Weight {
        /// The signal's name.
        signal: String,
        /// What was given.
        weight: f64,
    },
    /// A signal that is NaN or infinite.
    #[error("the signal `{signal}` is {value}: it must be a finite number")]
    Signal {
        /// The signal's name.
        signal: String,
        /// What was given.
        value: f64,
    },
    /// Finite numbers whose weighted sum is not.
    #[error("the score is too large for a number")]
    Overflow,
    /// No tier at all.
    #[error("there must be at least one tier")]
    NoTiers,
    /// Shares that do not make a whole.
    #[error("the shares of the tiers sum to {sum_bp} basis points, not to 10000")]
    Shares {
        /// What they sum to.
        sum_bp: u64,
    },
    /// A tier that would never be taken from.
    #[error("the mix of tier {tier} is 0: it would starve")]
    Starved {
        /// The tier's number, from 0.
        tier: usize,
    },
}
