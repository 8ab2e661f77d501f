//! Screens that are redrawn each second until Ctrl-C, or until nobody reads.

use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{CliError, Context, Exit, Opened};

/// Prints what `screen` makes: once, or with `watch` each second. On a terminal it is redrawn in
/// place; elsewhere each is printed below the last.
pub(super) async fn show(
    context: &Context,
    watch: bool,
    screen: impl AsyncFn(&Opened) -> Result<String, CliError>,
) -> Result<Exit, CliError> {
    let printer = &context.printer;
    context
        .with_store(async |opened| {
            if !watch {
                printer.write(&screen(opened).await?)?;
                return Ok(Exit::Ok);
            }
            let mut stop = StopSignals::listen()?;
            let mut ticks = tokio::time::interval(EVERY);
            ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                tokio::select! {
                    () = stop.next() => return Ok(Exit::Ok),
                    _ = ticks.tick() => {}
                }
                let text = screen(opened).await?;
                if printer.stdout_is_terminal() && !printer.is_json() {
                    printer.write(&format!("{CLEAR}{text}"))?;
                } else {
                    printer.write(&text)?;
                }
            }
        })
        .await
}

/// Listens for both from the moment it is made, so that none is missed.
#[derive(Debug)]
struct StopSignals {
    interrupt: Signal,
    terminate: Signal,
}

impl StopSignals {
    /// Starts listening; from here on neither ends the process by itself.
    fn listen() -> Result<Self, CliError> {
        let on = |kind| {
            signal(kind).map_err(|source| CliError::Io {
                doing: "listen for signals".to_owned(),
                source,
            })
        };
        Ok(Self {
            interrupt: on(SignalKind::interrupt())?,
            terminate: on(SignalKind::terminate())?,
        })
    }

    /// Waits for the next of them.
    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

const EVERY: Duration = Duration::from_secs(1);
/// To the upper left corner, and nothing below.
const CLEAR: &str = "\u{1b}[H\u{1b}[2J";
