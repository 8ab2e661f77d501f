//! tidegate.toml as a tree that knows the line of each key.

use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use super::{ConfigError, Place};

/// A parsed file.
#[derive(Debug, Default)]
pub(super) struct Document {
    pub(super) file: PathBuf,
    pub(super) entries: Vec<Entry>,
}

/// One key of a table.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) line: usize,
    pub(super) value: Value,
}

/// One value.
#[derive(Debug)]
pub(super) enum Value {
    Text(String),
    Integer(i64),
    /// As it was written: a price is read from it without a float in between.
    Float(String),
    Bool(bool),
    List(Vec<(usize, Value)>),
    Table(Vec<Entry>),
    /// A date, or an integer beyond 64 bits.
    Odd(&'static str),
}

impl Document {
    /// Parses a whole file.
    pub(super) fn parse(file: &Path, text: &str) -> Result<Self, ConfigError> {
        let table = DeTable::parse(text).map_err(|error| ConfigError::Syntax {
            place: Place::File {
                file: file.to_owned(),
                line: error.span().map_or(1, |span| line_of(text, span.start)),
            },
            message: error.message().replace('\n', ", "),
            help: "correct the TOML; `tidegate init` writes a commented example",
        })?;
        Ok(Self {
            file: file.to_owned(),
            entries: entries(table.get_ref(), text),
        })
    }

    /// A line of this file.
    pub(super) fn place(&self, line: usize) -> Place {
        Place::File {
            file: self.file.clone(),
            line,
        }
    }
}

impl Value {
    /// What a person calls this type.
    pub(super) fn type_name(&self) -> &'static str {
        match self {
            Self::Text(_) => "a string",
            Self::Integer(_) => "an integer",
            Self::Float(_) => "a number",
            Self::Bool(_) => "true or false",
            Self::List(_) => "a list",
            Self::Table(_) => "a table",
            Self::Odd(name) => name,
        }
    }
}

fn entries(table: &DeTable<'_>, text: &str) -> Vec<Entry> {
    let mut entries: Vec<Entry> = table
        .iter()
        .map(|(key, value)| {
            let name: &std::borrow::Cow<'_, str> = key.get_ref();
            Entry {
                key: name.to_string(),
                line: line_of(text, key.span().start),
                value: tree(value.get_ref(), text),
            }
        })
        .collect();
    // The parser sorts by key; errors and `config show` go by line.
    entries.sort_by_key(|entry| entry.line);
    entries
}

fn tree(value: &DeValue<'_>, text: &str) -> Value {
    match value {
        DeValue::String(string) => Value::Text(string.to_string()),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map_or(Value::Odd("an integer beyond 64 bits"), Value::Integer),
        DeValue::Float(number) => Value::Float(number.as_str().to_owned()),
        DeValue::Boolean(flag) => Value::Bool(*flag),
        DeValue::Datetime(_) => Value::Odd("a date"),
        DeValue::Array(items) => Value::List(
            items
                .iter()
                .map(|item| (line_of(text, item.span().start), tree(item.get_ref(), text)))
                .collect(),
        ),
        DeValue::Table(table) => Value::Table(entries(table, text)),
    }
}

/// The line of a byte, from 1.
fn line_of(text: &str, at: usize) -> usize {
    1 + text
        .as_bytes()
        .iter()
        .take(at)
        .filter(|&&byte| byte == b'\n')
        .count()
}
