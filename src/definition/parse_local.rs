//! What has no use where no model is asked: told, so that nobody thinks that it holds.

use super::{DefinitionError, parse_prompt::pack, table::Table};

/// What a worker that asks no model has no use for.
pub(super) fn nothing_of_models(top: &Table<'_>) -> Result<(), DefinitionError> {
    unused(
        top,
        &[
            ("fallback", "names a model"),
            ("embed", "asks a model for vectors"),
            ("cache", "keeps replies of models"),
            ("routing", "says which model is asked"),
            ("pacing", "spreads calls of models"),
            ("strategy", "says how calls travel"),
        ],
    )?;
    // written down it was taken before there was more than 1
    if pack(top, false)?.size > 1 {
        unused(top, &[("pack", "joins items in one prompt")])?;
    }
    if let Some(node) = top.node("prompt") {
        let prompt = Table::any_keys(node, "[prompt]")?;
        unused(
            &prompt,
            &[("params", "is for models"), ("system", "is for models")],
        )?;
    }
    if let Some(node) = top.node("limits") {
        let limits = Table::any_keys(node, "[limits]")?;
        unused(&limits, &[("max_concurrency", "counts calls of models")])?;
    }
    for node in top.list("tier")? {
        let tier = Table::any_keys(node, "[[tier]]")?;
        unused(
            &tier,
            &[("model", "names a model"), ("fallbacks", "names models")],
        )?;
    }
    Ok(())
}

/// What a component that asks no model has no use for.
pub(super) fn nothing_of_calls(component: &Table<'_>) -> Result<(), DefinitionError> {
    unused(
        component,
        &[
            ("model", "names a model"),
            ("fallbacks", "names models"),
            ("params", "is for models"),
            ("pack_size", "joins items in one prompt"),
            ("call_timeout_s", "bounds a call"),
        ],
    )
}

fn unused(table: &Table<'_>, keys: &[(&str, &str)]) -> Result<(), DefinitionError> {
    let set = keys.iter().find(|(key, _)| table.node(key).is_some());
    set.map_or(Ok(()), |(key, why)| {
        Err(table.bad_with(
            key,
            format!("{why}, and local = true asks no model"),
            LOCAL_ADVICE,
        ))
    })
}

const LOCAL_ADVICE: &str = "leave it out, or say local = false";
