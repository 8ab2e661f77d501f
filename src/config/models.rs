//! `[[models]]`: limits and prices of models, as the operator knows them.

use sha2::{Digest, Sha256};

use super::document::{Document, Entry, Value};
use super::error::nearest;
use super::providers::ProviderEntry;
use super::section::{Section, variable};
use super::{ConfigError, Environment, Set};
use crate::model::ModelId;
use crate::store::model::ModelRow;

const KEYS: &[&str] = &[
    "name",
    "rpm",
    "tpm",
    "output_tpm",
    "rpd",
    "tpd",
    "window",
    "burst",
    "max_concurrency",
    "input_price_usd",
    "output_price_usd",
    "shares_limits_of",
    "batch",
    "batch_price_percent",
    "batch_enqueued_tokens",
];

/// One model and its limits. `None`: nothing was said; such a limit is learned as far as it can be.
#[derive(Clone, Debug)]
pub struct ModelEntry {
    /// `<provider entry>/<wire name>`.
    pub name: Set<String>,
    /// Requests per minute, 1 to 10,000,000.
    pub rpm: Option<Set<u32>>,
    /// Tokens per minute, 1 to 10^12.
    pub tpm: Option<Set<u64>>,
    /// Output tokens per minute, 1 to 10^12.
    pub output_tpm: Option<Set<u64>>,
    /// Tokens per day of the provider's calendar, 1 to 10^12.
    pub tpd: Option<Set<u64>>,
    /// Requests per day of the provider's calendar, 1 to 4,000,000,000.
    pub rpd: Option<Set<u32>>,
    /// How the provider counts a minute: `sliding`, `fixed` or `bucket`.
    pub window: Option<Set<&'static str>>,
    /// Bucket: how many may start at once, 1 to `rpm`.
    pub burst: Option<Set<u32>>,
    /// Calls at once, 1 to 100,000.
    pub max_concurrency: Option<Set<u32>>,
    /// Micro-dollars per million input tokens.
    pub input_price_microusd: Option<Set<i64>>,
    /// Micro-dollars per million output tokens.
    pub output_price_microusd: Option<Set<i64>>,
    /// The model whose limits it shares, of the same quota scope: one bucket, many names.
    pub shares_limits_of: Option<Set<String>>,
    /// Whether it has a batch mode. Without it that is found out when it is first asked for one.
    pub batch: Option<Set<bool>>,
    /// What its batches cost, in percent of single calls, 0 to 100. Default 50.
    pub batch_price_percent: Option<Set<u32>>,
    /// Input tokens that may stand in its batches at once, 1 to 10^12. Default: not bounded.
    pub batch_enqueued_tokens: Option<Set<u64>>,
}

impl ModelEntry {
    /// What the database is told, with a hash that changes when any of it does.
    pub(super) fn row(&self, provider: &ProviderEntry) -> ModelRow {
        let value = |set: &Option<Set<u32>>| set.as_ref().map(|set| set.value);
        let price = |set: &Option<Set<i64>>| set.as_ref().map(|set| set.value);
        let mut row = ModelRow {
            model: self.name.value.clone(),
            hash: Vec::new(),
            rpm: value(&self.rpm),
            tpm: self.tpm.as_ref().map(|set| set.value),
            output_tpm: self.output_tpm.as_ref().map(|set| set.value),
            rpd: value(&self.rpd),
            tpd: self.tpd.as_ref().map(|set| set.value),
            max_concurrency: value(&self.max_concurrency),
            counting: self.window.as_ref().map(|set| set.value),
            burst: value(&self.burst),
            input_price_microusd: price(&self.input_price_microusd),
            output_price_microusd: price(&self.output_price_microusd),
            shares: self.shares_limits_of.as_ref().map(|set| {
                set.value
                    .split_once('/')
                    .map_or(set.value.as_str(), |(_, wire)| wire)
                    .to_owned()
            }),
            batch: self.batch.as_ref().map(|set| set.value),
            batch_price_percent: value(&self.batch_price_percent),
            batch_enqueued_tokens: self.batch_enqueued_tokens.as_ref().map(|set| set.value),
        };
        row.hash = hash(&row, &provider.quota_scope.value);
        row
    }
}

