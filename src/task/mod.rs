//! What a task is and what may become of it.
//!
//! Owns: the words of the queue, [`State`] with its one transition table, [`Strategy`] and [`Purpose`], the
//! [`Handler`] trait.
//! Never: I/O, SQL, a clock, a storage call inside a transition.

mod answer;
mod handler;
mod local;
mod state;
mod strategy;

pub use answer::Answer;
pub use handler::{Handler, HandlerError, Item, Judgement};
pub use local::{LocalError, LocalHandler, typed};
pub use state::{Event, State};
pub use strategy::{Purpose, PurposeError, Strategy, StrategyError};

use uuid::Uuid;

/// A new id: uuid v7, so ids sort by their making.
pub fn new_id() -> Uuid {
    Uuid::now_v7()
}
