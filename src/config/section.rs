//! Reading one table of settings: its keys are known beforehand, its values have types and ranges,
//! and the environment stands above the file.

use std::fmt;
use std::path::PathBuf;

use super::document::{Document, Entry, Value};
use super::error::nearest;
use super::price::micro_dollars;
use super::{ConfigError, Environment, Place};

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A flag of the command line.
    Flag(&'static str),
    /// A variable of the environment.
    Environment(String),
    /// A variable of `.env`.
    DotEnv(String),
    /// A line of tidegate.toml.
    File {
        /// The file.
        file: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// Nobody said anything.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(flag) => out.write_str(flag),
            Self::Environment(name) => write!(out, "environment {name}"),
            Self::DotEnv(name) => write!(out, ".env {name}"),
            Self::File { file, line } => write!(out, "{}:{line}", file.display()),
            Self::Default => out.write_str("default"),
        }
    }
}

/// A value and where it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Set<T> {
    /// The value.
    pub value: T,
    /// Where it came from.
    pub origin: Origin,
}

impl<T> Set<T> {
    pub(super) fn default(value: T) -> Self {
        Self {
            value,
            origin: Origin::Default,
        }
    }
}

/// One table of the file, with the variables that stand above it.
pub(super) struct Section<'a> {
    /// As people write it: `[work]`, `[[models]]`.
    label: String,
    /// `TIDEGATE_WORK_`. `None`: no variable stands above it.
    prefix: Option<String>,
    place: Place,
    file: PathBuf,
    entries: &'a [Entry],
    env: &'a Environment,
}

