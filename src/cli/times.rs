//! Times for people: UTC, and on terminals how far off they are.

use chrono::{DateTime, Utc};

/// A moment in UTC, to the second.
pub(super) fn utc(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M:%SZ").to_string()
}

/// How far a moment is from now: `in 12 s`, `3 min ago`.
pub(super) fn relative(at: DateTime<Utc>, now: DateTime<Utc>) -> String {
    let seconds = (at - now).num_seconds();
    match seconds {
        0 => "now".to_owned(),
        1.. => format!("in {}", span(seconds)),
        _ => format!("{} ago", span(-seconds)),
    }
}

/// A span of time in its largest sensible unit.
pub(super) fn span(seconds: i64) -> String {
    match seconds {
        ..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// The moment of showing.
#[expect(
    clippy::disallowed_methods,
    reason = "how far off a shown time is: nothing is decided by it"
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
}
