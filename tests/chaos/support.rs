//! What the integration tests stand on, as far as it is needed here.

#[path = "../it/support/janitor.rs"]
#[expect(dead_code, reason = "shared servers are the integration tests' own")]
mod janitor;
#[path = "../it/support/migrate.rs"]
#[expect(dead_code, reason = "templates are the integration tests' own")]
mod migrate;
#[path = "../it/support/postgres.rs"]
mod postgres;
#[path = "../it/support/proxy.rs"]
#[expect(
    dead_code,
    reason = "the plan does not name every fault of the network"
)]
pub(crate) mod proxy;
#[path = "../it/support/server.rs"]
mod server;

use janitor::{Janitor, crash};
use postgres::{binaries, start, test_settings};
pub(crate) use server::{TestFolder, TestServer};
