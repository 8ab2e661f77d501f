//! A Postgres of one's own, for trying things out without setting one up.
//!
//! [`start`] finds the Postgres programs of this machine, makes a private cluster in the user's
//! data folder, and brings its server up or attaches to the one already running. The server
//! listens on a Unix socket in a folder of its own only: no TCP port, no password, nobody else's
//! databases. Several processes share it; the last one to [`close`](Local::close) stops it. One
//! that is killed leaves it running, and the next one attaches.
//!
//! ```no_run
//! # async fn example() -> Result<(), tidegate::local::LocalError> {
//! use tidegate::local::{self, Settings};
//!
//! let settings = Settings { data_dir: Some("/srv/tidegate".into()), ..Settings::default() };
//! let local = local::start(&settings).await?;
//! let url = local.url(); // for sqlx, psql ...
//! local.close().await?; // stops the server if we are its last user
//! # Ok(())
//! # }
//! ```
//!
//! What lies in the folder ([`Settings::folder`]):
//!
//! | name | what |
//! | --- | --- |
//! | `data/` | the cluster; `data.new/` while it is being made |
//! | `socket/` | the server's socket, unless that path is too long for one |
//! | `server.log` | what the server says |
//! | `start.lock` | held alone while starting or stopping |
//! | `users.lock` | held shared by every process that uses the server |
//! | `keep` | names the server that is to stay when its last user leaves |
//!
//! The room never reads the environment (that is config's), never prints, and never kills a
//! process: it stops servers with `pg_ctl`, and only the one in its folder.

mod binaries;
mod connect;
mod error;
mod folder;
mod handle;
mod install;
mod lock;
mod pid_file;
mod server;
mod settings;
mod socket;
mod status;
mod user;

pub use binaries::Binaries;
pub use error::LocalError;
pub use handle::{Brought, Closed, Local, start};
pub use install::{install, start_or_install};
pub use settings::Settings;
pub use status::{Status, Stopped, status, stop, stop_in_use};
