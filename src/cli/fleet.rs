//! What `work`, `run` and `demo` share: providers with their keys, models told to the database.

use std::{collections::BTreeMap, sync::Arc};

use super::{CliError, Context};
use crate::{
    engine,
    provider::{self, Provider},
    store::{Store, StoreError},
};

/// The providers this process has a key for, by entry. Entries without a key are warned of. Where
/// nothing is named and there is none at all, that is warned of: local work needs none.
///
/// # Errors
/// When there is a key for none of `needed`: names the variables.
pub(super) fn providers(
    context: &Context,
    needed: Option<&[String]>,
) -> Result<BTreeMap<String, Arc<dyn Provider>>, CliError> {
    let wanted = |entry: &str| needed.is_none_or(|needed| needed.iter().any(|name| name == entry));
    let mut ready = BTreeMap::new();
    let mut missing = None;
    for (entry, settings) in context.config.provider_settings() {
        match settings {
            Ok(settings) => {
                ready.insert(entry, provider::build(settings)?);
            }
            Err(error) if wanted(&entry) => {
                if let Some(former) = missing.replace(error) {
                    context.printer.warn(former);
                }
            }
            Err(_) => {}
        }
    }
    match missing {
        Some(error) if needed.is_some() && !ready.keys().any(|entry| wanted(entry)) => {
            Err(error.into())
        }
        Some(error) => {
            context.printer.warn(error);
            if ready.is_empty() {
                context.printer.warn(ONLY_LOCAL);
            }
            Ok(ready)
        }
        None if ready.is_empty() && needed.is_none() => {
            context
                .printer
                .warn(format_args!("no provider is configured: {ONLY_LOCAL}"));
            Ok(ready)
        }
        None if ready.is_empty() && needed.is_some_and(|it| !it.is_empty()) => {
            Err(CliError::input(
                "no provider is configured",
                "run `tidegate init` and set the variable named by api_key_env, or set GEMINI_API_KEY or OPENAI_API_KEY",
            ))
        }
        None => Ok(ready),
    }
}

const ONLY_LOCAL: &str = "no model can be called from here, only local work is done (`tidegate init`, and the variable named by api_key_env, or GEMINI_API_KEY or OPENAI_API_KEY, change that)";

/// Tells the database the providers, models and the day's budget of the file, as far as they changed.
pub(super) async fn sync(context: &Context, store: &Store) -> Result<(), CliError> {
    let (providers, models) = (context.config.providers(), context.config.models());
    let sync = async || store.sync_models(&providers, &models).await;
    context.patiently(StoreError::is_passing, sync).await?;
    // a file that says nothing of it leaves what was set
    if let Some(set) = &context.config.budget.per_day_microusd {
        let sync = async || store.sync_budget(set.value).await;
        context.patiently(StoreError::is_passing, sync).await?;
    }
    Ok(())
}

/// How this process works, by its configuration.
pub(super) fn settings(context: &Context, role: &'static str) -> engine::Settings {
    let work = &context.config.work;
    engine::Settings {
        slots: work.slots.value,
        poll: work.poll(),
        lease: work.lease(),
        grace: work.grace(),
        workers: None,
        settle: work.settle(),
        batches: context.config.batches.to_engine(),
        status: work.status(),
        keep: context.config.keep.to_keep(),
        cache: context.config.cache.to_bounds(),
        role,
    }
}
