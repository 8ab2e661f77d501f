//! The faults of the bar, each injected for real. A test's name begins with the fault's id.

mod hostile_text;
mod machine;
mod outage;
mod pooler;
mod races;
mod silence;
mod tools;
mod trouble;
