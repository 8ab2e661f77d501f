//! What the demo shows: the articles, the models and their limits, the worker.

use crate::{
    cli::{CliError, sample::Sample},
    definition::{Definition, Folder},
    store::model::ModelRow,
};

/// The demo's own database.
pub(super) const DATABASE: &str = "tidegate_demo";
/// Articles there are.
pub(super) const ARTICLES_MAX: i64 = 1863;
/// The provider entry of the simulator.
pub(super) const ENTRY: &str = "demo";
/// The variable the workers find their key in; its value is no secret.
pub(super) const KEY_VARIABLE: &str = "TIDEGATE_DEMO_KEY";
/// The key the simulator knows.
pub(super) const KEY: &str = "demo-key";
/// Of all models together.
pub(super) const REQUESTS_PER_MINUTE: u32 = 780;
/// Undoes the sample's tables.
pub(super) const DROP: &str = include_str!("../../../workers/entity_extraction/sample/drop.sql");

/// Articles without their entities.
pub(super) const WAITING: &str = "select count(*) from articles where not extracted_entities";
/// Entities written.
pub(super) const ENTITIES: &str = "select count(*) from article_entities";

/// A model of the scene: the 2.0 family is retired by its provider, and lives on here.
struct Model {
    name: &'static str,
    rpm: u32,
    tpm: u64,
    rpd: u32,
    window: &'static str,
    burst: Option<u32>,
    prices_microusd: (i64, i64),
    median_ms: u32,
}

const MODELS: [Model; 4] = [
    Model {
        name: "gemini-2.0-flash-thinking-exp-01-21",
        rpm: 60,
        tpm: 4_000_000,
        rpd: 50_000,
        window: "fixed",
        burst: None,
        prices_microusd: (0, 0),
        median_ms: 900,
    },
    Model {
        name: "gemini-2.0-flash-exp",
        rpm: 120,
        tpm: 4_000_000,
        rpd: 50_000,
        window: "sliding",
        burst: None,
        prices_microusd: (0, 0),
        median_ms: 500,
    },
    Model {
        name: "gemini-2.0-flash",
        rpm: 240,
        tpm: 1_000_000,
        rpd: 50_000,
        window: "bucket",
        burst: Some(40),
        prices_microusd: (100_000, 400_000),
        median_ms: 400,
    },
    Model {
        name: "gemini-2.0-flash-lite",
        rpm: 360,
        tpm: 1_000_000,
        rpd: 50_000,
        window: "bucket",
        burst: Some(60),
        prices_microusd: (75_000, 300_000),
        median_ms: 250,
    },
];

/// Each tier's ladder, as numbers into [`MODELS`].
const LADDERS: [&[usize]; 3] = [&[0, 2, 3], &[1, 2, 3], &[2, 3]];

/// The shipped worker's folder, as it stood when this program was built.
const FOLDER: [(&str, &str); 5] = [
    (
        "worker.toml",
        include_str!("../../../workers/entity_extraction/worker.toml"),
    ),
    (
        "prompt.md",
        include_str!("../../../workers/entity_extraction/prompt.md"),
    ),
    (
        "schema.json",
        include_str!("../../../workers/entity_extraction/schema.json"),
    ),
    (
        "source.sql",
        include_str!("../../../workers/entity_extraction/source.sql"),
    ),
    (
        "sink.sql",
        include_str!("../../../workers/entity_extraction/sink.sql"),
    ),
];

/// The shipped sample.
pub(super) fn articles() -> Sample {
    let packed: &[u8] =
        include_bytes!("../../../workers/entity_extraction/sample/articles.jsonl.gz");
    Sample {
        setup: include_str!("../../../workers/entity_extraction/sample/setup.sql").to_owned(),
        load: Some(include_str!("../../../workers/entity_extraction/sample/load.sql").to_owned()),
        finish: Some(
            include_str!("../../../workers/entity_extraction/sample/finish.sql").to_owned(),
        ),
        rows: Box::new(flate2::read::MultiGzDecoder::new(packed)),
    }
}

