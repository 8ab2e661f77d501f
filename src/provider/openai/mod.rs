//! OpenAI's API, v1: chat completions, whole or as a stream, embeddings, and batches of both over files; and the many servers that copy it.
//!
//! Owns: its JSON, its errors, its rate-limit headers, its key header. Copies leave fields out and
//! put other types in, so nothing that comes in is relied on. Facts are in the recorded bodies of
//! `testdata/` and the tables of [`error`], [`limits`] and [`map`].

mod batch_error;
mod batch_map;
mod batch_wire;
mod batches;
mod client;
mod embed;
mod error;
mod limits;
mod map;
mod stream;
mod strict;
mod upload;
mod wire;

pub(super) use client::OpenAi;
