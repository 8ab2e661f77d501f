//! Lengths of time as providers write them: plain seconds, `1h2m3.5s`, and words.

use std::time::Duration;

/// Longest wait taken from a provider; more is cut to it, so that no arithmetic overflows.
pub(super) const WAIT_MAX: Duration = Duration::from_secs(31 * 24 * 3600);

/// A plain decimal number of units; `None` if it is none, negative or not finite.
pub(super) fn seconds(number: &str, unit_seconds: f64) -> Option<Duration> {
    if !number.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        return None;
    }
    let wait = number.parse::<f64>().ok()? * unit_seconds;
    Some(
        Duration::try_from_secs_f64(wait)
            .unwrap_or(WAIT_MAX)
            .min(WAIT_MAX),
    )
}

/// Numbers with a unit each, in a row, as Go writes a duration: `6m0s`, `120ms`, `1h2m3.5s`.
pub(super) fn joined(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let unit_at = rest.find(char::is_alphabetic)?;
        let (number, from_unit) = rest.split_at(unit_at);
        let unit_end = from_unit.find(|c: char| !c.is_alphabetic());
        let (unit, next) = from_unit.split_at(unit_end.unwrap_or(from_unit.len()));
        let unit_seconds = match unit {
            "d" => 86_400.0,
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "\u{b5}s" | "\u{3bc}s" => 1e-6,
            "ns" => 1e-9,
            _ => return None,
        };
        total = total
            .saturating_add(seconds(number, unit_seconds)?)
            .min(WAIT_MAX);
        rest = next;
    }
    (!text.is_empty()).then_some(total)
}

/// What stands before a wait in a message.
const BEFORE_A_WAIT: [&str; 3] = ["try again in ", "retry in ", "retry after "];

/// The wait that a message asks for: "Please try again in 1m2.5s.", "Please retry in 890.1ms",
/// "Please retry after 6 seconds."
pub(super) fn in_words(message: &str) -> Option<Duration> {
    let plain = message.to_ascii_lowercase();
    let after = BEFORE_A_WAIT
        .iter()
        .find_map(|before| plain.split_once(before).map(|(_, after)| after))?;
    let mut words = after
        .split_whitespace()
        .map(|word| word.trim_end_matches(['.', ',', ';', ')', '!']));
    let first = words.next()?;
    joined(first).or_else(|| {
        let unit_seconds = match words.next()? {
            "ms" | "millisecond" | "milliseconds" => 1e-3,
            "sec" | "second" | "seconds" => 1.0,
            "min" | "minute" | "minutes" => 60.0,
            "hour" | "hours" => 3600.0,
            "day" | "days" => 86_400.0,
            _ => return None,
        };
        seconds(first, unit_seconds)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_with_units_are_added_up() {
        for (text, told) in [
            ("1ms", Some(0.001)),
            ("12ms", Some(0.012)),
            ("1s", Some(1.0)),
            ("6m0s", Some(360.0)),
            ("59.9s", Some(59.9)),
            ("1h2m3.5s", Some(3_723.5)),
            ("1d2h", Some(93_600.0)),
            ("250us", Some(0.000_25)),
            ("250\u{b5}s", Some(0.000_25)),
            ("7ns", Some(0.000_000_007)),
            ("9999999999999999999999h9h", Some(WAIT_MAX.as_secs_f64())),
            ("", None),
            ("6", None),
            ("6m0", None),
            ("m", None),
            ("-6s", None),
            (".s", None),
            ("1 s", None),
            ("6M", None),
            ("1e3s", None),
            ("\u{661}s", None),
        ] {
            assert_eq!(joined(text), told.map(Duration::from_secs_f64), "{text}");
        }
    }

    #[test]
    fn waits_in_words_are_understood_or_left() {
        for (words, seconds) in [
            ("Please retry in 6.170646457s.", Some(6.170_646_457)),
            ("retry in 1h2m3.5s", Some(3_723.5)),
            ("retry in 250ms, please", Some(0.25)),
            (
                "Please try again in 20s. Visit https://x.example",
                Some(20.0),
            ),
            ("Please try again in 6ms.", Some(0.006)),
            ("Limit 3, Used 3. Please try again in 1m2.5s.", Some(62.5)),
            ("Please retry after 6 seconds.", Some(6.0)),
            ("Try again in 2 minutes", Some(120.0)),
            ("try again in 5 ms", Some(0.005)),
            ("retry in a while", None),
            ("retry in 5", None),
            ("retry in 5 moons", None),
            ("retry in -5s", None),
            ("retry in ", None),
            ("retry in .", None),
            (
                "retry in 9999999999999999999999h9999999999999999h",
                Some(WAIT_MAX.as_secs_f64()),
            ),
            ("", None),
        ] {
            assert_eq!(
                in_words(words),
                seconds.map(Duration::from_secs_f64),
                "{words}"
            );
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic_or_wait_for_ever(text in ".{0,40}", numbers in "[0-9.]{0,30}(ms|s|m|h|d|µs)?") {
            for told in [joined(&text), joined(&numbers), in_words(&format!("retry in {text}")), in_words(&format!("é retry after {numbers} {text}"))] {
                prop_assert!(told.is_none_or(|wait| wait <= WAIT_MAX));
            }
        }
    }
}
