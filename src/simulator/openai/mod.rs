//! OpenAI's side of the simulator: its paths, its JSON, its headers, its words for what goes wrong.

mod chat;
mod embed;
mod failure;
mod headers;
mod judge;
mod models;
mod schema;
mod speak;

pub(super) use chat::{chat, embeddings};
pub(super) use failure::Failure;
pub use headers::RateHeaders;
pub(super) use models::{list, one};
