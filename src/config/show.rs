//! Every value and where it came from, with secrets hidden.

use secrecy::ExposeSecret;
use serde::Serialize;

use super::price::usd;
use super::{Config, ModelEntry, Origin, ProviderEntry, Set};

/// One value as `tidegate config show` prints it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Shown {
    /// Its key, dotted.
    pub key: String,
    /// Its value; of a secret, whether it is set.
    pub value: String,
    /// Where it came from.
    pub origin: String,
}

impl Config {
    /// All values, in the order of the documentation.
    pub fn show(&self) -> Vec<Shown> {
        let mut shown = vec![
            match &self.url {
                Some(url) => shown(
                    "database.url",
                    masked(url.value.expose_secret()),
                    &url.origin,
                ),
                None => shown("database.url", "(a private Postgres)", &Origin::Default),
            },
            set("database.max_connections", &self.max_connections),
            set("database.pooler", &self.pooler),
            set("work.slots", &self.work.slots),
            set("work.poll_ms", &self.work.poll_ms),
            set("work.lease_s", &self.work.lease_s),
            set("work.grace_s", &self.work.grace_s),
            set("work.flush_ms", &self.work.flush_ms),
            set("work.flush_size", &self.work.flush_size),
            set("work.sync", &self.work.sync),
            set("work.status_s", &self.work.status_s),
            set("batches.poll_s", &self.batches.poll_s),
            set("batches.poll_max_s", &self.batches.poll_max_s),
            set("batches.lookup_s", &self.batches.lookup_s),
            self.shown_budget(),
            set("retention.done_days", &self.keep.done_days),
            set("retention.failed_days", &self.keep.failed_days),
            set("retention.cancelled_days", &self.keep.cancelled_days),
            set("retention.history_days", &self.keep.history_days),
            set("retention.calls_days", &self.keep.calls_days),
            set("cache.max_entries", &self.cache.max_entries),
            set("cache.max_mb", &self.cache.max_mb),
            set("log.filter", &self.log.filter),
            shown(
                "log.format",
                self.log.format.value.as_str(),
                &self.log.format.origin,
            ),
        ];
        shown.push(self.shown_local_dir());
        match &self.pg_bin {
            Some(dir) => shown.push(set("local.pg_bin", dir)),
            None => shown.push(self::shown(
                "local.pg_bin",
                "(looked for)",
                &Origin::Default,
            )),
        }
        for entry in &self.provider_entries {
            shown.extend(self.shown_provider(entry));
        }
        shown.extend(self.model_entries.iter().flat_map(shown_model));
        shown
    }

    fn shown_budget(&self) -> Shown {
        let key = "budget.usd_per_day";
        match &self.budget.per_day_microusd {
            Some(set) => {
                let value = set.value.map_or_else(|| "none".to_owned(), usd);
                shown(key, value, &set.origin)
            }
            None => shown(key, "(not said)", &Origin::Default),
        }
    }

    fn shown_local_dir(&self) -> Shown {
        if let Some(dir) = &self.local_dir {
            return set("local.dir", dir);
        }
        let folder = self.local_settings().folder();
        let folder = folder.map_or_else(
            |_| "(nothing says where)".to_owned(),
            |it| it.display().to_string(),
        );
        shown("local.dir", folder, &Origin::Default)
    }

    fn shown_provider(&self, entry: &ProviderEntry) -> Vec<Shown> {
        let key = |key: &str| format!("providers.{}.{key}", entry.name);
        let api_key = match self.env.find(&entry.api_key_env.value) {
            Some((_, origin)) => shown(key("api_key"), "set", &origin),
            None => shown(key("api_key"), "not set", &Origin::Default),
        };
        let mut base_url = set(&key("base_url"), &entry.base_url);
        base_url.value = masked(&base_url.value);
        vec![
            shown(key("kind"), entry.kind.value.as_str(), &entry.kind.origin),
            base_url,
            set(&key("api_key_env"), &entry.api_key_env),
            api_key,
            set(&key("quota_scope"), &entry.quota_scope),
            set(&key("allow_plain_http"), &entry.allow_plain_http),
            match &entry.batch_jobs {
                Some(jobs) => set(&key("batch_jobs"), jobs),
                None => shown(key("batch_jobs"), "(not said)", &Origin::Default),
            },
        ]
    }
}

