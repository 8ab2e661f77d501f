//! One row: its body as it was given, and the few fields that mean something to us.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::{ID_BYTES_MAX, ROW_BYTES_MAX};
use crate::definition::{SourceSpec, json};

/// One row of a source.
#[derive(Clone, Debug)]
pub struct Row {
    /// The item's id: the text of a string, or a number as it is written.
    pub id: String,
    /// The whole row as JSON text, byte for byte.
    pub body: Box<RawValue>,
    /// Its category, where the source has one.
    pub category: Option<String>,
    /// Its version, where the source has one.
    pub version: Option<String>,
    /// The signals that are there; what is missing or null counts 0.
    pub signals: BTreeMap<String, f64>,
    /// The ready-made score, where the source has one.
    pub score: Option<f64>,
}

/// A row that cannot be an item.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{}{message}", line.map(|n| format!("line {n}: ")).unwrap_or_default(),
    field.as_ref().map(|name| format!("field \"{name}\" ")).unwrap_or_default())]
pub struct RowError {
    /// The line it begins on, from 1. `None`: a row of a query.
    pub line: Option<u64>,
    /// The field at fault, if it is one.
    pub field: Option<String>,
    /// What is wrong; never the value.
    pub message: String,
}

impl RowError {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self {
            line: None,
            field: None,
            message: message.into(),
        }
    }

    fn of_field(field: &str, message: &str) -> Self {
        Self {
            field: Some(field.to_owned()),
            ..Self::new(message)
        }
    }

    pub(super) fn at(self, line: u64) -> Self {
        Self {
            line: Some(line),
            ..self
        }
    }
}

/// The row that one JSON object says, as `row_to_json` or a line of a file gives it. The body is
/// the text itself, without white space around it: numbers, key order, doubled keys (the last one
/// counts), lone surrogates and `\u0000` stay as they are.
///
/// # Errors
/// When the text is no JSON object, is too large (4 MiB) or too deep (128), lacks the id, or a
/// field that means something is not what it must be.
pub fn row_from_json(text: &str, source: &SourceSpec) -> Result<Row, RowError> {
    let text = text.trim_matches([' ', '\t', '\n', '\r']);
    if text.len() > ROW_BYTES_MAX {
        return Err(RowError::new(format!(
            "the row is larger than {ROW_BYTES_MAX} bytes"
        )));
    }
    let body = RawValue::from_string(text.to_owned())
        .map_err(|error| RowError::new(format!("is not JSON: {error}")))?;
    if !text.starts_with('{') {
        return Err(RowError::new("is no JSON object"));
    }
    if json::depth(text) > json::DEPTH_MAX {
        return Err(RowError::new(format!(
            "is nested deeper than {}",
            json::DEPTH_MAX
        )));
    }
    let fields = Fields::of(text, source);
    Ok(Row {
        id: fields.id(&source.id)?,
        category: fields.word(source.category.as_deref())?,
        version: fields.word(source.version.as_deref())?,
        signals: fields.signals(&source.signals)?,
        score: source
            .score
            .as_deref()
            .map_or(Ok(None), |name| fields.number(name))?,
        body,
    })
}

/// The raw values of the fields that mean something.
pub(super) struct Fields<'a>(BTreeMap<String, &'a str>);

impl<'a> Fields<'a> {
    fn of(text: &'a str, source: &SourceSpec) -> Self {
        let named = |name: &String| {
            let single = [&source.category, &source.version, &source.score];
            *name == source.id
                || single.into_iter().flatten().any(|column| column == name)
                || source.signals.contains(name)
        };
        let pairs = json::members(text).into_iter().filter_map(|(key, raw)| {
            let key = json::text(key.unwrap_or_default()).ok()?;
            named(&key).then_some((key, raw))
        });
        Self(pairs.collect())
    }

    /// A field's raw value, unless it is missing or null.
    fn given(&self, name: &str) -> Option<&'a str> {
        self.0.get(name).copied().filter(|raw| *raw != "null")
    }

    fn id(&self, name: &str) -> Result<String, RowError> {
        let wrong = |message| RowError::of_field(name, message);
        let raw = self
            .0
            .get(name)
            .ok_or_else(|| wrong("(the id) is missing"))?;
        let id = match raw.as_bytes().first() {
            Some(b'"') => text(name, raw)?,
            Some(b'n') => return Err(wrong("(the id) is null")),
            Some(b'-' | b'0'..=b'9') => (*raw).to_owned(),
            _ => return Err(wrong("(the id) is neither a string nor a number")),
        };
        if id.is_empty() {
            Err(wrong("(the id) is empty"))
        } else if id.len() > ID_BYTES_MAX {
            Err(wrong("(the id) is longer than 1000 bytes"))
        } else {
            Ok(id)
        }
    }

    /// A category or version: a string, a number or a flag, as text.
    fn word(&self, name: Option<&str>) -> Result<Option<String>, RowError> {
        let Some((name, raw)) = name.and_then(|name| Some((name, self.given(name)?))) else {
            return Ok(None);
        };
        match raw.as_bytes().first() {
            Some(b'"') => text(name, raw).map(Some),
            Some(b'{' | b'[') => Err(RowError::of_field(name, "is no string or number")),
            _ => Ok(Some(raw.to_owned())),
        }
    }

    fn signals(&self, names: &[String]) -> Result<BTreeMap<String, f64>, RowError> {
        let mut signals = BTreeMap::new();
        for name in names {
            if let Some(value) = self.number(name)? {
                signals.insert(name.clone(), value);
            }
        }
        Ok(signals)
    }

    /// A finite number. In a string it is one too: CSV knows nothing else, and `row_to_json` writes
    /// NaN so, which is then refused.
    fn number(&self, name: &str) -> Result<Option<f64>, RowError> {
        let Some(raw) = self.given(name) else {
            return Ok(None);
        };
        let text = if raw.starts_with('"') {
            text(name, raw)?
        } else {
            raw.to_owned()
        };
        if text.trim().is_empty() {
            return Ok(None);
        }
        match text.trim().parse::<f64>() {
            Ok(value) if value.is_finite() => Ok(Some(value)),
            Ok(_) => Err(RowError::of_field(name, "is no finite number")),
            Err(_) => Err(RowError::of_field(name, "is no number")),
        }
    }
}

/// A string that Postgres can keep as text.
fn text(name: &str, raw: &str) -> Result<String, RowError> {
    match json::text(raw) {
        Ok(text) if text.contains('\0') => Err(RowError::of_field(name, "holds a NUL (U+0000)")),
        Ok(text) => Ok(text),
        Err(_) => Err(RowError::of_field(
            name,
            "holds half of a surrogate pair, which is no text",
        )),
    }
}
