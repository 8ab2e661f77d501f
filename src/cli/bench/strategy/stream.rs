//! Streamed answers: how much later than at the provider the first piece is here.

use super::{
    Stage,
    client::{Asked, Client, by_prompt, call_of, ms},
    scene,
};
use crate::{
    cli::{
        CliError,
        bench::{
            figures::{Bar, Figure, percentile},
            world::World,
        },
    },
    simulator::{self, Latency, ModelSettings},
};

const MODEL: &str = "model-1";
/// Streams of each second that the case is given.
const PER_SECOND: u32 = 2;

pub(super) async fn run(stage: &Stage<'_>) -> Result<Vec<Figure>, CliError> {
    let streams = stage.args.seconds * PER_SECOND;
    stage.printer.say(format_args!(
        "stream: {streams} answers, one after the other"
    ));
    let simulated = simulator::Settings {
        models: vec![ModelSettings::named(MODEL)],
        latency: Latency {
            median_ms: 400.0,
            ..Latency::default()
        },
        seed: stage.args.seed,
        ..simulator::Settings::default()
    };
    World::with(stage.place, simulated, async |world| {
        let models = scene::model(scene::ENTRY, MODEL, &scene::free(100));
        let settings = scene::settings(world.simulator, &models, "");
        let (asked, _) = world
            .with_fleet(&settings, (1, 1), async |_| {
                Client::with(world, MODEL, async |client| {
                    // the first finds connections cold
                    client.stream(scene::text(0)).await?;
                    let mut asked = Vec::new();
                    for number in 1..=streams {
                        asked.push(client.stream(scene::text(number)).await?);
                        world.rest(std::time::Duration::ZERO).await?;
                    }
                    Ok(asked)
                })
                .await
            })
            .await?;
        Ok(figures(world, &asked))
    })
    .await
}

fn figures(world: &World<'_>, asked: &[Asked]) -> Vec<Figure> {
    let calls = by_prompt(world.simulator.log());
    let mut over: Vec<f64> = Vec::new();
    for it in asked {
        let call = call_of(&calls, it).and_then(|call| call.first_ms);
        if let (Some(there), Some(here)) = (call, it.first) {
            over.push(ms(here.saturating_sub(it.waited)) - there as f64);
        }
    }
    let whole = asked.iter().filter(|it| it.whole).count();
    let of =
        |name: &str, what: &str, value: f64, unit| Figure::new("stream", name, what, value, unit);
    let all = Bar::Exactly(asked.len() as f64);
    vec![
        of("whole", "pieces in a row are the answer", whole as f64, "").must(all),
        of("once", "streams that are one call", over.len() as f64, "").must(all),
        of(
            "first_p50_ms",
            "first piece here, after it left the provider, p50",
            percentile(&mut over, 50),
            "ms",
        )
        .bar(Bar::AtMost(15.0)),
        of(
            "first_p99_ms",
            "the same, p99",
            percentile(&mut over, 99),
            "ms",
        )
        .bar(Bar::AtMost(15.0)),
    ]
}
