//! Integration tests: one binary, folders mirror src/.

mod simulator;
