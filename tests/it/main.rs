//! Integration tests: one binary, folders mirror src/.

mod chaos;
mod cli;
mod config;
mod definition;
mod engine;
mod faults;
mod house;
mod local;
mod model;
mod provider;
mod route;
mod simulator;
mod store;
mod support;
mod task;
