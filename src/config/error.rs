//! What is wrong with the configuration: where, which key, what to do about it.

use std::fmt;
use std::path::PathBuf;

/// Where something was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// On a line of a file, from 1.
    File {
        /// The file.
        file: PathBuf,
        /// The line.
        line: usize,
    },
    /// In a variable of the environment or of `.env`.
    Variable(String),
}

impl fmt::Display for Place {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { file, line } => write!(out, "{}:{line}", file.display()),
            Self::Variable(name) => out.write_str(name),
        }
    }
}

/// A configuration that does not hold. The display ends with a line of help.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file could not be read.
    #[error("{}: {source}\n  help: {help}", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// The system's words.
        source: std::io::Error,
        /// What to do.
        help: &'static str,
    },
    /// A text that does not parse.
    #[error("{place}: {message}\n  help: {help}")]
    Syntax {
        /// Where.
        place: Place,
        /// The parser's words.
        message: String,
        /// What to do.
        help: &'static str,
    },
    /// A key that means nothing here.
    #[error("{place}: unknown key \"{key}\" in {table}\n  help: {}", did_you_mean(nearest.as_deref(), known))]
    UnknownKey {
        /// Where it is written.
        place: Place,
        /// The key.
        key: String,
        /// The table it is in, as `[work]` or `[[models]]`.
        table: Box<str>,
        /// The most alike key there is.
        nearest: Option<String>,
        /// The keys there are.
        known: Box<[String]>,
    },
    /// A key that must be there and is not.
    #[error("{place}: missing key \"{key}\" in {table}\n  help: {help}")]
    MissingKey {
        /// Where the table begins.
        place: Place,
        /// The key.
        key: String,
        /// The table.
        table: String,
        /// What to write.
        help: String,
    },
    /// A value that does not do.
    #[error("{place}: \"{key}\" {message}\n  help: {help}")]
    BadValue {
        /// Where it is written.
        place: Place,
        /// The key.
        key: String,
        /// What is wrong with it.
        message: String,
        /// What to do.
        help: String,
    },
}

impl ConfigError {
    /// The key at fault.
    pub fn key(&self) -> Option<&str> {
        match self {
            Self::UnknownKey { key, .. }
            | Self::MissingKey { key, .. }
            | Self::BadValue { key, .. } => Some(key),
            Self::Read { .. } | Self::Syntax { .. } => None,
        }
    }

    /// Where it was written.
    pub fn place(&self) -> Option<&Place> {
        match self {
            Self::Read { .. } => None,
            Self::Syntax { place, .. }
            | Self::UnknownKey { place, .. }
            | Self::MissingKey { place, .. }
            | Self::BadValue { place, .. } => Some(place),
        }
    }

    /// The nearest right name, where there is one.
    pub fn nearest(&self) -> Option<&str> {
        match self {
            Self::UnknownKey { nearest, .. } => nearest.as_deref(),
            _ => None,
        }
    }
}

fn did_you_mean(nearest: Option<&str>, known: &[String]) -> String {
    match nearest {
        Some(name) => format!("did you mean \"{name}\"?"),
        None => format!("known here: {}", known.join(", ")),
    }
}

/// The known name most like `word`, if one is alike at all.
pub(crate) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    known
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(word, name), name))
        .filter(|(distance, name)| *distance <= word.len().max(name.len()).div_ceil(2).min(4))
        .min()
        .map(|(_, name)| name.to_owned())
}
