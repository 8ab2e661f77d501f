//! The provider simulator: a server that speaks Gemini's `generativelanguage` protocol and OpenAI's
//! chat completions, whole or piece by piece, and the embeddings of both. Both reach the same models
//! and the same limits.
//!
//! For the demo, tests and benches. It keeps limits for real and by arrival, has a latency
//! distribution, seeded faults and outages, and answers as a function of the prompt, so that a
//! result can be checked. It owns its wire types and imports nothing of the rest of the program:
//! nobody there may know whether it talks to this or to Google.
//!
//! Speaks Gemini's `generateContent`, `streamGenerateContent`, `embedContent`, `batchEmbedContents`,
//! `countTokens` and `models` below `/v1beta` (and `/v1`), OpenAI's `chat/completions`, `embeddings`
//! and `models` below `/v1`; the batches and files of both (`batchGenerateContent`,
//! `asyncBatchEmbedContent`, `batches`, `files`, resumable uploads; `files` and `batches` below `/v1`);
//! and has a control surface below `/sim`:
//!
//! | call | does |
//! | --- | --- |
//! | `GET /sim/counters` | [`Counters`] as JSON |
//! | `GET /sim/log` | the calls kept, one JSON object a line ([`CallRecord`]) |
//! | `POST /sim/outage` | `{"model": "…" or "*", "kind": "429" / "503" / "day" / "money", "seconds": 30}`; 0 seconds ends running ones |
//! | `POST /sim/limits` | `{"model": "…", "rpm": 15, …}`: absent keys stay, `null` lifts a limit |
//! | `GET /sim/batches` | every batch ever accepted, one JSON object a line ([`BatchRecord`]) |
//! | `POST /sim/batches` | the keys of [`BatchSettings`], for batches to come: absent keys stay |
//! | `POST /sim/batches/hasten` | `{"batch": "id" or "*"}`: ends what is under way now |
//! | `GET /sim/files` | every file that ever was, one JSON object a line ([`FileRecord`]) |
//! | `POST /sim/reset` | forgets counters, log, batches, files and what was used of every limit |
//!
//! A prompt that packs several tasks is answered task by task, each as if it were asked alone (see
//! `packed`); the faults `pack_...` spoil one of these answers.
//!
//! An item of a batch is answered as a call is, with the same words. Of the faults those of an answer's
//! content befall it, by its prompt and its batch; batches end, fail and are damaged by
//! [`BatchSettings`]. How far a batch is follows from the time that passed: nothing works on it.
//!
//! What counts against which limit:
//! - a call is judged when its whole body has arrived: key, then body, model, size, then outages,
//!   then limits; every exhausted limit is named in the 429;
//! - a call that is let in counts as one request of the minute and of the day and with its tokens:
//!   by Gemini's wire all of the input, by OpenAI's the larger of these and of the most that the
//!   answer may have, even when a fault or a vanished client ends it afterwards;
//! - a call for vectors is one request too, however many texts it has, with the tokens of all;
//! - a refused call counts nothing, or with [`Settings::count_refused`] as a request;
//! - `models` and `countTokens` are free;
//! - batches and files count against none of these limits; batches have their own ([`BatchSettings`]);
//! - one token is four characters, rounded up; an inline or linked file is 258.

mod answer;
mod asked;
mod batches;
mod call;
mod chance;
mod clock;
mod control;
mod embedding;
mod entities;
mod error;
mod faults;
mod gemini;
mod instance;
mod ledger;
mod limits;
mod listener;
mod model;
mod models;
mod openai;
mod pacific;
mod packed;
mod pieces;
mod query;
mod routes;
mod sections;
mod sent;
mod server;
mod settings;
mod shared_paths;
mod speech;
mod state;
mod values;

pub use batches::{BatchCounters, BatchEnd, BatchRecord, BatchSettings, Damage, FileRecord};
pub use error::Error;
pub use ledger::{CallRecord, Counters, ModelCounters, Refused};
pub use openai::RateHeaders;
pub use server::{Running, Simulator, serve};
pub use settings::{
    Faults, Latency, ModelSettings, Outage, OutageKind, Settings, SettingsError, WindowKind,
};
