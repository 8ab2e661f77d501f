//! worker.toml's plain tables as values: one function a table.

use std::time::Duration;

use super::{
    DefinitionError, FileFormat, Limits, OrderBy, PacingSpec, Policy, RoutingSpec, SourceFrom,
    table::Table,
    toml_tree::{Node, Tree},
};

pub(super) const TOP_KEYS: &[&str] = &[
    "name",
    "version",
    "local",
    "order_by",
    "source",
    "score",
    "tier",
    "fallback",
    "prompt",
    "embed",
    "pack",
    "cache",
    "limits",
    "routing",
    "pacing",
    "strategy",
    "sink",
    "component",
];
pub(super) const SOURCE_KEYS: &[&str] = &["sql", "file", "id", "category", "version", "score"];
pub(super) const PROMPT_KEYS: &[&str] = &["template", "schema", "system", "params"];

/// The worker's name: lower case, digits, `_` and `-`, since it becomes part of variables' names.
pub(super) fn name(top: &Table<'_>) -> Result<String, DefinitionError> {
    let name = top.need_text("name")?;
    if is_name(&name) {
        Ok(name)
    } else {
        Err(top.bad("name", NAME_RULE))
    }
}

/// Whether workers and components may be called so.
pub(super) fn is_name(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-';
    (1..=63).contains(&name.len()) && name.chars().all(fits)
}

pub(super) fn order_by(top: &Table<'_>) -> Result<OrderBy, DefinitionError> {
    match top.text("order_by")?.as_deref() {
        None | Some("score") => Ok(OrderBy::Score),
        Some("category") => Ok(OrderBy::Category),
        Some(_) => Err(top.bad("order_by", "must be \"score\" or \"category\"")),
    }
}

/// `sql` or `file`, exactly one; an override of one puts the folder's other aside.
pub(super) fn source_from(source: &Table<'_>) -> Result<SourceFrom, DefinitionError> {
    let set = |key| matches!(source.node(key), Some(node) if matches!(node.place, super::Place::Override { .. }));
    match (source.text("sql")?, source.text("file")?) {
        (None, None) => Err(source.missing("sql")),
        (Some(_), Some(_)) if set("sql") == set("file") => Err(source.bad(
            "file",
            "stands beside \"sql\": a source is one or the other",
        )),
        (Some(file), other) if other.is_none() || set("sql") => Ok(SourceFrom::Sql {
            file,
            text: String::new(),
        }),
        (_, path) => {
            let path = path.unwrap_or_default();
            let Some((format, gzip)) = FileFormat::of(&path) else {
                return Err(source.bad(
                    "file",
                    "must end in .jsonl, .ndjson or .csv (or that and .gz)",
                ));
            };
            Ok(SourceFrom::File {
                path,
                format,
                gzip,
                overridden: set("file"),
            })
        }
    }
}

/// The worker's bounds; `timeout_unset`: where it says nothing of how long a call may take.
pub(super) fn limits(top: &Table<'_>, timeout_unset: Duration) -> Result<Limits, DefinitionError> {
    let mut limits = Limits {
        max_concurrency: None,
        call_timeout: timeout_unset,
    };
    if let Some(node) = top.node("limits") {
        let table = Table::open(node, "[limits]", &["max_concurrency", "call_timeout_s"])?;
        limits.max_concurrency = table.integer("max_concurrency", 1, 100_000)?;
        limits.call_timeout = timeout(&table)?.unwrap_or(timeout_unset);
    }
    Ok(limits)
}

pub(super) fn routing(top: &Table<'_>) -> Result<RoutingSpec, DefinitionError> {
    let mut routing = RoutingSpec::default();
    let Some(node) = top.node("routing") else {
        return Ok(routing);
    };
    let table = Table::open(node, "[routing]", &["policy", "patience_s"])?;
    routing.policy = match table.text("policy")?.as_deref() {
        None | Some("auto") => Policy::Auto,
        Some("ladder") => Policy::Ladder,
        Some("spread") => Policy::Spread,
        Some("patient") => Policy::Patient,
        Some(_) => {
            return Err(table.bad(
                "policy",
                "must be \"auto\", \"ladder\", \"spread\" or \"patient\"",
            ));
        }
    };
    if let Some(seconds) = table.integer("patience_s", 0_u64, 86_400)? {
        if matches!(routing.policy, Policy::Ladder | Policy::Spread) {
            let message = "has no use here: a ladder and a spread wait for no model";
            return Err(table.bad_with(
                "patience_s",
                message,
                "say policy = \"patient\", or leave it out",
            ));
        }
        routing.patience = Duration::from_secs(seconds);
    }
    Ok(routing)
}

pub(super) fn pacing(top: &Table<'_>) -> Result<PacingSpec, DefinitionError> {
    let mut pacing = PacingSpec::default();
    let Some(node) = top.node("pacing") else {
        return Ok(pacing);
    };
    let table = Table::open(node, "[pacing]", &["stagger_ms", "cool_after", "cool_s"])?;
    let stagger = table.integer("stagger_ms", 1_u64, 3_600_000)?;
    pacing.stagger = stagger.map(Duration::from_millis);
    let after = table.integer("cool_after", 1_u32, 1_000_000)?;
    let rest = table
        .integer("cool_s", 1_u64, 86_400)?
        .map(Duration::from_secs);
    pacing.rest = match (after, rest) {
        (Some(after), Some(rest)) => Some((after, rest)),
        (None, None) => None,
        (Some(_), None) => return Err(table.missing("cool_s")),
        (None, Some(_)) => return Err(table.missing("cool_after")),
    };
    Ok(pacing)
}

pub(super) fn timeout(table: &Table<'_>) -> Result<Option<Duration>, DefinitionError> {
    Ok(table
        .integer("call_timeout_s", 1_u64, 3_600)?
        .map(Duration::from_secs))
}

pub(super) fn sink(top: &Table<'_>) -> Result<Option<String>, DefinitionError> {
    let Some(node) = top.node("sink") else {
        return Ok(None);
    };
    Table::open(node, "[sink]", &["sql"])?
        .need_text("sql")
        .map(Some)
}

/// Whether a node is a list with something in it.
pub(super) fn is_filled(node: &Node) -> bool {
    matches!(node.value.plain(), Tree::List(items) if !items.is_empty())
}

/// What a name may be.
pub(super) const NAME_RULE: &str = "must be at most 63 of a-z, 0-9, _ and -";
