//! All items a second time, unchanged: nothing is asked. Then a tenth of them in another version: these are.

use std::collections::BTreeMap;

use super::{Stage, scene};
use crate::cli::CliError;
use crate::cli::bench::{
    figures::{Bar, Figure},
    world::{Ran, World},
};

/// What the three runs came to.
struct Runs {
    first: (Ran, u64),
    second: (Ran, u64),
    third: (Ran, u64),
    /// Changed items that were asked about once; calls about anything else.
    asked: u32,
    besides: u64,
}

pub(super) async fn run(stage: &Stage<'_>) -> Result<Vec<Figure>, CliError> {
    let items = stage.args.items;
    stage.printer.say(format_args!(
        "again: {items} items three times, {} process(es) of {} slots",
        stage.args.processes, stage.args.slots
    ));
    World::with(stage.place, scene::simulated(), async |world| {
        let folder = &world.folder.0;
        scene::worker(folder, 1)?;
        scene::items(folder, items, 1, false)?;
        let settings = scene::settings(world.simulator);
        let (runs, memory) = world
            .with_fleet(&settings, stage.fleet(), async |fleet| {
                let first = (world.run(fleet, &[]).await?, world.calls());
                let second = (world.run(fleet, &[]).await?, world.calls());
                scene::items(folder, items, 2, false)?;
                let third = (world.run(fleet, &[]).await?, world.calls());
                let (asked, besides) = changed_asked(world, items, second.1);
                Ok(Runs {
                    first,
                    second,
                    third,
                    asked,
                    besides,
                })
            })
            .await?;
        Ok(figures(&runs, items, memory))
    })
    .await
}

/// Changed items that were asked about once since, and calls about anything else; by the log.
fn changed_asked(world: &World<'_>, items: u32, since: u64) -> (u32, u64) {
    let mut calls: BTreeMap<String, u64> = BTreeMap::new();
    for call in world.log_after(since) {
        *calls.entry(call.prompt).or_default() += 1;
    }
    let mut asked = 0;
    for number in (0..items).filter(|it| scene::is_changed(*it)) {
        let hash = scene::prompt_hash(&scene::text(number));
        if calls.get(&hash) == Some(&1) {
            calls.remove(&hash);
            asked += 1;
        }
    }
    (asked, calls.values().sum())
}

fn figures(runs: &Runs, items: u32, memory: Option<f64>) -> Vec<Figure> {
    let of =
        |name: &str, what: &str, value: f64, unit| Figure::new("again", name, what, value, unit);
    let (first, second, third) = (runs.first, runs.second, runs.third);
    let calls = |after: u64, before: u64| (after - before) as f64;
    let items = f64::from(items);
    let changed = (items / f64::from(scene::CHANGED_EVERY)).ceil();
    let done = |ran: &Ran| ran.stand.done as f64;
    let rate = "items/s";
    let fast = Bar::AtLeast(5_000.0);
    let mut figures = vec![
        of("first_calls", "calls of the first run", first.1 as f64, "").must(Bar::Exactly(items)),
        of(
            "first_per_second",
            "first run, load included",
            first.0.per_second(first.0.took),
            rate,
        ),
        of(
            "second_calls",
            "calls of the second run",
            calls(second.1, first.1),
            "",
        )
        .must(Bar::Exactly(0.0)),
        of("second_done", "done in the second run", done(&second.0), "").must(Bar::Exactly(items)),
        of(
            "second_per_second",
            "second run, load included",
            second.0.per_second(second.0.took),
            rate,
        )
        .bar(fast),
        of(
            "second_per_second_loaded",
            "second run, from the end of its load",
            second.0.per_second(second.0.worked),
            rate,
        )
        .bar(fast),
        of(
            "second_load_per_second",
            "load of the second run alone",
            second.0.per_second(second.0.loaded),
            rate,
        ),
        of(
            "third_calls",
            "calls when a tenth changed its version",
            calls(third.1, second.1),
            "",
        )
        .must(Bar::Exactly(changed)),
        of(
            "third_changed_asked",
            "changed items that were asked about once",
            f64::from(runs.asked),
            "",
        )
        .must(Bar::Exactly(changed)),
        of(
            "third_others_asked",
            "calls about others",
            runs.besides as f64,
            "",
        )
        .must(Bar::Exactly(0.0)),
        of("third_done", "done in the third run", done(&third.0), "").must(Bar::Exactly(items)),
    ];
    figures.extend(memory.map(|mb| of("worker_mb", "most memory of a worker process", mb, "MB")));
    let loader = [first.0, second.0, third.0]
        .iter()
        .filter_map(|it| it.loader_mb)
        .max_by(f64::total_cmp);
    figures.extend(loader.map(|mb| of("loader_mb", "most memory of a loader", mb, "MB")));
    figures
}
