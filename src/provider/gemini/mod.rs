//! Google's Gemini API, v1beta: `generateContent`, whole or as a stream, embeddings, and batches of both over files.
//!
//! Owns: its JSON, its errors, its key header. Facts and their sources are in the recorded bodies of
//! `testdata/` and the tables of [`error`] and [`map`].

mod batch_error;
mod batch_map;
mod batch_wire;
mod batches;
mod client;
mod embed;
mod error;
mod map;
mod stream;
mod upload;
mod wire;

pub(super) use client::Gemini;