/// The scope is part of it: limits live under it, and are written anew where it changes.
fn hash(row: &ModelRow, quota_scope: &str) -> Vec<u8> {
    let canonical = serde_json::json!([
        row.model,
        quota_scope,
        row.rpm,
        row.tpm,
        row.output_tpm,
        row.rpd,
        row.tpd,
        row.max_concurrency,
        row.counting,
        row.burst,
        row.input_price_microusd,
        row.output_price_microusd,
        row.shares,
        row.batch,
        row.batch_price_percent,
        row.batch_enqueued_tokens,
    ]);
    Sha256::digest(canonical.to_string()).to_vec()
}

/// The entries of the file, each of a provider entry there is.
pub(super) fn read(
    document: &Document,
    env: &Environment,
    providers: &[ProviderEntry],
) -> Result<Vec<ModelEntry>, ConfigError> {
    let Some(written) = document.entries.iter().find(|entry| entry.key == "models") else {
        return Ok(Vec::new());
    };
    let mut models: Vec<ModelEntry> = Vec::new();
    for (line, entries) in tables(document, written)? {
        let model = one(document, env, line, entries, providers, &models)?;
        models.push(model);
    }
    Ok(models)
}

fn tables<'a>(
    document: &Document,
    written: &'a Entry,
) -> Result<Vec<(usize, &'a [Entry])>, ConfigError> {
    let wrong = |line: usize, found: &Value| ConfigError::BadValue {
        place: document.place(line),
        key: "models".to_owned(),
        message: format!("must be a list of tables, not {}", found.type_name()),
        help: "write [[models]] on a line of its own before each model".to_owned(),
    };
    let Value::List(items) = &written.value else {
        return Err(wrong(written.line, &written.value));
    };
    items
        .iter()
        .map(|(line, value)| match value {
            Value::Table(entries) => Ok((*line, entries.as_slice())),
            other => Err(wrong(*line, other)),
        })
        .collect()
}

fn one(
    document: &Document,
    env: &Environment,
    line: usize,
    entries: &[Entry],
    providers: &[ProviderEntry],
    before: &[ModelEntry],
) -> Result<ModelEntry, ConfigError> {
    let label = "[[models]]".to_owned();
    let section = Section::of(document, line, entries, env, label, None, KEYS)?;
    let name = name(&section, providers, before)?;
    let section = section.called(prefix(&name.value));
    let model = ModelEntry {
        rpm: section.integer("rpm", 1, 10_000_000)?,
        tpm: section.integer("tpm", 1, 1_000_000_000_000)?,
        output_tpm: section.integer("output_tpm", 1, 1_000_000_000_000)?,
        rpd: section.integer("rpd", 1, 4_000_000_000)?,
        tpd: section.integer("tpd", 1, 1_000_000_000_000)?,
        window: section.word("window", &["sliding", "fixed", "bucket"])?,
        burst: section.integer("burst", 1, 10_000_000)?,
        max_concurrency: section.integer("max_concurrency", 1, 100_000)?,
        input_price_microusd: section.price("input_price_usd")?,
        output_price_microusd: section.price("output_price_usd")?,
        shares_limits_of: shares(&section, &name, providers, before)?,
        batch: section.flag("batch")?,
        batch_price_percent: section.integer("batch_price_percent", 0, 100)?,
        batch_enqueued_tokens: section.integer("batch_enqueued_tokens", 1, 1_000_000_000_000)?,
        name,
    };
    check_together(&section, &model)?;
    Ok(model)
}

