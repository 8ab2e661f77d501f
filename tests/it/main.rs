//! Integration tests: one binary, folders mirror src/.

mod config;
mod definition;
mod engine;
mod local;
mod provider;
mod simulator;
mod store;
mod support;
