//! Which tasks go to which models now: the executable specification of the choice in `claim_v5`.
//!
//! At run time SQL decides, under its locks; a property test feeds both the same books and lanes at
//! the same moment and compares the picks. Owns: [`Board`], all that a claim looks at, and [`admit`],
//! what it takes of it, and [`forecast`], the same rule run forward. Never: I/O, a clock, chance (the offset of the sampling is an argument), a
//! limit's own arithmetic (`limits`; headroom comes in as a value).

mod admit;
mod board;
mod cells;
mod fit;
pub mod forecast;
mod packs;

use std::time::Duration;

pub use admit::{Admission, PassedOver, Pick, admit};
pub use board::{Board, Hold, Lane, Limit, Model, Pack, Policy, Prices, Run, Task};

/// Calls of one model for one task: the first and 3 retries; its twin is `retry::CALLS_PER_MODEL`.
pub const CALLS_PER_MODEL: u16 = 4;
/// A large task that was passed over for so long is left room.
pub const HOLD_AFTER: Duration = Duration::from_secs(5);
/// And no longer than this: it may not come up again behind what came since, and another has its turn.
pub const HOLD_FOR: Duration = Duration::from_secs(180);
/// Deaths of its process that make a task a suspect: it is taken alone of its kind.
pub const SUSPECT_AT: u16 = 2;
