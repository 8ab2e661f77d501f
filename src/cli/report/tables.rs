//! The figures of runs for people: sums a line each, and tables by group, model, process and failure.

use crate::cli::progress::{dollars, groups, percent, thousands};
use crate::cli::times::cut;
use crate::cli::{CliError, Printer};
use crate::store::report::{Figures, ModelCalls, Stand, WhoWorked};

/// Processes told one by one.
const WORKERS_SHOWN: usize = 10;
/// The most of a failure's words.
const EXAMPLE_SHOWN: usize = 300;

/// The sums, by name.
pub(super) fn sums(figures: &Figures) -> Vec<(&'static str, String)> {
    let (sum, calls) = (&figures.groups.sum, &figures.calls);
    let mut tasks = format!(
        "{} done, {} failed of {} ({} success)",
        thousands(sum.done),
        thousands(sum.failed),
        thousands(sum.total),
        percent(sum.success_rate)
    );
    for (count, what) in [
        (sum.waiting, "waiting"),
        (sum.running - sum.in_batch, "running"),
        (sum.in_batch, "in batches"),
        (sum.cancelled, "cancelled"),
    ] {
        if count > 0 {
            tasks.push_str(&format!(", {} {what}", thousands(count)));
        }
    }
    let mut sent = format!(
        "{}: {} good, {} failed, {} refused with 429, {} retries",
        thousands(calls.calls),
        thousands(calls.ok),
        thousands(calls.calls_failed),
        thousands(calls.rate_limited),
        thousands(calls.retries),
    );
    if calls.open > 0 {
        sent.push_str(&format!(", {} of unknown outcome", thousands(calls.open)));
    }
    let cost = dollars(calls.cost_microusd, calls.price_unknown)
        .unwrap_or_else(|| "unknown (no prices are set)".to_owned());
    let estimated = match calls.cost_estimated_microusd {
        0 => String::new(),
        part => format!(
            " ({} of it estimated)",
            dollars(part, false).unwrap_or_default()
        ),
    };
    vec![
        ("tasks", tasks),
        ("calls", sent),
        (
            "fallbacks",
            format!(
                "{} tasks answered by one",
                thousands(figures.groups.fallbacks)
            ),
        ),
        (
            "cache",
            format!(
                "{} tasks answered from it",
                thousands(figures.groups.cache_hits)
            ),
        ),
        (
            "packs",
            calls.items_per_pack.map_or_else(String::new, |items| {
                format!("{} calls for {items:.1} items each", thousands(calls.packs))
            }),
        ),
        (
            "tokens",
            format!(
                "{} in, {} out",
                thousands(calls.input_tokens),
                thousands(calls.output_tokens)
            ),
        ),
        ("cost", format!("{cost}{estimated}")),
    ]
}

/// The tables: by group, by model, who worked; and why tasks failed.
pub(super) fn print_tables(figures: &Figures, printer: &Printer) -> Result<(), CliError> {
    let groups = groups(&figures.groups);
    // a column of nothing takes room from the names
    let shown: Vec<&Column> = COLUMNS
        .iter()
        .filter(|(_, count, always)| *always || groups.iter().any(|(_, it)| count(it) > 0))
        .collect();
    let rows: Vec<_> = groups
        .iter()
        .map(|(name, stand)| group(name, stand, &shown))
        .collect();
    let mut headers = vec![""];
    headers.extend(shown.iter().map(|(name, ..)| *name));
    headers.push("success");
    below(printer, &headers, &rows)?;
    let answered: Vec<_> = figures
        .groups
        .models
        .iter()
        .map(|it| {
            vec![
                format!("tier {}", it.tier),
                it.model.clone(),
                thousands(it.done),
                if it.primary { "primary" } else { "fallback" }.to_owned(),
            ]
        })
        .collect();
    below(printer, &["", "answered by", "tasks", "as"], &answered)?;
    let models: Vec<_> = figures.calls_by_model.iter().map(model).collect();
    let headers = ["model", "calls", "good", "latency", "not good"];
    below(printer, &headers, &models)?;
    let spent: Vec<_> = figures.calls_by_model.iter().map(spent).collect();
    below(
        printer,
        &["model", "tokens in", "tokens out", "cost"],
        &spent,
    )?;
    let workers: Vec<_> = figures
        .processes
        .iter()
        .take(WORKERS_SHOWN)
        .map(worker)
        .collect();
    below(printer, &["who worked", "tasks done", "calls"], &workers)?;
    if figures.processes.len() > WORKERS_SHOWN {
        printer.line(format_args!(
            "and {} more processes",
            figures.processes.len() - WORKERS_SHOWN
        ))?;
    }
    for (place, failure) in figures.failures.iter().enumerate() {
        if place == 0 {
            printer.write("\n")?;
        }
        printer.line(format_args!(
            "{} failed ({}), as {}:",
            thousands(failure.tasks),
            failure.class,
            failure.task
        ))?;
        printer.indented(&cut(&failure.example, EXAMPLE_SHOWN), 1)?;
    }
    Ok(())
}

fn below(printer: &Printer, headers: &[&str], rows: &[Vec<String>]) -> Result<(), CliError> {
    if rows.is_empty() {
        return Ok(());
    }
    printer.write("\n")?;
    printer.table(headers, rows)
}

fn group(name: &str, stand: &Stand, columns: &[&Column]) -> Vec<String> {
    let mut row = vec![cut(name, 40)];
    row.extend(columns.iter().map(|(_, count, _)| thousands(count(stand))));
    row.push(percent(stand.success_rate));
    row
}

/// A column of numbers: its head, its number, and whether it is shown where all are 0.
type Column = (&'static str, fn(&Stand) -> i64, bool);

const COLUMNS: [Column; 7] = [
    ("tasks", |it| it.total, true),
    ("done", |it| it.done, true),
    ("failed", |it| it.failed, true),
    ("waiting", |it| it.waiting, false),
    ("running", |it| it.running - it.in_batch, false),
    ("in batch", |it| it.in_batch, false),
    ("cancelled", |it| it.cancelled, false),
];

fn model(it: &ModelCalls) -> Vec<String> {
    let sum = &it.sum;
    let failed = it.failed_by_class.iter();
    let failed: Vec<_> = failed
        .map(|(class, count)| format!("{class} {}", thousands(*count)))
        .collect();
    vec![
        it.model.clone(),
        thousands(sum.calls),
        thousands(sum.ok),
        sum.latency_ms_mean
            .map_or_else(|| "-".to_owned(), |ms| format!("{:.1} s", ms / 1000.0)),
        failed.join(", "),
    ]
}

fn spent(it: &ModelCalls) -> Vec<String> {
    let sum = &it.sum;
    vec![
        it.model.clone(),
        thousands(sum.input_tokens),
        thousands(sum.output_tokens),
        dollars(sum.cost_microusd, sum.price_unknown).unwrap_or_else(|| "-".to_owned()),
    ]
}

fn worker(it: &WhoWorked) -> Vec<String> {
    let name = match (&it.host, it.pid) {
        (Some(host), Some(pid)) => {
            format!("{host}, pid {pid} ({})", it.role.as_deref().unwrap_or("?"))
        }
        _ => it.process_id.to_string(),
    };
    vec![name, thousands(it.done), thousands(it.calls)]
}
