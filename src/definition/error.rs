//! What is wrong with a worker folder: where, which key, what to do about it.

use std::fmt;

/// Where something was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In a file of the folder.
    File {
        /// The file's name in the folder.
        file: String,
        /// The line, from 1, where it is known.
        line: Option<usize>,
    },
    /// In an override (`--set`, the environment).
    Override {
        /// The dotted path that was set.
        path: String,
    },
}

impl Place {
    /// A file as a whole.
    pub(super) fn file(file: &str) -> Self {
        Self::File {
            file: file.to_owned(),
            line: None,
        }
    }

    /// A line of a file, from 1.
    pub(super) fn line(file: &str, line: usize) -> Self {
        Self::File {
            file: file.to_owned(),
            line: Some(line),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File {
                file,
                line: Some(line),
            } => write!(out, "{file}:{line}"),
            Self::File { file, line: None } => out.write_str(file),
            Self::Override { path } => write!(out, "override {path}"),
        }
    }
}

/// A worker folder that does not hold. The display is one line: place, what is wrong, what helps.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DefinitionError {
    /// A file could not be read.
    #[error("{file}: {message}")]
    Read {
        /// The file's name.
        file: String,
        /// The system's words.
        message: String,
    },
    /// A file that is named is not there.
    #[error(
        "{place}: `{key}` names the file {file}, which is not in the folder{}",
        or(nearest)
    )]
    NoFile {
        /// Where it is named.
        place: Place,
        /// The key that names it.
        key: String,
        /// Its name.
        file: String,
        /// The most alike file there is.
        nearest: Option<String>,
    },
    /// A file whose text cannot be used: no UTF-8, a byte order mark, a NUL.
    #[error("{place}: {message}")]
    Text {
        /// Which file and line.
        place: Place,
        /// What is wrong.
        message: String,
    },
    /// A file that does not parse: TOML, JSON, a template.
    #[error("{place}: {message}")]
    Syntax {
        /// Which file and line.
        place: Place,
        /// The parser's words.
        message: String,
    },
    /// A key that means nothing here.
    #[error("{place}: unknown key \"{key}\" in {table}{}", or(nearest))]
    UnknownKey {
        /// Where it is written.
        place: Place,
        /// The key.
        key: String,
        /// The table it is in, as `[source]` or `[[tier]]`.
        table: &'static str,
        /// The most alike key that is known.
        nearest: Option<String>,
    },
    /// A key that must be there and is not.
    #[error("{place}: missing key \"{key}\" in {table}")]
    MissingKey {
        /// Where the table begins.
        place: Place,
        /// The key.
        key: String,
        /// The table.
        table: &'static str,
    },
    /// A value of the wrong type.
    #[error("{place}: \"{key}\" must be {expected}, not {found}")]
    WrongType {
        /// Where it is written.
        place: Place,
        /// The key.
        key: String,
        /// What it should be.
        expected: &'static str,
        /// What it is.
        found: &'static str,
    },
    /// A value of the right type that does not do.
    #[error("{place}: \"{key}\" {message}{}", help(advice))]
    BadValue {
        /// Where it is written.
        place: Place,
        /// The key.
        key: String,
        /// What is wrong with it.
        message: String,
        /// What helps.
        advice: Option<String>,
    },
    /// Components that were picked for a run and cannot be had.
    #[error("{message}{}", help(advice))]
    Selection {
        /// What is wrong.
        message: String,
        /// What helps.
        advice: Option<String>,
    },
    /// The source lacks a column that is named.
    #[error(
        "{place}: {named_as} \"{column}\" is no column of the source{} (columns: {})",
        or(nearest), columns.join(", ")
    )]
    NoColumn {
        /// Where it is named.
        place: Place,
        /// What names it: `source.id`, `score.weights`, `template variable` ...
        named_as: &'static str,
        /// The column.
        column: String,
        /// The most alike column there is.
        nearest: Option<String>,
        /// The columns there are.
        columns: Box<[String]>,
    },
}

impl DefinitionError {
    /// Where it was written. `None`: a file that could not be read, or a selection.
    pub fn place(&self) -> Option<&Place> {
        match self {
            Self::Read { .. } | Self::Selection { .. } => None,
            Self::NoFile { place, .. }
            | Self::Text { place, .. }
            | Self::Syntax { place, .. }
            | Self::UnknownKey { place, .. }
            | Self::MissingKey { place, .. }
            | Self::WrongType { place, .. }
            | Self::BadValue { place, .. }
            | Self::NoColumn { place, .. } => Some(place),
        }
    }

    /// The file at fault. `None`: an override is.
    pub fn file(&self) -> Option<&str> {
        match (self, self.place()) {
            (Self::Read { file, .. }, _) | (_, Some(Place::File { file, .. })) => Some(file),
            _ => None,
        }
    }

    /// The line at fault, from 1.
    pub fn line(&self) -> Option<usize> {
        match self.place() {
            Some(Place::File { line, .. }) => *line,
            _ => None,
        }
    }

    /// The key at fault.
    pub fn key(&self) -> Option<&str> {
        match self {
            Self::NoFile { key, .. }
            | Self::UnknownKey { key, .. }
            | Self::MissingKey { key, .. }
            | Self::WrongType { key, .. }
            | Self::BadValue { key, .. } => Some(key),
            Self::NoColumn { column, .. } => Some(column),
            Self::Read { .. }
            | Self::Selection { .. }
            | Self::Text { .. }
            | Self::Syntax { .. } => None,
        }
    }

    /// What may help: the nearest right name, or advice.
    pub fn help(&self) -> Option<&str> {
        match self {
            Self::NoFile { nearest, .. }
            | Self::UnknownKey { nearest, .. }
            | Self::NoColumn { nearest, .. } => nearest.as_deref(),
            Self::BadValue { advice, .. } | Self::Selection { advice, .. } => advice.as_deref(),
            _ => None,
        }
    }
}

fn or(nearest: &Option<String>) -> String {
    nearest
        .as_ref()
        .map(|name| format!("; did you mean \"{name}\"?"))
        .unwrap_or_default()
}

fn help(advice: &Option<String>) -> String {
    advice
        .as_ref()
        .map(|advice| format!("; {advice}"))
        .unwrap_or_default()
}

/// The known name most like `word`, if one is alike at all.
pub(super) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    known
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(word, name), name))
        .filter(|(distance, name)| *distance <= (word.len().max(name.len()) / 3).clamp(1, 4))
        .min()
        .map(|(_, name)| name.to_owned())
}
