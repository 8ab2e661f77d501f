use proptest::prelude::*;
use reqwest::header::{HeaderName, HeaderValue};

use super::*;

const MINUTE: QuotaWindow = QuotaWindow::Minute;
const DAY: QuotaWindow = QuotaWindow::Day;

fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        let name: HeaderName = format!("x-ratelimit-{name}").parse().unwrap();
        headers.insert(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    headers
}

fn requests(limit: &str, remaining: &str, reset: &str) -> LimitNotice {
    let told = told(&headers(&[
        ("limit-requests", limit),
        ("remaining-requests", remaining),
        ("reset-requests", reset),
    ]));
    assert_eq!(told.len(), 1);
    told[0]
}

#[test]
fn both_limits_are_read() {
    let told = told(&headers(&[
        ("limit-requests", "60"),
        ("remaining-requests", " 59 "),
        ("reset-requests", "1s"),
        ("limit-tokens", "150000"),
        ("remaining-tokens", "149984"),
        ("reset-tokens", "6m0s"),
    ]));
    let seconds = |n| Some(Duration::from_secs(n));
    let of_requests = LimitNotice {
        tokens: false,
        window: MINUTE,
        size: Some(60),
        remaining: Some(59),
        resets_in: seconds(1),
    };
    let of_tokens = LimitNotice {
        tokens: true,
        window: MINUTE,
        size: Some(150_000),
        remaining: Some(149_984),
        resets_in: seconds(360),
    };
    assert_eq!(told, [of_requests, of_tokens]);
}

#[test]
fn the_reset_tells_a_minute_from_a_day() {
    for (limit, remaining, reset, window) in [
        ("60", "59", "1s", MINUTE),
        ("60", "0", "60s", MINUTE),
        ("500", "499", "120ms", MINUTE),
        // fixed windows of copies: the rest of the minute, whatever was used
        ("60", "59", "45s", MINUTE),
        ("10000", "9999", "59s", MINUTE),
        // days that refill evenly: 86,400 s of them for what was used
        ("200", "199", "7m12s", DAY),
        ("10000", "9999", "8.64s", DAY),
        ("10000", "9998", "13s", DAY),
        ("14400", "14370", "2m59.56s", DAY),
        ("200", "0", "24h0m0s", DAY),
        // days of a calendar
        ("1000", "990", "9h10m11.682867s", DAY),
        ("1000", "1000", "0s", MINUTE),
        ("1000", "", "5m", DAY),
        ("", "", "5m", DAY),
        ("1000", "990", "", MINUTE),
    ] {
        let notice = requests(limit, remaining, reset);
        assert_eq!(notice.window, window, "{limit} {remaining} {reset}");
    }
}

#[test]
fn copies_name_the_window_or_the_project() {
    let told = told(&headers(&[
        ("limit-requests-day", "14400"),
        ("remaining-requests-day", "14399"),
        ("reset-requests-day", "33011.382867"),
        ("limit-tokens-minute", "60000"),
        ("limit-project-tokens", "30000"),
    ]));
    let seen: Vec<_> = told
        .iter()
        .map(|it| (it.tokens, it.window, it.size))
        .collect();
    assert_eq!(
        seen,
        [
            (true, MINUTE, Some(30_000)),
            (false, DAY, Some(14_400)),
            (true, MINUTE, Some(60_000)),
        ]
    );
    assert_eq!(
        told[1].resets_in,
        Some(Duration::from_secs_f64(33_011.382_867))
    );
}

#[test]
fn garbage_is_as_good_as_none() {
    for odd in [
        "",
        " ",
        "-1",
        "+5",
        "1e9",
        "0x10",
        "NaN",
        "inf",
        "many",
        "1.5",
        "1,000",
        "\u{661}",
        "99999999999999999999999",
        "1000000000001",
        "1741305600000",
    ] {
        let told = told(&headers(&[
            ("limit-requests", odd),
            ("remaining-tokens", "7"),
            ("limit-tokens", "5"),
            ("reset-tokens", "soon"),
        ]));
        let seen: Vec<_> = told
            .iter()
            .map(|it| (it.tokens, it.size, it.remaining))
            .collect();
        // of the tokens more is left than there is: that is not known, and the size is kept
        assert_eq!(seen, [(true, Some(5), None)], "{odd}");
    }
    for odd in [
        "",
        "soon",
        "-1s",
        "6m0",
        "1 s",
        "1741305600",
        "1e3",
        "40d",
        "NaN",
    ] {
        assert_eq!(span(odd), None, "{odd}");
    }
    assert_eq!(
        requests("0", "0", "").size,
        None,
        "no limit, not none granted"
    );
}

#[test]
fn words_name_a_limit_or_none() {
    for (words, told) in [
        (
            "on tokens per min (TPM): Limit 60,000, Used 1",
            Some((true, MINUTE, Some(60_000))),
        ),
        (
            "on requests per day (RPD): Limit 200, Used 200",
            Some((false, DAY, Some(200))),
        ),
        (
            "on tokens per minute. Limit: 40000 / min.",
            Some((true, MINUTE, Some(40_000))),
        ),
        ("Requests per min are spent", Some((false, MINUTE, None))),
        ("too many requests", None),
        ("", None),
    ] {
        let seen = in_words(words).map(|it| (it.tokens, it.window, it.size));
        assert_eq!(seen, told, "{words}");
    }
}

proptest! {
    #[test]
    fn no_headers_make_it_panic_and_what_is_told_makes_sense(
        values in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..12), 12),
        digits in prop::collection::vec("[0-9]{0,14}(ms|s|m0s|h)?", 12),
    ) {
        let names = ["requests", "tokens", "requests-day", "project-tokens"];
        let names: Vec<String> = names.iter().flat_map(|name| {
            ["limit", "remaining", "reset"].map(|what| format!("x-ratelimit-{what}-{name}"))
        }).collect();
        for texts in [values, digits.into_iter().map(String::into_bytes).collect()] {
            let mut headers = HeaderMap::new();
            for (name, value) in names.iter().zip(texts) {
                if let Ok(value) = HeaderValue::from_bytes(&value) {
                    headers.insert(name.parse::<HeaderName>().unwrap(), value);
                }
            }
            for notice in told(&headers) {
                prop_assert!(notice.size.is_none_or(|size| (1..=SIZE_MAX).contains(&size)));
                prop_assert!(notice.remaining.is_none_or(|left| left <= notice.size.unwrap_or(SIZE_MAX)));
                prop_assert!(notice.resets_in.is_none_or(|wait| wait < WAIT_MAX));
                prop_assert!(notice.size.is_some() || notice.remaining.is_some() || notice.resets_in.is_some());
            }
        }
    }

    #[test]
    fn a_day_that_refills_evenly_is_always_told_from_a_minute(size in 1_440_u32..1_000_000, used in 1_u32..1_440, into in 0.0_f64..1.0) {
        // whole counts, while a part of the last one is back
        prop_assume!(used < size);
        let back = f64::from(used) - if used > 1 { into } else { 0.0 };
        let reset = |window: f64| Duration::from_secs_f64((back * window / f64::from(size) * 1e3).round() / 1e3);
        let (limit, left) = (u64::from(size), u64::from(size - used));
        prop_assert_eq!(window_of(Some(limit), Some(left), Some(reset(DAY_SECONDS))), DAY);
        prop_assert_eq!(window_of(Some(limit), Some(left), Some(reset(60.0))), MINUTE);
    }
}
