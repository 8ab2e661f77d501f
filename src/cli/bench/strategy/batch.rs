//! Runs that go by batch: half the price, as many batches as the bounds say, and how much longer it takes than
//! the batch itself.

use chrono::{DateTime, Utc};

use super::{Stage, account::Account, scene};
use crate::{
    cli::{
        CliError,
        bench::{
            figures::{Bar, Figure},
            world::{Ran, World},
        },
    },
    simulator::{self, BatchSettings, ModelSettings},
};

const MODEL: &str = "model-1";
const WORKER: &str = "bench_batch";
/// Items that Gemini takes in a batch.
const ITEMS_MAX: u32 = 50_000;

pub(super) async fn run(stage: &Stage<'_>) -> Result<Vec<Figure>, CliError> {
    let mut figures = Vec::new();
    for items in &stage.args.items {
        stage.printer.say(format_args!(
            "batch: {items} items, a batch takes {} s",
            stage.args.batch_seconds
        ));
        figures.extend(Box::pin(batched(stage, *items)).await?);
    }
    Ok(figures)
}

async fn batched(stage: &Stage<'_>, items: u32) -> Result<Vec<Figure>, CliError> {
    let simulated = simulator::Settings {
        models: vec![ModelSettings::named(MODEL)],
        latency: scene::spread(),
        batches: BatchSettings {
            median_ms: f64::from(stage.args.batch_seconds) * 1_000.0,
            ..BatchSettings::default()
        },
        seed: stage.args.seed,
        ..simulator::Settings::default()
    };
    World::with(stage.place, simulated, async |world| {
        let folder = &world.folder.0;
        let model = format!("{}/{MODEL}", scene::ENTRY);
        scene::worker(folder, WORKER, &model, "")?;
        scene::items(folder, WORKER, 0, items)?;
        let models = scene::model(scene::ENTRY, MODEL, &scene::free(100));
        let settings = scene::settings(world.simulator, &models, "");
        let (ran, memory) = world
            .with_fleet(&settings, stage.fleet(), async |fleet| {
                let args = ["--batching-strategy", "batch"];
                let ran = world.run_from(WORKER, fleet, &args).await?;
                world.until_batches_are_over().await?;
                Ok(ran)
            })
            .await?;
        let account = Account::of(world, &[ran.run]).await?;
        let mut figures = counts(&account, &ran, items);
        figures.extend(times(world, &ran, items).await?);
        figures.extend(memory.map(|mb| {
            figure(
                items,
                "worker_mb",
                "most memory of a worker process",
                mb,
                "MB",
            )
        }));
        Ok(figures)
    })
    .await
}

fn figure(items: u32, name: &str, what: &str, value: f64, unit: &'static str) -> Figure {
    Figure::new(
        "batch",
        format!("{name}_{items}"),
        format!("{items} items: {what}"),
        value,
        unit,
    )
}

fn counts(account: &Account, ran: &Ran, items: u32) -> Vec<Figure> {
    let of = |name: &str, what: &str, value: f64| figure(items, name, what, value, "");
    let all = Bar::Exactly(f64::from(items));
    let none = Bar::Exactly(0.0);
    // the bill halves what batches cost; the ledger must say the same to the micro-dollar
    let full = account.microusd * 2;
    let of_full = account.ledger.cost_microusd as f64 / full.max(1) as f64;
    vec![
        of("done", "done", ran.stand.done as f64).must(all),
        of("batches", "batches at the provider", account.batches as f64)
            .must(Bar::Exactly(f64::from(items.div_ceil(ITEMS_MAX)))),
        of("singly", "calls besides", account.calls as f64).must(none),
        of(
            "asked",
            "items that the provider answered",
            account.items as f64,
        )
        .must(all),
        of("price", "ledger by the price of single calls", of_full).must(Bar::Exactly(0.5)),
        of(
            "off",
            "tokens and micro-dollars that are not the provider's (1: they differ)",
            f64::from(u8::from(!account.is_exact())),
        )
        .must(none),
    ]
}

async fn times(world: &World<'_>, ran: &Ran, items: u32) -> Result<Vec<Figure>, CliError> {
    let of = |name: &str, what: &str, value: f64, unit| figure(items, name, what, value, unit);
    let span = world.store.run_span(ran.run).await?;
    let batches = world.simulator.batches();
    let began = batches
        .iter()
        .map(|it| it.unix_ms)
        .min()
        .unwrap_or_default();
    let ended = batches.iter().filter_map(|it| it.ended_unix_ms).max();
    let ended = ended.unwrap_or(began);
    let own = (ended - began) as f64 / 1_000.0;
    let total = ran.worked.as_secs_f64();
    let since = |at: u64| {
        let loaded = span.loaded_at.unwrap_or(span.created_at).timestamp_millis();
        (at as f64 - loaded as f64) / 1_000.0
    };
    let (formed, uploaded) = world.store.batches_sent(ran.run).await?;
    let loaded = span.loaded_at.unwrap_or(span.created_at);
    let after =
        |at: Option<DateTime<Utc>>| at.map_or(f64::NAN, |at| (at - loaded).as_seconds_f64());
    Ok(vec![
        of(
            "formed",
            "from the load's end until the batch was formed",
            after(formed),
            "s",
        ),
        of(
            "uploaded",
            "from the load's end until its file was there",
            after(uploaded),
            "s",
        ),
        of("load", "load", ran.loaded.as_secs_f64(), "s"),
        of(
            "sent",
            "from the load's end until the batch was made",
            since(began),
            "s",
        ),
        of("own", "the batch's own time at the provider", own, "s"),
        of(
            "stored",
            "from the batch's end to the last answer stored",
            total - since(ended),
            "s",
        ),
        of(
            "total",
            "from the load's end to the last answer",
            total,
            "s",
        ),
        of(
            "ratio",
            "total by the batch's own time",
            total / own.max(1e-3),
            "",
        )
        .bar(Bar::AtMost(1.05)),
    ])
}
