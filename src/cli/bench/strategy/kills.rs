//! Provider batches while worker processes are killed at random moments, on a seed, and the provider loses
//! replies and uploads and refuses creates: judged by its own account.

use std::time::Duration;

use rand::{RngExt as _, SeedableRng, rngs::StdRng};
use tokio::time::Instant;
use uuid::Uuid;

use super::{Stage, account::Account, scene};
use crate::{
    cli::{
        CliError,
        bench::{
            figures::{Bar, Figure},
            workers::Fleet,
            world::World,
        },
    },
    simulator::{self, BatchSettings, ModelSettings},
};

const MODEL: &str = "model-1";
/// Items of a run, which is a batch.
const ITEMS: u32 = 150;
/// Processes, whatever is asked for elsewhere: others must go on.
const PROCESSES: u32 = 3;
/// From one death to the next, and from one run to the next.
const PAUSE_MS: (u64, u64) = (100, 1_200);

pub(super) async fn run(stage: &Stage<'_>) -> Result<Vec<Figure>, CliError> {
    let seconds = stage.args.seconds;
    stage.printer.say(format_args!(
        "kills: {seconds} s of deaths among {PROCESSES} processes, seed {}",
        stage.args.seed
    ));
    let simulated = simulator::Settings {
        models: vec![ModelSettings::named(MODEL)],
        batches: BatchSettings {
            median_ms: 1_500.0,
            p99_ms: Some(5_000.0),
            list_lag_ms: 100,
            lost_replies: 0.2,
            lost_uploads: 0.2,
            create_503: 0.1,
            ..BatchSettings::default()
        },
        seed: stage.args.seed,
        ..simulator::Settings::default()
    };
    World::with(stage.place, simulated, async |world| {
        let models = scene::model(scene::ENTRY, MODEL, &scene::free(1_000))
            + &scene::model(scene::OTHER_ENTRY, MODEL, &scene::free(1_000));
        let more = "[work]\nlease_s = 5\n[batches]\npoll_s = 1\nlookup_s = 2\n";
        let settings = scene::settings(world.simulator, &models, more);
        let size = (PROCESSES, stage.args.slots);
        let ((runs, deaths), _) = world
            .with_fleet(&settings, size, async |fleet| {
                let runs = killed(world, fleet, stage).await?;
                for run in &runs {
                    world.ended(*run, || fleet.check()).await?;
                }
                world.until_batches_are_over().await?;
                Ok((runs, fleet.deaths))
            })
            .await?;
        let mut done = 0;
        for run in &runs {
            done += world.store.run_stand(*run).await?.done;
        }
        let account = Account::of(world, &runs).await?;
        Ok(figures(&account, runs.len(), done, deaths))
    })
    .await
}

/// Loads runs by either vendor's wire, and kills meanwhile. Returns the runs.
async fn killed(
    world: &World<'_>,
    fleet: &mut Fleet,
    stage: &Stage<'_>,
) -> Result<Vec<Uuid>, CliError> {
    let mut chance = StdRng::seed_from_u64(stage.args.seed);
    let pause = move |chance: &mut StdRng| {
        Duration::from_millis(chance.random_range(PAUSE_MS.0..PAUSE_MS.1))
    };
    let until = Instant::now() + Duration::from_secs(stage.args.seconds.into());
    let mut runs = Vec::new();
    let mut next_run = Instant::now();
    while Instant::now() < until || runs.is_empty() {
        if Instant::now() >= next_run {
            runs.push(loaded(world, runs.len()).await?);
            next_run = Instant::now() + pause(&mut chance);
        }
        let rest = pause(&mut chance);
        world.rest(rest).await?;
        fleet.check()?;
        let whom = chance.random_range(0..PROCESSES as usize);
        fleet.kill(whom).await?;
    }
    Ok(runs)
}

/// The next run, of items that no other has, by one wire and the other in turn.
async fn loaded(world: &World<'_>, number: usize) -> Result<Uuid, CliError> {
    let folder = &world.folder.0;
    let entry = [scene::ENTRY, scene::OTHER_ENTRY][number % 2];
    let name = format!("bench_kills_{number}");
    let from = u32::try_from(number).unwrap_or(0) * ITEMS;
    scene::worker(folder, &name, &format!("{entry}/{MODEL}"), "")?;
    scene::items(folder, &name, from, ITEMS)?;
    let args = ["--batching-strategy", "batch"];
    Ok(world.load_from(&name, &args).await?.0)
}

fn figures(account: &Account, runs: usize, done: i64, deaths: u32) -> Vec<Figure> {
    let of = |name: &str, what: &str, value: f64| Figure::new("kills", name, what, value, "");
    let all = runs as f64 * f64::from(ITEMS);
    let none = Bar::Exactly(0.0);
    let left = account.left;
    vec![
        of("deaths", "processes killed", f64::from(deaths)),
        of("runs", "runs", runs as f64),
        of("batches", "batches at the provider", account.batches as f64),
        of(
            "cancelled",
            "of these, given up and cancelled",
            account.cancelled as f64,
        ),
        of("lost", "tasks that were lost", all - done as f64).must(none),
        of(
            "doubled",
            "batches that are there twice",
            account.doubled as f64,
        )
        .must(none),
        of(
            "orphaned",
            "batches that nobody knows or ends",
            account.orphaned as f64,
        )
        .must(none),
        of("files", "files left at the provider", account.files as f64).must(none),
        of("again", "items asked more than once", account.again as f64).must(none),
        of("results", "tasks with two results", left.doubled as f64).must(none),
        of(
            "left",
            "batches not over, tasks owed, books that disagree",
            (left.batches + left.owed + left.disagreements) as f64,
        )
        .must(none),
        of(
            "answered",
            "answers in the ledger",
            account.ledger.answered as f64,
        )
        .must(Bar::Exactly(all)),
        of(
            "open",
            "rows of the ledger without an end",
            account.ledger.open as f64,
        )
        .must(none),
        of(
            "off",
            "tokens and micro-dollars that are not the provider's (1: they differ)",
            f64::from(u8::from(!account.is_exact())),
        )
        .must(none),
    ]
}