fn name(
    section: &Section<'_>,
    providers: &[ProviderEntry],
    before: &[ModelEntry],
) -> Result<Set<String>, ConfigError> {
    let name = section.text("name")?.ok_or_else(|| {
        section.missing(
            "name",
            "write name = \"<provider entry>/<wire name>\", as \"gemini/gemini-3.5-flash-lite\"",
        )
    })?;
    let id: ModelId = name.value.parse().map_err(|_| {
        section.bad(
            "name",
            format!("is \"{}\", no model name", name.value),
            "write <provider entry>/<wire name>, as \"gemini/gemini-3.5-flash-lite\"",
        )
    })?;
    if !providers.iter().any(|entry| entry.name == id.provider()) {
        let names = providers.iter().map(|entry| entry.name.as_str());
        let help = match nearest(id.provider(), names) {
            Some(near) => format!("did you mean \"{near}/{}\"?", id.wire_name()),
            None => format!(
                "add a table [providers.{}] with its kind, or take one there is",
                id.provider()
            ),
        };
        let message = format!(
            "names the provider entry \"{}\", which is not there",
            id.provider()
        );
        return Err(section.bad("name", message, help));
    }
    if before.iter().any(|model| model.name.value == name.value) {
        return Err(section.bad(
            "name",
            format!("names {} a second time", name.value),
            "keep one of the two entries",
        ));
    }
    Ok(name)
}

/// The model whose limits another shares stands before it, under the same quota scope, and has limits of
/// its own.
fn shares(
    section: &Section<'_>,
    name: &Set<String>,
    providers: &[ProviderEntry],
    before: &[ModelEntry],
) -> Result<Option<Set<String>>, ConfigError> {
    let key = "shares_limits_of";
    let Some(of) = section.text(key)? else {
        return Ok(None);
    };
    let scope = |model: &str| {
        let entry = model.split('/').next().unwrap_or_default();
        let entry = providers.iter().find(|it| it.name == entry);
        entry.map(|it| it.quota_scope.value.clone())
    };
    let Some(other) = before.iter().find(|model| model.name.value == of.value) else {
        let help = "name a model whose entry stands before this one";
        return Err(section.bad(
            key,
            format!("= \"{}\" names no model before it", of.value),
            help,
        ));
    };
    if other.shares_limits_of.is_some() {
        let help = "name the one whose limits that one shares";
        let message = format!("= \"{}\", which shares the limits of another", of.value);
        return Err(section.bad(key, message, help));
    }
    if scope(&name.value) != scope(&of.value) {
        let help = "limits are shared within one quota_scope: give both provider entries the same";
        let message = format!("= \"{}\", which is of another quota scope", of.value);
        return Err(section.bad(key, message, help));
    }
    Ok(Some(of))
}

/// What holds only between keys.
fn check_together(section: &Section<'_>, model: &ModelEntry) -> Result<(), ConfigError> {
    let own = [
        model.rpm.is_some(),
        model.tpm.is_some(),
        model.output_tpm.is_some(),
        model.rpd.is_some(),
        model.tpd.is_some(),
        model.window.is_some(),
        model.burst.is_some(),
    ];
    if model.shares_limits_of.is_some() && own.contains(&true) {
        return Err(section.bad(
            "shares_limits_of",
            "stands beside limits of its own",
            "write limits at the model whose they are, and here only max_concurrency and prices",
        ));
    }
    let window = model.window.as_ref().map(|set| set.value);
    let rpm = model.rpm.as_ref().map(|set| set.value);
    match (window, rpm, model.burst.as_ref().map(|set| set.value)) {
        (Some("bucket"), _, None) => Err(section.bad(
            "window",
            "= \"bucket\" needs the key \"burst\"",
            "write burst = how many calls may start at once",
        )),
        (None | Some("sliding" | "fixed"), _, Some(_)) => Err(section.bad(
            "burst",
            "counts only with window = \"bucket\"",
            "write window = \"bucket\", or remove burst",
        )),
        (Some(_), None, _) => Err(section.bad(
            "window",
            "says how requests per minute are counted, and there is no \"rpm\"",
            "write rpm, or remove window",
        )),
        (_, Some(rpm), Some(burst)) if burst > rpm => Err(section.bad(
            "burst",
            format!("is {burst}, more than a whole minute's {rpm}"),
            format!("write a burst of 1 to {rpm}"),
        )),
        _ => Ok(()),
    }
}

/// The names that variables of this model begin with.
fn prefix(name: &str) -> String {
    format!("TIDEGATE_MODELS_{}_", variable(name))
}

/// The variables that may be set for this model.
pub(super) fn variables(name: &str) -> impl Iterator<Item = String> {
    let prefix = prefix(name);
    KEYS.iter()
        .filter(|key| **key != "name")
        .map(move |key| format!("{prefix}{}", variable(key)))
}
