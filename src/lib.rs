//! Tidegate: a durable queue for LLM work in your own Postgres.
//!
//! Claiming is admission: a task is taken together with the right to call its model, in one
//! transaction. Nothing waits in memory, no known limit is run into, nothing is lost, nothing is
//! paid for twice.

// floor 0: words. No I/O, no SQL, no clock, no chance.
pub mod llm;
pub mod model;
pub mod task;

// floor 1: decisions. Pure functions of values.
pub mod cache;
pub mod cost;
pub mod definition;
pub mod limits;
pub mod priority;
pub mod retry;

// floor 2: doors.
pub mod provider;
pub mod store;

// floor 3: the works.
pub mod client;
pub mod engine;

// floor 4: fittings.
pub mod local;
pub mod simulator;

// floor 6: the door.
pub mod cli;
pub mod config;