/// The shipped worker, its tiers on the scene's models.
pub(super) fn definition() -> Result<Definition, CliError> {
    let mut folder = Folder::default();
    for (name, text) in FOLDER {
        folder.insert(name, text);
    }
    let name = |model: usize| format!("{ENTRY}/{}", MODELS[model].name);
    let mut overrides = vec![("fallback.model".to_owned(), name(3))];
    for (tier, ladder) in LADDERS.iter().enumerate() {
        let fallbacks: Vec<String> = ladder[1..].iter().map(|&model| name(model)).collect();
        overrides.push((format!("tier.{tier}.model"), name(ladder[0])));
        overrides.push((format!("tier.{tier}.fallbacks"), format!("{fallbacks:?}")));
    }
    Ok(Definition::check(&folder, &overrides)?)
}

/// The limit of a model, by its wire name.
pub(super) fn requests_per_minute(name: &str) -> Option<u32> {
    MODELS
        .iter()
        .find(|model| model.name == name)
        .map(|model| model.rpm)
}

/// The models as the database is told of them.
pub(super) fn model_rows() -> Vec<ModelRow> {
    MODELS
        .iter()
        .map(|model| ModelRow {
            model: format!("{ENTRY}/{}", model.name),
            hash: model.rpm.to_be_bytes().to_vec(),
            output_tpm: None,
            tpd: None,
            shares: None,
            batch: None,
            batch_price_percent: None,
            batch_enqueued_tokens: None,
            rpm: Some(model.rpm),
            tpm: Some(model.tpm),
            rpd: Some(model.rpd),
            max_concurrency: None,
            counting: Some(model.window),
            burst: model.burst,
            input_price_microusd: Some(model.prices_microusd.0),
            output_price_microusd: Some(model.prices_microusd.1),
        })
        .collect()
}

/// The simulator's settings, as its command reads them.
pub(super) fn simulator_toml(call_log: &std::path::Path) -> String {
    let mut text = format!(
        "api_keys = [{KEY:?}]\ncall_log = {:?}\n\n[latency]\nmedian_ms = 400\n",
        call_log.display().to_string()
    );
    for model in &MODELS {
        text += &format!(
            "\n[[models]]\nname = {:?}\nrpm = {}\ntpm = {}\nrpd = {}\nwindow = {:?}\n",
            model.name, model.rpm, model.tpm, model.rpd, model.window
        );
        if let Some(burst) = model.burst {
            text += &format!("burst = {burst}\n");
        }
        text += &format!("latency = {{ median_ms = {} }}\n", model.median_ms);
    }
    text
}

/// The workers' tidegate.toml.
pub(super) fn workers_toml(base_url: &str) -> String {
    format!(
        "[work]\nlease_s = {LEASE_S}\n\n[providers.{ENTRY}]\nkind = \"gemini\"\nbase_url = {base_url:?}\napi_key_env = {KEY_VARIABLE:?}\n"
    )
}

/// Short, so that what a killed worker held comes back while one watches.
const LEASE_S: u32 = 10;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulator;

    #[test]
    fn the_scene_is_as_it_is_told() {
        let rpm: u32 = MODELS.iter().map(|model| model.rpm).sum();
        assert_eq!(rpm, REQUESTS_PER_MINUTE);
        let settings = simulator::Settings::from_toml(&simulator_toml("log".as_ref()))
            .expect("the simulator reads it");
        assert_eq!(settings.models.len(), MODELS.len());
        assert_eq!(
            definition().expect("the shipped worker").tiers.len(),
            LADDERS.len()
        );
    }

    #[test]
    fn as_many_articles_are_shipped_as_may_be_asked_for() {
        use std::io::BufRead;
        let lines = std::io::BufReader::new(articles().rows).lines().count();
        assert_eq!(i64::try_from(lines), Ok(ARTICLES_MAX));
    }
}
