//! `[providers.<entry>]`: one entry, one key.

use secrecy::SecretString;

use super::document::{Document, Entry};
use super::section::{Section, check_keys, table, variable};
use super::{ConfigError, Environment, Origin, Place, Set};
use crate::provider::{Kind, ProviderSettings};
use crate::store::model::ProviderRow;

const KEYS: &[&str] = &[
    "kind",
    "base_url",
    "api_key_env",
    "quota_scope",
    "allow_plain_http",
    "batch_jobs",
];

/// The vendor whose wire format an entry speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProviderKind {
    /// Google's Gemini API.
    Gemini,
    /// OpenAI's API, and those that copy it.
    OpenAi,
}

impl ProviderKind {
    /// The word of the file: `gemini` or `openai`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gemini => "gemini",
            Self::OpenAi => "openai",
        }
    }

    fn of(word: &str) -> Self {
        if word == "openai" {
            Self::OpenAi
        } else {
            Self::Gemini
        }
    }

    /// Whose midnight ends a day of its quotas.
    fn day_zone(self) -> &'static str {
        match self {
            Self::Gemini => "America/Los_Angeles",
            Self::OpenAi => "UTC",
        }
    }

    fn base_url(self) -> &'static str {
        match self {
            Self::Gemini => Kind::Gemini.base_url(),
            Self::OpenAi => Kind::OpenAi.base_url(),
        }
    }

    fn key_variable(self) -> &'static str {
        match self {
            Self::Gemini => "GEMINI_API_KEY",
            Self::OpenAi => "OPENAI_API_KEY",
        }
    }
}

/// One account at one vendor, as configured.
#[derive(Clone, Debug)]
pub struct ProviderEntry {
    /// Its name: the first part of a model's.
    pub name: String,
    /// Its vendor.
    pub kind: Set<ProviderKind>,
    /// Where it is reached. Default: the vendor's own address.
    pub base_url: Set<String>,
    /// The variable that holds its key. Default `GEMINI_API_KEY` or `OPENAI_API_KEY`.
    pub api_key_env: Set<String>,
    /// Entries of one scope share limits and cooldowns. Default: the entry's name.
    pub quota_scope: Set<String>,
    /// Whether plain http may leave this machine. Default false.
    pub allow_plain_http: Set<bool>,
    /// Its batches under way at once, 1 to 100,000. `None`: the file does not say, and what was set stays (100 unless set).
    pub batch_jobs: Option<Set<u32>>,
}

/// An entry that cannot be called.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EntryError {
    /// The variable with its key is not set.
    #[error(
        "providers.{entry}: the variable {variable} is not set, and holds its API key\n  help: export {variable}=..., write it into .env, or name another variable with api_key_env"
    )]
    MissingKey {
        /// The entry.
        entry: String,
        /// The variable.
        variable: String,
    },
}

impl ProviderEntry {
    /// What the database knows of it: no key.
    pub(super) fn row(&self) -> ProviderRow {
        ProviderRow {
            name: self.name.clone(),
            kind: self.kind.value.as_str().to_owned(),
            base_url: self.base_url.value.clone(),
            quota_scope: self.quota_scope.value.clone(),
            day_zone: self.kind.value.day_zone().to_owned(),
            batch_jobs: self.batch_jobs.as_ref().map(|set| set.value),
        }
    }

    /// What the provider's door is opened with, its key taken from the environment.
    pub(super) fn settings(&self, env: &Environment) -> Result<ProviderSettings, EntryError> {
        let kind = match self.kind.value {
            ProviderKind::Gemini => Kind::Gemini,
            ProviderKind::OpenAi => Kind::OpenAi,
        };
        let key = env.get(&self.api_key_env.value);
        let key = key.ok_or_else(|| EntryError::MissingKey {
            entry: self.name.clone(),
            variable: self.api_key_env.value.clone(),
        })?;
        let mut settings = ProviderSettings::new(&self.name, kind, SecretString::from(key));
        settings.base_url = Some(self.base_url.value.clone());
        settings.allow_plain_http = self.allow_plain_http.value;
        Ok(settings)
    }
}

/// The entries of the file. Where it has none, one for each vendor whose usual key variable is set.
pub(super) fn read(
    document: &Document,
    env: &Environment,
) -> Result<Vec<ProviderEntry>, ConfigError> {
    let providers = document
        .entries
        .iter()
        .find(|entry| entry.key == "providers");
    let Some(providers) = providers else {
        return by_keys(document, env);
    };
    table(document, providers)?
        .iter()
        .map(|entry| one(document, env, entry))
        .collect()
}

