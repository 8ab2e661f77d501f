//! A connected client asks for vectors while bulk work of other processes fills the same model's limits.

use std::time::Duration;

use tokio::time::Instant;

use super::{
    Stage,
    client::{Asked, Client, by_prompt, call_of, ms},
    lists, scene,
};
use crate::{
    cli::{
        CliError,
        bench::{
            figures::{Bar, Figure, percentile},
            world::World,
        },
    },
    simulator::{self, ModelSettings, WindowKind},
};

/// The model of vectors.
const MODEL: &str = "embedding-1";
const WORKER: &str = "bench_bulk";
/// Least time from one question to the next.
const EVERY: Duration = Duration::from_millis(200);
/// Questions before bulk work is there: connections are warm, and limits know that somebody asks.
const WARM: u32 = 3;
/// Of the two ways of asking, questions are numbered from here on.
const SINGLES: u32 = 10_000_000;
const LISTS: u32 = 20_000_000;

/// A limit that bulk needs more than three minutes under.
fn per_minute(bulk: u32) -> u32 {
    (bulk * 3 / 10).max(1_200)
}

pub(super) async fn run(stage: &Stage<'_>) -> Result<Vec<Figure>, CliError> {
    let (bulk, seconds) = (stage.args.bulk, stage.args.seconds);
    let rpm = per_minute(bulk);
    let burst = rpm / 6;
    stage.printer.say(format_args!(
        "beside: a client for {seconds} s while {bulk} bulk tasks wait for {rpm} calls a minute"
    ));
    let simulated = simulator::Settings {
        models: vec![ModelSettings {
            rpm: Some(rpm.into()),
            window: WindowKind::Bucket,
            burst: Some(burst.into()),
            ..ModelSettings::named(MODEL)
        }],
        latency: scene::spread(),
        seed: stage.args.seed,
        ..simulator::Settings::default()
    };
    World::with(stage.place, simulated, async |world| {
        let folder = &world.folder.0;
        let model = format!("{}/{MODEL}", scene::ENTRY);
        let embeds = "[embed]\ndimensions = 768\n[pack]\nsize = 1";
        scene::worker(folder, WORKER, &model, embeds)?;
        scene::items(folder, WORKER, 0, bulk)?;
        let limits =
            format!("rpm = {rpm}\nwindow = \"bucket\"\nburst = {burst}\nmax_concurrency = 1_000");
        let models = scene::model(scene::ENTRY, MODEL, &limits);
        let settings = scene::settings(world.simulator, &models, "");
        let (figures, _) = world
            .with_fleet(&settings, stage.fleet(), async |_| {
                Client::with(world, MODEL, async |client| {
                    measured(world, client, stage, burst).await
                })
                .await
            })
            .await?;
        Ok(figures)
    })
    .await
}

async fn measured(
    world: &World<'_>,
    client: &Client,
    stage: &Stage<'_>,
    burst: u32,
) -> Result<Vec<Figure>, CliError> {
    for number in 0..WARM {
        client.embed(vec![question(number)]).await?;
    }
    let (run, _) = world.load_from(WORKER, &[]).await?;
    // until what may go at once has gone: from then on bulk takes each call that becomes free
    let began = Instant::now();
    while world.calls() < u64::from(burst / 2) {
        if began.elapsed() > FILLED_WITHIN {
            return Err(CliError::input(
                "bulk work does not fill the model's limits",
                "see the server's log",
            ));
        }
        world.rest(Duration::from_millis(50)).await?;
    }
    let (calls, began) = (world.calls(), Instant::now());
    let until = began + Duration::from_secs(stage.args.seconds.into());
    let mut asked: Vec<Asked> = Vec::new();
    let mut number = SINGLES;
    while Instant::now() < until {
        let next = Instant::now() + EVERY;
        asked.push(client.embed(vec![question(number)]).await?);
        number += 1;
        world
            .rest(next.saturating_duration_since(Instant::now()))
            .await?;
    }
    let beside = world.calls() - calls - asked.len() as u64;
    let per_second = beside as f64 / began.elapsed().as_secs_f64();
    let mut figures = singles(world, &asked);
    let rounds = (stage.args.seconds / 5).clamp(2, 7);
    figures.extend(lists::measured(client, LISTS, rounds).await?);
    let left = world.store.run_stand(run).await?;
    let refused: u64 = world
        .simulator
        .counters()
        .models
        .values()
        .map(|it| it.refused_429)
        .sum();
    let of =
        |name: &str, what: &str, value: f64, unit| Figure::new("beside", name, what, value, unit);
    figures.extend([
        of(
            "bulk_per_second",
            "bulk calls a second meanwhile",
            per_second,
            "/s",
        ),
        of(
            "bulk_left",
            "bulk tasks that still wait at the end",
            (left.tasks - left.done - left.failed) as f64,
            "",
        )
        .must(Bar::AtLeast(1.0)),
        of(
            "refused",
            "calls that the provider refused (429)",
            refused as f64,
            "",
        )
        .bar(Bar::AtMost(0.0)),
    ]);
    Ok(figures)
}

fn singles(world: &World<'_>, asked: &[Asked]) -> Vec<Figure> {
    let calls = by_prompt(world.simulator.log());
    let mut over: Vec<f64> = Vec::new();
    for it in asked {
        if let Some(call) = call_of(&calls, it) {
            over.push(it.own_ms() - call.took_ms as f64);
        }
    }
    let mut waits: Vec<f64> = asked.iter().map(|it| ms(it.waited)).collect();
    let waited = waits.iter().filter(|it| **it > 0.0).count();
    let whole = asked.iter().filter(|it| it.whole).count();
    let of =
        |name: &str, what: &str, value: f64, unit| Figure::new("beside", name, what, value, unit);
    let all = Bar::Exactly(asked.len() as f64);
    vec![
        of("asked", "texts asked one by one", asked.len() as f64, ""),
        of("whole", "of these, a vector came", whole as f64, "").must(all),
        of(
            "once",
            "of these, the provider was called once",
            over.len() as f64,
            "",
        )
        .must(all),
        of(
            "over_p50_ms",
            "client's time less the provider's, p50",
            percentile(&mut over, 50),
            "ms",
        )
        .bar(Bar::AtMost(30.0)),
        of(
            "over_p99_ms",
            "the same, p99",
            percentile(&mut over, 99),
            "ms",
        )
        .bar(Bar::AtMost(100.0)),
        of("waited", "texts that waited for a limit", waited as f64, ""),
        of(
            "waited_p99_ms",
            "waited for limits, p99",
            percentile(&mut waits, 99),
            "ms",
        ),
    ]
}

/// The text of a question; no two are equal, and none is a bulk task's.
pub(super) fn question(number: u32) -> String {
    format!("What did somebody ask whose question has the number {number}?")
}

/// How long bulk work may take to fill the limits.
const FILLED_WITHIN: Duration = Duration::from_secs(60);
