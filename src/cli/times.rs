//! Times, money and counts for people: UTC, and on terminals how far off a time is.

use chrono::{DateTime, Utc};

use super::Printer;

/// A moment in UTC to the second; on a terminal with its distance: `... (in 12 s)`.
pub(super) fn moment(at: DateTime<Utc>, printer: &Printer) -> String {
    if printer.stdout_is_terminal() {
        format!("{} ({})", utc(at), relative(at, now()))
    } else {
        utc(at)
    }
}

/// The same for a cell of a table: only the distance on a terminal.
pub(super) fn brief(at: DateTime<Utc>, printer: &Printer) -> String {
    if printer.stdout_is_terminal() {
        relative(at, now())
    } else {
        utc(at)
    }
}

/// Micro-dollars as dollars: `$0.0123`.
pub(super) fn dollars(micro: i64) -> String {
    let (whole, part) = (micro / 1_000_000, micro % 1_000_000);
    format!("${whole}.{:04}", part / 100)
}

/// The most of a text that a cell takes.
pub(super) fn cut(text: &str, chars: usize) -> String {
    if text.chars().count() <= chars {
        return text.to_owned();
    }
    let head: String = text.chars().take(chars.saturating_sub(1)).collect();
    format!("{head}…")
}

/// `-` where there is nothing.
pub(super) fn or_dash<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

/// A moment in UTC, to the second.
fn utc(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M:%SZ").to_string()
}

/// How far a moment is from now: `in 12 s`, `3 min ago`.
fn relative(at: DateTime<Utc>, now: DateTime<Utc>) -> String {
    let seconds = (at - now).num_seconds();
    match seconds {
        0 => "now".to_owned(),
        1.. => format!("in {}", span(seconds)),
        _ => format!("{} ago", span(-seconds)),
    }
}

/// A span of time in its largest sensible unit.
fn span(seconds: i64) -> String {
    match seconds {
        ..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "how far off a shown time or the server's clock is: nothing is decided by it"
)]
pub(super) fn now() -> DateTime<Utc> {
    Utc::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_told_by_its_distance() {
        let now = DateTime::from_timestamp(1_000_000, 0).unwrap();
        let at = |offset: i64| relative(now + chrono::Duration::seconds(offset), now);
        assert_eq!(at(12), "in 12 s");
        assert_eq!(at(-180), "3 min ago");
        assert_eq!(at(0), "now");
        assert_eq!(at(8_000), "in 2 h");
        assert_eq!(at(-200_000), "2 d ago");
    }

    #[test]
    fn money_is_told_to_a_hundredth_of_a_cent() {
        assert_eq!(dollars(1_234_567), "$1.2345");
        assert_eq!(dollars(0), "$0.0000");
    }
}
