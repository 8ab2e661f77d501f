//! The tables that name files: source, prompt and sink, with the files' texts.

use serde_json::Value;

use super::{
    DefinitionError, Folder, Place, PromptSpec, Sink, SourceFrom, SourceSpec, WeightTable,
    answer::Judge,
    check::WORKER,
    error::nearest,
    parse,
    table::{Table, bad},
    toml_tree::{self, Node},
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

pub(super) fn prompt(folder: &Folder, top: &Table<'_>) -> Result<PromptSpec, DefinitionError> {
    let none = Node {
        place: Place::file(WORKER),
        value: toml_tree::Tree::Table(Vec::new()),
    };
    let table = Table::open(
        top.node("prompt").unwrap_or(&none),
        "[prompt]",
        parse::PROMPT_KEYS,
    )?;
    let template_file = table
        .text("template")?
        .unwrap_or_else(|| "prompt.md".to_owned());
    let system_file = table.text("system")?;
    let schema_file = table.text("schema")?;
    let text = |key, file: &String| named_text(folder, &table, key, file);
    let schema = schema_file
        .as_ref()
        .map(|file| schema(file, &text("schema", file)?))
        .transpose()?;
    Ok(PromptSpec {
        template: text("template", &template_file)?,
        system: system_file
            .as_ref()
            .map(|file| text("system", file))
            .transpose()?,
        params: parse::params(&table)?,
        template_file,
        system_file,
        schema_file,
        schema,
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
fn schema(file: &str, text: &str) -> Result<Value, DefinitionError> {
    let value: Value = serde_json::from_str(text).map_err(|error| DefinitionError::Syntax {
        place: Place::line(file, error.line()),
        message: format!("is not JSON: {error}"),
    })?;
    Judge::new(Some(&value)).map_err(|message| DefinitionError::Syntax {
        place: Place::file(file),
        message,
    })?;
    Ok(value)
}

/// The text of a file that a key names.
fn named_text(
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
