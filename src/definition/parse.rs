//! worker.toml's plain tables as values: one function a table.

use std::time::Duration;

use super::{
    CacheSpec, DefinitionError, FileFormat, Limits, OrderBy, PacingSpec, Policy, RoutingSpec,
    SourceFrom, Strategy,
    table::Table,
    toml_tree::{Node, Tree},
};
use crate::llm::Params;

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
const PARAM_KEYS: &[&str] = &[
    "temperature",
    "top_p",
    "top_k",
    "max_output_tokens",
    "stop",
    "seed",
    "thinking_budget",
];

/// The worker's name: lower case, digits, `_` and `-`, since it becomes part of variables' names.
pub(super) fn name(top: &Table<'_>) -> Result<String, DefinitionError> {
    let name = top.need_text("name")?;
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-';
    if name.len() <= 63 && name.chars().all(fits) {
        Ok(name)
    } else {
        Err(top.bad("name", "must be at most 63 of a-z, 0-9, _ and -"))
    }
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

pub(super) fn params(prompt: &Table<'_>) -> Result<Params, DefinitionError> {
    let Some(node) = prompt.node("params") else {
        return Ok(Params::default());
    };
    let table = Table::open(node, "prompt.params", PARAM_KEYS)?;
    let within = |key, most: f64| match table.number(key)? {
        Some(value) if !(0.0..=most).contains(&value) => {
            Err(table.bad(key, format!("is {value}: it must be 0 to {most}")))
        }
        value => Ok(value),
    };
    Ok(Params {
        temperature: within("temperature", 2.0)?,
        top_p: within("top_p", 1.0)?,
        top_k: table.integer("top_k", 1, u32::MAX)?,
        max_output_tokens: table.integer("max_output_tokens", 1, u32::MAX)?,
        stop: table.texts("stop")?,
        seed: table.integer("seed", i64::MIN, i64::MAX)?,
        thinking_budget: table.integer("thinking_budget", -1, i32::MAX)?,
    })
}

pub(super) fn pack(top: &Table<'_>) -> Result<(), DefinitionError> {
    let Some(node) = top.node("pack") else {
        return Ok(());
    };
    let table = Table::open(node, "[pack]", &["size"])?;
    match table.integer("size", 1, 1_000)? {
        None | Some(1) => Ok(()),
        Some(_) => Err(table.unsupported(
            "size",
            "above 1 is not supported by this version: it asks for one item a call",
        )),
    }
}

pub(super) fn cache(top: &Table<'_>) -> Result<CacheSpec, DefinitionError> {
    let mut cache = CacheSpec {
        enabled: true,
        version: "1".to_owned(),
        family: None,
    };
    if let Some(node) = top.node("cache") {
        let table = Table::open(node, "[cache]", &["enabled", "version", "family"])?;
        cache.enabled = table.flag("enabled")?.unwrap_or(cache.enabled);
        cache.version = table.text("version")?.unwrap_or(cache.version);
        cache.family = table.text("family")?;
    }
    Ok(cache)
}

/// What a worker that asks no model has no use for: told, so that nobody thinks that it holds.
pub(super) fn nothing_of_models(top: &Table<'_>) -> Result<(), DefinitionError> {
    let unused = |table: &Table<'_>, keys: &[(&str, &str)]| {
        let set = keys.iter().find(|(key, _)| table.node(key).is_some());
        set.map_or(Ok(()), |(key, why)| {
            Err(table.bad_with(
                key,
                format!("{why}, and local = true asks no model"),
                LOCAL_ADVICE,
            ))
        })
    };
    unused(
        top,
        &[
            ("fallback", "names a model"),
            ("cache", "keeps replies of models"),
            ("routing", "says which model is asked"),
            ("pacing", "spreads calls of models"),
            ("strategy", "says how calls travel"),
        ],
    )?;
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

pub(super) fn limits(top: &Table<'_>) -> Result<Limits, DefinitionError> {
    let mut limits = Limits {
        max_concurrency: None,
        call_timeout: CALL_TIMEOUT,
    };
    if let Some(node) = top.node("limits") {
        let table = Table::open(node, "[limits]", &["max_concurrency", "call_timeout_s"])?;
        limits.max_concurrency = table.integer("max_concurrency", 1, 100_000)?;
        limits.call_timeout = timeout(&table)?.unwrap_or(CALL_TIMEOUT);
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

pub(super) fn strategy(top: &Table<'_>) -> Result<Strategy, DefinitionError> {
    let Some(node) = top.node("strategy") else {
        return Ok(Strategy::Auto);
    };
    let table = Table::open(node, "[strategy]", &["mode"])?;
    match table.text("mode")?.as_deref() {
        None | Some("auto") => Ok(Strategy::Auto),
        Some("individual") => Ok(Strategy::Individual),
        Some(mode @ ("batch" | "hybrid")) => Err(table.unsupported(
            "mode",
            format!(
                "= \"{mode}\" is not supported by this version: use \"auto\" or \"individual\""
            ),
        )),
        Some(_) => Err(table.bad(
            "mode",
            "must be \"auto\", \"individual\", \"batch\" or \"hybrid\"",
        )),
    }
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

const LOCAL_ADVICE: &str = "leave it out, or say local = false";
const CALL_TIMEOUT: Duration = Duration::from_secs(60);
