//! What a checked worker folder says, as values.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    llm::{EmbedParams, Params},
    model::ModelId,
    task::{Purpose, Strategy},
};

/// Where the items come from and which columns mean something.
#[derive(Clone, Debug, PartialEq)]
pub struct SourceSpec {
    /// A query of the user's, or a file.
    pub from: SourceFrom,
    /// The column of the item's id.
    pub id: String,
    /// The column of the item's category, if there is one.
    pub category: Option<String>,
    /// The column of the item's version (part of the cache key), if there is one.
    pub version: Option<String>,
    /// The column of a ready-made score; it stands in for the weighted signals.
    pub score: Option<String>,
    /// The columns of the signals: the names of `[score.weights]`, sorted.
    pub signals: Vec<String>,
}

/// Where the items come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceFrom {
    /// A query, each row of which is an item.
    Sql {
        /// The file's name in the folder.
        file: String,
        /// Its text.
        text: String,
    },
    /// A file of rows. Its path is as it was written: seen from the folder, or from where the
    /// program runs when an override set it.
    File {
        /// The path.
        path: String,
        /// How it is read.
        format: FileFormat,
        /// Whether it is gzipped (`.gz`).
        gzip: bool,
        /// Whether an override named it.
        overridden: bool,
    },
}

/// How a file of rows is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileFormat {
    /// One JSON object a line (`.jsonl`, `.ndjson`).
    Jsonl,
    /// A header and one record an item (`.csv`).
    Csv,
}

impl FileFormat {
    /// The format a file's name tells, and whether the file is gzipped.
    pub fn of(path: &str) -> Option<(Self, bool)> {
        let (path, gzip) = path
            .strip_suffix(".gz")
            .map_or((path, false), |path| (path, true));
        match path.rsplit_once('.')?.1 {
            "jsonl" | "ndjson" => Some((Self::Jsonl, gzip)),
            "csv" => Some((Self::Csv, gzip)),
            _ => None,
        }
    }
}

/// What the items of a run are ordered by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OrderBy {
    /// By score, higher first (the default).
    #[default]
    Score,
    /// By category, and by score within one.
    Category,
}

/// One class of items: its part of the items, of each claim, and its models.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tier {
    /// Its share of the items, in basis points.
    pub share_bp: u32,
    /// Its weight in the mix of a claim.
    pub mix: u32,
    /// The first choice. `None`: the worker is local and asks no model.
    pub model: Option<ModelId>,
    /// What follows when the first is closed or fails, in order; the global fallback not included.
    pub fallbacks: Vec<ModelId>,
}

/// What is asked, as the files' texts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PromptSpec {
    /// The template's file name. Empty: the worker has components, each with a template of its own.
    pub template_file: String,
    /// The template (minijinja) of the prompt.
    pub template: String,
    /// The file name of the system text's template, if there is one.
    pub system_file: Option<String>,
    /// The template of the system text.
    pub system: Option<String>,
    /// The schema's file name, if there is one.
    pub schema_file: Option<String>,
    /// What the answer must look like, as JSON Schema. `None`: any text.
    pub schema: Option<serde_json::Value>,
    /// Parameters of generation.
    pub params: Params,
    /// A vector of the rendered text is asked for, and no words: there is neither schema nor system text.
    pub embed: Option<EmbedParams>,
}

impl PromptSpec {
    /// Tokens of the longest answer: none of a vector. `None`: it is not bounded.
    pub fn longest_answer(&self) -> Option<u32> {
        match self.embed {
            Some(_) => Some(0),
            None => self.params.max_output_tokens,
        }
    }
}

/// When a reply may be used again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheSpec {
    /// Whether replies are kept and looked up (default true).
    pub enabled: bool,
    /// Part of every key (default `"1"`): raise it to forget what was kept.
    pub version: String,
    /// A name that stands for the ladder in the key. `None`: the ladder's models do.
    pub family: Option<String>,
    /// A kept reply is used for so many days. `None`: as long as it is kept.
    pub max_age_days: Option<u32>,
}

/// How many items one prompt may ask about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PackSpec {
    /// Items in one prompt at most, up to 100 (default 5 where there is a `[pack]`, else 1); of a worker
    /// that embeds, texts in one call (default 100).
    pub size: u32,
    /// Estimated input tokens of all items of one prompt together, at most (default 8,000; of texts to
    /// embed 100,000).
    pub max_input_tokens: u32,
}

impl Default for PackSpec {
    fn default() -> Self {
        Self {
            size: 1,
            max_input_tokens: 8_000,
        }
    }
}

/// Bounds of this worker, for the whole fleet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most calls at the same time. `None`: only the models' own limits hold.
    pub max_concurrency: Option<u32>,
    /// How long one call may take (default 60 s).
    pub call_timeout: Duration,
}

/// How tasks take their fallbacks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// A ladder within a provider, patient before it crosses to another (the default).
    #[default]
    Auto,
    /// The first model that has room.
    Ladder,
    /// Over all models that have room, in proportion to what they have left.
    Spread,
    /// A later model only where no earlier one opens within the patience.
    Patient,
}

impl Policy {
    /// The word of worker.toml.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Ladder => "ladder",
            Self::Spread => "spread",
            Self::Patient => "patient",
        }
    }
}

/// Which model of its ladder a task gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoutingSpec {
    /// How fallbacks are taken.
    pub policy: Policy,
    /// How soon a better model must open for its tasks to wait for it (default 60 s, up to a day).
    pub patience: Duration,
}

impl Default for RoutingSpec {
    fn default() -> Self {
        Self {
            policy: Policy::default(),
            patience: Duration::from_secs(60),
        }
    }
}

/// How claims of a run are spread over time, by the whole fleet. The default: not at all, since no
/// limit needs it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PacingSpec {
    /// Between two starts.
    pub stagger: Option<Duration>,
    /// After so many tasks claimed, the run rests for so long.
    pub rest: Option<(u32, Duration)>,
}

/// How tasks of a run are asked, and by when their answers are wanted. The default: one by one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StrategySpec {
    /// One by one, by batch, both, or as it is best (`auto`: where the table says nothing of it).
    pub mode: Strategy,
    /// What answers are wanted for.
    pub purpose: Purpose,
    /// Answers are wanted within so long of their task's being ready: 1 s to 7 days. `None`: no
    /// matter when.
    pub deadline: Option<Duration>,
}

/// The statement that takes answers to the user's own tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sink {
    /// The file's name in the folder.
    pub file: String,
    /// One statement with one parameter, `$1 jsonb`: an array of answers.
    pub sql: String,
}

/// The weights of the signals by their column.
pub type WeightTable = BTreeMap<String, f64>;
