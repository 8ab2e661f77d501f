//! The handle applications hold: load a run from a source, wait for it, put tasks back.
//!
//! Uses the decisions below and the store; never the engine: whoever enqueues need not work.

mod enqueue;
mod expect;
mod load;
mod outlook;
mod retier;
mod retry;

pub use enqueue::{EnqueueFate, Enqueued, PayloadError, Task, enqueue_all};
pub use expect::{
    BindingLimit, Expected, ExpectedRun, ModelCalls, Planned, expected, expected_back,
    expected_instead, expected_with,
};
pub use load::{
    Asked, Copied, LoadError, LoadOptions, Loaded, Loader, Outlook, Selected, StepOutlook,
    current_definition, selected,
};
pub use outlook::{Gathering, Would};
pub use retier::{Move, RetierError, Retiered, retier, retiered_expected};
pub use retry::{Retried, RetryError, retry};

pub use crate::store::register::register;

use crate::store::lanes;
