//! `[cache]`: how much the cache of answers may hold. Whether a worker's answers are kept says its folder.

use super::{
    ConfigError,
    section::{Section, Set},
};
use crate::store::cache::CacheBounds;

pub(super) const KEYS: &[&str] = &["max_entries", "max_mb"];

/// How much the cache may hold, for all workers together; who was used longest ago goes first.
#[derive(Clone, Debug)]
pub struct CacheSettings {
    /// `cache.max_entries`: answers, 0 to 1,000,000,000. Default 1,000,000; 0: none is kept for long.
    pub max_entries: Set<u32>,
    /// `cache.max_mb`: MiB of all answers together, 0 to 1,000,000. Default 4,096.
    pub max_mb: Set<u32>,
}

impl CacheSettings {
    /// As the engine takes it.
    pub fn to_bounds(&self) -> CacheBounds {
        CacheBounds {
            entries: self.max_entries.value.into(),
            bytes: u64::from(self.max_mb.value) << 20,
        }
    }
}

pub(super) fn read(section: &Section<'_>) -> Result<CacheSettings, ConfigError> {
    Ok(CacheSettings {
        max_entries: section
            .integer("max_entries", 0, 1_000_000_000)?
            .unwrap_or(Set::default(1_000_000)),
        max_mb: section
            .integer("max_mb", 0, 1_000_000)?
            .unwrap_or(Set::default(4_096)),
    })
}
