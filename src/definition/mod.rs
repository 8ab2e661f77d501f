//! A worker folder, read and checked: source, score, tiers, prompt, schema, components, sink.
//!
//! Owns: the texts of a folder ([`Folder`]), what they say ([`Definition`]), every mistake they can
//! hold ([`DefinitionError`], with file, line, key and what helps), the handler that needs no Rust
//! ([`TemplateHandler`]), which steps a run does ([`Selection`]), the rows of a source ([`rows`]) and what a request will weigh
//! ([`estimated_tokens`]). Never: SQL, a clock, the disk (but for `folder.rs`).

mod answer;
mod check;
mod component;
mod error;
mod estimate;
mod folder;
mod handler;
mod json;
mod named;
mod parse;
mod parse_components;
mod parse_embed;
mod parse_local;
mod parse_prompt;
mod parse_strategy;
mod parse_tiers;
pub mod rows;
mod select;
mod step;
mod stored;
mod table;
mod template;
mod toml_tree;
mod words;

pub use check::Definition;
pub use component::Component;
pub use error::{DefinitionError, Place};
pub use estimate::{
    EST_OUTPUT_TOKENS, estimated_request_tokens, estimated_step_tokens, estimated_tokens,
};
pub use folder::Folder;
pub use handler::{LocalTemplate, LocalTemplateError, TemplateHandler};
pub use select::{SelectedStep, Selection};
pub use stored::StoredDefinition;
pub use words::{
    CacheSpec, FileFormat, Limits, OrderBy, PacingSpec, PackSpec, Policy, PromptSpec, RoutingSpec,
    Sink, SourceFrom, SourceSpec, StrategySpec, Tier, WeightTable,
};
