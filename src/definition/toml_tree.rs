//! worker.toml as a tree that knows where each value was written, with overrides laid over it.

use toml::de::{DeTable, DeValue};

use super::{DefinitionError, Place};

/// A value and where it was written.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) place: Place,
    pub(super) value: Tree,
}

/// One value of a TOML document.
#[derive(Clone, Debug)]
pub(super) enum Tree {
    Text(String),
    Integer(i64),
    Float(f64),
    Bool(bool),
    /// A date, or an integer beyond 64 bits: nothing that a worker.toml has a use for.
    Odd(&'static str),
    List(Vec<Node>),
    Table(Vec<Entry>),
    /// An override that could be a number or a flag as well as text: the tree and the raw text.
    Set(Box<Tree>, String),
}

/// One key of a table.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) place: Place,
    pub(super) node: Node,
}

/// Parses a whole document.
pub(super) fn parse(file: &str, text: &str) -> Result<Node, DefinitionError> {
    let place_at = |at: usize| Place::line(file, line_of(text, at));
    let table = DeTable::parse(text).map_err(|error| DefinitionError::Syntax {
        place: error
            .span()
            .map_or_else(|| Place::file(file), |span| place_at(span.start)),
        message: error.message().replace('\n', ", "),
    })?;
    Ok(Node {
        place: Place::file(file),
        value: Tree::Table(entries(table.get_ref(), &place_at)),
    })
}

/// The line of a byte, from 1.
pub(super) fn line_of(text: &str, at: usize) -> usize {
    1 + text
        .as_bytes()
        .iter()
        .take(at)
        .filter(|&&byte| byte == b'\n')
        .count()
}

fn entries(table: &DeTable<'_>, place_at: &dyn Fn(usize) -> Place) -> Vec<Entry> {
    let entry = |(key, value): (&toml::Spanned<_>, &toml::Spanned<DeValue<'_>>)| {
        let place = place_at(key.span().start);
        let key: &std::borrow::Cow<'_, str> = key.get_ref();
        // A table's own span begins at its header; a dotted key's parent has none of its own.
        let node = Node {
            place: place_at(value.span().start),
            value: tree(value.get_ref(), place_at),
        };
        Entry {
            key: key.to_string(),
            place,
            node,
        }
    };
    table.iter().map(entry).collect()
}

fn tree(value: &DeValue<'_>, place_at: &dyn Fn(usize) -> Place) -> Tree {
    match value {
        DeValue::String(text) => Tree::Text(text.to_string()),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map_or(Tree::Odd("an integer beyond 64 bits"), Tree::Integer),
        DeValue::Float(number) => number
            .as_str()
            .parse()
            .map_or(Tree::Odd("a float"), Tree::Float),
        DeValue::Boolean(flag) => Tree::Bool(*flag),
        DeValue::Datetime(_) => Tree::Odd("a date"),
        DeValue::Array(items) => Tree::List(
            items
                .iter()
                .map(|item| Node {
                    place: place_at(item.span().start),
                    value: tree(item.get_ref(), place_at),
                })
                .collect(),
        ),
        DeValue::Table(table) => Tree::Table(entries(table, place_at)),
    }
}

impl Tree {
    /// What a person calls this type.
    pub(super) fn type_name(&self) -> &'static str {
        match self {
            Self::Text(_) => "a string",
            Self::Integer(_) => "an integer",
            Self::Float(_) => "a float",
            Self::Bool(_) => "true or false",
            Self::Odd(name) => name,
            Self::List(_) => "a list",
            Self::Table(_) => "a table",
            Self::Set(tree, _) => tree.type_name(),
        }
    }

    /// The value itself, whether or not it was set by an override.
    pub(super) fn plain(&self) -> &Self {
        match self {
            Self::Set(tree, _) => tree.plain(),
            other => other,
        }
    }
}

impl Node {
    /// Lays one override over the document: a dotted path, list entries by number from 0, and a
    /// value read as TOML if it is that, else as text. Keys are not checked here: a key that means
    /// nothing is found by whoever reads the table.
    pub(super) fn set(&mut self, path: &str, value: &str) -> Result<(), DefinitionError> {
        let place = Place::Override {
            path: path.to_owned(),
        };
        let value = Node {
            place: place.clone(),
            value: override_value(value, &place),
        };
        self.set_at(path, path, value)
    }

    fn set_at(&mut self, path: &str, whole: &str, new: Node) -> Result<(), DefinitionError> {
        let bad = |message: String| DefinitionError::BadValue {
            place: new.place.clone(),
            key: whole.to_owned(),
            message,
            advice: None,
        };
        let (step, rest) = match path.split_once('.') {
            Some((step, rest)) => (step, Some(rest)),
            None => (path, None),
        };
        if step.is_empty() {
            return Err(bad("is no path: write it as tier.0.model".to_owned()));
        }
        let child = match &mut self.value {
            Tree::Table(entries) => child_of_table(entries, step, &new.place),
            Tree::List(items) => {
                let count = items.len();
                let item = step
                    .parse::<usize>()
                    .ok()
                    .and_then(|index| items.get_mut(index));
                item.ok_or_else(|| {
                    bad(format!("names entry {step} of a list of {count} (from 0)"))
                })?
            }
            other => {
                let found = other.type_name();
                return Err(bad(format!(
                    "goes through {found}, and only tables and lists have parts"
                )));
            }
        };
        match rest {
            Some(rest) => child.set_at(rest, whole, new),
            None => {
                *child = new;
                Ok(())
            }
        }
    }
}

/// The value under a key, made (as an empty table) where there is none.
fn child_of_table<'a>(entries: &'a mut Vec<Entry>, key: &str, place: &Place) -> &'a mut Node {
    let at = entries
        .iter()
        .position(|entry| entry.key == key)
        .unwrap_or_else(|| {
            let node = Node {
                place: place.clone(),
                value: Tree::Table(Vec::new()),
            };
            entries.push(Entry {
                key: key.to_owned(),
                place: place.clone(),
                node,
            });
            entries.len() - 1
        });
    &mut entries[at].node
}

fn override_value(text: &str, place: &Place) -> Tree {
    let as_text = || Tree::Text(text.to_owned());
    let line = format!("v = {text}");
    let Ok(table) = DeTable::parse(&line) else {
        return as_text();
    };
    let mut parsed = entries(table.get_ref(), &|_| place.clone());
    match (parsed.pop(), parsed.is_empty()) {
        (Some(entry), true) if entry.key == "v" => match entry.node.value {
            whole @ (Tree::Text(_) | Tree::List(_) | Tree::Table(_)) => whole,
            other => Tree::Set(Box::new(other), text.to_owned()),
        },
        _ => as_text(),
    }
}
