//! Equal tasks at once, over real processes: asked once, and given to all.

use super::{Stage, scene};
use crate::cli::bench::{
    figures::{Bar, Figure},
    world::World,
};
use crate::{cli::CliError, simulator::Latency};

/// Tasks, and processes.
const TASKS: u32 = 100;
const PROCESSES: u32 = 4;

pub(super) async fn run(stage: &Stage<'_>) -> Result<Vec<Figure>, CliError> {
    stage.printer.say(format_args!(
        "equal: {TASKS} equal tasks at once, {PROCESSES} processes"
    ));
    let mut simulated = scene::simulated();
    // long enough that all processes look while it is asked
    simulated.latency = Latency {
        median_ms: 1_000.0,
        ..Latency::default()
    };
    World::with(stage.place, simulated, async |world| {
        scene::worker(&world.folder.0, 1)?;
        scene::items(&world.folder.0, TASKS, 1, true)?;
        let settings = scene::settings(world.simulator);
        let size = (PROCESSES, stage.args.slots);
        let (ran, _) = world
            .with_fleet(&settings, size, async |fleet| world.run(fleet, &[]).await)
            .await?;
        let stored = world.store.answers_stored(ran.run).await?;
        let first = stored.first().map(|it| &it.answer);
        let alike = stored.iter().filter(|it| Some(&it.answer) == first).count();
        let of = |name: &str, what: &str, value: f64, unit| {
            Figure::new("equal", name, what, value, unit)
        };
        let tasks = f64::from(TASKS);
        Ok(vec![
            of(
                "calls",
                "calls for 100 equal tasks",
                world.calls() as f64,
                "",
            )
            .must(Bar::Exactly(1.0)),
            of("done", "done", ran.stand.done as f64, "").must(Bar::Exactly(tasks)),
            of("alike", "have the one answer", alike as f64, "").must(Bar::Exactly(tasks)),
            of(
                "seconds",
                "from the end of the load (the call takes 1 s)",
                ran.worked.as_secs_f64(),
                "s",
            ),
        ])
    })
    .await
}
