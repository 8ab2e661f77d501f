//! Limits as the store says them, and as the file does, with what was used of them.

use crate::{
    limits::{Book, Booking, Dimension, Limit, SECOND_US, Window},
    store::{forecast::LimitRow, model::ModelRow},
};

/// A limit with its book, seen at moment 0. `None`: of a sort that is not known here.
pub(super) fn read(row: &LimitRow) -> Option<(Limit, Book)> {
    let dimension = match row.dimension.as_str() {
        "requests" => Dimension::Requests,
        "input_tokens" => Dimension::InputTokens,
        "output_tokens" => Dimension::OutputTokens,
        "total_tokens" => Dimension::TotalTokens,
        "concurrency" => Dimension::Concurrency,
        "money" => Dimension::Money,
        _ => return None,
    };
    let window = match row.window.as_str() {
        "minute" => Window::Minute,
        "day" => Window::Day {
            began_at: i64::MIN,
            ends_at: us(row.day_ends_in.unwrap_or(DAY)),
        },
        "run" => Window::Run,
        _ => Window::None,
    };
    let debits: Vec<Booking> = row
        .used
        .iter()
        .rev()
        .map(|&(ago, amount)| Booking {
            at: -us(ago),
            amount,
        })
        .collect();
    let in_flight = debits.iter().map(|debit| debit.amount).sum::<i64>();
    let limit = Limit {
        dimension,
        window,
        size: row.size,
        burst: row.burst,
        guard_ms: row.guard_ms,
        interactive_at: row.interactive_ago.map(|ago| -us(ago)),
    };
    let mut book = Book {
        debits,
        in_flight: u64::try_from(in_flight).unwrap_or(0),
        ..Book::default()
    };
    book.debits.sort_by_key(|debit| debit.at);
    Some((limit, book))
}

#[expect(clippy::cast_possible_truncation, reason = "seconds of a day")]
fn us(seconds: f64) -> i64 {
    (seconds * SECOND_US as f64) as i64
}

/// As the file says, before anything is known of them.
pub(super) fn limits_of(row: &ModelRow) -> Vec<(Limit, &'static str)> {
    let day = Window::Day {
        began_at: i64::MIN,
        ends_at: us(DAY),
    };
    let of = |dimension, window, size: Option<u64>, words| {
        let limit = Limit {
            dimension,
            window,
            burst: None,
            ..Limit::per_minute(size?)
        };
        Some((limit, words))
    };
    let requests = row.rpm.map(|rpm| {
        let limit = Limit {
            burst: row.burst.map(u64::from),
            ..Limit::per_minute(u64::from(rpm))
        };
        (limit, "requests per minute")
    });
    let (rpd, at_once) = (row.rpd.map(u64::from), row.max_concurrency.map(u64::from));
    let others = [
        of(
            Dimension::InputTokens,
            Window::Minute,
            row.tpm,
            "tokens per minute",
        ),
        of(
            Dimension::OutputTokens,
            Window::Minute,
            row.output_tpm,
            "output tokens per minute",
        ),
        of(Dimension::Requests, day, rpd, "requests per day"),
        of(Dimension::InputTokens, day, row.tpd, "tokens per day"),
        of(
            Dimension::Concurrency,
            Window::None,
            at_once,
            "calls at once",
        ),
    ];
    requests
        .into_iter()
        .chain(others.into_iter().flatten())
        .collect()
}

/// As people read it.
pub(super) fn words(row: &LimitRow) -> String {
    let window = match row.window.as_str() {
        "minute" => " per minute",
        "day" => " per day",
        "run" => " of the run",
        _ => "",
    };
    let what = match row.dimension.as_str() {
        "concurrency" if row.worker.is_some() => "calls at once of the worker".to_owned(),
        "concurrency" => "calls at once".to_owned(),
        "money" => "budget".to_owned(),
        other => other.replace('_', " "),
    };
    format!("{what}{window}")
}

/// Seconds.
const DAY: f64 = 86_400.0;
