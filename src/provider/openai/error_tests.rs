use std::fs;

use proptest::prelude::*;
use reqwest::header::{HeaderMap, HeaderName};
use secrecy::SecretString;

use super::*;
use crate::llm::{LimitNotice, QuotaWindow, Verdict};

fn refusal_with(status: u16, body: Vec<u8>, headers: &[(&'static str, &str)]) -> Exchange {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.insert(HeaderName::from_static(name), value.parse().unwrap());
    }
    let answer = Answer {
        status,
        retry_after: crate::provider::retry_after::from_headers(&map),
        headers: map,
        html: false,
        redirect_host: None,
        body,
    };
    of_answer(&answer, &Veil::new(&SecretString::from("CANARY-KEY")))
}

fn testdata(name: &str) -> Vec<u8> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/provider/openai/testdata");
    fs::read(format!("{folder}/{name}.json")).unwrap()
}

fn refusal(status: u16, name: &str) -> CallError {
    refusal_with(status, testdata(name), &[])
        .answer
        .unwrap_err()
}

fn wait(seconds: f64) -> Option<Duration> {
    Some(Duration::from_secs_f64(seconds))
}

fn cool_down(error: &CallError) -> (Option<Duration>, bool) {
    match error.verdict() {
        Verdict::CoolDown {
            wait,
            until_day_ends,
        } => (wait, until_day_ends),
        other => panic!("{other:?}"),
    }
}

#[test]
fn each_refusal_has_its_class() {
    for (status, name, class) in [
        (400, "400_context", "too_long"),
        (400, "400_context_copy", "too_long"),
        (400, "400_unknown_parameter", "rejected"),
        (400, "400_schema", "rejected"),
        (400, "400_billing", "no_money"),
        (400, "400_content_filter", "filtered"),
        (400, "400_key_copy", "key_refused"),
        (401, "401", "key_refused"),
        (402, "402", "no_money"),
        (402, "402_quota", "no_money"),
        (403, "403_region", "key_refused"),
        (403, "403_model", "model_gone"),
        (404, "404_model", "model_gone"),
        (404, "404_copy", "model_gone"),
        (404, "404_detail", "model_gone"),
        (413, "413_groq", "too_long"),
        (422, "422_detail", "rejected"),
        (429, "429_rpm", "rate_limited"),
        (429, "429_too_large", "too_long"),
        (429, "429_slow_down", "overloaded"),
        (429, "429_engine", "overloaded"),
        (429, "429_engine_type", "overloaded"),
        (429, "429_quota", "no_money"),
        (429, "429_spend", "no_money"),
        (429, "429_credit", "no_money"),
        (429, "429_text", "rate_limited"),
        (429, "429_text_quota", "no_money"),
        (429, "429_no_code", "rate_limited"),
        (429, "429_number", "rate_limited"),
        (429, "429_message", "rate_limited"),
        (429, "429_array", "rate_limited"),
        (500, "500", "provider_failed"),
        (500, "500_overloaded", "overloaded"),
        (503, "503", "overloaded"),
        (529, "529", "overloaded"),
    ] {
        assert_eq!(refusal(status, name).class(), class, "{name}");
    }
    assert!(refusal(429, "429_message").to_string().contains("API rate"));
}

#[test]
fn the_status_decides_where_the_body_says_nothing() {
    for (status, class) in [
        (301, "provider_failed"),
        (400, "rejected"),
        (401, "key_refused"),
        (402, "no_money"),
        (403, "key_refused"),
        (404, "model_gone"),
        (405, "rejected"),
        (408, "provider_failed"),
        (409, "provider_failed"),
        (413, "rejected"),
        (422, "rejected"),
        (425, "provider_failed"),
        (429, "rate_limited"),
        (499, "provider_failed"),
        (500, "provider_failed"),
        (502, "provider_failed"),
        (503, "overloaded"),
        (504, "provider_failed"),
        (529, "overloaded"),
        (599, "provider_failed"),
    ] {
        for body in [
            "",
            "<html><b>no</b></html>",
            "tired",
            "{}",
            "[]",
            "null",
            "{\"error\": null}",
        ] {
            let error = refusal_with(status, body.into(), &[]).answer.unwrap_err();
            assert_eq!(error.class(), class, "{status} {body}");
            assert!(!error.to_string().contains("<b>"), "{error}");
        }
        assert_eq!(refusal(status, "odd_codes").class(), class, "{status}");
    }
}

