//! Keys, whether their providers take them, and whether the models that workers name are known.

use std::collections::BTreeSet;

use super::check::{Check, of_error};
use crate::cli::Context;
use crate::config::EntryError;
use crate::definition::StoredDefinition;
use crate::llm::CallError;
use crate::provider;
use crate::store::Store;

/// Each provider entry: its key, and what came of one request that costs nothing.
pub(super) async fn checks(context: &Context, offline: bool) -> Vec<Check> {
    let entries = context.config.provider_settings();
    if entries.is_empty() {
        return vec![Check::fault(
            "keys",
            "no provider is configured",
            "run `tidegate init` and set the variable named by api_key_env, or set GEMINI_API_KEY or OPENAI_API_KEY",
        )];
    }
    let any = entries.iter().any(|(_, settings)| settings.is_ok());
    let mut checks = Vec::new();
    for (entry, settings) in entries {
        let settings = match settings {
            Ok(settings) => settings,
            // with a key for another entry, work goes on
            Err(error @ EntryError::MissingKey { .. }) if !any => {
                checks.push(of_error("keys", &error));
                continue;
            }
            Err(error) => {
                let Check { says, fix, .. } = of_error("keys", &error);
                checks.push(Check::warning("keys", says, fix.unwrap_or_default()));
                continue;
            }
        };
        checks.push(Check::ok("keys", format!("{entry}: set")));
        let provider = match provider::build(settings) {
            Ok(provider) => provider,
            Err(error) => {
                checks.push(of_error("provider", &error));
                continue;
            }
        };
        if offline {
            checks.push(Check::ok("provider", format!("{entry}: not asked")));
        } else {
            checks.push(answered(&entry, provider.check().await));
        }
    }
    checks
}

/// What came of asking a provider for its models.
fn answered(entry: &str, answer: Result<(), CallError>) -> Check {
    const NAME: &str = "provider";
    let Err(error) = answer else {
        return Check::ok(NAME, format!("{entry}: in reach, and takes the key"));
    };
    let says = format!("{entry}: {error}");
    match error {
        CallError::KeyRefused { .. } => Check::fault(
            NAME,
            says,
            "set a key that is valid for this provider in the variable of api_key_env",
        ),
        CallError::Rejected { status: 404, .. } => Check::fault(
            NAME,
            says,
            "correct base_url in tidegate.toml: it has the version at its end, as .../v1beta at Gemini and .../v1 at OpenAI",
        ),
        CallError::RateLimited { .. } | CallError::Overloaded { .. } => Check::warning(
            NAME,
            says,
            "none: it is in reach, and wants fewer calls for the moment",
        ),
        _ => Check::fault(
            NAME,
            says,
            "check base_url, the network and a proxy's settings; then run the doctor again",
        ),
    }
}

/// Whether the configuration knows the models that stored definitions name.
pub(super) async fn models(store: &Store, context: &Context) -> Vec<Check> {
    const NAME: &str = "models";
    let stored = match store.definitions_in_use().await {
        Ok(stored) => stored,
        Err(error) => return vec![of_error(NAME, &error)],
    };
    let known: BTreeSet<String> = context
        .config
        .models()
        .into_iter()
        .map(|it| it.model)
        .collect();
    let entries: BTreeSet<String> = context
        .config
        .providers()
        .into_iter()
        .map(|it| it.name)
        .collect();
    let mut checks = Vec::new();
    for kept in stored {
        let definition = match StoredDefinition::from_json(&kept.folder) {
            Ok(definition) => definition,
            Err(error) => {
                let Check { says, .. } = of_error(NAME, &error);
                let fix = "run the worker's folder again with this program, or update the program";
                checks.push(Check::warning(
                    NAME,
                    format!("{}: {says}", kept.worker),
                    fix,
                ));
                continue;
            }
        };
        let named: BTreeSet<String> = (0..definition.tiers.len())
            .flat_map(|tier| definition.ladder(tier))
            .map(|model| model.to_string())
            .collect();
        checks.push(of_worker(&kept.worker, &named, &known, &entries));
    }
    checks
}

fn of_worker(
    worker: &str,
    named: &BTreeSet<String>,
    known: &BTreeSet<String>,
    entries: &BTreeSet<String>,
) -> Check {
    const NAME: &str = "models";
    let list = |names: Vec<&str>| names.join(", ");
    let entry = |model: &&String| {
        model
            .split('/')
            .next()
            .is_some_and(|it| entries.contains(it))
    };
    let homeless: Vec<&str> = named
        .iter()
        .filter(|it| !entry(it))
        .map(String::as_str)
        .collect();
    if !homeless.is_empty() {
        return Check::warning(
            NAME,
            format!("{worker}: no provider entry here for {}", list(homeless)),
            "add their [providers.ENTRY] to tidegate.toml, or leave these tasks to processes that have it",
        );
    }
    let unknown: Vec<&str> = named
        .iter()
        .filter(|it| !known.contains(*it))
        .map(String::as_str)
        .collect();
    if !unknown.is_empty() {
        return Check::warning(
            NAME,
            format!(
                "{worker}: limits and price are not known of {}",
                list(unknown)
            ),
            "add their [[models]] to tidegate.toml: until then only a 429 holds calls back",
        );
    }
    Check::ok(NAME, format!("{worker}: all {} are known", named.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::check::Mark;

    #[test]
    fn a_model_without_an_entry_or_a_provider_is_a_warning() {
        let set = |names: &[&str]| {
            names
                .iter()
                .map(|it| (*it).to_owned())
                .collect::<BTreeSet<_>>()
        };
        let state = |named: &[&str], known: &[&str]| {
            of_worker("w", &set(named), &set(known), &set(&["g"])).state
        };
        assert_eq!(state(&["g/a"], &["g/a", "g/b"]), Mark::Ok);
        assert_eq!(state(&["g/a"], &["g/b"]), Mark::Warning);
        assert_eq!(state(&["h/a"], &["h/a"]), Mark::Warning);
    }

    #[test]
    fn a_refused_key_is_a_fault_and_a_refused_call_is_not() {
        assert_eq!(answered("g", Ok(())).state, Mark::Ok);
        let refused = CallError::KeyRefused {
            message: "bad".to_owned(),
        };
        assert_eq!(answered("g", Err(refused)).state, Mark::Fault);
    }
}
