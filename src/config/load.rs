//! From file and environment to settings that hold, or to the first thing that does not.

use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::SecretString;

use super::batches::{self, BatchSettings};
use super::budget::{self, BudgetSettings};
use super::cache::{self, CacheSettings};
use super::document::Document;
use super::error::nearest;
use super::models::{self, ModelEntry};
use super::providers::{self, EntryError, ProviderEntry};
use super::retention::{self, RetentionSettings};
use super::section::{Section, check_keys, variable};
use super::work::{self, WorkSettings};
use super::{ConfigError, Environment, Origin, Set};
use crate::local;
use crate::provider::ProviderSettings;
use crate::store::{
    self,
    model::{ModelRow, ProviderRow},
};

const TOP_KEYS: &[&str] = &[
    "database",
    "work",
    "batches",
    "budget",
    "retention",
    "cache",
    "log",
    "local",
    "providers",
    "models",
];
const DATABASE_KEYS: &[&str] = &["url", "max_connections", "pooler"];
const LOG_KEYS: &[&str] = &["filter", "format"];
const LOCAL_KEYS: &[&str] = &["dir", "pg_bin"];

/// Everything that can be set, checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// The file that was read. `None`: there was none.
    pub file: Option<PathBuf>,
    /// `[work]`.
    pub work: WorkSettings,
    /// `[batches]`.
    pub batches: BatchSettings,
    /// `[budget]`.
    pub budget: BudgetSettings,
    /// `[retention]`.
    pub keep: RetentionSettings,
    /// `[cache]`.
    pub cache: CacheSettings,
    /// `[log]`.
    pub log: LogSettings,
    /// `[providers.<entry>]`, in the order of the file.
    pub provider_entries: Vec<ProviderEntry>,
    /// `[[models]]`, in the order of the file.
    pub model_entries: Vec<ModelEntry>,
    /// What is no error and yet worth a word.
    pub warnings: Vec<String>,
    pub(super) url: Option<Set<SecretString>>,
    pub(super) max_connections: Set<u32>,
    pub(super) pooler: Set<&'static str>,
    pub(super) statement_timeout: Option<Duration>,
    pub(super) local_dir: Option<Set<String>>,
    pub(super) pg_bin: Option<Set<String>>,
    pub(super) env: Environment,
}

/// What is logged, to stderr.
#[derive(Clone, Debug)]
pub struct LogSettings {
    /// `log.filter`: as of `RUST_LOG`. Default `warn,tidegate=info`.
    pub filter: Set<String>,
    /// `log.format`: `text` (default) or `json`.
    pub format: Set<LogFormat>,
}

/// The shape of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl LogFormat {
    /// The word of the file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "json",
        }
    }
}

impl Config {
    /// Reads and checks everything. `file`: the one that must be there; `None`: `tidegate.toml` of
    /// the current folder if it is there.
    ///
    /// # Errors
    /// The first [`ConfigError`] found.
    pub fn load(file: Option<&Path>, env: Environment) -> Result<Self, ConfigError> {
        let document = document(file)?;
        let file = document.as_ref().map(|document| document.file.clone());
        let document = document.unwrap_or_default();
        check_keys(
            &document,
            &document.entries,
            "the file's top level",
            TOP_KEYS,
        )?;

        let database = Section::top(&document, &env, "database", DATABASE_KEYS)?;
        let mut warnings = Vec::new();
        let url = url(&database, &env, &mut warnings)?;
        let work = work::read(&Section::top(&document, &env, "work", work::KEYS)?)?;
        let batches = batches::read(&Section::top(&document, &env, "batches", batches::KEYS)?)?;
        let budget = budget::read(&Section::top(&document, &env, "budget", budget::KEYS)?)?;
        let keep = retention::read(&Section::top(
            &document,
            &env,
            "retention",
            retention::KEYS,
        )?)?;
        let cache = cache::read(&Section::top(&document, &env, "cache", cache::KEYS)?)?;
        let log = log(&Section::top(&document, &env, "log", LOG_KEYS)?)?;
        let local = Section::top(&document, &env, "local", LOCAL_KEYS)?;
        let provider_entries = providers::read(&document, &env)?;
        let model_entries = models::read(&document, &env, &provider_entries)?;
        let max_connections = database
            .integer("max_connections", 2, 100)?
            .unwrap_or(Set::default(6));
        let pooler = database
            .word("pooler", &["auto", "transaction", "none"])?
            .unwrap_or(Set::default("auto"));
        let alias = |name: &str| {
            env.find(name).map(|(value, origin)| Set {
                value: value.to_owned(),
                origin,
            })
        };
        let local_dir = match alias("TIDEGATE_DATA_DIR") {
            Some(dir) if alias("TIDEGATE_LOCAL_DIR").is_none() => Some(dir),
            _ => local.text("dir")?,
        };
        let pg_bin = match alias("TIDEGATE_PG_BIN") {
            Some(dir) => Some(dir),
            None => local.text("pg_bin")?,
        };
        warnings.extend(misspelt(&env, &provider_entries, &model_entries));
        drop((database, local));
        Ok(Self {
            file,
            work,
            batches,
            budget,
            keep,
            cache,
            log,
            provider_entries,
            model_entries,
            warnings,
            url,
            max_connections,
            pooler,
            statement_timeout: None,
            local_dir,
            pg_bin,
            env,
        })
    }

