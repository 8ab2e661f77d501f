//! Chaos: one command, one seed, real processes, and a checker that judges what they did.
//!
//! `cargo test --test chaos -- --seed 7 --seconds 600`. A private Postgres behind a faulty network,
//! a simulated provider, `tidegate work` processes that are killed, frozen and stopped, clients that
//! load, cancel, retry and pause all the while. Then all faults end, and everything must come to its
//! end within a bound; then the history is judged. The seed decides what goes wrong and when; how
//! processes interleave is not reproduced.

mod clients;
mod faults;
mod fleet;
mod gather;
mod heal;
mod history;
mod plan;
mod report;
mod support;
mod watch;
mod world;

use std::{process::ExitCode, sync::Arc, time::Duration};

use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use world::World;

/// Break everything, heal it, and see whether the laws held.
#[derive(Clone, Debug, Parser)]
#[command(name = "chaos")]
struct Args {
    /// What goes wrong, and when [default: drawn, and printed]
    #[arg(long)]
    seed: Option<u64>,
    /// How long, not counting the healing
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: u64,
    /// Processes that work
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=100))]
    workers: u16,
    /// Without faults: what happens then is no fault's fault
    #[arg(long)]
    calm: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("a runtime starts");
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate()).expect("signals are heard");
        // dropped with the runtime, processes are killed, frozen ones too
        tokio::select! {
            code = Box::pin(chaos(args)) => code,
            _ = tokio::signal::ctrl_c() => ExitCode::FAILURE,
            _ = terminate.recv() => ExitCode::FAILURE,
        }
    })
}

async fn chaos(args: Args) -> ExitCode {
    let seed = args.seed.unwrap_or_else(|| rand::random::<u32>().into());
    report::say(format_args!(
        "chaos --seed {seed} --seconds {}",
        args.seconds
    ));
    let world = Arc::new(World::new(seed).await);
    clients::load(&world, Vec::new(), "individual")
        .await
        .expect("as long as all is well a run is loaded");
    let fleet = Arc::new(fleet::Fleet::start(&world, args.workers.into()));
    let watching = CancellationToken::new();
    let watch = tokio::spawn(watch::cooldowns(world.clone(), watching.clone()));
    let ending = CancellationToken::new();
    let clients = clients::start(&world, seed, &ending);

    let length = Duration::from_secs(args.seconds);
    if args.calm {
        tokio::time::sleep(length).await;
    } else {
        faults::wreak(&world, &fleet, seed, length).await;
    }
    ending.cancel();
    report::say("all faults end");
    let mut violations = heal::heal(&world, &fleet, clients).await;
    fleet.end().await;
    watching.cancel();
    let cooldowns = watch.await.expect("the watch ends");

    let mut history = gather::history(&world, &fleet).await;
    history.cooldowns = cooldowns;
    violations.extend(history::check(&history));
    violations.extend(fleet.violations());
    report::tell(&world, &fleet, &history, &violations, seed).await
}
