//! What is shown of runs that are watched: a screen below a bar, which fits the terminal, or a line. Pure.

use super::layout::{cut, fitting, flow, table};
use super::live::{Closed, Live};
use super::words::{dollars, percent, span, thousands, whole};
use crate::cli::expect::BATCH_END_UNKNOWN;
use crate::cli::printer::plain;
use crate::store::report::{Groups, Stand};

/// How large a terminal is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) struct Size {
    pub(in crate::cli) columns: usize,
    pub(in crate::cli) rows: usize,
}

/// A group of tasks: its name, and where it stands.
pub(in crate::cli) type Group = (String, Stand);

/// What stands below and beside the bar: no line wider than the terminal, and all of it no higher.
pub(super) fn screen(live: &Live, size: Size) -> String {
    let sum = &live.groups.sum;
    let mut head = format!("{}/{}", thousands(sum.ended()), thousands(sum.total));
    if let Some(eta) = eta(live) {
        head.push_str(&format!("  {eta}"));
    }
    let mut lines = vec![cut(&head, size.columns.saturating_sub(bar_width(size) + 1))];
    lines.extend(flow(&facts(live), size.columns));
    let room = size.rows.saturating_sub(lines.len() + 1);
    let groups = fitting(groups(&live.groups), room.saturating_sub(1));
    if !groups.is_empty() && room > 1 {
        lines.extend(table(&groups, size.columns));
    }
    lines.join("\n")
}

/// Cells of the bar itself.
pub(super) fn bar_width(size: Size) -> usize {
    (size.columns / 3).clamp(6, 24)
}

/// All of it in one line, for files and pipes.
pub(super) fn line(live: &Live) -> String {
    let sum = &live.groups.sum;
    let mut words = vec![format!("{}/{}", sum.ended(), sum.total)];
    words.extend(eta(live));
    words.extend(facts(live));
    for (name, stand) in groups(&live.groups) {
        let failed = match stand.failed {
            0 => String::new(),
            failed => format!(", {failed} failed"),
        };
        words.push(format!(
            "{name}: {}/{} {}{failed}",
            stand.done,
            stand.total,
            percent(stand.success_rate)
        ));
    }
    plain(&words.join("  "))
}

/// When it ends, as far as anybody knows.
fn eta(live: &Live) -> Option<String> {
    match live.eta_seconds {
        Some(seconds) => Some(format!("ETA {}", span(seconds))),
        None => live
            .is_batch_end_unknown
            .then(|| BATCH_END_UNKNOWN.to_owned()),
    }
}

/// One by one what there is to tell beside the counts of tasks.
fn facts(live: &Live) -> Vec<String> {
    let (calls, sum) = (&live.calls, &live.groups.sum);
    let mut facts = vec![
        format!(
            "calls {} good, {} failed",
            thousands(calls.ok),
            thousands(calls.calls_failed)
        ),
        format!("retries {}", thousands(calls.retries)),
        format!("429s {}", thousands(calls.rate_limited)),
        format!("fallbacks {}", thousands(live.groups.fallbacks)),
        format!("cache hits {}", thousands(live.groups.cache_hits)),
        format!(
            "tokens {} in, {} out",
            thousands(calls.input_tokens),
            thousands(calls.output_tokens)
        ),
        format!("{} tokens/s", whole(live.tokens_per_second)),
        format!("{} items/h", whole(live.items_per_hour)),
    ];
    facts.extend(
        dollars(calls.cost_microusd, calls.price_unknown).map(|cost| format!("cost {cost}")),
    );
    facts.extend(
        live.memory_bytes
            .map(|bytes| format!("memory {} MB", bytes >> 20)),
    );
    if sum.in_batch > 0 {
        facts.push(format!("in batch {}", thousands(sum.in_batch)));
    }
    if sum.failed > 0 {
        facts.push(format!("failed {}", thousands(sum.failed)));
    }
    if sum.total > sum.ended() {
        if !live.closed.is_empty() {
            let closed: Vec<_> = live.closed.iter().map(closed).collect();
            facts.push(format!("closed: {}", closed.join(", ")));
        } else if let Some(binding) = &live.binding {
            facts.push(crate::cli::expect::held_back(binding));
        }
    }
    facts
}

fn closed(model: &Closed) -> String {
    let name = model.model.split('/').next_back().unwrap_or_default();
    match model.wait_seconds {
        _ if model.is_parked => format!("{name} (parked)"),
        Some(seconds) if seconds >= 1.0 => format!("{name} {}", span(seconds)),
        _ => name.to_owned(),
    }
}

/// Tiers, components where there are several, categories where there are any.
pub(in crate::cli) fn groups(groups: &Groups) -> Vec<Group> {
    let mut out: Vec<Group> = groups
        .tiers
        .iter()
        .map(|it| (format!("tier {}", it.tier), it.stand.clone()))
        .collect();
    if groups.components.len() > 1 {
        out.extend(groups.components.iter().map(|it| {
            let name = if it.component.is_empty() {
                "(none)"
            } else {
                &it.component
            };
            (format!("component {name}"), it.stand.clone())
        }));
    }
    out.extend(groups.categories.iter().map(|it| {
        let name = it.category.as_deref().unwrap_or("(none)");
        (format!("category {name}"), it.stand.clone())
    }));
    out.extend(groups.other_categories.iter().map(|it| {
        (
            format!("{} other categories", thousands(it.categories)),
            it.stand.clone(),
        )
    }));
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{report::TierStand, stats::CallCount};

    /// 20 of 500 are done, the rest stands in a batch.
    fn live(eta_seconds: Option<f64>) -> Live {
        let stand = Stand {
            total: 500,
            done: 20,
            running: 480,
            in_batch: 480,
            success_rate: Some(1.0),
            ..Stand::default()
        };
        Live {
            run_id: None,
            elapsed_seconds: 60.0,
            groups: Groups {
                sum: stand.clone(),
                tiers: vec![TierStand { tier: 0, stand }],
                ..Groups::default()
            },
            calls: CallCount::default(),
            tokens_per_second: 0.0,
            items_per_hour: 0.0,
            eta_seconds,
            is_batch_end_unknown: eta_seconds.is_none(),
            binding: None,
            closed: Vec::new(),
            memory_bytes: None,
            memory_peak_bytes: None,
            groups_age_seconds: 0.0,
            calls_age_seconds: 0.0,
            is_final: false,
        }
    }

    #[test]
    fn tasks_in_a_batch_are_told_as_such_and_no_end_is_made_up() {
        let unknown = line(&live(None));
        let head = "20/500  in a batch, its end is not known  ";
        assert!(unknown.starts_with(head), "{unknown}");
        assert!(unknown.contains("in batch 480"), "{unknown}");
        let known = line(&live(Some(90.0)));
        assert!(known.starts_with("20/500  ETA 1m 30s  "), "{known}");
        let size = Size {
            columns: 100,
            rows: 20,
        };
        let screen = screen(&live(None), size);
        let table: Vec<_> = screen.lines().rev().take(2).collect();
        assert!(table[1].contains("RUNNING  IN BATCH"), "{screen}");
        assert!(table[0].ends_with("0       480    100 %"), "{screen}");
    }
}
