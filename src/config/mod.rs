//! Configuration: tidegate.toml, `.env` and the environment, read once into each room's settings.
//!
//! What wins, from the top: a flag of the command line, the environment, `.env` in the current
//! folder, tidegate.toml, the default. This is the only room that reads the environment. Secrets are
//! named by variable and never shown.
//!
//! Rules for names in the environment:
//! - every setting `key` of `[section]` is `TIDEGATE_<SECTION>_<KEY>`: `TIDEGATE_WORK_SLOTS`. The
//!   database is `DATABASE_URL` as well, as everywhere;
//! - of an entry with a name, `TIDEGATE_PROVIDERS_<ENTRY>_<KEY>` and `TIDEGATE_MODELS_<NAME>_<KEY>`,
//!   where all but letters and digits of the name become `_`:
//!   `TIDEGATE_MODELS_GEMINI_GEMINI_3_5_FLASH_LITE_RPM`;
//! - a worker's value is `TIDEGATE_WORKER_<NAME>_<KEY>`, where `__` is a dot and the rest is lower
//!   case: `TIDEGATE_WORKER_ENTITY_EXTRACTION_TIER__0__MODEL` sets `tier.0.model`. With two
//!   underscores after the name (`TIDEGATE_WORKER_TAG__PACK__SIZE`) a worker `tag` is told from one
//!   called `tag_pack`.
//!
//! An empty variable counts as unset, and hides what `.env` says of it.

mod batches;
mod budget;
mod cache;
mod document;
mod environment;
mod error;
mod load;
mod models;
mod price;
mod providers;
mod retention;
mod section;
mod show;
mod work;

pub use batches::BatchSettings;
pub use budget::BudgetSettings;
pub use cache::CacheSettings;
pub use environment::Environment;
pub(crate) use error::nearest;
pub use error::{ConfigError, Place};
pub use load::{Config, LogFormat, LogSettings};
pub use models::ModelEntry;
pub(crate) use price::{micro_dollars, usd};
pub use providers::{EntryError, ProviderEntry, ProviderKind};
pub use retention::RetentionSettings;
pub use section::{Origin, Set};
pub use show::Shown;
pub use work::WorkSettings;
