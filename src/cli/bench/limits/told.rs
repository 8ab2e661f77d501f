//! What each side of a case is told: the simulator its limits, the database as much of them as the
//! fleet may know, the loader a worker folder.

use std::{collections::BTreeMap, path::Path};

use super::scenario::{Known, Model, P99, Scene, Window};
use crate::{
    cli::{CliError, bench::workers::KEY_VARIABLE},
    definition::{Definition, Folder},
    simulator::{self, ModelSettings, WindowKind},
    store::model::{ModelRow, ProviderRow},
};

/// The worker of the bench.
pub(super) const WORKER: &str = "bench_limits";
/// The provider entry.
pub(super) const ENTRY: &str = "bench";
/// The file of the items.
pub(super) const ITEMS: &str = "items.jsonl";

impl Scene {
    /// The provider's settings.
    pub(super) fn simulator(&self) -> simulator::Settings {
        let median_ms = self.latency.as_secs_f64() * 1_000.0;
        let model = |model: &Model| ModelSettings {
            rpm: Some(model.requests.size),
            burst: model.requests.burst,
            tpm: model.tokens,
            window: match self.window {
                Window::Bucket => WindowKind::Bucket,
                Window::Sliding => WindowKind::Sliding,
                Window::Fixed => WindowKind::Fixed,
            },
            ..ModelSettings::named(&model.name)
        };
        simulator::Settings {
            models: self.models.iter().map(model).collect(),
            latency: simulator::Latency {
                median_ms,
                p99_ms: (median_ms > 0.0).then_some(median_ms * P99),
                ..simulator::Latency::default()
            },
            count_refused: self.count_refused,
            ..simulator::Settings::default()
        }
    }

    /// What the database is told.
    pub(super) fn rows(&self, known: Known) -> Vec<ModelRow> {
        let small = |size: u64| u32::try_from(size).unwrap_or(u32::MAX);
        let row = |model: &Model| ModelRow {
            model: format!("{ENTRY}/{}", model.name),
            hash: format!("{}={}", model.name, model.requests.size).into_bytes(),
            output_tpm: None,
            tpd: None,
            shares: None,
            batch: None,
            batch_price_percent: None,
            batch_enqueued_tokens: None,
            rpm: Some(small(model.requests.size)),
            tpm: model.tokens,
            rpd: None,
            max_concurrency: None,
            counting: (known == Known::All).then_some(match self.window {
                Window::Bucket => "bucket",
                Window::Sliding => "sliding",
                Window::Fixed => "fixed",
            }),
            burst: model
                .requests
                .burst
                .filter(|_| known == Known::All)
                .map(small),
            input_price_microusd: None,
            output_price_microusd: None,
        };
        match known {
            Known::None => Vec::new(),
            Known::All | Known::Size => self.models.iter().map(row).collect(),
        }
    }

    /// The worker, its folder written here: one tier, the models as its ladder, answers of any form.
    pub(super) fn definition(&self, folder: &Path) -> Result<Definition, CliError> {
        let names: Vec<String> = self
            .models
            .iter()
            .map(|model| format!("{ENTRY}/{}", model.name))
            .collect();
        let (first, fallbacks) = names
            .split_first()
            .ok_or_else(|| CliError::input("no models", "name one: --models 60"))?;
        let toml = format!(
            "name = {WORKER:?}\nversion = \"1\"\n[source]\nfile = {ITEMS:?}\nid = \"id\"\n\
             [[tier]]\nshare = 1.0\nmix = 1\nmodel = {first:?}\nfallbacks = {fallbacks:?}\n\
             [prompt]\ntemplate = \"prompt.md\"\n[cache]\nenabled = false\n"
        );
        let items: String = (0..self.tasks)
            .map(|id| {
                format!(
                    "{}\n",
                    serde_json::json!({"id": id, "text": self.prompt(id)})
                )
            })
            .collect();
        let texts = BTreeMap::from([
            ("worker.toml", toml.as_str()),
            ("prompt.md", "{{ text }}"),
            (ITEMS, items.as_str()),
        ]);
        for (name, text) in texts {
            std::fs::write(folder.join(name), text).map_err(|source| CliError::Io {
                doing: format!("write {}", folder.join(name).display()),
                source,
            })?;
        }
        Ok(Definition::check(&Folder::read(folder)?, &[])?)
    }
}

/// The workers' settings. `lease_s`: how long a process that died keeps what it held.
pub(super) fn settings(base_url: &str, lease_s: u32) -> String {
    format!(
        "[work]\nlease_s = {lease_s}\n[providers.{ENTRY}]\nkind = \"gemini\"\nbase_url = {base_url:?}\napi_key_env = {KEY_VARIABLE:?}\n"
    )
}

/// The provider, as the database is told of it.
pub(super) fn provider(base_url: &str) -> ProviderRow {
    ProviderRow {
        name: ENTRY.to_owned(),
        kind: "gemini".to_owned(),
        base_url: base_url.to_owned(),
        quota_scope: ENTRY.to_owned(),
        day_zone: "America/Los_Angeles".to_owned(),
        batch_jobs: None,
    }
}
