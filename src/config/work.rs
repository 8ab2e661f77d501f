//! `[work]`: how a worker process works.

use std::time::Duration;

use super::{
    ConfigError,
    section::{Section, Set},
};
use crate::engine::SettleSettings;

pub(super) const KEYS: &[&str] = &[
    "slots",
    "poll_ms",
    "lease_s",
    "grace_s",
    "flush_ms",
    "flush_size",
    "sync",
    "status_s",
];

/// How a worker process works.
#[derive(Clone, Debug)]
pub struct WorkSettings {
    /// `work.slots`: calls at once, 1 to 10,000. Default 32.
    pub slots: Set<u32>,
    /// `work.poll_ms`: how often an idle process looks for work, 10 to 60,000 ms. Default 200.
    pub poll_ms: Set<u32>,
    /// `work.lease_s`: how long a process may be silent before others take its tasks, 5 to 3,600 s.
    /// Default 60.
    pub lease_s: Set<u32>,
    /// `work.grace_s`: how long calls under way may take to end when the process is stopped, 0 to
    /// 3,600 s. Default 25.
    pub grace_s: Set<u32>,
    /// `work.flush_ms`: how long an answer may wait to be written with others, 0 to 1,000 ms. Default 5.
    pub flush_ms: Set<u32>,
    /// `work.flush_size`: answers written by one statement at most, 1 to 5,000. Default 500.
    pub flush_size: Set<u32>,
    /// `work.sync`: a slot is free again only when its answer is durable. Default false.
    pub sync: Set<bool>,
    /// `work.status_s`: how often a process logs where its models stand, up to 86,400 s; 0: never. Default 60.
    pub status_s: Set<u32>,
}

impl WorkSettings {
    /// How often an idle process looks.
    pub fn poll(&self) -> Duration {
        Duration::from_millis(self.poll_ms.value.into())
    }

    /// The length of a lease.
    pub fn lease(&self) -> Duration {
        Duration::from_secs(self.lease_s.value.into())
    }

    /// How answers are written down.
    pub fn settle(&self) -> SettleSettings {
        SettleSettings {
            flush: Duration::from_millis(self.flush_ms.value.into()),
            batch: self.flush_size.value as usize,
            sync: self.sync.value,
        }
    }

    /// How often a process logs where its models stand. `None`: never.
    pub fn status(&self) -> Option<Duration> {
        (self.status_s.value > 0).then(|| Duration::from_secs(self.status_s.value.into()))
    }

    /// The time to stop in.
    pub fn grace(&self) -> Duration {
        Duration::from_secs(self.grace_s.value.into())
    }
}

pub(super) fn read(section: &Section<'_>) -> Result<WorkSettings, ConfigError> {
    let number = |key, least, most, default| {
        section
            .integer(key, least, most)
            .map(|set| set.unwrap_or(Set::default(default)))
    };
    Ok(WorkSettings {
        slots: number("slots", 1, 10_000, 32)?,
        poll_ms: number("poll_ms", 10, 60_000, 200)?,
        lease_s: number("lease_s", 5, 3_600, 60)?,
        grace_s: number("grace_s", 0, 3_600, 25)?,
        flush_ms: number("flush_ms", 0, 1_000, 5)?,
        flush_size: number("flush_size", 1, 5_000, 500)?,
        sync: section.flag("sync")?.unwrap_or(Set::default(false)),
        status_s: number("status_s", 0, 86_400, 60)?,
    })
}
