//! Progress of runs while they are worked: a bar on a terminal, lines elsewhere, always on stderr.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::time::Instant;
use uuid::Uuid;

use super::{CliError, Printer};
use crate::store::{
    Store,
    model::ModelStatus,
    stats::{CallCount, TierCount},
};

/// How often the tables are asked.
pub(super) const EVERY: Duration = Duration::from_secs(1);
/// Without a terminal: a line after so many items, or so long.
const LINE_ITEMS: i64 = 10;
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Watches some runs.
pub(super) struct Progress {
    printer: Printer,
    store: Store,
    runs: Vec<Uuid>,
    models: Vec<String>,
    parked_told: bool,
    bar: Option<ProgressBar>,
    started: Instant,
    ended_before: Option<i64>,
    told: Option<(Instant, i64)>,
}

/// Where the runs stand.
struct Snapshot {
    tiers: Vec<TierCount>,
    calls: CallCount,
    closed: Vec<ModelStatus>,
}

impl Progress {
    /// Watches these runs, which ask these models.
    pub(super) fn of(
        printer: &Printer,
        store: &Store,
        runs: Vec<Uuid>,
        models: Vec<String>,
    ) -> Self {
        let bar = printer.stderr_is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            let style = ProgressStyle::with_template("{bar:24} {pos}/{len}  {prefix}\n{wide_msg}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar
        });
        Self {
            printer: printer.clone(),
            store: store.clone(),
            runs,
            models,
            parked_told: false,
            bar,
            started: Instant::now(),
            ended_before: None,
            told: None,
        }
    }

    /// Asks once and shows what changed.
    pub(super) async fn turn(&mut self) -> Result<(), CliError> {
        let status = self.store.model_status(Some(&self.models)).await?;
        let snapshot = Snapshot {
            tiers: self.store.tier_counts(&self.runs).await?,
            calls: self.store.call_counts(&self.runs).await?,
            closed: status
                .into_iter()
                .filter(|model| model.closed_by.is_some())
                .collect(),
        };
        self.tell_parked(&snapshot);
        self.show(&snapshot);
        Ok(())
    }

    /// Says once what no waiting will heal.
    fn tell_parked(&mut self, snapshot: &Snapshot) {
        if self.parked_told {
            return;
        }
        for model in snapshot.closed.iter().filter(|model| is_parked(model)) {
            self.parked_told = true;
            let why = model.closed_by.as_deref().unwrap_or_default();
            let line = format!(
                "{why}\n  help: mend it, then `tidegate models clear {}`",
                model.model
            );
            match &self.bar {
                Some(bar) => bar.suspend(|| self.printer.warn(&line)),
                None => self.printer.warn(&line),
            }
        }
    }

    /// Ends the bar, so that what follows stands below it.
    pub(super) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    fn show(&mut self, snapshot: &Snapshot) {
        let (total, ended) = (snapshot.total(), snapshot.ended());
        let before = *self.ended_before.get_or_insert(ended);
        let (pace, stand) = snapshot.messages(ended - before, self.started.elapsed());
        if let Some(bar) = &self.bar {
            bar.set_length(total.unsigned_abs());
            bar.set_position(ended.unsigned_abs());
            bar.set_prefix(pace);
            bar.set_message(stand);
            return;
        }
        let due = self.told.is_none_or(|(at, told)| {
            ended - told >= LINE_ITEMS || (at.elapsed() >= LINE_EVERY && ended < total)
        });
        if due {
            self.told = Some((Instant::now(), ended));
            self.printer
                .say(format_args!("{ended}/{total}  {pace}  {stand}"));
        }
    }
}

impl Snapshot {
    fn total(&self) -> i64 {
        self.tiers.iter().map(|tier| tier.total).sum()
    }

    fn ended(&self) -> i64 {
        self.tiers
            .iter()
            .map(|tier| tier.done + tier.failed + tier.cancelled)
            .sum()
    }

    /// How fast it goes and when it ends, then where it stands: a line each on a terminal, which
    /// may be narrow.
    fn messages(&self, ended_here: i64, elapsed: Duration) -> (String, String) {
        let per_second = ended_here as f64 / elapsed.as_secs_f64().max(1.0);
        let left = self.total() - self.ended();
        let mut pace = Vec::new();
        if left > 0 && per_second > 0.0 {
            pace.push(format!("ETA {}", span(left as f64 / per_second)));
        }
        pace.push(format!("{:.0} items/h", per_second * 3600.0));
        pace.extend(dollars(self.calls.cost_microusd, self.calls.price_unknown));
        let calls = &self.calls;
        let mut stand = vec![format!(
            "calls {} (429: {})",
            calls.calls, calls.rate_limited
        )];
        stand.extend(
            self.tiers
                .iter()
                .map(|tier| format!("t{} {}/{}", tier.tier, tier.done, tier.total)),
        );
        let failed: i64 = self.tiers.iter().map(|tier| tier.failed).sum();
        if failed > 0 {
            stand.push(format!("failed {failed}"));
        }
        if left > 0 && !self.closed.is_empty() {
            let closed: Vec<_> = self.closed.iter().map(closed).collect();
            stand.push(format!("waiting: {}", closed.join(", ")));
        }
        (pace.join("  "), stand.join("  "))
    }
}

fn is_parked(model: &ModelStatus) -> bool {
    let why = model.closed_by.as_deref().unwrap_or_default();
    why.starts_with("model parked") || why.starts_with("provider parked")
}

fn closed(model: &ModelStatus) -> String {
    let name = model.model.split('/').next_back().unwrap_or_default();
    if is_parked(model) {
        return format!("{name} (parked)");
    }
    match model.wait_seconds {
        Some(seconds) if seconds >= 1.0 => format!("{name} {}", span(seconds)),
        _ => name.to_owned(),
    }
}

/// Seconds as people read them.
pub(super) fn span(seconds: f64) -> String {
    let whole = Duration::from_secs_f64(seconds.clamp(0.0, 1e9).ceil());
    humantime::format_duration(whole).to_string()
}

/// Micro-dollars as people read them. `None`: no price is known.
pub(super) fn dollars(microusd: i64, unknown: bool) -> Option<String> {
    if unknown && microusd == 0 {
        return None;
    }
    let sign = if unknown { ">= " } else { "" };
    Some(format!(
        "{sign}${}.{:06}",
        microusd / 1_000_000,
        microusd % 1_000_000
    ))
}
