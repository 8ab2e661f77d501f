//! OpenAI's side of the simulator: its paths, its JSON, its headers, its words for what goes wrong.

mod batch;
mod batches;
mod chat;
mod embed;
mod failure;
mod files;
mod handed_in;
mod headers;
mod judge;
mod lines;
mod models;
mod multipart;
mod refusals;
mod schema;
mod speak;

pub(super) use batches::{cancel, create, job, jobs};
pub(super) use chat::{chat, embeddings};
pub(super) use failure::Failure;
pub(super) use files::{content, delete_file, file, files, upload};
pub use headers::RateHeaders;
pub(super) use lines::{asked, line};
pub(super) use models::{list, one};
