//! Laws of the works, with real processes' parts in here, a real Postgres and a provider server.

mod enqueued;
mod fallback;
mod local;
mod packs;
mod steps;
mod surviving;
mod whole;
