//! `tidegate bench limits`: how well a fleet uses limits of a provider, by the provider's own log.
//!
//! Each case has a database, a provider and processes of its own: `scenario` says what it is, `told` what
//! each side knows of it, `case` does it, `measure` reads the log, `optimum` says what could have been, `report` shows it.

mod case;
mod claimer;
mod claims;
mod measure;
mod nginx;
mod optimum;
mod provider;
mod report;
mod scenario;
mod told;

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{CliError, Context, Exit};
use crate::{
    cli::{Printer, stop},
    store,
};

use case::Case;
use report::Measured;
use scenario::{Known, Scene, Window};

#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// Tasks of a run
    #[arg(long, default_value_t = 1_500, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    tasks: u32,
    /// Worker processes, a case for each number
    #[arg(long, default_value = "1,4,16", value_name = "N,M", value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..=64))]
    processes: Vec<u32>,
    /// Calls a process makes at once
    #[arg(long, default_value_t = 10, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    slots: u32,
    /// Requests per minute of each model, in order of the ladder
    #[arg(long, default_value = "120,240,360,480", value_name = "RPM,..", value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    models: Vec<u32>,
    /// How the provider counts its minute, a case for each
    #[arg(
        long,
        default_value = "bucket",
        value_name = "WAY,..",
        value_delimiter = ','
    )]
    window: Vec<Window>,
    /// What the fleet is told of the limits, a case for each
    #[arg(
        long,
        default_value = "all",
        value_name = "WHAT,..",
        value_delimiter = ','
    )]
    known: Vec<Known>,
    /// Refused calls eat quota too
    #[arg(long)]
    count_refused: bool,
    /// A limit of tokens per minute that binds, and prompts of varying length
    #[arg(long)]
    tokens: bool,
    /// SIGKILL half of the processes each so many seconds, and start others
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=3_600))]
    kill: Option<u32>,
    /// Halve all limits when half of the tasks are done; the fleet is not told
    #[arg(long)]
    halve: bool,
    /// Runs on one database, a window apart: later ones use what the first learned
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=20))]
    runs: u32,
    /// How long a call takes, in the middle; one in a hundred takes three times as long
    #[arg(long, default_value_t = 300, value_name = "MS", value_parser = clap::value_parser!(u32).range(0..=60_000))]
    latency: u32,
    /// Ask an nginx with limit_req instead of our simulator: buckets only, answers at once
    #[arg(long, conflicts_with_all = ["count_refused", "tokens", "halve"])]
    independent: bool,
    /// Measure claims alone: so many connections claim under these limits, all calls end at once
    #[arg(long, conflicts_with_all = ["count_refused", "tokens", "halve", "kill", "independent"])]
    claims: bool,
}

pub(super) async fn run(args: Args, context: &Context) -> Result<Exit, CliError> {
    args.check()?;
    let stop = stop::on_request(&context.printer, false)?;
    let opened = Box::pin(context.open_unchecked()).await?;
    let (server, printer) = (&opened.settings, &context.printer);
    let ran = if args.claims {
        let claims = claims::run(&args.models, &args.processes, server, &stop, printer);
        Box::pin(claims).await.map(|()| Exit::Ok)
    } else {
        Box::pin(all(&args.cases(), server, &stop, printer)).await
    };
    let closed = opened.close().await;
    let exit = ran?;
    closed?;
    Ok(exit)
}

/// Case by case: objects as they are there, or a table at the end, of what there is even if it ends
/// by an error.
async fn all(
    cases: &[Case],
    server: &store::Settings,
    stop: &CancellationToken,
    printer: &Printer,
) -> Result<Exit, CliError> {
    let mut measured = Vec::new();
    let mut ran = Ok(());
    for (place, case) in cases.iter().enumerate() {
        printer.say(format_args!(
            "case {} of {}: {case}",
            place + 1,
            cases.len()
        ));
        let tell = |run: Measured| {
            let told = match printer.is_json() {
                true => printer.object(&run),
                false => Ok(()),
            };
            measured.push(run);
            told
        };
        ran = Box::pin(case.run(server, stop, printer, tell)).await;
        if ran.is_err() {
            break;
        }
    }
    if !printer.is_json() && !measured.is_empty() {
        report::show(&measured, printer)?;
    }
    ran?;
    let whole = measured.iter().all(Measured::is_whole);
    Ok(if whole { Exit::Ok } else { Exit::Partial })
}

impl Args {
    /// nginx has one way of counting.
    fn check(&self) -> Result<(), CliError> {
        if self.independent && self.window.iter().any(|window| *window != Window::Bucket) {
            return Err(CliError::input(
                "--independent counts as a bucket, and --window asks for another way",
                "leave out --window, or --independent",
            ));
        }
        Ok(())
    }

    fn cases(&self) -> Vec<Case> {
        let latency = match self.independent {
            true => Duration::ZERO,
            false => Duration::from_millis(self.latency.into()),
        };
        let mut cases = Vec::new();
        for window in &self.window {
            let flags = (self.count_refused, self.tokens);
            let scene = Scene::new(self.tasks, &self.models, *window, latency, flags);
            for known in &self.known {
                cases.extend(self.processes.iter().map(|processes| Case {
                    scene: scene.clone(),
                    known: *known,
                    processes: *processes,
                    slots: self.slots,
                    kill: self.kill.map(|seconds| Duration::from_secs(seconds.into())),
                    halve: self.halve,
                    runs: self.runs,
                    independent: self.independent,
                }));
            }
        }
        cases
    }
}
