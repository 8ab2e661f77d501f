//! Faults of the link to Postgres, and of the process around it, injected for real.

mod machine;
mod outage;
mod pooler;
mod silence;
mod tools;
mod trouble;
