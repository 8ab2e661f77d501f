//! `[budget]`: what may be spent in a day, by all.

use super::{
    ConfigError,
    section::{Section, Set},
};

pub(super) const KEYS: &[&str] = &["usd_per_day"];

/// What may be spent.
#[derive(Clone, Debug, Default)]
pub struct BudgetSettings {
    /// `budget.usd_per_day`: micro-dollars in a day (UTC) by all processes, above 0; `"none"` takes away
    /// what the file said before. `None`: the file does not say, and what was set stays.
    pub per_day_microusd: Option<Set<Option<i64>>>,
}

pub(super) fn read(section: &Section<'_>) -> Result<BudgetSettings, ConfigError> {
    let per_day_microusd = section.price_or_none("usd_per_day")?;
    if matches!(&per_day_microusd, Some(set) if set.value == Some(0)) {
        return Err(section.bad(
            "usd_per_day",
            "is 0, which asks nothing",
            "write an amount, as 20.00, or \"none\"",
        ));
    }
    Ok(BudgetSettings { per_day_microusd })
}