/// What was found under a key: a value of the file or a variable's text.
enum Found<'a> {
    Value(&'a Value),
    Text(&'a str),
}

impl<'a> Section<'a> {
    /// A top-level table, which may be missing.
    pub(super) fn top(
        document: &'a Document,
        env: &'a Environment,
        name: &str,
        known: &[&str],
    ) -> Result<Self, ConfigError> {
        let label = format!("[{name}]");
        let prefix = Some(format!("TIDEGATE_{}_", variable(name)));
        match document.entries.iter().find(|entry| entry.key == name) {
            Some(entry) => {
                let entries = table(document, entry)?;
                Self::of(document, entry.line, entries, env, label, prefix, known)
            }
            None => Self::of(document, 1, &[], env, label, prefix, known),
        }
    }

    /// A table of the file.
    pub(super) fn of(
        document: &'a Document,
        line: usize,
        entries: &'a [Entry],
        env: &'a Environment,
        label: String,
        prefix: Option<String>,
        known: &[&str],
    ) -> Result<Self, ConfigError> {
        check_keys(document, entries, &label, known)?;
        Ok(Self {
            label,
            prefix,
            place: document.place(line),
            file: document.file.clone(),
            entries,
            env,
        })
    }

    /// The same under another name in the environment, known once its key has been read.
    pub(super) fn called(mut self, prefix: String) -> Self {
        self.prefix = Some(prefix);
        self
    }

    fn find(&self, key: &str) -> Option<(Found<'a>, Origin)> {
        let name = self
            .prefix
            .as_ref()
            .map(|prefix| format!("{prefix}{}", variable(key)));
        if let Some((text, origin)) = name.and_then(|name| self.env.find(&name)) {
            return Some((Found::Text(text), origin));
        }
        let entry = self.entries.iter().find(|entry| entry.key == key)?;
        let origin = Origin::File {
            file: self.file.clone(),
            line: entry.line,
        };
        Some((Found::Value(&entry.value), origin))
    }

    /// Where a key's value stands, or the table if it does not.
    fn place_of(&self, key: &str) -> Place {
        match self.find(key) {
            Some((_, origin)) => place_of(&origin).unwrap_or_else(|| self.place.clone()),
            None => self.place.clone(),
        }
    }

    /// What is wrong with the value of a key.
    pub(super) fn bad(
        &self,
        key: &str,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> ConfigError {
        ConfigError::BadValue {
            place: self.place_of(key),
            key: key.to_owned(),
            message: message.into(),
            help: help.into(),
        }
    }

    pub(super) fn missing(&self, key: &str, help: impl Into<String>) -> ConfigError {
        ConfigError::MissingKey {
            place: self.place.clone(),
            key: key.to_owned(),
            table: self.label.clone(),
            help: help.into(),
        }
    }

    fn wrong_type(&self, key: &str, expected: &str, found: &Value) -> ConfigError {
        self.bad(
            key,
            format!("must be {expected}, not {}", found.type_name()),
            format!("write {key} = {}", example(expected)),
        )
    }

    /// A text that is not empty.
    pub(super) fn text(&self, key: &str) -> Result<Option<Set<String>>, ConfigError> {
        let Some((found, origin)) = self.find(key) else {
            return Ok(None);
        };
        let value = match found {
            Found::Text(text) => text,
            Found::Value(Value::Text(text)) => text,
            Found::Value(other) => return Err(self.wrong_type(key, "a string", other)),
        };
        if value.trim().is_empty() {
            return Err(self.bad(key, "is empty", "give it a value, or remove the line"));
        }
        Ok(Some(Set {
            value: value.trim().to_owned(),
            origin,
        }))
    }

    /// One of these words.
    pub(super) fn word(
        &self,
        key: &str,
        words: &[&'static str],
    ) -> Result<Option<Set<&'static str>>, ConfigError> {
        let Some(given) = self.text(key)? else {
            return Ok(None);
        };
        match words.iter().find(|word| **word == given.value) {
            Some(word) => Ok(Some(Set {
                value: word,
                origin: given.origin,
            })),
            None => {
                let quoted: Vec<_> = words.iter().map(|word| format!("\"{word}\"")).collect();
                let help = match nearest(&given.value, words.iter().copied()) {
                    Some(word) => format!("did you mean \"{word}\"?"),
                    None => format!("write one of {}", quoted.join(", ")),
                };
                Err(self.bad(
                    key,
                    format!("is \"{}\": it must be {}", given.value, quoted.join(" or ")),
                    help,
                ))
            }
        }
    }

    pub(super) fn flag(&self, key: &str) -> Result<Option<Set<bool>>, ConfigError> {
        let Some((found, origin)) = self.find(key) else {
            return Ok(None);
        };
        let value = match found {
            Found::Value(Value::Bool(flag)) => *flag,
            Found::Text("true" | "1") => true,
            Found::Text("false" | "0") => false,
            Found::Text(_) => {
                return Err(self.bad(key, "must be true or false", "write true or false"));
            }
            Found::Value(other) => return Err(self.wrong_type(key, "true or false", other)),
        };
        Ok(Some(Set { value, origin }))
    }

    /// An integer within bounds, as any integer type they fit.
    pub(super) fn integer<T>(
        &self,
        key: &str,
        least: T,
        most: T,
    ) -> Result<Option<Set<T>>, ConfigError>
    where
        T: TryFrom<i64> + PartialOrd + fmt::Display,
    {
        let Some((found, origin)) = self.find(key) else {
            return Ok(None);
        };
        let range = format!("write a whole number from {least} to {most}");
        let given = match found {
            Found::Value(Value::Integer(number)) => *number,
            Found::Text(text) => text.trim().replace('_', "").parse().map_err(|_| {
                self.bad(key, format!("is {text:?}, no whole number"), range.clone())
            })?,
            Found::Value(other) => return Err(self.wrong_type(key, "an integer", other)),
        };
        match T::try_from(given) {
            Ok(value) if value >= least && value <= most => Ok(Some(Set { value, origin })),
            _ => Err(self.bad(
                key,
                format!("is {given}: it must be {least} to {most}"),
                range,
            )),
        }
    }

    /// USD (of models: per million tokens), as micro-dollars: a number or a decimal text, exact to the last digit.
    pub(super) fn price(&self, key: &str) -> Result<Option<Set<i64>>, ConfigError> {
        let Some((found, origin)) = self.find(key) else {
            return Ok(None);
        };
        let written = match found {
            Found::Text(text) => text.to_owned(),
            Found::Value(Value::Text(text)) => text.clone(),
            Found::Value(Value::Float(text)) => text.clone(),
            Found::Value(Value::Integer(number)) => number.to_string(),
            Found::Value(other) => return Err(self.wrong_type(key, "a number", other)),
        };
        match micro_dollars(&written) {
            Ok(value) => Ok(Some(Set { value, origin })),
            Err(why) => Err(self.bad(
                key,
                format!("is {written}: {why}"),
                "write USD with at most 6 decimals, as 0.75",
            )),
        }
    }

    /// The same, or the word `none`.
    pub(super) fn price_or_none(&self, key: &str) -> Result<Option<Set<Option<i64>>>, ConfigError> {
        match self.find(key) {
            Some((Found::Text("none"), origin)) => Ok(Some(Set {
                value: None,
                origin,
            })),
            Some((Found::Value(Value::Text(text)), origin)) if text == "none" => Ok(Some(Set {
                value: None,
                origin,
            })),
            _ => Ok(self.price(key)?.map(|set| Set {
                value: Some(set.value),
                origin: set.origin,
            })),
        }
    }
}

fn place_of(origin: &Origin) -> Option<Place> {
    match origin {
        Origin::Environment(name) => Some(Place::Variable(name.clone())),
        Origin::DotEnv(name) => Some(Place::Variable(format!(".env {name}"))),
        Origin::File { file, line } => Some(Place::File {
            file: file.clone(),
            line: *line,
        }),
        Origin::Flag(_) | Origin::Default => None,
    }
}

/// The entries of a table, or the error that it is none.
pub(super) fn table<'a>(document: &Document, entry: &'a Entry) -> Result<&'a [Entry], ConfigError> {
    match &entry.value {
        Value::Table(entries) => Ok(entries),
        other => Err(ConfigError::BadValue {
            place: document.place(entry.line),
            key: entry.key.clone(),
            message: format!("must be a table, not {}", other.type_name()),
            help: format!("write [{}] on a line of its own", entry.key),
        }),
    }
}

/// Refuses a key that is not known.
pub(super) fn check_keys(
    document: &Document,
    entries: &[Entry],
    label: &str,
    known: &[&str],
) -> Result<(), ConfigError> {
    match entries
        .iter()
        .find(|entry| !known.contains(&entry.key.as_str()))
    {
        None => Ok(()),
        Some(entry) => Err(ConfigError::UnknownKey {
            place: document.place(entry.line),
            key: entry.key.clone(),
            table: label.into(),
            nearest: nearest(&entry.key, known.iter().copied()),
            known: known.iter().map(|&name| name.to_owned()).collect(),
        }),
    }
}

/// A name as a part of a variable's: capitals, and `_` for all but letters and digits.
pub(super) fn variable(name: &str) -> String {
    let fit = |c: char| {
        if c.is_ascii_alphanumeric() {
            c.to_ascii_uppercase()
        } else {
            '_'
        }
    };
    name.chars().map(fit).collect()
}

fn example(expected: &str) -> &'static str {
    match expected {
        "a string" => "\"...\"",
        "true or false" => "true",
        "a number" => "0.75",
        _ => "10",
    }
}
