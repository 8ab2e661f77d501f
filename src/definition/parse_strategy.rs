//! `[strategy]` of worker.toml: one by one, by the provider's batches, or as it is best.

use std::{str::FromStr, time::Duration};

use super::{DefinitionError, Place, StrategySpec, table::Table};
use crate::task::{Purpose, Strategy};

/// How tasks are asked. Without the table one by one, so that nobody's worker begins to wait for
/// batches unasked; a table that does not say the mode wants what is best.
///
/// `by_purpose` forces a mode for work of one purpose; a mode that an override names (`--set
/// strategy.mode=...`, `--batching-strategy`) stands above it.
pub(super) fn strategy(top: &Table<'_>) -> Result<StrategySpec, DefinitionError> {
    let Some(node) = top.node("strategy") else {
        return Ok(StrategySpec::default());
    };
    let table = Table::open(node, "[strategy]", KEYS)?;
    let purpose = table.text("purpose")?;
    let said = word(&table, "mode", MODES)?;
    let overridden = matches!(table.place_of("mode"), Place::Override { .. }) && said.is_some();
    let forced = by_purpose(&table, purpose.as_deref().unwrap_or("bulk"))?;
    let deadline = table.integer("deadline_s", 1_u64, DEADLINE_MAX_S)?;
    Ok(StrategySpec {
        mode: match (said, forced) {
            (Some(said), _) if overridden => said,
            (_, Some(forced)) => forced,
            (said, None) => said.unwrap_or(Strategy::Auto),
        },
        purpose: word::<Purpose>(&table, "purpose", PURPOSES)?.unwrap_or_default(),
        deadline: deadline.map(Duration::from_secs),
    })
}

/// The mode that is forced for work of this purpose; all of the table is checked.
fn by_purpose(table: &Table<'_>, purpose: &str) -> Result<Option<Strategy>, DefinitionError> {
    let Some(node) = table.node("by_purpose") else {
        return Ok(None);
    };
    let of = Table::open(node, "[strategy.by_purpose]", PURPOSE_WORDS)?;
    let mut found = None;
    for word_of in PURPOSE_WORDS {
        let mode = word(&of, word_of, MODES)?;
        if *word_of == purpose {
            found = mode;
        }
    }
    Ok(found)
}

fn word<T: FromStr>(
    table: &Table<'_>,
    key: &str,
    words: &str,
) -> Result<Option<T>, DefinitionError> {
    let given = table.text(key)?;
    given
        .map(|given| {
            given
                .parse()
                .map_err(|_| table.bad(key, format!("must be {words}")))
        })
        .transpose()
}

const KEYS: &[&str] = &["mode", "purpose", "deadline_s", "by_purpose"];
const MODES: &str = "\"auto\", \"individual\", \"batch\" or \"hybrid\"";
const PURPOSES: &str = "\"bulk\", \"interactive\", \"rag_query\" or \"quick_enrichment\"";
const PURPOSE_WORDS: &[&str] = &["bulk", "interactive", "rag_query", "quick_enrichment"];
/// A week.
const DEADLINE_MAX_S: u64 = 604_800;
