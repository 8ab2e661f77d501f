//! From a folder's texts to a definition that holds, or to the first thing that does not.

use serde_json::Value;

use super::{
    CacheSpec, Component, DefinitionError, Folder, Limits, OrderBy, Place, PromptSpec, Sink,
    SourceFrom, SourceSpec, Strategy, TemplateHandler, Tier, WeightTable,
    answer::Judge,
    error::nearest,
    parse,
    table::{Table, bad},
    template::Templates,
    toml_tree::{self, Node},
};
use crate::model::ModelId;

/// A worker, checked: what one sort of work is.
#[derive(Clone, Debug, PartialEq)]
pub struct Definition {
    /// The worker's name.
    pub name: String,
    /// Its version: shown, and part of reprocess; the cache has its own.
    pub version: String,
    /// Where the items come from.
    pub source: SourceSpec,
    /// What the items are ordered by.
    pub order_by: OrderBy,
    /// The weights of the signals; empty where the source has a ready-made score, or none.
    pub weights: WeightTable,
    /// The tiers, the most valuable first; their shares sum to 10,000.
    pub tiers: Vec<Tier>,
    /// The last fallback of every tier.
    pub fallback: Option<ModelId>,
    /// What is asked.
    pub prompt: PromptSpec,
    /// Items in one prompt; always 1 in this version.
    pub pack_size: u32,
    /// When a reply may be used again.
    pub cache: CacheSpec,
    /// Bounds of this worker.
    pub limits: Limits,
    /// How calls travel.
    pub strategy: Strategy,
    /// Where the answers go. `None`: they stay with the tasks.
    pub sink: Option<Sink>,
    /// The steps done for each item; always empty in this version: the worker is one step.
    pub components: Vec<Component>,
    /// What was checked: only the texts that count. This is what is stored.
    pub folder: Folder,
    /// The overrides it was checked with.
    pub overrides: Vec<(String, String)>,
}

impl Definition {
    /// Checks a folder, with overrides (dotted path, value) laid over worker.toml in their order.
    ///
    /// # Errors
    /// The first [`DefinitionError`] found, in the order of worker.toml's tables.
    pub fn check(folder: &Folder, overrides: &[(String, String)]) -> Result<Self, DefinitionError> {
        let mut document = toml_tree::parse(WORKER, plain_text(folder, WORKER)?)?;
        for (path, value) in overrides {
            document.set(path, value)?;
        }
        let top = Table::open(&document, WORKER, parse::TOP_KEYS)?;
        let weights = parse::weights(&top)?;
        let mut definition = Self {
            name: parse::name(&top)?,
            version: top.text("version")?.unwrap_or_else(|| "1".to_owned()),
            source: source(folder, &top, &weights)?,
            order_by: parse::order_by(&top)?,
            tiers: parse::tiers(&top)?,
            fallback: parse::fallback(&top)?,
            prompt: prompt(folder, &top)?,
            pack_size: 1,
            cache: parse::cache(&top)?,
            limits: parse::limits(&top)?,
            strategy: parse::strategy(&top)?,
            sink: sink(folder, &top)?,
            components: parse::components(&top)?,
            weights,
            folder: Folder::default(),
            overrides: overrides.to_vec(),
        };
        parse::pack(&top)?;
        definition.check_together(&top)?;
        TemplateHandler::new(&definition)?;
        definition.folder = folder.only(&definition.file_names());
        Ok(definition)
    }

    /// What holds only between tables.
    fn check_together(&self, top: &Table<'_>) -> Result<(), DefinitionError> {
        if self.order_by == OrderBy::Category && self.source.category.is_none() {
            return Err(top.bad(
                "order_by",
                "= \"category\" needs the key \"category\" in [source]",
            ));
        }
        if self.source.score.is_some() && !self.weights.is_empty() {
            return Err(top.bad(
                "score",
                "has weights although [source] names a ready-made score",
            ));
        }
        match top.node("component") {
            Some(node) if parse::is_filled(node) => Err(top.unsupported(
                "component",
                "is not supported by this version: it runs workers of one step",
            )),
            _ => Ok(()),
        }
    }

    /// SHA-256 over the texts that count and the overrides: the definition's identity.
    pub fn hash(&self) -> [u8; 32] {
        self.folder.hash(&self.overrides)
    }

    /// The models that a tier's tasks may be asked of, in order: its own, its fallbacks, and the
    /// global fallback unless it is among them. Empty for a tier there is not.
    pub fn ladder(&self, tier: usize) -> Vec<ModelId> {
        let Some(tier) = self.tiers.get(tier) else {
            return Vec::new();
        };
        let mut ladder = vec![tier.model.clone()];
        ladder.extend(tier.fallbacks.iter().cloned());
        let last = self
            .fallback
            .iter()
            .filter(|model| !ladder.contains(model))
            .cloned();
        ladder.extend(last.collect::<Vec<_>>());
        ladder
    }

    /// Checks that the source has every column that is named: id, category, version, score, each
    /// signal, each variable of the templates. A variable counts as named even where the template
    /// asks first whether it is defined.
    ///
    /// # Errors
    /// [`DefinitionError::NoColumn`] for the first that is missing.
    pub fn check_columns(&self, columns: &[String]) -> Result<(), DefinitionError> {
        let has = |column: &String| columns.contains(column);
        let missing = |place, named_as: &str, column: &String| DefinitionError::NoColumn {
            place,
            named_as: named_as.to_owned(),
            column: column.clone(),
            nearest: nearest(column, columns.iter().map(String::as_str)),
            columns: columns.to_vec(),
        };
        let SourceSpec {
            id,
            category,
            version,
            score,
            signals,
            ..
        } = &self.source;
        let named = [
            ("source.id", Some(id)),
            ("source.category", category.as_ref()),
            ("source.version", version.as_ref()),
            ("source.score", score.as_ref()),
        ];
        let named = named
            .into_iter()
            .filter_map(|(key, column)| Some((key, column?)));
        let weighted = signals.iter().map(|column| ("score.weights", column));
        if let Some((key, column)) = named.chain(weighted).find(|(_, column)| !has(column)) {
            return Err(missing(Place::file(WORKER), key, column));
        }
        let templates = Templates::compile(&self.prompt)?;
        match templates
            .variables()
            .into_iter()
            .find(|(_, column)| !has(column))
        {
            Some((place, column)) => Err(missing(place, "template variable", &column)),
            None => Ok(()),
        }
    }

    /// The names of the texts that count.
    fn file_names(&self) -> Vec<String> {
        let mut names = vec![WORKER.to_owned(), self.prompt.template_file.clone()];
        names.extend(self.prompt.system_file.clone());
        names.extend(self.prompt.schema_file.clone());
        names.extend(self.sink.as_ref().map(|sink| sink.file.clone()));
        if let SourceFrom::Sql { file, .. } = &self.source.from {
            names.push(file.clone());
        }
        names
    }
}

fn source(
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

fn prompt(folder: &Folder, top: &Table<'_>) -> Result<PromptSpec, DefinitionError> {
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

fn sink(folder: &Folder, top: &Table<'_>) -> Result<Option<Sink>, DefinitionError> {
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
fn plain_text<'a>(folder: &'a Folder, file: &str) -> Result<&'a str, DefinitionError> {
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

/// The file every folder has.
const WORKER: &str = "worker.toml";
