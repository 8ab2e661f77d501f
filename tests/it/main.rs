//! Integration tests: one binary, folders mirror src/.

mod local;
mod provider;
mod simulator;
mod support;
