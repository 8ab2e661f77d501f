//! Reading one table of worker.toml: its keys are known beforehand, its values have types.

use super::{
    DefinitionError, Place,
    error::nearest,
    toml_tree::{Entry, Node, Tree},
};
use crate::model::ModelId;

/// A table whose keys have all been found to be known.
pub(super) struct Table<'a> {
    /// As people write it: `[source]`, `[[tier]]`, `worker.toml`.
    label: &'static str,
    place: Place,
    entries: &'a [Entry],
}

impl<'a> Table<'a> {
    /// A node as a table.
    pub(super) fn open(
        node: &'a Node,
        label: &'static str,
        known: &[&str],
    ) -> Result<Self, DefinitionError> {
        let table = Self::any_keys(node, label)?;
        match table
            .entries
            .iter()
            .find(|entry| !known.contains(&entry.key.as_str()))
        {
            None => Ok(table),
            Some(entry) => Err(DefinitionError::UnknownKey {
                place: entry.place.clone(),
                key: entry.key.clone(),
                table: label,
                nearest: nearest(&entry.key, known.iter().copied()),
            }),
        }
    }

    /// A node as a table whose keys are names the user chose.
    pub(super) fn any_keys(node: &'a Node, label: &'static str) -> Result<Self, DefinitionError> {
        match node.value.plain() {
            Tree::Table(entries) => Ok(Self {
                label,
                place: node.place.clone(),
                entries,
            }),
            _ => Err(wrong_type(label, node, "a table")),
        }
    }

    pub(super) fn entries(&self) -> &'a [Entry] {
        self.entries
    }

    pub(super) fn node(&self, key: &str) -> Option<&'a Node> {
        self.entries
            .iter()
            .find(|entry| entry.key == key)
            .map(|entry| &entry.node)
    }

    /// Where a key's value is written, or the table if it is not.
    pub(super) fn place_of(&self, key: &str) -> Place {
        self.node(key)
            .map_or(&self.place, |node| &node.place)
            .clone()
    }

    pub(super) fn missing(&self, key: &str) -> DefinitionError {
        DefinitionError::MissingKey {
            place: self.place.clone(),
            key: key.to_owned(),
            table: self.label,
        }
    }

    /// What is wrong with the value of a key that is there.
    pub(super) fn bad(&self, key: &str, message: impl Into<String>) -> DefinitionError {
        bad(&self.place_of(key), key, message)
    }

    /// The same with what helps.
    pub(super) fn bad_with(
        &self,
        key: &str,
        message: impl Into<String>,
        help: &str,
    ) -> DefinitionError {
        DefinitionError::BadValue {
            place: self.place_of(key),
            key: key.to_owned(),
            message: message.into(),
            advice: Some(help.to_owned()),
        }
    }

    /// A text that is not empty.
    pub(super) fn text(&self, key: &str) -> Result<Option<String>, DefinitionError> {
        self.node(key).map(|node| text(key, node)).transpose()
    }

    pub(super) fn need_text(&self, key: &str) -> Result<String, DefinitionError> {
        self.text(key)?.ok_or_else(|| self.missing(key))
    }

    pub(super) fn flag(&self, key: &str) -> Result<Option<bool>, DefinitionError> {
        self.node(key)
            .map(|node| match node.value.plain() {
                Tree::Bool(flag) => Ok(*flag),
                _ => Err(wrong_type(key, node, "true or false")),
            })
            .transpose()
    }

    /// A finite number; an integer will do.
    pub(super) fn number(&self, key: &str) -> Result<Option<f64>, DefinitionError> {
        self.node(key).map(|node| number(key, node)).transpose()
    }

    /// An integer within bounds, as any integer type they fit.
    pub(super) fn integer<T>(
        &self,
        key: &str,
        least: T,
        most: T,
    ) -> Result<Option<T>, DefinitionError>
    where
        T: TryFrom<i64> + PartialOrd + std::fmt::Display,
    {
        let Some(node) = self.node(key) else {
            return Ok(None);
        };
        let Tree::Integer(given) = *node.value.plain() else {
            return Err(wrong_type(key, node, "an integer"));
        };
        match T::try_from(given) {
            Ok(value) if value >= least && value <= most => Ok(Some(value)),
            _ => Err(bad(
                &node.place,
                key,
                format!("is {given}: it must be {least} to {most}"),
            )),
        }
    }

    pub(super) fn list(&self, key: &str) -> Result<&'a [Node], DefinitionError> {
        match self.node(key).map(|node| (node, node.value.plain())) {
            None => Ok(&[]),
            Some((_, Tree::List(items))) => Ok(items),
            Some((node, _)) => Err(wrong_type(key, node, "a list")),
        }
    }

    pub(super) fn texts(&self, key: &str) -> Result<Vec<String>, DefinitionError> {
        self.list(key)?.iter().map(|node| text(key, node)).collect()
    }

    pub(super) fn model(&self, key: &str) -> Result<Option<ModelId>, DefinitionError> {
        self.node(key).map(|node| model(key, node)).transpose()
    }

    pub(super) fn models(&self, key: &str) -> Result<Vec<ModelId>, DefinitionError> {
        self.list(key)?
            .iter()
            .map(|node| model(key, node))
            .collect()
    }
}

/// A value that does not do.
pub(super) fn bad(place: &Place, key: &str, message: impl Into<String>) -> DefinitionError {
    let (place, key, message) = (place.clone(), key.to_owned(), message.into());
    DefinitionError::BadValue {
        place,
        key,
        message,
        advice: None,
    }
}

/// A finite number; an integer will do.
pub(super) fn number(key: &str, node: &Node) -> Result<f64, DefinitionError> {
    match *node.value.plain() {
        Tree::Integer(number) => Ok(number as f64),
        Tree::Float(number) if number.is_finite() => Ok(number),
        Tree::Float(number) => Err(bad(
            &node.place,
            key,
            format!("is {number}: it must be finite"),
        )),
        _ => Err(wrong_type(key, node, "a number")),
    }
}

/// A text that is not empty. What an override set as a number or a flag is text where text is due.
fn text(key: &str, node: &Node) -> Result<String, DefinitionError> {
    match &node.value {
        Tree::Text(text) | Tree::Set(_, text) if text.trim().is_empty() => {
            Err(bad(&node.place, key, "is empty"))
        }
        Tree::Text(text) | Tree::Set(_, text) => Ok(text.clone()),
        _ => Err(wrong_type(key, node, "a string")),
    }
}

fn model(key: &str, node: &Node) -> Result<ModelId, DefinitionError> {
    text(key, node)?
        .parse()
        .map_err(|error: crate::model::ModelIdError| {
            bad(&node.place, key, format!("names no model: {error}"))
        })
}

fn wrong_type(key: &str, node: &Node, expected: &'static str) -> DefinitionError {
    DefinitionError::WrongType {
        place: node.place.clone(),
        key: key.to_owned(),
        expected,
        found: node.value.type_name(),
    }
}