    /// The same with the database of `--database-url`.
    #[must_use]
    pub fn with_database_url(mut self, url: Option<&str>) -> Self {
        if let Some(url) = url {
            self.url = Some(Set {
                value: SecretString::from(url),
                origin: Origin::Flag("--database-url"),
            });
        }
        self
    }

    /// The same with so much time for each statement.
    #[must_use]
    pub fn with_statement_timeout(mut self, limit: Duration) -> Self {
        self.statement_timeout = Some(limit);
        self
    }

    /// The database's URL. `None`: a private Postgres is to be used.
    pub fn database_url(&self) -> Option<&SecretString> {
        self.url.as_ref().map(|url| &url.value)
    }

    /// How the database of this URL is reached.
    pub fn store_settings(&self, url: impl Into<String>) -> store::Settings {
        let mut settings = store::Settings::new(url);
        settings.max_connections = self.max_connections.value;
        if let Some(limit) = self.statement_timeout {
            settings.statement_timeout = limit;
        }
        settings.pooler = match self.pooler.value {
            "transaction" => store::Pooler::Transaction,
            "none" => store::Pooler::None,
            _ => store::Pooler::Auto,
        };
        settings
    }

    /// The private Postgres's settings.
    pub fn local_settings(&self) -> local::Settings {
        let mut settings = local::Settings::from_env(|name| self.env.get(name).map(str::to_owned));
        settings.data_dir = self.local_dir.as_ref().map(|dir| PathBuf::from(&dir.value));
        settings.bin_dir = self.pg_bin.as_ref().map(|dir| PathBuf::from(&dir.value));
        settings
    }

    /// The provider entries as the database keeps them.
    pub fn providers(&self) -> Vec<ProviderRow> {
        self.provider_entries
            .iter()
            .map(ProviderEntry::row)
            .collect()
    }

    /// The models as the database keeps them.
    pub fn models(&self) -> Vec<ModelRow> {
        let provider = |model: &ModelEntry| {
            let name = model.name.value.split('/').next().unwrap_or_default();
            self.provider_entries
                .iter()
                .find(|entry| entry.name == name)
        };
        self.model_entries
            .iter()
            .filter_map(|model| Some(model.row(provider(model)?)))
            .collect()
    }

    /// What each provider's door is opened with, by entry; its key is read from the environment.
    pub fn provider_settings(&self) -> Vec<(String, Result<ProviderSettings, EntryError>)> {
        self.provider_entries
            .iter()
            .map(|entry| (entry.name.clone(), entry.settings(&self.env)))
            .collect()
    }

    /// The overrides of a worker in the environment, as (dotted path, value), sorted by path. The
    /// page of this room says how they are named.
    pub fn worker_overrides(&self, worker: &str) -> Vec<(String, String)> {
        let prefix = format!("TIDEGATE_WORKER_{}_", variable(worker));
        let mut overrides: Vec<_> = self
            .env
            .names()
            .filter_map(|name| {
                let key = name.strip_prefix(&prefix)?;
                let key = key.strip_prefix('_').unwrap_or(key);
                let path = key.to_ascii_lowercase().replace("__", ".");
                Some((path, self.env.get(name)?.to_owned()))
            })
            .filter(|(path, _)| !path.is_empty())
            .collect();
        overrides.sort();
        overrides
    }
}