fn by_keys(document: &Document, env: &Environment) -> Result<Vec<ProviderEntry>, ConfigError> {
    [ProviderKind::Gemini, ProviderKind::OpenAi]
        .into_iter()
        .filter_map(|kind| Some((kind, env.find(kind.key_variable())?.1)))
        .map(|(kind, origin)| {
            let name = kind.as_str();
            let section = section(document, env, name, 1, &[])?;
            let kind = Set {
                value: kind,
                origin,
            };
            entry(name.to_owned(), kind, &section)
        })
        .collect()
}

fn one(
    document: &Document,
    env: &Environment,
    written: &Entry,
) -> Result<ProviderEntry, ConfigError> {
    let name = written.key.as_str();
    let fits = |c: char| c.is_ascii_graphic() && c != '/';
    if name.is_empty() || name.len() > 63 || !name.chars().all(fits) {
        return Err(ConfigError::BadValue {
            place: document.place(written.line),
            key: name.escape_debug().to_string(),
            message: "is no name for a provider entry".to_owned(),
            help: "use letters, digits, - and _: it is the first part of its models' names"
                .to_owned(),
        });
    }
    let entries = table(document, written)?;
    check_keys(document, entries, &format!("[providers.{name}]"), KEYS)?;
    let section = section(document, env, name, written.line, entries)?;
    let kind = section
        .word("kind", &["gemini", "openai"])?
        .ok_or_else(|| section.missing("kind", "write kind = \"gemini\" or kind = \"openai\""))?;
    let kind = Set {
        value: ProviderKind::of(kind.value),
        origin: kind.origin,
    };
    entry(name.to_owned(), kind, &section)
}

fn section<'a>(
    document: &'a Document,
    env: &'a Environment,
    name: &str,
    line: usize,
    entries: &'a [Entry],
) -> Result<Section<'a>, ConfigError> {
    Section::of(
        document,
        line,
        entries,
        env,
        format!("[providers.{name}]"),
        Some(prefix(name)),
        KEYS,
    )
}

/// The names that variables of this entry begin with.
pub(super) fn prefix(name: &str) -> String {
    format!("TIDEGATE_PROVIDERS_{}_", variable(name))
}

/// The variables that may be set for this entry.
pub(super) fn variables(name: &str) -> impl Iterator<Item = String> {
    let prefix = prefix(name);
    KEYS.iter()
        .map(move |key| format!("{prefix}{}", variable(key)))
}

fn entry(
    name: String,
    kind: Set<ProviderKind>,
    section: &Section<'_>,
) -> Result<ProviderEntry, ConfigError> {
    let base_url = section.text("base_url")?;
    if let Some(url) = &base_url
        && !["http://", "https://"]
            .iter()
            .any(|scheme| url.value.starts_with(scheme))
    {
        return Err(section.bad(
            "base_url",
            "is no http or https URL",
            format!(
                "write it with its version, as \"{}\"",
                kind.value.base_url()
            ),
        ));
    }
    let api_key_env = section.text("api_key_env")?;
    if let Some(given) = &api_key_env
        && !is_variable(&given.value)
    {
        // Never shown: whoever writes the key itself here must not find it in a log.
        return Err(section.bad(
            "api_key_env",
            "must be the name of a variable, not the key itself",
            format!(
                "write api_key_env = \"{}\" and set that variable",
                kind.value.key_variable()
            ),
        ));
    }
    Ok(ProviderEntry {
        base_url: base_url.unwrap_or_else(|| Set::default(kind.value.base_url().to_owned())),
        api_key_env: api_key_env
            .unwrap_or_else(|| Set::default(kind.value.key_variable().to_owned())),
        quota_scope: section
            .text("quota_scope")?
            .unwrap_or_else(|| Set::default(name.clone())),
        batch_jobs: section.integer("batch_jobs", 1, 100_000)?,
        allow_plain_http: section
            .flag("allow_plain_http")?
            .unwrap_or(Set::default(false)),
        kind,
        name,
    })
}

/// Capitals, digits and `_`: what nearly all variables look like, and no key does.
fn is_variable(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    name.chars().all(fits) && !name.starts_with(|c: char| c.is_ascii_digit())
}

/// Where an entry came from, for messages.
impl From<&ProviderEntry> for Place {
    fn from(entry: &ProviderEntry) -> Self {
        match &entry.kind.origin {
            Origin::File { file, line } => Self::File {
                file: file.clone(),
                line: *line,
            },
            other => Self::Variable(other.to_string()),
        }
    }
}
