//! The day of a daily quota: it changes at midnight in Los Angeles.

use chrono::{DateTime, Datelike, NaiveDate, Weekday};

/// The date in Los Angeles, as a number that grows by one a day.
///
/// Uses the rule of the United States since 2007: UTC-7 from the second Sunday of March, 02:00
/// standard time, to the first Sunday of November, 02:00 daylight time; else UTC-8.
pub(super) fn day(unix_ms: u64) -> i32 {
    let seconds = i64::try_from(unix_ms / 1000).unwrap_or(i64::MAX);
    let local = seconds.saturating_sub(offset_seconds(seconds));
    date(local).map_or(0, |date| date.num_days_from_ce())
}

/// How long the day there still lasts, in milliseconds; at least 1.
pub(super) fn rest_of_day(unix_ms: u64) -> u64 {
    let today = day(unix_ms);
    // the next midnight is 23 to 25 hours after the last one: the first moment of another day
    let (mut still, mut over) = (0, 25 * 3_600_000 + 1);
    while over - still > 1 {
        let middle = (still + over) / 2;
        if day(unix_ms + middle) == today {
            still = middle;
        } else {
            over = middle;
        }
    }
    over
}

/// How far Los Angeles is behind UTC at this moment.
fn offset_seconds(unix_seconds: i64) -> i64 {
    const STANDARD: i64 = 8 * 3600;
    const DAYLIGHT: i64 = 7 * 3600;
    let year = date(unix_seconds - STANDARD).map_or(1970, |date| date.year());
    let spring = sunday(year, 3, 2).map(|midnight| midnight + STANDARD + 2 * 3600);
    let autumn = sunday(year, 11, 1).map(|midnight| midnight + DAYLIGHT + 2 * 3600);
    match (spring, autumn) {
        (Some(from), Some(to)) if (from..to).contains(&unix_seconds) => DAYLIGHT,
        _ => STANDARD,
    }
}

fn date(unix_seconds: i64) -> Option<NaiveDate> {
    DateTime::from_timestamp(unix_seconds, 0).map(|moment| moment.date_naive())
}

/// Midnight UTC of the nth Sunday of a month, in Unix seconds.
fn sunday(year: i32, month: u32, nth: u8) -> Option<i64> {
    let epoch = NaiveDate::default();
    NaiveDate::from_weekday_of_month_opt(year, month, Weekday::Sun, nth)
        .map(|date| date.signed_duration_since(epoch).num_seconds())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> i32 {
        let moment = DateTime::parse_from_rfc3339(text).unwrap();
        day(u64::try_from(moment.timestamp_millis()).unwrap())
    }

    #[test]
    fn the_day_changes_at_eight_in_winter_and_at_seven_in_summer() {
        for (before, after) in [
            ("2026-01-15T07:59:59Z", "2026-01-15T08:00:00Z"),
            ("2026-07-15T06:59:59Z", "2026-07-15T07:00:00Z"),
        ] {
            assert_eq!(at(before) + 1, at(after), "{after}");
        }
    }

    #[test]
    fn the_days_of_the_clock_change_are_23_and_25_hours_long() {
        // 2026: daylight time from March 8 to November 1.
        assert_eq!(at("2026-03-08T08:00:00Z"), at("2026-03-09T06:59:59Z"));
        assert_eq!(at("2026-03-08T08:00:00Z") + 1, at("2026-03-09T07:00:00Z"));
        assert_eq!(at("2026-11-01T07:00:00Z"), at("2026-11-02T07:59:59Z"));
        assert_eq!(at("2026-11-01T07:00:00Z") + 1, at("2026-11-02T08:00:00Z"));
    }

    #[test]
    fn the_rest_of_a_day_ends_at_its_midnight() {
        let at = |text: &str| {
            let moment = DateTime::parse_from_rfc3339(text).unwrap();
            rest_of_day(u64::try_from(moment.timestamp_millis()).unwrap())
        };
        assert_eq!(at("2026-01-15T07:59:00Z"), 60_000);
        assert_eq!(at("2026-01-15T08:00:00Z"), 24 * 3_600_000);
        assert_eq!(at("2026-03-08T08:00:00Z"), 23 * 3_600_000);
        assert_eq!(at("2026-11-01T07:00:00Z"), 25 * 3_600_000);
    }

    #[test]
    fn every_hour_of_three_years_is_on_the_same_or_the_next_day() {
        let start = 1_767_225_600_000_u64; // 2026-01-01
        let mut last = day(start);
        for hour in 1..(3 * 365 * 24) {
            let now = day(start + hour * 3_600_000);
            assert!(now == last || now == last + 1);
            last = now;
        }
        assert_eq!(last - day(start), 3 * 365);
    }
}
