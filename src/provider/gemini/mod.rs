//! Google's Gemini API, v1beta: `generateContent`, whole or as a stream, and embeddings.
//!
//! Owns: its JSON, its errors, its key header. Facts and their sources are in the recorded bodies of
//! `testdata/` and the tables of [`error`] and [`map`].

mod client;
mod embed;
mod error;
mod map;
mod stream;
mod wire;

pub(super) use client::Gemini;
