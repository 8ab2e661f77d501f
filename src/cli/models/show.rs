//! `tidegate models show`: one model in full.

use serde::Serialize;

use super::known;
use super::list::{self, Listed};
use crate::cli::times::{brief, cut, moment, or_dash};
use crate::cli::{CliError, Context, Exit, Opened, Printer};
use crate::config::usd;
use crate::store::StoreError;
use crate::store::limit::{AdjustmentRow, CooldownRow, LimitRow, OutputRow};
use crate::store::model::ModelStatus;

/// A model in full, as JSON.
#[derive(Serialize)]
struct Whole {
    #[serde(flatten)]
    model: Listed,
    limits: Vec<LimitRow>,
    cooldown: Option<CooldownRow>,
    adjustments: Vec<AdjustmentRow>,
    outputs: Vec<OutputRow>,
}

pub(super) async fn run(context: &Context, model: &str) -> Result<Exit, CliError> {
    context
        .with_store(async |opened| {
            let whole = read(opened, model).await?;
            if context.printer.is_json() {
                context.printer.object(&whole)?;
            } else {
                screen(&context.printer, &whole)?;
            }
            Ok(Exit::Ok)
        })
        .await
}

async fn read(opened: &Opened, model: &str) -> Result<Whole, CliError> {
    let store = &opened.store;
    let only = [model.to_owned()];
    let Some(listed) = list::read(opened, Some(&only)).await?.pop() else {
        let error = StoreError::Refused(format!("no model is called {model}"));
        return Err(known(opened, model, error).await);
    };
    Ok(Whole {
        model: listed,
        limits: store.model_limits(model).await?,
        cooldown: store.cooldown(model).await?,
        adjustments: store.adjustments(model, ADJUSTMENTS_MAX).await?,
        outputs: store.output_quantiles(model).await?,
    })
}

fn screen(printer: &Printer, whole: &Whole) -> Result<(), CliError> {
    let it = &whole.model.status;
    printer.pairs(&[
        ("model", it.model.clone()),
        (
            "state",
            it.closed_by
                .as_ref()
                .map_or_else(|| "open".to_owned(), |why| format!("closed by {why}")),
        ),
        (
            "opens",
            match it.closed_by {
                Some(_) => list::until(it, printer),
                None => String::new(),
            },
        ),
        (
            "last minute",
            format!(
                "{} calls",
                list::of(it.calls_last_minute, it.requests_per_minute)
            ),
        ),
        ("at once", at_once(whole)),
        ("cooldown", cooldown(whole.cooldown.as_ref(), printer)),
        (
            "price",
            price(it.input_price_microusd, it.output_price_microusd),
        ),
        ("batches", batches(it)),
        ("limits of", it.shares.clone().unwrap_or_default()),
        (
            "waiting",
            format!("{} tasks as their first choice", whole.model.waiting),
        ),
        (
            "starts next",
            match whole.model.next_task {
                Some(_) => list::next(&whole.model),
                None => String::new(),
            },
        ),
    ])?;
    let limits: Vec<_> = whole.limits.iter().map(|it| limit(it, printer)).collect();
    let adjustments: Vec<_> = whole
        .adjustments
        .iter()
        .map(|it| adjustment(it, printer))
        .collect();
    let outputs: Vec<_> = whole.outputs.iter().map(|it| output(it, printer)).collect();
    for (headers, rows) in [
        (&LIMITS[..], limits),
        (&ADJUSTMENTS, adjustments),
        (&OUTPUTS, outputs),
    ] {
        if !rows.is_empty() {
            printer.write("\n")?;
            printer.table(headers, &rows)?;
        }
    }
    Ok(())
}

/// `2 in flight; up to 5 now, at most 10`.
fn at_once(whole: &Whole) -> String {
    let it = &whole.model.status;
    let mut text = format!("{} in flight", it.in_flight);
    if let Some(now) = it.concurrency {
        text.push_str(&format!("; up to {now} now"));
    }
    text.push_str(&match it.max_concurrency {
        Some(cap) => format!(", at most {cap}"),
        None => ", as many as it bears".to_owned(),
    });
    text
}

