//! What is chosen, over sizes, against always one by one and always by batch: in time for who waits, in money for
//! bulk. Anew after the provider's batches became faster, and slower.
//!
//! Calls and batches each take always the same time in it, so that a ratio of two runs is no draw. Runs that are
//! always by batch go side by side, as do bulk's; always one by one is measured once, since calls do not change.

use std::time::Duration;

use rand::{SeedableRng, rngs::StdRng, seq::SliceRandom};

use super::{
    Stage,
    grid_arms::{self as arms, Arm, Took},
};
use crate::{
    cli::{
        CliError,
        bench::{
            figures::{Bar, Figure},
            world::World,
        },
    },
    simulator::{self, BatchSettings},
};

/// What a call and a batch take before they are scaled.
const CALL: Duration = Duration::from_millis(1_700);
const BATCH: Duration = Duration::from_secs(45);
/// How batches change: a word, and what their time is multiplied with.
const PHASES: [(&str, f64); 3] = [("usual", 1.0), ("faster", 0.2), ("slower", 5.0)];
/// By so much a choice may be worse than the better way.
const WORSE: f64 = 1.10;

pub(super) async fn run(stage: &Stage<'_>) -> Result<Vec<Figure>, CliError> {
    let (sizes, scale) = (&stage.args.sizes, stage.args.scale);
    let simulated = simulator::Settings {
        models: arms::models(sizes, CALL / scale),
        batches: batches(scale, 1.0),
        seed: stage.args.seed,
        ..simulator::Settings::default()
    };
    World::with(stage.place, simulated, async |world| {
        arms::write(world, sizes)?;
        let engine = arms::engine(world, scale)?;
        let told = measured(world, stage).await;
        engine.stop().await?;
        told
    })
    .await
}

fn batches(scale: u32, times: f64) -> BatchSettings {
    BatchSettings {
        median_ms: (BATCH / scale).as_secs_f64() * 1_000.0 * times,
        max_jobs: 1_000,
        ..BatchSettings::default()
    }
}

async fn measured(world: &World<'_>, stage: &Stage<'_>) -> Result<Vec<Figure>, CliError> {
    let args = stage.args;
    let mut chance = StdRng::seed_from_u64(args.seed);
    let mut singly = Vec::new();
    for size in &args.sizes {
        singly.push(arms::one(world, Arm::Singly, *size).await?);
    }
    let mut figures = Vec::new();
    for (phase, times) in PHASES {
        stage.printer.say(format_args!(
            "grid: batches take {times} x, {} choices to learn",
            args.decisions
        ));
        world
            .simulator
            .set_batches(batches(args.scale, times))
            .map_err(|error| {
                CliError::input(error.to_string(), "this is a mistake in the bench")
            })?;
        let batched = arms::together(world, Arm::Batch, &args.sizes).await?;
        let quick = quick(world, stage, &mut chance).await?;
        let cheap = cheap(world, stage).await?;
        for (size, at) in args.sizes.iter().zip(0..) {
            let ways = [&singly[at], &batched[at]];
            figures.push(in_time(phase, *size, ways, &quick[at]));
            figures.push(in_money(phase, *size, ways, &cheap[at]));
        }
        let all = [&singly, &batched, &quick, &cheap];
        figures.push(lost(phase, all.into_iter().flatten()));
    }
    Ok(figures)
}

/// Learns by so many choices, then measures each size, one after the other.
async fn quick(
    world: &World<'_>,
    stage: &Stage<'_>,
    chance: &mut StdRng,
) -> Result<Vec<Took>, CliError> {
    let sizes = &stage.args.sizes;
    let mut order: Vec<u32> = sizes
        .iter()
        .cycle()
        .take(stage.args.decisions as usize)
        .copied()
        .collect();
    order.shuffle(chance);
    for size in order {
        let took = arms::one(world, Arm::Quick, size).await?;
        tell(stage, "learns", &took);
    }
    let mut all = Vec::new();
    for size in sizes {
        let took = arms::one(world, Arm::Quick, *size).await?;
        tell(stage, "is measured", &took);
        all.push(took);
    }
    Ok(all)
}

/// The same of bulk: all sizes at once, as often as makes so many choices.
async fn cheap(world: &World<'_>, stage: &Stage<'_>) -> Result<Vec<Took>, CliError> {
    let sizes = &stage.args.sizes;
    let rounds = (stage.args.decisions as usize / sizes.len()).max(1);
    for _ in 0..rounds {
        arms::together(world, Arm::Cheap, sizes).await?;
    }
    arms::together(world, Arm::Cheap, sizes).await
}

fn lost<'a>(phase: &str, all: impl Iterator<Item = &'a Took>) -> Figure {
    let lost: i64 = all.map(|it| it.lost).sum();
    let what = format!("{phase}: tasks without an answer");
    let figure = Figure::new("grid", format!("{phase}_lost"), what, lost as f64, "");
    figure.must(Bar::Exactly(0.0))
}

fn tell(stage: &Stage<'_>, what: &str, took: &Took) {
    let (way, why) = took.choice.clone().unwrap_or_default();
    let Took { size, seconds, .. } = took;
    stage.printer.say(format_args!(
        "  {what}: {size} in {seconds:.2} s by {way} ({why})"
    ));
}

fn in_time(phase: &str, size: u32, ways: [&Took; 2], took: &Took) -> Figure {
    let better = ways[0].seconds.min(ways[1].seconds);
    let way = took.choice.as_ref().map_or("", |it| it.0.as_str());
    Figure::new(
        "grid",
        format!("{phase}_time_{size}"),
        format!(
            "{phase}, {size}, who waits: {way} {:.2} s; singly {:.2} s, batch {:.2} s",
            took.seconds, ways[0].seconds, ways[1].seconds
        ),
        took.seconds / better.max(1e-3),
        "x",
    )
    .bar(Bar::AtMost(WORSE))
}

fn in_money(phase: &str, size: u32, ways: [&Took; 2], took: &Took) -> Figure {
    let better = ways[0].microusd.min(ways[1].microusd);
    let way = took.choice.as_ref().map_or("", |it| it.0.as_str());
    Figure::new(
        "grid",
        format!("{phase}_cost_{size}"),
        format!("{phase}, {size}, bulk: {way}, its cost by the cheaper way's"),
        took.microusd / better.max(1.0),
        "x",
    )
    .must(Bar::AtMost(WORSE))
}
