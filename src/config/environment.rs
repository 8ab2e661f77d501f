//! The environment and `.env`, taken once at the start.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use super::{ConfigError, Origin, Place};

/// Variables of the process and of `.env`. Its debug output holds no values: some are keys.
#[derive(Clone, Default)]
pub struct Environment {
    process: BTreeMap<String, String>,
    file: BTreeMap<String, String>,
}

impl Environment {
    /// The variables of this process, and those of `.env` in the current folder if there is one.
    /// A variable that is no UTF-8 is left out.
    ///
    /// # Errors
    /// [`ConfigError::Read`] or [`ConfigError::Syntax`] when `.env` is there and cannot be read.
    pub fn of_process() -> Result<Self, ConfigError> {
        let process = std::env::vars_os().filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        });
        Ok(Self {
            process: process.collect(),
            file: read(Path::new(DOT_ENV))?,
        })
    }

    /// These variables, and no `.env`.
    pub fn of<N: Into<String>, V: Into<String>>(process: impl IntoIterator<Item = (N, V)>) -> Self {
        let own = |(name, value): (N, V)| (name.into(), value.into());
        Self {
            process: process.into_iter().map(own).collect(),
            file: BTreeMap::new(),
        }
    }

    /// The same with the variables of this file, where the process does not set them.
    ///
    /// # Errors
    /// [`ConfigError::Read`] or [`ConfigError::Syntax`] when it is there and cannot be read.
    pub fn with_file(self, path: &Path) -> Result<Self, ConfigError> {
        Ok(Self {
            file: read(path)?,
            ..self
        })
    }

    /// A variable's value. An empty one counts as unset, and hides what `.env` says.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.find(name).map(|(value, _)| value)
    }

    /// A variable's value and where it stands.
    pub(super) fn find(&self, name: &str) -> Option<(&str, Origin)> {
        let found = match (self.process.get(name), self.file.get(name)) {
            (Some(value), _) => (value, Origin::Environment(name.to_owned())),
            (None, Some(value)) => (value, Origin::DotEnv(name.to_owned())),
            (None, None) => return None,
        };
        Some((found.0.as_str(), found.1)).filter(|(value, _)| !value.is_empty())
    }

    /// The names of all variables that are set.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        let hidden = |name: &&String| !self.process.contains_key(*name);
        let names = self.process.keys().chain(self.file.keys().filter(hidden));
        names
            .map(String::as_str)
            .filter(|name| self.get(name).is_some())
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Environment").finish_non_exhaustive()
    }
}

fn read(path: &Path) -> Result<BTreeMap<String, String>, ConfigError> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(source) => {
            return Err(ConfigError::Read {
                file: path.to_owned(),
                source,
                help: "make it a readable UTF-8 file, or remove it",
            });
        }
    };
    dotenvy::from_read_iter(text.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|error| unread(path, &text, &error))
}

/// The line's number, never its text: it may hold a key.
fn unread(path: &Path, text: &str, error: &dotenvy::Error) -> ConfigError {
    let line = match error {
        dotenvy::Error::LineParse(bad, _) => text
            .lines()
            .position(|line| bad.contains(line.trim()) && !line.trim().is_empty())
            .map_or(1, |at| at + 1),
        _ => 1,
    };
    ConfigError::Syntax {
        place: Place::File {
            file: path.to_owned(),
            line,
        },
        message: "is no line of NAME=VALUE".to_owned(),
        help: "quote a value with blanks or special characters: NAME='VALUE'",
    }
}

/// The file of variables, in the current folder.
const DOT_ENV: &str = ".env";
