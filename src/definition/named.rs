//! The tables that name files: source and sink, with the files' texts.

use serde_json::Value;

use super::{
    DefinitionError, Folder, Place, Sink, SourceFrom, SourceSpec, WeightTable,
    answer::Judge,
    error::nearest,
    parse,
    table::{Table, bad},
    toml_tree,
};

pub(super) fn source(
    folder: &Folder,
    top: &Table<'_>,
    weights: &WeightTable,
) -> Result<SourceSpec, DefinitionError> {
    let node = top.node("source").ok_or_else(|| top.missing("source"))?;
    let table = Table::open(node, "[source]", parse::SOURCE_KEYS)?;
    let mut from = parse::source_from(&table)?;
    if let SourceFrom::Sql { file, text } = &mut from {
        *text = named_text(folder, &table, "sql", file)?;
    }
    Ok(SourceSpec {
        from,
        id: table.need_text("id")?,
        category: table.text("category")?,
        version: table.text("version")?,
        score: table.text("score")?,
        signals: weights.keys().cloned().collect(),
    })
}

pub(super) fn sink(folder: &Folder, top: &Table<'_>) -> Result<Option<Sink>, DefinitionError> {
    let Some(file) = parse::sink(top)? else {
        return Ok(None);
    };
    let table = Table::any_keys(
        top.node("sink").ok_or_else(|| top.missing("sink"))?,
        "[sink]",
    )?;
    let sql = named_text(folder, &table, "sql", &file)?;
    Ok(Some(Sink { file, sql }))
}

/// A schema file's value, known to be a valid JSON Schema.
pub(super) fn schema(file: &str, text: &str) -> Result<Value, DefinitionError> {
    let value: Value = serde_json::from_str(text).map_err(|error| DefinitionError::Syntax {
        place: Place::line(file, error.line()),
        message: format!("is not JSON: {error}"),
    })?;
    Judge::new(Some(&value)).map_err(|message| DefinitionError::Syntax {
        place: Place::file(file),
        message,
    })?;
    if let Some(path) = empty_enum(&value, "") {
        let line = text.lines().position(|line| line.contains("\"enum\""));
        return Err(DefinitionError::Syntax {
            place: Place::line(file, line.unwrap_or_default() + 1),
            message: format!(
                "{path} is empty, so no answer could ever be right: list what may be chosen"
            ),
        });
    }
    Ok(value)
}

/// The path of a list to choose from that offers nothing, as an empty vocabulary makes it.
fn empty_enum(schema: &Value, path: &str) -> Option<String> {
    match schema {
        Value::Object(fields) => fields.iter().find_map(|(key, value)| {
            let path = format!("{path}/{key}");
            let is_empty = key == "enum" && value.as_array().is_some_and(Vec::is_empty);
            if is_empty {
                Some(path)
            } else {
                empty_enum(value, &path)
            }
        }),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .find_map(|(at, item)| empty_enum(item, &format!("{path}/{at}"))),
        _ => None,
    }
}

/// The text of a file that a key names.
pub(super) fn named_text(
    folder: &Folder,
    table: &Table<'_>,
    key: &str,
    file: &str,
) -> Result<String, DefinitionError> {
    if folder.text(file).is_none() {
        return Err(DefinitionError::NoFile {
            place: table.place_of(key),
            key: key.to_owned(),
            file: file.to_owned(),
            nearest: nearest(file, folder.names()),
        });
    }
    let text = plain_text(folder, file)?;
    if text.trim().is_empty() {
        return Err(bad(&Place::file(file), key, "names an empty file"));
    }
    Ok(text.to_owned())
}

/// A file's text, if it can be stored and sent: no byte order mark, no U+0000.
pub(super) fn plain_text<'a>(folder: &'a Folder, file: &str) -> Result<&'a str, DefinitionError> {
    let text = folder.text(file).ok_or_else(|| DefinitionError::Read {
        file: file.to_owned(),
        message: "is not in the folder".to_owned(),
    })?;
    let refused = |at: usize, what: &str| DefinitionError::Text {
        place: Place::line(file, toml_tree::line_of(text, at)),
        message: what.to_owned(),
    };
    if text.starts_with('\u{feff}') {
        return Err(refused(
            0,
            "begins with a byte order mark: save it as UTF-8 without one",
        ));
    }
    match text.find('\0') {
        Some(at) => Err(refused(
            at,
            "holds a NUL (U+0000), which Postgres cannot store",
        )),
        None => Ok(text),
    }
}
