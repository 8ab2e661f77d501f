//! `[retention]`: how long what has ended is kept.

use std::time::Duration;

use super::{
    ConfigError,
    section::{Section, Set},
};
use crate::store::retention::Keep;

pub(super) const KEYS: &[&str] = &[
    "done_days",
    "failed_days",
    "cancelled_days",
    "history_days",
    "calls_days",
];

/// How long what has ended is kept, in days; 0: for ever.
#[derive(Clone, Debug)]
pub struct RetentionSettings {
    /// `retention.done_days`: tasks that are done, with answers and items, 0 to 36,500. Default 0.
    pub done_days: Set<u32>,
    /// `retention.failed_days`. Default 0.
    pub failed_days: Set<u32>,
    /// `retention.cancelled_days`. Default 0.
    pub cancelled_days: Set<u32>,
    /// `retention.history_days`: events and closed attempts, 2 to 36,500. Default 90.
    pub history_days: Set<u32>,
    /// `retention.calls_days`: the ledger of calls, 2 to 36,500. Default 400.
    pub calls_days: Set<u32>,
}

impl RetentionSettings {
    /// As the engine takes it.
    pub fn to_keep(&self) -> Keep {
        let days = |set: &Set<u32>| {
            (set.value > 0).then(|| Duration::from_secs(u64::from(set.value) * 24 * 3_600))
        };
        let whole = |set: &Set<u32>| i32::try_from(set.value).unwrap_or(i32::MAX);
        Keep {
            done: days(&self.done_days),
            failed: days(&self.failed_days),
            cancelled: days(&self.cancelled_days),
            history_days: whole(&self.history_days),
            calls_days: whole(&self.calls_days),
        }
    }
}

pub(super) fn read(section: &Section<'_>) -> Result<RetentionSettings, ConfigError> {
    let days = |key, least, default| {
        section
            .integer(key, least, 36_500)
            .map(|set| set.unwrap_or(Set::default(default)))
    };
    Ok(RetentionSettings {
        done_days: days("done_days", 0, 0)?,
        failed_days: days("failed_days", 0, 0)?,
        cancelled_days: days("cancelled_days", 0, 0)?,
        history_days: days("history_days", 2, 90)?,
        calls_days: days("calls_days", 2, 400)?,
    })
}
