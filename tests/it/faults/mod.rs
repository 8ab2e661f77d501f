//! The faults of the bar, each injected for real. A test's name begins with the fault's id.

mod big;
mod crashes;
mod deaths;
mod disk;
mod hold;
mod hostile_text;
mod machine;
mod migrations;
mod outage;
mod pauses;
mod pooler;
mod providers;
mod races;
mod replies;
mod silence;
mod stops;
mod tools;
mod trouble;
mod twice;
