//! The chaos test's history checker sees what is wrong, and nothing else: each fault planted once.

#[path = "../../chaos/history/mod.rs"]
mod history;
#[path = "../../chaos/plan.rs"]
mod plan;
mod planned;
mod planted;