fn cooldown(cooldown: Option<&CooldownRow>, printer: &Printer) -> String {
    let Some(it) = cooldown else {
        return "none".to_owned();
    };
    let verb = if it.proven_at.is_some() { "was " } else { "" };
    format!(
        "{verb}until {}: {} (by {}; {} strikes)",
        moment(it.until, printer),
        it.reason,
        it.who,
        it.strikes
    )
}

/// `50 % of the price; up to 2000000 tokens enqueued; up to 100 of this provider under way`.
fn batches(it: &ModelStatus) -> String {
    let note = it.batch_note.as_ref();
    if it.batch_mode == Some(false) {
        return match note {
            Some(note) => format!("none ({note})"),
            None => "none".to_owned(),
        };
    }
    let tokens = match it.batch_tokens {
        Some(tokens) => format!("up to {tokens} tokens enqueued; "),
        None => String::new(),
    };
    format!(
        "{} % of the price; {tokens}up to {} of {} under way",
        it.batch_percent,
        it.batch_jobs,
        it.model.split('/').next().unwrap_or_default()
    )
}

/// What is not known is said, and is never 0.
fn price(input: Option<i64>, output: Option<i64>) -> String {
    let part =
        |it: Option<i64>| it.map_or_else(|| "unknown".to_owned(), |it| format!("${}", usd(it)));
    match (input, output) {
        (None, None) => "unknown".to_owned(),
        _ => format!(
            "{} in, {} out, per million tokens",
            part(input),
            part(output)
        ),
    }
}

const LIMITS: [&str; 9] = [
    "limit",
    "size",
    "told",
    "provider said",
    "room now",
    "counted",
    "guard",
    "from",
    "evidence",
];

fn limit(it: &LimitRow, printer: &Printer) -> Vec<String> {
    let said = match (it.said, it.said_at) {
        (Some(said), Some(at)) => format!("{said} ({})", brief(at, printer)),
        _ => "-".to_owned(),
    };
    let counted = match it.burst {
        Some(burst) => format!("{}, {burst} at once", it.counting),
        None => it.counting.clone(),
    };
    vec![
        words(&it.dimension, &it.window),
        it.size.to_string(),
        or_dash(it.told),
        said,
        it.room.to_string(),
        counted,
        format!("{} ms", it.guard_ms),
        it.source.clone(),
        format!(
            "{} ({})",
            cut(&it.evidence, 80),
            brief(it.changed_at, printer)
        ),
    ]
}

const ADJUSTMENTS: [&str; 6] = ["when", "limit", "what", "before", "after", "reason"];

fn adjustment(it: &AdjustmentRow, printer: &Printer) -> Vec<String> {
    vec![
        brief(it.at, printer),
        words(&it.dimension, &it.window),
        it.what.clone(),
        or_dash(it.old),
        or_dash(it.new),
        cut(&it.reason, 100),
    ]
}

const OUTPUTS: [&str; 4] = ["worker", "nine of ten answers below", "answers", "found"];

fn output(it: &OutputRow, printer: &Printer) -> Vec<String> {
    let worker = match it.component.as_str() {
        "" => it.worker.clone(),
        component => format!("{}/{component}", it.worker),
    };
    vec![
        worker,
        format!("{} tokens", it.tokens),
        it.answers.to_string(),
        brief(it.at, printer),
    ]
}

/// A limit in words, as `requests per minute`.
fn words(dimension: &str, window: &str) -> String {
    match (dimension, window) {
        ("concurrency", _) => "calls at once".to_owned(),
        (dimension, window) => format!("{} per {window}", dimension.replace('_', " ")),
    }
}

/// Adjustments shown at most, the newest first.
const ADJUSTMENTS_MAX: i64 = 20;
