//! The worker that ships for pages, under limits of a paid tier: how long some hundreds take.

use super::{Stage, scene};
use crate::cli::bench::{
    figures::{Bar, Figure},
    world::{Ran, World},
};
use crate::{
    cli::{CliError, bench::workers::KEY_VARIABLE},
    simulator::{self, Latency, ModelSettings, Running},
};

/// The models of the ladder by provider entry, the first choice first.
const LADDER: [(&str, &str); 3] = [
    ("gemini", "gemini-3.5-flash-lite"),
    ("gemini", "gemini-3.1-flash-lite"),
    ("openai", "gpt-5-mini"),
];
/// What each grants in a minute.
const RPM: u64 = 1_000;
const TPM: u64 = 1_000_000;

/// The shipped worker's folder and sample, as they stood when this program was built.
const FOLDER: [(&str, &[u8]); 9] = [
    (
        "worker.toml",
        include_bytes!("../../../../workers/tag_space/worker.toml"),
    ),
    (
        "prompt.md",
        include_bytes!("../../../../workers/tag_space/prompt.md"),
    ),
    (
        "schema.json",
        include_bytes!("../../../../workers/tag_space/schema.json"),
    ),
    (
        "source.sql",
        include_bytes!("../../../../workers/tag_space/source.sql"),
    ),
    (
        "sink.sql",
        include_bytes!("../../../../workers/tag_space/sink.sql"),
    ),
    (
        "sample/setup.sql",
        include_bytes!("../../../../workers/tag_space/sample/setup.sql"),
    ),
    (
        "sample/load.sql",
        include_bytes!("../../../../workers/tag_space/sample/load.sql"),
    ),
    (
        "sample/finish.sql",
        include_bytes!("../../../../workers/tag_space/sample/finish.sql"),
    ),
    (
        "sample/pages.jsonl.gz",
        include_bytes!("../../../../workers/tag_space/sample/pages.jsonl.gz"),
    ),
];

pub(super) async fn run(stage: &Stage<'_>) -> Result<Vec<Figure>, CliError> {
    let mut figures = Vec::new();
    for pages in &stage.args.pages {
        stage
            .printer
            .say(format_args!("pages: {pages} of the sample of tag_space"));
        figures.extend(Box::pin(labelled(stage, *pages)).await?);
    }
    Ok(figures)
}

async fn labelled(stage: &Stage<'_>, pages: u32) -> Result<Vec<Figure>, CliError> {
    World::with(stage.place, simulated(), async |world| {
        let folder = world.folder.0.join("worker");
        for (name, text) in FOLDER {
            scene::write(&folder, name, text)?;
        }
        let limit = pages.to_string();
        let fallbacks: Vec<String> = LADDER[1..]
            .iter()
            .map(|(entry, model)| format!("\"{entry}/{model}\""))
            .collect();
        let fallbacks = format!("tier.0.fallbacks=[{}]", fallbacks.join(", "));
        let args = ["--sample", "--limit", &limit, "--set", &fallbacks];
        let (ran, _) = world
            .with_fleet(&settings(world.simulator), stage.fleet(), async |fleet| {
                world.run(fleet, &args).await
            })
            .await?;
        Ok(figures(world, pages, &ran))
    })
    .await
}

/// Limits of a paid tier; answers take one to three seconds.
fn simulated() -> simulator::Settings {
    let model = |name: &str| ModelSettings {
        rpm: Some(RPM),
        tpm: Some(TPM),
        ..ModelSettings::named(name)
    };
    simulator::Settings {
        models: LADDER.iter().map(|(_, name)| model(name)).collect(),
        latency: Latency {
            median_ms: 1_700.0,
            p99_ms: Some(3_000.0),
            min_ms: 1_000.0,
            ..Latency::default()
        },
        paid_tier: true,
        ..simulator::Settings::default()
    }
}

/// What a user writes: two providers, and the sizes of the limits.
fn settings(simulator: &Running) -> String {
    let provider = |entry: &str, url: String| {
        format!(
            "[providers.{entry}]\nkind = {entry:?}\nbase_url = {url:?}\napi_key_env = {KEY_VARIABLE:?}\n"
        )
    };
    let models = LADDER.map(|(entry, model)| {
        format!("[[models]]\nname = \"{entry}/{model}\"\nrpm = {RPM}\ntpm = {TPM}\n")
    });
    [
        provider("gemini", simulator.base_url()),
        provider("openai", simulator.openai_base_url()),
        models.concat(),
    ]
    .concat()
}

fn figures(world: &World<'_>, pages: u32, ran: &Ran) -> Vec<Figure> {
    let counters = world.simulator.counters();
    let calls: u64 = counters.models.values().map(|it| it.calls).sum();
    let refused: u64 = counters.models.values().map(|it| it.refused_429).sum();
    let on = |wanted: &dyn Fn(&(&str, &str)) -> bool| {
        let models = LADDER.iter().filter(|it| wanted(it));
        let calls: u64 = models
            .filter_map(|(_, model)| counters.models.get(*model))
            .map(|it| it.calls)
            .sum();
        calls as f64
    };
    let share = |some: f64| 100.0 * some / (calls as f64).max(1.0);
    let of = |word: &str, what: &str, value: f64, unit| {
        let what = format!("{pages} pages: {what}");
        Figure::new("pages", format!("{pages}_{word}"), what, value, unit)
    };
    let n = f64::from(pages);
    let mut took = of(
        "seconds",
        "from the command to the last label",
        ran.took.as_secs_f64(),
        "s",
    );
    took = match pages {
        0..=20 => took.bar(Bar::AtMost(30.0)),
        21..=200 => took.bar(Bar::AtMost(120.0)),
        201..=500 => took.bar(Bar::AtMost(600.0)),
        _ => took,
    };
    vec![
        took,
        of(
            "seconds_loaded",
            "from the end of the load",
            ran.worked.as_secs_f64(),
            "s",
        ),
        of("done", "labelled", ran.stand.done as f64, "").must(Bar::Exactly(n)),
        of("calls_per_page", "calls per page", calls as f64 / n, ""),
        of(
            "refused_percent",
            "429s of all calls",
            share(refused as f64),
            "%",
        )
        .must(Bar::Below(0.1)),
        of(
            "elsewhere_percent",
            "calls on another provider than the first",
            share(on(&|it| it.0 != LADDER[0].0)),
            "%",
        )
        .must(Bar::Below(2.0)),
        of(
            "fallback_percent",
            "calls on another model than the first",
            share(on(&|it| *it != LADDER[0])),
            "%",
        ),
    ]
}
