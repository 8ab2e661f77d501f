//! From a folder's texts to a definition that holds, or to the first thing that does not.

use std::time::Duration;

use super::{
    CacheSpec, Component, DefinitionError, Folder, Limits, OrderBy, PacingSpec, PackSpec, Place,
    PromptSpec, RoutingSpec, Sink, SourceFrom, SourceSpec, StrategySpec, TemplateHandler, Tier,
    WeightTable,
    error::nearest,
    named, parse,
    parse_components::{self, Shared},
    parse_embed, parse_local, parse_prompt, parse_strategy, parse_tiers,
    step::Step,
    table::Table,
    toml_tree,
};
use crate::model::ModelId;

/// A worker, checked: what one sort of work is.
#[derive(Clone, Debug, PartialEq)]
pub struct Definition {
    /// The worker's name.
    pub name: String,
    /// Its version: shown, and part of reprocess; the cache has its own.
    pub version: String,
    /// It asks no model: what its prompt renders to is the answer.
    pub local: bool,
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
    /// What is asked. Of a worker with components only what they share counts: the system text and
    /// the parameters that theirs are laid over.
    pub prompt: PromptSpec,
    /// How many items one prompt may ask about.
    pub pack: PackSpec,
    /// When a reply may be used again.
    pub cache: CacheSpec,
    /// Bounds of this worker.
    pub limits: Limits,
    /// Which model of its ladder a task gets.
    pub routing: RoutingSpec,
    /// How its claims are spread over time.
    pub pacing: PacingSpec,
    /// How its tasks are asked: one by one unless it has a `[strategy]`.
    pub strategy: StrategySpec,
    /// Where the answers go. `None`: they stay with the tasks.
    pub sink: Option<Sink>,
    /// The steps done for each item, in the order they are written. Empty: the worker is one step
    /// (see [`steps`](Self::steps)).
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
        let mut document = toml_tree::parse(WORKER, named::plain_text(folder, WORKER)?)?;
        for (path, value) in overrides {
            document.set(path, value)?;
        }
        let top = Table::open(&document, WORKER, parse::TOP_KEYS)?;
        let local = top.flag("local")?.unwrap_or(false);
        if local {
            parse_local::nothing_of_models(&top)?;
        }
        let is_of_many = top.node("component").is_some_and(parse::is_filled);
        if is_of_many {
            parse_embed::not_of_many(&top)?;
        }
        let (prompt, timeout) = if is_of_many {
            (parse_prompt::shared(folder, &top)?, COMPONENT_TIMEOUT)
        } else {
            (parse_prompt::prompt(folder, &top)?, CALL_TIMEOUT)
        };
        let pack = parse_prompt::pack(&top, prompt.embed.is_some())?;
        let weights = parse_tiers::weights(&top)?;
        let mut definition = Self {
            name: parse::name(&top)?,
            version: top.text("version")?.unwrap_or_else(|| "1".to_owned()),
            local,
            source: named::source(folder, &top, &weights)?,
            order_by: parse::order_by(&top)?,
            tiers: parse_tiers::tiers(&top, local)?,
            fallback: parse_tiers::fallback(&top)?,
            prompt,
            pack,
            cache: parse_prompt::cache(&top)?,
            limits: parse::limits(&top, timeout)?,
            routing: parse::routing(&top)?,
            pacing: parse::pacing(&top)?,
            strategy: parse_strategy::strategy(&top)?,
            sink: named::sink(folder, &top)?,
            components: Vec::new(),
            weights,
            folder: Folder::default(),
            overrides: overrides.to_vec(),
        };
        definition.components = parse_components::components(
            &top,
            &Shared {
                folder,
                prompt: &definition.prompt,
                pack,
                call_timeout: definition.limits.call_timeout,
                local,
            },
        )?;
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
        Ok(())
    }

    /// SHA-256 over the texts that count and the overrides: the definition's identity.
    pub fn hash(&self) -> [u8; 32] {
        self.folder.hash(&self.overrides)
    }

    /// Checks that the source has every column that is named: id, category, version, score, each
    /// signal, each variable of the templates. A variable counts as named even where the template
    /// asks first whether it is defined.
    ///
    /// # Errors
    /// [`DefinitionError::NoColumn`] for the first that is missing.
    pub fn check_columns(&self, columns: &[String]) -> Result<(), DefinitionError> {
        let has = |column: &String| columns.contains(column);
        let missing = |place, named_as: &'static str, column: &String| DefinitionError::NoColumn {
            place,
            named_as,
            column: column.clone(),
            nearest: nearest(column, columns.iter().map(String::as_str)),
            columns: columns.into(),
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
        for step in self.steps() {
            let columns = Step::new(&step)?.columns();
            if let Some((place, column)) = columns.into_iter().find(|(_, it)| !has(it)) {
                return Err(missing(place, "template variable", &column));
            }
        }
        Ok(())
    }

    /// The names of the texts that count.
    fn file_names(&self) -> Vec<String> {
        let mut names = vec![WORKER.to_owned()];
        // a system text that no component takes is named still
        let shared = self.prompt.system_file.clone();
        names.extend(shared);
        for step in self.steps() {
            names.push(step.prompt.template_file);
            names.extend(step.prompt.system_file);
            names.extend(step.prompt.schema_file);
        }
        names.extend(self.sink.as_ref().map(|sink| sink.file.clone()));
        if let SourceFrom::Sql { file, .. } = &self.source.from {
            names.push(file.clone());
        }
        names
    }
}

/// The file every folder has.
pub(super) const WORKER: &str = "worker.toml";

/// How long a call may take where worker.toml says nothing: of a worker of one step, of a component.
const CALL_TIMEOUT: Duration = Duration::from_secs(60);
const COMPONENT_TIMEOUT: Duration = Duration::from_secs(30);
