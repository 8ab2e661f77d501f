//! How much of a limit is left, when it opens again, and what a cooldown lets through after its end:
//! the executable specification of `limit_room_v2`, `limit_opens_at_v2` and `gate_v1` in SQL.
//!
//! At run time SQL decides, in the claim's own transaction; a property test feeds both the same
//! books and compares. The pure functions serve `route`, which needs headroom as a value, and the
//! forecast. Owns: [`Limit`], [`Book`], [`room`], [`opens_at`], [`Cooldown`]. Never: I/O, a clock.
//!
//! Moments are microseconds since any one epoch, as exact as Postgres keeps them, so that both sides
//! round alike.

mod book;
mod bucket;
mod gate;
mod limit;
mod opening;
mod room;

pub use book::{Book, Booking};
pub use bucket::{capacity, level};
pub use gate::Cooldown;
pub use limit::{Dimension, Limit, Window, reserve};
pub use opening::{Opening, opens_at};
pub use room::room;

/// A second, in the unit of moments.
pub const SECOND_US: i64 = 1_000_000;
/// A minute, in the unit of moments.
pub const MINUTE_US: i64 = 60 * SECOND_US;