fn shown_model(model: &ModelEntry) -> Vec<Shown> {
    let key = |key: &str| format!("models.{}.{key}", model.name.value);
    let price = |set: &Set<i64>| Set {
        value: usd(set.value),
        origin: set.origin.clone(),
    };
    [
        model.rpm.as_ref().map(|it| set(&key("rpm"), it)),
        model.tpm.as_ref().map(|it| set(&key("tpm"), it)),
        model
            .output_tpm
            .as_ref()
            .map(|it| set(&key("output_tpm"), it)),
        model.rpd.as_ref().map(|it| set(&key("rpd"), it)),
        model.tpd.as_ref().map(|it| set(&key("tpd"), it)),
        model.window.as_ref().map(|it| set(&key("window"), it)),
        model.burst.as_ref().map(|it| set(&key("burst"), it)),
        model
            .max_concurrency
            .as_ref()
            .map(|it| set(&key("max_concurrency"), it)),
        model
            .input_price_microusd
            .as_ref()
            .map(|it| set(&key("input_price_usd"), &price(it))),
        model
            .output_price_microusd
            .as_ref()
            .map(|it| set(&key("output_price_usd"), &price(it))),
        model
            .shares_limits_of
            .as_ref()
            .map(|it| set(&key("shares_limits_of"), it)),
        model.batch.as_ref().map(|it| set(&key("batch"), it)),
        model
            .batch_price_percent
            .as_ref()
            .map(|it| set(&key("batch_price_percent"), it)),
        model
            .batch_enqueued_tokens
            .as_ref()
            .map(|it| set(&key("batch_enqueued_tokens"), it)),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn set<T: ToString>(key: &str, set: &Set<T>) -> Shown {
    shown(key, set.value.to_string(), &set.origin)
}

fn shown(key: impl Into<String>, value: impl Into<String>, origin: &Origin) -> Shown {
    Shown {
        key: key.into(),
        value: value.into(),
        origin: origin.to_string(),
    }
}

/// A URL with what may be secret hidden: the password, and a query's `password`, `sslpassword` and
/// the like. What is no URL is hidden whole.
fn masked(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return "(hidden: no URL)".to_owned();
    };
    let (rest, query) = match rest.split_once('?') {
        Some((rest, query)) => (rest, Some(query)),
        None => (rest, None),
    };
    // An `@` in a password that should have been encoded: the last one ends the user's part.
    let rest = match rest.rsplit_once('@') {
        Some((user, host)) => match user.split_once(':') {
            Some((user, _)) => format!("{user}:***@{host}"),
            None => format!("{user}@{host}"),
        },
        None => rest.to_owned(),
    };
    let query = query.map(|query| {
        let parts = query.split('&').map(|part| match part.split_once('=') {
            Some((name, _)) if is_secret(name) => format!("{name}=***"),
            _ => part.to_owned(),
        });
        format!("?{}", parts.collect::<Vec<_>>().join("&"))
    });
    format!("{scheme}://{rest}{}", query.unwrap_or_default())
}

fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["pass", "key", "secret", "token"]
        .iter()
        .any(|part| name.contains(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_password_stays_in_a_shown_url() {
        for (url, expected) in [
            ("postgres://u:p@h:5/d", "postgres://u:***@h:5/d"),
            ("postgres://u:p@x:y@h/d", "postgres://u:***@h/d"),
            ("postgres://u@h/d", "postgres://u@h/d"),
            ("postgres://h/d", "postgres://h/d"),
            (
                "postgres:///d?host=/s&password=p&user=u",
                "postgres:///d?host=/s&password=***&user=u",
            ),
            ("https://h/v1?key=abc", "https://h/v1?key=***"),
            ("p", "(hidden: no URL)"),
        ] {
            assert_eq!(masked(url), expected);
        }
    }
}
