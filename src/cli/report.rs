//! What runs came to: one object for programs, two tables for people.

use serde::Serialize;
use uuid::Uuid;

use super::{CliError, Printer, progress::dollars};
use crate::store::{
    Store,
    stats::{CallCount, Failure, ModelCount},
};

/// What some runs came to.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// Their ids.
    pub(super) runs: Vec<Uuid>,
    /// Tasks in all.
    pub(super) total: i64,
    /// Tasks answered.
    pub(super) done: i64,
    /// Tasks failed.
    pub(super) failed: i64,
    /// Tasks cancelled.
    pub(super) cancelled: i64,
    /// Tasks that have not ended.
    pub(super) unfinished: i64,
    /// Tasks answered by another model than their primary.
    pub(super) fallbacks: i64,
    /// By tier.
    pub(super) tiers: Vec<TierReport>,
    /// Why tasks failed, grouped.
    pub(super) failures: Vec<Failure>,
    /// What the calls came to.
    #[serde(flatten)]
    pub(super) calls: CallCount,
    /// Seconds of this command's work.
    pub(super) seconds: f64,
    /// Items ended by it, per hour.
    pub(super) items_per_hour: f64,
}

/// One tier of it.
#[derive(Debug, Serialize)]
pub(super) struct TierReport {
    /// The tier.
    pub(super) tier: i16,
    /// Its tasks.
    pub(super) total: i64,
    /// Answered.
    pub(super) done: i64,
    /// Failed.
    pub(super) failed: i64,
    /// Which models answered, most first.
    pub(super) models: Vec<ModelReport>,
}

/// One model of a tier.
#[derive(Debug, Serialize)]
pub(super) struct ModelReport {
    /// Its name.
    pub(super) model: String,
    /// Tasks it answered.
    pub(super) done: i64,
    /// Whether it stood in for the primary.
    pub(super) fallback: bool,
}

impl Report {
    /// Gathers it. `ended_here`: items that ended during these seconds.
    pub(super) async fn gather(
        store: &Store,
        runs: &[Uuid],
        seconds: f64,
        ended_before: i64,
    ) -> Result<Self, CliError> {
        let tiers = store.tier_counts(runs).await?;
        let models = store.model_counts(runs).await?;
        let calls = store.call_counts(runs).await?;
        let sum =
            |part: fn(&crate::store::stats::TierCount) -> i64| tiers.iter().map(part).sum::<i64>();
        let (done, failed, cancelled) = (sum(|t| t.done), sum(|t| t.failed), sum(|t| t.cancelled));
        let ended_here = (done + failed + cancelled - ended_before).max(0);
        Ok(Self {
            runs: runs.to_vec(),
            total: sum(|t| t.total),
            done,
            failed,
            cancelled,
            unfinished: sum(|t| t.waiting + t.running),
            fallbacks: models.iter().filter(|m| !m.primary).map(|m| m.done).sum(),
            tiers: tiers
                .iter()
                .map(|tier| TierReport {
                    tier: tier.tier,
                    total: tier.total,
                    done: tier.done,
                    failed: tier.failed,
                    models: models
                        .iter()
                        .filter(|m| m.tier == tier.tier)
                        .map(ModelReport::from)
                        .collect(),
                })
                .collect(),
            failures: store.failures(runs).await?,
            calls,
            seconds,
            items_per_hour: ended_here as f64 / seconds.max(0.001) * 3600.0,
        })
    }

    /// Tells it to people.
    pub(super) fn print(&self, printer: &Printer) -> Result<(), CliError> {
        let rows: Vec<Vec<String>> = self.tiers.iter().map(TierReport::row).collect();
        printer.table(
            &[
                "tier",
                "tasks",
                "done",
                "failed",
                "answered by (* fallback)",
            ],
            &rows,
        )?;
        let calls = &self.calls;
        let cost = dollars(calls.cost_microusd, calls.price_unknown);
        printer.line("")?;
        printer.line(format_args!(
            "{} done, {} failed of {}; {} calls ({} refused with 429, {} retries), {} answered by a fallback",
            self.done, self.failed, self.total, calls.calls, calls.rate_limited, calls.retries, self.fallbacks,
        ))?;
        let estimated = match calls.cost_estimated_microusd {
            0 => String::new(),
            part => format!(
                " ({} of it estimated)",
                dollars(part, false).unwrap_or_default()
            ),
        };
        printer.line(format_args!(
            "{} tokens in, {} out; cost {}{estimated}; {:.1} s, {:.0} items/h",
            calls.input_tokens,
            calls.output_tokens,
            cost.unwrap_or_else(|| "unknown (no prices are set)".to_owned()),
            self.seconds,
            self.items_per_hour,
        ))?;
        for failure in &self.failures {
            printer.line(format_args!(
                "{} failed ({}): {}; `tidegate tasks show {}`",
                failure.tasks, failure.class, failure.example, failure.task
            ))?;
        }
        Ok(())
    }
}

impl TierReport {
    fn row(&self) -> Vec<String> {
        let models: Vec<String> = self
            .models
            .iter()
            .map(|m| {
                format!(
                    "{}{} {}",
                    m.model,
                    if m.fallback { "*" } else { "" },
                    m.done
                )
            })
            .collect();
        vec![
            self.tier.to_string(),
            self.total.to_string(),
            self.done.to_string(),
            self.failed.to_string(),
            models.join(", "),
        ]
    }
}

impl From<&ModelCount> for ModelReport {
    fn from(count: &ModelCount) -> Self {
        Self {
            model: count.model.clone(),
            done: count.done,
            fallback: !count.primary,
        }
    }
}