#[test]
fn waits_and_quotas_are_read_from_the_words() {
    let (minute, day) = (QuotaWindow::Minute, QuotaWindow::Day);
    for (name, told, quota) in [
        (
            "429_rpm",
            (wait(20.0), false),
            Some((minute, false, Some(3))),
        ),
        (
            "429_rpd",
            (wait(432.0), false),
            Some((day, false, Some(200))),
        ),
        (
            "429_rpd_no_wait",
            (None, true),
            Some((day, false, Some(200))),
        ),
        (
            "429_tpm",
            (wait(0.006), false),
            Some((minute, true, Some(60_000))),
        ),
        (
            "429_tpm_minutes",
            (wait(62.5), false),
            Some((minute, true, Some(60_000))),
        ),
        ("429_old", (None, false), Some((minute, true, Some(40_000)))),
        (
            "429_limit_zero",
            (None, true),
            Some((minute, false, Some(0))),
        ),
        ("429_text", (wait(6.0), false), None),
        ("429_array", (wait(27.3), false), None),
        ("429_no_code", (None, false), None),
    ] {
        let error = refusal(429, name);
        assert_eq!(cool_down(&error), told, "{name}");
        let CallError::RateLimited { quotas, .. } = &error else {
            panic!("{error:?}")
        };
        let seen = quotas.first().map(|q| (q.window, q.tokens, q.size));
        assert_eq!(seen, quota, "{name}");
    }
}

#[test]
fn a_header_is_heard_before_words() {
    let header = |name, value| {
        let told = refusal_with(429, testdata("429_rpm"), &[(name, value)]);
        cool_down(&told.answer.unwrap_err()).0
    };
    assert_eq!(header("retry-after", "7"), wait(7.0));
    assert_eq!(header("retry-after-ms", "1500"), wait(1.5));
    assert_eq!(header("retry-after", "soon"), wait(20.0));
    let slow = refusal_with(429, testdata("429_slow_down"), &[("retry-after", "9")]);
    let after = Verdict::Retry { after: wait(9.0) };
    assert_eq!(slow.answer.unwrap_err().verdict(), after);
}

#[test]
fn the_reset_of_a_spent_minute_may_be_longer_than_the_wish() {
    let told = |reset, left| {
        let headers = [
            ("retry-after", "7"),
            ("x-ratelimit-limit-requests", "60"),
            ("x-ratelimit-remaining-requests", left),
            ("x-ratelimit-reset-requests", reset),
        ];
        cool_down(&refusal_with(429, Vec::new(), &headers).answer.unwrap_err())
    };
    assert_eq!(told("59.9s", "0"), (wait(59.9), false));
    assert_eq!(
        told("59.9s", "3"),
        (wait(7.0), false),
        "not this one is spent"
    );
    assert_eq!(told("2s", "0"), (wait(7.0), false));
    assert_eq!(
        told("24h", "0"),
        (wait(7.0), false),
        "a day refills meanwhile"
    );
}

#[test]
fn a_refusal_tells_its_limit_with_the_size() {
    let notices = |status, name| refusal_with(status, testdata(name), &[]).notices;
    let told = LimitNotice {
        tokens: true,
        window: QuotaWindow::Minute,
        size: Some(30_000),
        remaining: None,
        resets_in: None,
    };
    assert_eq!(notices(429, "429_too_large"), [told]);
    let groq = LimitNotice {
        size: Some(6_000),
        ..told
    };
    assert_eq!(notices(413, "413_groq"), [groq]);
    let requests = LimitNotice {
        tokens: false,
        size: Some(3),
        remaining: Some(0),
        ..told
    };
    assert_eq!(notices(429, "429_rpm"), [requests]);
    assert_eq!(notices(429, "429_no_code"), []);
}

#[test]
fn a_quoted_key_is_withheld() {
    let error = refusal(401, "401");
    assert!(
        error.to_string().contains("provided: [withheld]"),
        "{error}"
    );
    assert!(!format!("{error:?}").contains("CANARY-KEY"));
}

proptest! {
    #[test]
    fn no_refusal_makes_it_panic_or_shows_the_key(
        status in 300_u16..600, message in ".{0,200}", code in "[a-z_0-9]{0,12}", limit in "[0-9,]{0,25}",
    ) {
        let body = serde_json::json!([{"error": {
            "message": format!("{message} on tokens per min (TPM): Limit {limit} CANARY-KEY try again in {limit}s{message}"),
            "code": code,
        }}]);
        let told = refusal_with(status, body.to_string().into_bytes(), &[("retry-after", &limit)]);
        let error = told.answer.unwrap_err();
        let shown = format!("{error} {error:?}");
        prop_assert!(!shown.contains("CANARY-KEY"));
    }
}
