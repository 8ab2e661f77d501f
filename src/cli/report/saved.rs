//! What choosing between single calls and batches came to, in words: a few lines of a run's report, and the
//! table by day.

use crate::cli::progress::{dollars, span, thousands};
use crate::cli::times::cut;
use crate::cli::{CliError, Context, Exit};
use crate::store::report::savings::{Decided, Saved, SavedRow};

/// The lines of a run.
pub(super) fn lines(saved: &Saved) -> Vec<(&'static str, String)> {
    let singly = format!(
        "{} for {}, {} answered, {}",
        counted(saved.individual_calls, "call", "calls"),
        counted(saved.individual_items, "task", "tasks"),
        thousands(saved.individual_items_answered),
        cost(saved.individual_cost_microusd)
    );
    let mut by_batch = format!(
        "{} for {}, {} answered, {}",
        counted(saved.batches, "batch", "batches"),
        counted(saved.batch_items, "task", "tasks"),
        thousands(saved.batch_items_answered),
        cost(saved.batch_cost_microusd)
    );
    if saved.batch_items_open > 0 {
        by_batch.push_str(&format!(
            ", {} not back yet",
            thousands(saved.batch_items_open)
        ));
    }
    let against = |money, time| format!("{}, {}", signed_money(money), signed_time(time));
    vec![
        ("singly", singly),
        ("by batch", by_batch),
        (
            "saved",
            format!(
                "beside always singly: {}; beside always by batch: {}",
                against(
                    saved.money_saved_against_individual_microusd,
                    saved.time_saved_against_individual_ms
                ),
                against(
                    saved.money_saved_against_batch_microusd,
                    saved.time_saved_against_batch_ms
                )
            ),
        ),
        ("chosen", chosen(saved)),
    ]
}

fn chosen(saved: &Saved) -> String {
    let Some(last) = saved.last_decisions.first() else {
        return String::new();
    };
    let Decided {
        strategy,
        items,
        singles,
        reason,
        ..
    } = last;
    let singly = match strategy.as_str() {
        "hybrid" => format!(", the first {singles} singly"),
        _ => String::new(),
    };
    let times = match saved.decisions {
        1 => String::new(),
        times => format!("{} times, last: ", thousands(times)),
    };
    format!(
        "{times}{strategy} for {}{singly}: {}",
        counted(*items, "task", "tasks"),
        cut(reason, 200)
    )
}

/// Prints what was saved on the last so many days.
pub(in crate::cli) async fn by_day(context: &Context, days: i32) -> Result<Exit, CliError> {
    let printer = &context.printer;
    context
        .with_store(async |opened| {
            let rows = opened.store.savings(days).await?;
            if rows.is_empty() && !printer.is_json() {
                printer.say("nothing was chosen between single calls and batches on these days; a worker's [strategy] lets it be");
            }
            let headers = [
                "day", "worker", "model", "calls", "tasks", "cost", "batches", "tasks in them", "cost",
                "saved beside singly", "beside batch",
            ];
            printer.list(&headers, &rows, row)?;
            Ok(Exit::Ok)
        })
        .await
}

fn row(row: &SavedRow) -> Vec<String> {
    let saved = |money, time| format!("{}, {}", signed_money(money), signed_time(time));
    vec![
        row.day.to_string(),
        cut(&row.worker, 32),
        cut(&row.model, 40),
        thousands(row.individual_calls),
        thousands(row.individual_items),
        cost(row.individual_cost_microusd),
        thousands(row.batches),
        thousands(row.batch_items),
        cost(row.batch_cost_microusd),
        saved(
            row.money_saved_against_individual_microusd,
            row.time_saved_against_individual_ms,
        ),
        saved(
            row.money_saved_against_batch_microusd,
            row.time_saved_against_batch_ms,
        ),
    ]
}

fn counted(count: i64, one: &str, many: &str) -> String {
    let what = if count == 1 { one } else { many };
    format!("{} {what}", thousands(count))
}

fn cost(microusd: Option<i64>) -> String {
    let known = microusd.and_then(|microusd| dollars(microusd, false));
    known.unwrap_or_else(|| "cost unknown".to_owned())
}

fn sign(amount: i64) -> &'static str {
    if amount < 0 { "-" } else { "" }
}

/// `-$0.000120`: less than nothing is told as it is.
fn signed_money(microusd: Option<i64>) -> String {
    let Some(microusd) = microusd else {
        return "money unknown".to_owned();
    };
    let size = i64::try_from(microusd.unsigned_abs()).unwrap_or(i64::MAX);
    let words = dollars(size, false).unwrap_or_default();
    format!("{}{words}", sign(microusd))
}

/// `-12m 30s`, short spans to the tenth.
fn signed_time(ms: Option<i64>) -> String {
    let Some(ms) = ms else {
        return "time unknown".to_owned();
    };
    let seconds = ms.unsigned_abs() as f64 / 1_000.0;
    let words = match seconds {
        ..10.0 => format!("{seconds:.1}s"),
        _ => span(seconds),
    };
    format!("{}{words}", sign(ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_is_told_so_and_less_than_nothing_as_it_is() {
        assert_eq!(
            [Some(1_500_000), Some(0), Some(-120), None].map(signed_money),
            ["$1.500000", "$0.000000", "-$0.000120", "money unknown"]
        );
        assert_eq!(
            [Some(90_000), Some(0), Some(-1_500), None].map(signed_time),
            ["1m 30s", "0.0s", "-1.5s", "time unknown"]
        );
    }

    #[test]
    fn a_run_is_told_in_a_few_lines() {
        let saved = Saved {
            individual_calls: 5,
            individual_items: 5,
            individual_items_answered: 5,
            individual_cost_microusd: Some(40),
            batches: 1,
            batch_items: 15,
            batch_items_answered: 14,
            batch_items_open: 1,
            money_saved_against_individual_microusd: Some(60),
            decisions: 1,
            last_decisions: vec![Decided {
                at: chrono::DateTime::UNIX_EPOCH,
                component: String::new(),
                model: "sim/a".to_owned(),
                items: 20,
                strategy: "hybrid".to_owned(),
                singles: 5,
                reason: "hybrid was asked for".to_owned(),
            }],
            ..Saved::default()
        };
        let told = lines(&saved).into_iter().map(|(_, words)| words);
        assert_eq!(
            told.collect::<Vec<_>>(),
            [
                "5 calls for 5 tasks, 5 answered, $0.000040",
                "1 batch for 15 tasks, 14 answered, cost unknown, 1 not back yet",
                "beside always singly: $0.000060, time unknown; beside always by batch: money unknown, time unknown",
                "hybrid for 20 tasks, the first 5 singly: hybrid was asked for",
            ]
        );
    }
}
