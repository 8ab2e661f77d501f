//! How long a provider asks us to wait, as its headers say it.

use std::time::Duration;

use chrono::{DateTime, NaiveDateTime, Utc};
use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};

use super::spans::{WAIT_MAX, seconds};

/// The wait that the headers name: `retry-after-ms` before `Retry-After`, the latter in seconds
/// (fractions too) or as an HTTP date.
///
/// A date is measured against the answer's own `Date`, never against our clock, which may be wrong;
/// without a `Date` it says nothing. What lies in the past is no wait at all: zero.
pub(super) fn from_headers(headers: &HeaderMap) -> Option<Duration> {
    let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
    let in_ms = || text("retry-after-ms").and_then(|ms| seconds(ms, 1e-3));
    let in_seconds = || text(RETRY_AFTER.as_str()).and_then(|s| seconds(s, 1.0));
    let at_date = || {
        let until = http_date(text(RETRY_AFTER.as_str())?)?;
        let now = http_date(text(DATE.as_str())?)?;
        Some(
            (until - now)
                .to_std()
                .unwrap_or(Duration::ZERO)
                .min(WAIT_MAX),
        )
    };
    in_ms().or_else(in_seconds).or_else(at_date)
}

/// A date in one of HTTP's three forms.
fn http_date(text: &str) -> Option<DateTime<Utc>> {
    let rfc_2822 = DateTime::parse_from_rfc2822(text)
        .ok()
        .map(|date| date.to_utc());
    rfc_2822.or_else(|| {
        ["%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y"]
            .iter()
            .find_map(|form| NaiveDateTime::parse_from_str(text, form).ok())
            .map(|date| date.and_utc())
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use reqwest::header::HeaderName;

    use super::*;

    fn wait(pairs: &[(&'static str, &str)]) -> Option<Duration> {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.insert(HeaderName::from_static(name), value.parse().unwrap());
        }
        from_headers(&headers)
    }

    #[test]
    fn seconds_fractions_and_milliseconds_are_read() {
        assert_eq!(wait(&[("retry-after", "7")]), Some(Duration::from_secs(7)));
        assert_eq!(
            wait(&[("retry-after", " 0.5 ")]),
            Some(Duration::from_millis(500))
        );
        assert_eq!(wait(&[("retry-after", "0")]), Some(Duration::ZERO));
        assert_eq!(
            wait(&[("retry-after", "9"), ("retry-after-ms", "1500")]),
            Some(Duration::from_millis(1500))
        );
        assert_eq!(
            wait(&[("retry-after", "9"), ("retry-after-ms", "soon")]),
            Some(Duration::from_secs(9))
        );
    }

    #[test]
    fn a_date_is_measured_against_the_answers_own_date() {
        let now = ("date", "Sun, 22 Nov 2026 10:00:00 GMT");
        for until in [
            "Sun, 22 Nov 2026 10:00:30 GMT",
            "Sunday, 22-Nov-26 10:00:30 GMT",
            "Sun Nov 22 10:00:30 2026",
        ] {
            assert_eq!(
                wait(&[now, ("retry-after", until)]),
                Some(Duration::from_secs(30)),
                "{until}"
            );
        }
        let past = ("retry-after", "Sun, 22 Nov 2026 09:00:00 GMT");
        assert_eq!(wait(&[now, past]), Some(Duration::ZERO));
        assert_eq!(wait(&[past]), None, "no Date to measure against");
    }

    #[test]
    fn nonsense_is_no_wait_and_eternity_is_cut() {
        for odd in ["", "-1", "soon", "1e9", "NaN", "inf", "1.2.3", "+5"] {
            assert_eq!(wait(&[("retry-after", odd)]), None, "{odd}");
        }
        for far in ["99999999999999999999999", "2678401"] {
            assert_eq!(wait(&[("retry-after", far)]), Some(WAIT_MAX), "{far}");
        }
    }

    proptest! {
        #[test]
        fn no_header_makes_it_panic_or_wait_for_ever(value in "[ -~]{0,40}") {
            let found = wait(&[("date", "Sun, 22 Nov 2026 10:00:00 GMT"), ("retry-after", &value)]);
            prop_assert!(found.is_none_or(|wait| wait <= WAIT_MAX));
        }
    }
}