fn document(file: Option<&Path>) -> Result<Option<Document>, ConfigError> {
    let path = file.unwrap_or(Path::new(DEFAULT_FILE));
    match std::fs::read_to_string(path) {
        Ok(text) => Document::parse(path, &text).map(Some),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && file.is_none() => Ok(None),
        Err(source) => Err(ConfigError::Read {
            file: path.to_owned(),
            source,
            help: "check --config, or run `tidegate init` to write one",
        }),
    }
}

fn url(
    database: &Section<'_>,
    env: &Environment,
    warnings: &mut Vec<String>,
) -> Result<Option<Set<SecretString>>, ConfigError> {
    let secret = |value: &str, origin| Set {
        value: SecretString::from(value),
        origin,
    };
    let own = database.text("url")?;
    let above_file = own
        .as_ref()
        .is_some_and(|url| !matches!(url.origin, Origin::File { .. }));
    let usual = env.find("DATABASE_URL").filter(|_| !above_file);
    if let Some((value, origin)) = usual {
        return Ok(Some(secret(value.trim(), origin)));
    }
    if let Some(Set {
        origin: Origin::File { file, line },
        ..
    }) = &own
    {
        warnings.push(format!(
            "{}:{line}: database.url stands in a file; DATABASE_URL in the environment keeps its password out of it",
            file.display()
        ));
    }
    Ok(own.map(|url| secret(&url.value, url.origin)))
}

fn log(section: &Section<'_>) -> Result<LogSettings, ConfigError> {
    let filter = section.text("filter")?;
    if let Some(filter) = &filter
        && let Err(error) = tracing_subscriber::EnvFilter::try_new(&filter.value)
    {
        return Err(section.bad(
            "filter",
            format!("cannot be read: {error}"),
            "write levels by target, as \"warn,tidegate=debug\"",
        ));
    }
    let format = section.word("format", &["text", "json"])?;
    Ok(LogSettings {
        filter: filter.unwrap_or_else(|| Set::default(DEFAULT_FILTER.to_owned())),
        format: format.map_or(Set::default(LogFormat::Text), |format| Set {
            value: if format.value == "json" {
                LogFormat::Json
            } else {
                LogFormat::Text
            },
            origin: format.origin,
        }),
    })
}

/// Variables that look like one of ours, misspelt. Others are left alone: Kubernetes makes some of
/// its own for a service called tidegate.
fn misspelt(env: &Environment, providers: &[ProviderEntry], models: &[ModelEntry]) -> Vec<String> {
    let sections = [
        ("database", DATABASE_KEYS),
        ("work", work::KEYS),
        ("batches", batches::KEYS),
        ("budget", budget::KEYS),
        ("retention", retention::KEYS),
        ("cache", cache::KEYS),
        ("log", LOG_KEYS),
        ("local", LOCAL_KEYS),
    ];
    let plain = sections.into_iter().flat_map(|(section, keys)| {
        keys.iter()
            .map(move |key| format!("TIDEGATE_{}_{}", variable(section), variable(key)))
    });
    let others = ["TIDEGATE_CONFIG", "TIDEGATE_DATA_DIR", "TIDEGATE_PG_BIN"].map(str::to_owned);
    let known: Vec<String> = plain
        .chain(others)
        .chain(
            providers
                .iter()
                .flat_map(|it| providers::variables(&it.name)),
        )
        .chain(
            models
                .iter()
                .flat_map(|it| models::variables(&it.name.value)),
        )
        .collect();
    let ours = |name: &&str| name.starts_with("TIDEGATE_") && !name.starts_with("TIDEGATE_WORKER_");
    env.names()
        .filter(ours)
        .filter(|name| !known.iter().any(|known| known == name))
        .filter_map(|name| {
            let near = nearest(name, known.iter().map(String::as_str))?;
            Some(format!(
                "the variable {name} means nothing; did you mean {near}?"
            ))
        })
        .collect()
}

/// What is read unless --config names another.
const DEFAULT_FILE: &str = "tidegate.toml";
const DEFAULT_FILTER: &str = "warn,tidegate=info";
