//! What integration tests stand on: a database each ([`TestDb`]), or a server to break
//! ([`TestServer`]). Nothing of it runs on when the test processes are gone, however they went.

mod db;
pub(crate) mod fleet;
mod janitor;
mod migrate;
mod postgres;
pub(crate) mod proxy;
mod proxy_laws;
mod proxy_wire;
mod server;
pub(crate) mod steps;
mod tests;
pub(crate) mod work;

pub(crate) use db::{TestDb, many_at_once};
pub(crate) use janitor::{Janitor, crash};
pub(crate) use postgres::{binaries, start, test_settings};
pub(crate) use server::{TestFolder, TestServer};
