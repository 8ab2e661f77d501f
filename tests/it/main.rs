//! Integration tests: one binary, folders mirror src/.

mod definition;
mod engine;
mod house;
mod local;
mod provider;
mod simulator;
mod support;
