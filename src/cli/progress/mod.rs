//! Progress of runs while they are worked: on a terminal a bar with a table below it, redrawn each second;
//! elsewhere lines, on stderr too; for programs a stream of objects on stdout.

mod layout;
mod live;
mod pace;
mod screen;
mod words;

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::time::Instant;
use uuid::Uuid;

use self::live::{Live, Watched};
use self::pace::{LastLine, line_is_due};
use super::{CliError, Printer};
use crate::store::Store;

pub(super) use self::screen::{Size, groups};
pub(super) use self::words::{bytes, dollars, percent, span, thousands, whole};

/// How often the tables are asked.
pub(super) const EVERY: Duration = Duration::from_secs(1);

/// Watches some runs.
pub(super) struct Progress {
    printer: Printer,
    watched: Watched,
    way: Way,
    parked_told: bool,
    told: Option<(Instant, i64)>,
}

/// How it is told.
enum Way {
    Bar(ProgressBar),
    Lines,
    Stream,
}

impl Progress {
    /// Watches these runs, which ask these models, for people.
    pub(super) fn of(
        printer: &Printer,
        store: &Store,
        runs: Vec<Uuid>,
        models: Vec<String>,
    ) -> Self {
        let way = if printer.stderr_is_terminal() {
            let bar = bar();
            printer.way().above(Some(bar.clone()));
            Way::Bar(bar)
        } else {
            Way::Lines
        };
        Self {
            printer: printer.clone(),
            watched: Watched::of(store, runs, models),
            way,
            parked_told: false,
            told: None,
        }
    }

    /// The same, or with `--json` for programs: an object a line.
    pub(super) fn or_stream(
        printer: &Printer,
        store: &Store,
        runs: Vec<Uuid>,
        models: Vec<String>,
    ) -> Self {
        let mut it = Self::of(printer, store, runs, models);
        if printer.is_json() {
            it.finish();
            it.way = Way::Stream;
        }
        it
    }

    /// Asks once and shows what changed.
    pub(super) async fn turn(&mut self) -> Result<(), CliError> {
        let live = self.watched.look().await?;
        self.tell_parked(&live);
        if let Way::Bar(bar) = &self.way {
            let size = self.printer.stderr_size();
            let template = format!("{{bar:{}}} {{msg}}", screen::bar_width(size));
            if let Ok(style) = ProgressStyle::with_template(&template) {
                bar.set_style(style);
            }
            let sum = &live.groups.sum;
            bar.set_length(sum.total.unsigned_abs());
            bar.set_position(sum.ended().unsigned_abs());
            bar.set_message(screen::screen(&live, size));
            return Ok(());
        }
        let ended = live.groups.sum.ended();
        let last = self.told.map(|(at, ended)| LastLine {
            ago: at.elapsed(),
            ended,
        });
        if line_is_due(last, ended) {
            self.told = Some((Instant::now(), ended));
            match self.way {
                Way::Stream => self.printer.object(&live)?,
                _ => self.printer.say(screen::line(&live)),
            }
        }
        Ok(())
    }

    /// Says once what no waiting will heal.
    fn tell_parked(&mut self, live: &Live) {
        if self.parked_told {
            return;
        }
        for model in live.closed.iter().filter(|model| model.is_parked) {
            self.parked_told = true;
            let line = format!(
                "{}\n  help: mend it, then `tidegate models clear {}`",
                model.reason, model.model
            );
            self.printer.warn(&line);
        }
    }

    /// Ends the bar, so that what follows stands in its place.
    pub(super) fn finish(&self) {
        if let Way::Bar(bar) = &self.way {
            bar.finish_and_clear();
            self.printer.way().above(None);
        }
    }
}

impl Drop for Progress {
    /// An error leaves no bar behind either.
    fn drop(&mut self) {
        self.finish();
    }
}

/// Each draw is one write, so that nothing flickers.
fn bar() -> ProgressBar {
    ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr())
}
