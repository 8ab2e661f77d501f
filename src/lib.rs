//! Tidegate: a durable queue for LLM work in your own Postgres.
//!
//! Claiming is admission: a task is taken together with the right to call its model, in one
//! transaction. Nothing waits in memory, no known limit is run into, nothing is lost, nothing is
//! paid for twice.
//!
//! Most people need the program only: `tidegate run workers/<name> --wait`. The library is for
//! those who work inside a program of their own, or whose questions a template cannot ask. The
//! paved path: connect a [`Store`](store::Store), read a worker folder into a
//! [`Definition`](definition::Definition), load a run of it with a [`Loader`](client::Loader), and
//! work it with an [`Engine`](engine::Engine), here or in any other process on the same database.
//!
//! ```no_run
//! use std::{collections::BTreeMap, path::Path};
//!
//! use tidegate::{
//!     client::{LoadOptions, Loader},
//!     definition::{Definition, Folder},
//!     engine::{self, Engine, Registry},
//!     provider::{self, Kind, ProviderSettings},
//!     store::{self, Store},
//! };
//! use tokio_util::sync::CancellationToken;
//!
//! # async fn example(key: String) -> Result<(), Box<dyn std::error::Error>> {
//! let database = store::Settings::new("postgres://localhost/app");
//! let store = Store::connect(&database).await?;
//! store::migrate::run(&store).await?;
//!
//! // what `tidegate run` does, once the models are told with `Store::sync_models`
//! let path = Path::new("workers/entity_extraction");
//! let definition = Definition::check(&Folder::read(path)?, &[])?;
//! let registry = Registry::new(); // or .with("entity_extraction", a Handler of your own)
//! let handler = registry.handler(&definition)?;
//! let options = LoadOptions {
//!     limit: None,
//!     weight: 1.0,
//!     budget_microusd: Some(5_000_000),
//!     folder: path.to_path_buf(),
//!     source_name: "articles".to_owned(),
//! };
//! let loaded = Loader::new(store.clone(), definition, handler, options)?.load().await?;
//! println!("run {} has {} items", loaded.run, loaded.items);
//!
//! // what `tidegate work` does, until it is told to stop
//! let gemini = provider::build(ProviderSettings::new("gemini", Kind::Gemini, key))?;
//! let providers = BTreeMap::from([("gemini".to_owned(), gemini)]);
//! let stop = CancellationToken::new();
//! let worked = Engine::new(store, database, providers, registry, engine::Settings::default())
//!     .run(stop)
//!     .await?;
//! println!("{} done", worked.done);
//! # Ok(())
//! # }
//! ```
//!
//! Rooms stand on floors, and imports run downward only; ARCHITECTURE.md draws the house.

// floor 0: words. No I/O, no SQL, no clock, no chance.
pub mod llm;
pub mod model;
pub mod task;

// floor 1: decisions. Pure functions of values.
pub mod cache;
pub mod cost;
pub mod definition;
pub mod limits;
pub mod pack;
pub mod plan;
pub mod priority;
pub mod retry;
pub mod route;

// floor 2: doors.
pub mod provider;
pub mod store;

// floor 3: the works.
pub mod client;
pub mod engine;

// floor 4: fittings.
pub mod local;
pub mod simulator;

// floor 6: the door.
pub mod cli;
pub mod config;
