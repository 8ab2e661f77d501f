//! What OpenAI and its copies tell of their limits: in headers beside every answer, and in the words
//! of a refusal.
//!
//! | header | sample |
//! | --- | --- |
//! | `x-ratelimit-limit-requests`, `-tokens` | `60`, `150000` |
//! | `x-ratelimit-remaining-requests`, `-tokens` | `59`, `149984` |
//! | `x-ratelimit-reset-requests`, `-tokens` | `1s`, `6m0s`: until the limit is fully back |
//! | the same with `project-` before, or `-minute` or `-day` behind (copies) | |
//!
//! A header that makes no sense is as good as none.

use std::time::Duration;

use reqwest::header::HeaderMap;

use crate::{
    llm::{LimitNotice, Quota, QuotaWindow},
    provider::{
        spans::{WAIT_MAX, joined, seconds},
        words::Veil,
    },
};

/// The limits that headers name. What is tokens without more is per minute.
const FAMILIES: [(&str, bool, Option<QuotaWindow>); 8] = [
    ("requests", false, None),
    ("tokens", true, Some(QuotaWindow::Minute)),
    ("project-requests", false, None),
    ("project-tokens", true, Some(QuotaWindow::Minute)),
    ("requests-minute", false, Some(QuotaWindow::Minute)),
    ("requests-day", false, Some(QuotaWindow::Day)),
    ("tokens-minute", true, Some(QuotaWindow::Minute)),
    ("tokens-day", true, Some(QuotaWindow::Day)),
];

/// What the headers tell.
pub(super) fn told(headers: &HeaderMap) -> Vec<LimitNotice> {
    let families = FAMILIES.iter();
    families
        .filter_map(|(name, tokens, window)| {
            let text = |what: &str| {
                let header = headers.get(format!("x-ratelimit-{what}-{name}"))?;
                header.to_str().ok().map(str::trim)
            };
            // some copies write 0 for a limit that they do not have
            let size = text("limit").and_then(whole).filter(|size| *size > 0);
            let remaining = text("remaining").and_then(whole);
            let remaining = remaining.filter(|left| size.is_none_or(|size| *left <= size));
            let resets_in = text("reset").and_then(span);
            let known = size.is_some() || remaining.is_some() || resets_in.is_some();
            known.then(|| LimitNotice {
                tokens: *tokens,
                window: window.unwrap_or_else(|| window_of(size, remaining, resets_in)),
                size,
                remaining,
                resets_in,
            })
        })
        .collect()
}

/// Whether a limit of requests counts a minute or a day, by its reset; silent, it is a minute.
///
/// What needs more than a minute to be back is of a day. OpenAI's day refills evenly, so its reset
/// can be short too (`8.64s` for one of 10,000): it is exactly the time that what was used needs.
fn window_of(
    size: Option<u64>,
    remaining: Option<u64>,
    resets_in: Option<Duration>,
) -> QuotaWindow {
    let Some(resets_in) = resets_in else {
        return QuotaWindow::Minute;
    };
    let day = || {
        let (size, remaining) = (exact(size?)?, exact(remaining?)?);
        let used = size - remaining;
        let back = resets_in.as_secs_f64() * size / DAY_SECONDS;
        // counted whole, while it refills in between
        Some(back >= 0.99 && back <= used + 0.01 && back > used - 1.01)
    };
    if resets_in > MINUTE_MAX || day() == Some(true) {
        QuotaWindow::Day
    } else {
        QuotaWindow::Minute
    }
}

const DAY_SECONDS: f64 = 86_400.0;
/// A minute, rounded generously.
const MINUTE_MAX: Duration = Duration::from_secs(61);

fn exact(number: u64) -> Option<f64> {
    u32::try_from(number).ok().map(f64::from)
}

/// More than any limit grants.
const SIZE_MAX: u64 = 1_000_000_000_000;

fn whole(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let number = digits.then(|| text.parse().ok())??;
    (number <= SIZE_MAX).then_some(number)
}

/// A span with units, or plain seconds; a larger plain number is a date, and nothing is said of its
/// form.
fn span(text: &str) -> Option<Duration> {
    const PLAIN_MAX: Duration = Duration::from_secs(2 * 86_400);
    let plain = || seconds(text, 1.0).filter(|wait| *wait <= PLAIN_MAX);
    plain()
        .or_else(|| joined(text))
        .filter(|wait| *wait < WAIT_MAX)
}

/// How long nothing more is granted: the provider's wish, or the reset of a minute that is spent,
/// whichever is longer. The reset of a spent day counts only where no wish is told, since a day
/// refills while it lasts.
pub(super) fn wait(wish: Option<Duration>, told: &[LimitNotice]) -> Option<Duration> {
    let spent = |window| {
        let spent = told
            .iter()
            .filter(move |it| it.window == window && it.remaining == Some(0));
        spent.filter_map(|it| it.resets_in).max()
    };
    let minute = wish.max(spent(QuotaWindow::Minute));
    minute.or_else(|| spent(QuotaWindow::Day))
}

/// The limit that the words of a refusal name: "Rate limit reached for M in organization O on tokens
/// per min (TPM): Limit 60000, Used 59000, Requested 2000."
pub(super) fn in_words(message: &str) -> Option<LimitNotice> {
    let plain = message.to_ascii_lowercase();
    let (tokens, window, at) = KINDS
        .iter()
        .find_map(|(words, tokens, window)| Some((*tokens, *window, plain.find(words)?)))?;
    let size = plain[at..].split_once("limit").and_then(|(_, after)| {
        let after = after.trim_start_matches([':', ' ']);
        // thousands may be parted by commas; the one behind the number is followed by a space
        let end = after.find(|c: char| !c.is_ascii_digit() && c != ',');
        whole(&after[..end.unwrap_or(after.len())].replace(',', ""))
    });
    let requested_none = size == Some(0);
    Some(LimitNotice {
        tokens,
        window,
        size,
        remaining: (!tokens || requested_none).then_some(0),
        resets_in: None,
    })
}

const KINDS: [(&str, bool, QuotaWindow); 4] = [
    ("requests per min", false, QuotaWindow::Minute),
    ("requests per day", false, QuotaWindow::Day),
    ("tokens per min", true, QuotaWindow::Minute),
    ("tokens per day", true, QuotaWindow::Day),
];

/// What is spent: what the words name, else what the headers say is.
pub(super) fn quotas(message: &str, told: &[LimitNotice], veil: &Veil<'_>) -> Vec<Quota> {
    let quota = |notice: &LimitNotice| Quota {
        id: veil.words(notice_id(notice)),
        window: notice.window,
        tokens: notice.tokens,
        refills: true,
        size: notice.size,
    };
    match in_words(message) {
        Some(notice) => vec![quota(&notice)],
        None => {
            let spent = told.iter().filter(|notice| notice.remaining == Some(0));
            spent.map(quota).collect()
        }
    }
}

fn notice_id(notice: &LimitNotice) -> &'static str {
    match (notice.tokens, notice.window) {
        (false, QuotaWindow::Minute) => "requests per min (RPM)",
        (false, QuotaWindow::Day) => "requests per day (RPD)",
        (true, QuotaWindow::Minute) => "tokens per min (TPM)",
        (true, QuotaWindow::Day) => "tokens per day (TPD)",
    }
}

#[cfg(test)]
#[path = "limits_tests.rs"]
mod tests;
