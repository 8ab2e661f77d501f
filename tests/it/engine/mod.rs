//! Laws of the works, with real processes' parts in here, a real Postgres and a provider server.

mod fallback;
mod surviving;
mod whole;
