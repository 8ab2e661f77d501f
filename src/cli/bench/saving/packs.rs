//! Five items in a prompt: calls an item, with whole answers and with damaged ones; and every answer that
//! was stored beside what the simulator says to that item alone.

use std::{collections::BTreeSet, time::Duration};

use serde_json::{Value, value::RawValue};

use super::{
    Stage,
    scene::{self, ENTRY, MODEL},
};
use crate::cli::bench::{
    figures::{Bar, Figure},
    world::{Ran, World},
};
use crate::{
    cli::{CliError, bench::workers::io},
    definition::{Definition, Folder},
    engine::Registry,
    provider::{self, CallLimits, Kind, Provider, ProviderSettings},
    simulator::{Faults, Running, Simulator},
    store::bench::StoredAnswer,
    task::{Handler, Item},
};

/// Items of a pack.
const SIZE: u32 = 5;
/// Of all answers, how many are damaged.
const DAMAGED: f64 = 0.2;
/// Calls at once about single items.
const AT_ONCE: usize = 32;

pub(super) async fn run(stage: &Stage<'_>) -> Result<Vec<Figure>, CliError> {
    let mut figures = Vec::new();
    for (name, faults) in [("whole", Faults::default()), ("damaged", damaged())] {
        stage.printer.say(format_args!(
            "packs: {} items in packs of {SIZE}, answers {name}",
            stage.args.packed
        ));
        figures.extend(Box::pin(packed(stage, name, faults)).await?);
    }
    Ok(figures)
}

/// Each way that a pack's answer may be damaged, equally often.
fn damaged() -> Faults {
    let each = DAMAGED / 6.0;
    Faults {
        pack_missing: each,
        pack_doubled: each,
        pack_wrong_id: each,
        pack_swapped_id: each,
        pack_cut: each,
        prose_around: each,
        ..Faults::default()
    }
}

async fn packed(stage: &Stage<'_>, name: &str, faults: Faults) -> Result<Vec<Figure>, CliError> {
    let items = stage.args.packed;
    let mut simulated = scene::simulated();
    simulated.faults = faults;
    World::with(stage.place, simulated, async |world| {
        scene::worker(&world.folder.0, SIZE)?;
        scene::items(&world.folder.0, items, 1, false)?;
        let settings = scene::settings(world.simulator);
        let (ran, _) = world
            .with_fleet(&settings, stage.fleet(), async |fleet| {
                world.run(fleet, &[]).await
            })
            .await?;
        let stored = world.store.answers_stored(ran.run).await?;
        let distinct = compared(world, &stored).await?;
        Ok(figures(world, name, items, &ran, (stored.len(), distinct)))
    })
    .await
}

fn figures(
    world: &World<'_>,
    name: &str,
    items: u32,
    ran: &Ran,
    (compared, distinct): (usize, usize),
) -> Vec<Figure> {
    let whole = name == "whole";
    let of = |word: &str, what: &str, value: f64, unit| {
        let what = format!("{what}, answers {name}");
        Figure::new("packs", format!("{name}_{word}"), what, value, unit)
    };
    let n = f64::from(items);
    let bar = if whole { 0.22 } else { 0.5 };
    let calls = world.calls() as f64;
    let counters = world.simulator.counters();
    let faults: u64 = counters
        .models
        .values()
        .flat_map(|it| it.faults.values())
        .sum();
    vec![
        of("calls_per_item", "calls per item", calls / n, "").must(Bar::AtMost(bar)),
        of("done", "done", ran.stand.done as f64, "").must(Bar::Exactly(n)),
        of(
            "damaged_share",
            "calls whose answer was damaged",
            faults as f64 / calls.max(1.0),
            "",
        ),
        of(
            "same_as_alone",
            "answers that are what the item alone is told",
            compared as f64,
            "",
        )
        .must(Bar::Exactly(n)),
        // else the comparison would prove little
        of("distinct", "different answers", distinct as f64, "").must(Bar::AtLeast(0.99 * n)),
        of(
            "per_second",
            "items/s, load included",
            ran.per_second(ran.took),
            "items/s",
        ),
    ]
}

/// Compares every answer with what the simulator says of that item alone, without faults. Returns how
/// many different answers there are.
async fn compared(world: &World<'_>, stored: &[StoredAnswer]) -> Result<usize, CliError> {
    let alone = Simulator::start(scene::simulated()).await?;
    let compared = compared_with(&alone, world, stored).await;
    alone.shutdown().await?;
    compared
}

async fn compared_with(
    alone: &Running,
    world: &World<'_>,
    stored: &[StoredAnswer],
) -> Result<usize, CliError> {
    let folder = Folder::read(&world.folder.0.join("worker"))?;
    let definition = Definition::check(&folder, &[])?;
    let mistake = |words: String| CliError::input(words, "this is a mistake in the bench");
    let handler = Registry::new().handler(&definition).map_err(mistake)?;
    let provider = provider::build(ProviderSettings {
        base_url: Some(alone.base_url()),
        ..ProviderSettings::new(ENTRY, Kind::Gemini, "no-secret")
    })?;
    let mut distinct = BTreeSet::new();
    for chunk in stored.chunks(AT_ONCE) {
        let asked = chunk.iter().map(|it| asked(&*handler, &*provider, it));
        for (said, it) in futures_util::future::join_all(asked)
            .await
            .into_iter()
            .zip(chunk)
        {
            let (said, kept) = (said?, value(&it.answer)?);
            if said != kept {
                return Err(io(
                    &format!(
                        "accept packs: item {} has the answer {kept}; alone it is told {said}",
                        it.item
                    ),
                    std::io::ErrorKind::InvalidData.into(),
                ));
            }
            distinct.insert(it.answer.as_str());
        }
    }
    Ok(distinct.len())
}

/// What the simulator says of this item alone.
async fn asked(
    handler: &dyn Handler,
    provider: &dyn Provider,
    of: &StoredAnswer,
) -> Result<Value, CliError> {
    let mistake = |words: String| CliError::input(words, "this is a mistake in the bench");
    let number = of
        .item
        .parse()
        .map_err(|_| mistake(format!("the item {:?}", of.item)))?;
    let body = serde_json::json!({"text": scene::text(number)}).to_string();
    let body = RawValue::from_string(body).map_err(|error| mistake(error.to_string()))?;
    let item = Item::new(of.item.clone(), body);
    let request = handler.request(&item).map_err(|error| mistake(error.0))?;
    let limits = CallLimits {
        timeout: Duration::from_secs(30),
        ..CallLimits::default()
    };
    let exchange = provider.generate(MODEL, &request, &limits).await;
    let reply = exchange
        .answer
        .map_err(|error| mistake(error.to_string()))?;
    value(&reply.text)
}

fn value(text: &str) -> Result<Value, CliError> {
    serde_json::from_str(text).map_err(|error| io(&format!("read {text:?} as JSON"), error.into()))
}
