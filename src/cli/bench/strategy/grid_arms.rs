//! The arms of the grid: always one by one, always by batch, and what is best, each with models of its own, so
//! that none learns or is slowed by another.

use std::time::Duration;

use futures_util::future::try_join_all;
use uuid::Uuid;

use super::{client, scene};
use crate::{
    cli::{
        CliError,
        bench::{fleet::Within, world::World},
    },
    engine::{BatchSettings, Engine, Registry, Settings},
    simulator::{Latency, ModelSettings},
};

/// Calls at once of each model.
const AT_ONCE: u32 = 5;

/// One way of asking, always or as it is best.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arm {
    /// One by one; each size has a model of its own.
    Singly,
    /// By batch.
    Batch,
    /// As it is best for who waits.
    Quick,
    /// As it is best for bulk.
    Cheap,
}

const ARMS: [Arm; 4] = [Arm::Singly, Arm::Batch, Arm::Quick, Arm::Cheap];

impl Arm {
    fn model(self, size: u32) -> String {
        match self {
            Self::Singly => format!("single-{size}"),
            Self::Batch => "batch".to_owned(),
            Self::Quick => "quick".to_owned(),
            Self::Cheap => "cheap".to_owned(),
        }
    }

    fn folder(self, size: u32) -> String {
        format!("{}-of-{size}", self.model(size))
    }

    fn strategy(self) -> &'static str {
        match self {
            Self::Singly => "",
            Self::Batch => "[strategy]\nmode = \"batch\"\n",
            Self::Quick => "[strategy]\nmode = \"auto\"\npurpose = \"interactive\"\n",
            Self::Cheap => "[strategy]\nmode = \"auto\"\npurpose = \"bulk\"\n",
        }
    }
}

/// What one run took, by the database's clock and the ledger.
#[derive(Clone, Debug)]
pub(super) struct Took {
    pub(super) size: u32,
    pub(super) seconds: f64,
    pub(super) microusd: f64,
    /// How it was asked, and why, where that was chosen.
    pub(super) choice: Option<(String, String)>,
    /// Tasks that have no answer.
    pub(super) lost: i64,
}

/// The grid's models as the simulator has them.
pub(super) fn models(sizes: &[u32], call: Duration) -> Vec<ModelSettings> {
    let mut models: Vec<ModelSettings> = Vec::new();
    for name in names(sizes) {
        models.push(ModelSettings {
            latency: Some(Latency {
                median_ms: client::ms(call),
                ..Latency::default()
            }),
            ..ModelSettings::named(name)
        });
    }
    models
}

fn names(sizes: &[u32]) -> Vec<String> {
    let singles = sizes.iter().map(|size| Arm::Singly.model(*size));
    let others = [Arm::Batch, Arm::Quick, Arm::Cheap].map(|arm| arm.model(0));
    singles.chain(others).collect()
}

/// Writes all folders and the program's settings.
pub(super) fn write(world: &World<'_>, sizes: &[u32]) -> Result<(), CliError> {
    let folder = &world.folder.0;
    for size in sizes {
        for arm in ARMS {
            let (name, model) = (arm.folder(*size), arm.model(*size));
            let model = format!("{}/{model}", scene::ENTRY);
            scene::worker(folder, &name, &model, arm.strategy())?;
            scene::items(folder, &name, 0, *size)?;
        }
    }
    let models = names(sizes);
    let models = models
        .iter()
        .map(|name| scene::model(scene::ENTRY, name, &scene::free(AT_ONCE)));
    let models: String = models.collect();
    let settings = scene::settings(world.simulator, &models, "");
    scene::write(folder, "tidegate.toml", settings)
}

/// A process of the fleet in here, whose looks at tasks and batches are as much closer as the provider is faster.
pub(super) fn engine(world: &World<'_>, scale: u32) -> Result<Within, CliError> {
    let least = Duration::from_millis(10);
    let settings = Settings {
        slots: 200,
        poll: (Duration::from_millis(200) / scale).max(least),
        status: None,
        batches: BatchSettings {
            poll: (Duration::from_secs(1) / scale).max(least),
            poll_max: (Duration::from_secs(60) / scale).max(least),
            lookup: Duration::from_secs(60),
        },
        ..Settings::default()
    };
    Ok(Within::start(Engine::new(
        world.store.clone(),
        world.settings.clone(),
        client::providers(world.simulator)?,
        Registry::new(),
        settings,
    )))
}

/// A run of this size, from its load's end to its last answer.
pub(super) async fn one(world: &World<'_>, arm: Arm, size: u32) -> Result<Took, CliError> {
    let (run, _) = world.load_from(&arm.folder(size), &[]).await?;
    let stand = world.ended(run, || Ok(())).await?;
    // else summed up every 2 s, which are many runs of a provider that is scaled down
    world.store.learn_latencies().await?;
    Ok(Took {
        size,
        seconds: seconds(world, run).await?,
        microusd: world.store.run_ledger(&[run]).await?.cost_microusd as f64,
        choice: world.store.choice_of(run).await?,
        lost: i64::from(size) - stand.done,
    })
}

/// Runs of all sizes side by side.
pub(super) async fn together(
    world: &World<'_>,
    arm: Arm,
    sizes: &[u32],
) -> Result<Vec<Took>, CliError> {
    try_join_all(sizes.iter().map(|size| one(world, arm, *size))).await
}

async fn seconds(world: &World<'_>, run: Uuid) -> Result<f64, CliError> {
    let span = world.store.run_span(run).await?;
    let from = span.loaded_at.unwrap_or(span.created_at);
    let took = span.last_at.unwrap_or(from) - from;
    Ok(took.to_std().unwrap_or_default().as_secs_f64()) // none below zero
}
