//! Integration tests: one binary, folders mirror src/.

mod definition;
mod local;
mod provider;
mod simulator;
mod support;
