//! `[batches]`: how provider batches are looked after.

use std::time::Duration;

use super::{
    ConfigError,
    section::{Section, Set},
};
use crate::engine::BatchSettings as EngineSettings;

pub(super) const KEYS: &[&str] = &["poll_s", "poll_max_s", "lookup_s"];

/// How provider batches are looked after, by the whole fleet.
#[derive(Clone, Debug)]
pub struct BatchSettings {
    /// `batches.poll_s`: least pause between two looks at a batch, 1 to 3,600 s. Default 1.
    pub poll_s: Set<u32>,
    /// `batches.poll_max_s`: the pause grows to so much, `poll_s` to 3,600 s. Default 60.
    pub poll_max_s: Set<u32>,
    /// `batches.lookup_s`: how long a batch that may or may not have been made is looked for before it
    /// is made again, 1 to 3,600 s. Default 60.
    pub lookup_s: Set<u32>,
}

impl BatchSettings {
    /// As the engine takes it.
    pub fn to_engine(&self) -> EngineSettings {
        let seconds = |set: &Set<u32>| Duration::from_secs(set.value.into());
        EngineSettings {
            poll: seconds(&self.poll_s),
            poll_max: seconds(&self.poll_max_s),
            lookup: seconds(&self.lookup_s),
        }
    }
}

pub(super) fn read(section: &Section<'_>) -> Result<BatchSettings, ConfigError> {
    let poll_s = section.integer("poll_s", 1, 3_600)?;
    let poll_s = poll_s.unwrap_or(Set::default(1));
    let longest = section.integer("poll_max_s", 1, 3_600)?;
    if let Some(longest) = &longest
        && longest.value < poll_s.value
    {
        return Err(section.bad(
            "poll_max_s",
            format!("is {}, less than poll_s, {}", longest.value, poll_s.value),
            format!("write at least {}", poll_s.value),
        ));
    }
    Ok(BatchSettings {
        // the default never stands below what was set
        poll_max_s: longest.unwrap_or(Set::default(poll_s.value.max(60))),
        poll_s,
        lookup_s: section
            .integer("lookup_s", 1, 3_600)?
            .unwrap_or(Set::default(60)),
    })
}
