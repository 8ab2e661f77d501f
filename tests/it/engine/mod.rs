//! Laws of the works, with real processes' parts in here, a real Postgres and a provider server.

mod batches;
mod embedding;
mod enqueued;
mod fallback;
mod interactive;
mod lists;
mod local;
mod pack_leads;
mod packs;
mod steps;
mod surviving;
mod vectors;
mod whole;
