use std::fs;

use proptest::prelude::*;
use reqwest::header::HeaderMap;
use secrecy::SecretString;

use super::*;
use crate::llm::Verdict;

fn refusal_with(status: u16, body: Vec<u8>, retry_after: Option<Duration>) -> CallError {
    let answer = Answer {
        status,
        headers: HeaderMap::new(),
        retry_after,
        html: false,
        redirect_host: None,
        body,
    };
    of_answer(&answer, &Veil::new(&SecretString::from("CANARY-KEY")))
}

fn refusal(status: u16, name: &str) -> CallError {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/provider/gemini/testdata");
    refusal_with(
        status,
        fs::read(format!("{folder}/{name}.json")).unwrap(),
        None,
    )
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

fn named(error: &CallError) -> Vec<Quota> {
    match error {
        CallError::RateLimited { quotas, .. } => quotas.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn each_refusal_has_its_class() {
    for (status, name, class) in [
        (400, "400_key_invalid", "key_refused"),
        (400, "400_key_expired", "key_refused"),
        (400, "400_key_words_only", "key_refused"),
        (400, "400_key_reason_only", "key_refused"),
        (400, "400_precondition", "key_refused"),
        (400, "400_too_long", "too_long"),
        (400, "400_malformed", "rejected"),
        (401, "401", "key_refused"),
        (402, "402", "no_money"),
        (403, "403_suspended", "key_refused"),
        (403, "403_blocked", "key_refused"),
        (404, "404_model", "model_gone"),
        (404, "404_new_users", "model_gone"),
        (429, "429_minute", "rate_limited"),
        (429, "429_prepayment", "no_money"),
        (499, "499", "provider_failed"),
        (500, "500", "provider_failed"),
        (503, "503", "overloaded"),
        (504, "504", "provider_failed"),
    ] {
        assert_eq!(refusal(status, name).class(), class, "{name}");
    }
}

#[test]
fn the_status_decides_where_the_body_says_nothing() {
    for (status, class) in [
        (301, "provider_failed"),
        (304, "provider_failed"),
        (400, "rejected"),
        (401, "key_refused"),
        (402, "no_money"),
        (403, "key_refused"),
        (404, "model_gone"),
        (405, "rejected"),
        (408, "provider_failed"),
        (409, "provider_failed"),
        (413, "rejected"),
        (418, "rejected"),
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
            let error = refusal_with(status, body.into(), None);
            assert_eq!(error.class(), class, "{status} {body}");
            assert!(!error.to_string().contains("<b>"), "{error}");
        }
        assert_eq!(refusal(status, "odd_codes").class(), class, "{status}");
    }
    assert!(
        refusal_with(502, "upstream reset".into(), None)
            .to_string()
            .contains("upstream reset")
    );
    assert!(
        refusal(500, "error_text")
            .to_string()
            .contains("upstream is tired")
    );
}

#[test]
fn a_minute_quota_cools_down_as_long_as_asked() {
    let error = refusal(429, "429_minute");
    assert_eq!(
        cool_down(&error),
        (Some(Duration::from_millis(27_312)), false)
    );
    let id = "GenerateRequestsPerMinutePerProjectPerModel-FreeTier".to_owned();
    let quota = Quota {
        id,
        window: QuotaWindow::Minute,
        tokens: false,
        refills: false,
        size: Some(15),
    };
    assert_eq!(named(&error), [quota]);
}

#[test]
fn a_day_quota_wins_over_its_short_delay() {
    let error = refusal(429, "429_day_short_delay");
    assert_eq!(cool_down(&error), (Some(Duration::from_secs(47)), true));
}

#[test]
fn several_violations_are_all_named() {
    let error = refusal(429, "429_several");
    assert_eq!(cool_down(&error), (Some(Duration::from_millis(847)), true));
    let seen: Vec<_> = named(&error)
        .iter()
        .map(|q| (q.window, q.tokens, q.size))
        .collect();
    let (minute, day) = (QuotaWindow::Minute, QuotaWindow::Day);
    assert_eq!(
        seen,
        [
            (minute, true, Some(250_000)),
            (day, false, None),
            (minute, false, None),
            (day, true, Some(1_000_000)),
        ]
    );
}

#[test]
fn a_limit_of_zero_is_no_grant_at_all() {
    let error = refusal(429, "429_limit_zero");
    assert_eq!(cool_down(&error), (Some(Duration::from_secs(6)), true));
    let sizes: Vec<_> = named(&error).iter().map(|q| (q.tokens, q.size)).collect();
    assert_eq!(sizes, [(false, Some(0)), (true, Some(0))]);

    let bare = refusal(429, "429_limit_zero_no_details");
    assert!(cool_down(&bare).1);
    assert_eq!(named(&bare).len(), 1);
}

#[test]
fn a_429_without_details_names_no_quota() {
    assert_eq!(named(&refusal(429, "429_no_details")), []);
    assert_eq!(cool_down(&refusal(429, "429_no_details")), (None, false));
    let in_words = Some(Duration::from_micros(890_500));
    assert_eq!(cool_down(&refusal(429, "429_help_only")), (in_words, false));
}

#[test]
fn an_error_in_an_array_is_read() {
    let wait = Some(Duration::from_secs(3));
    assert_eq!(cool_down(&refusal(429, "429_array")), (wait, false));
}

#[test]
fn a_header_is_heard_after_retry_info_and_before_words() {
    let header = Some(Duration::from_secs(99));
    let body = |text: &str| text.as_bytes().to_vec();
    let words = body(r#"{"error":{"message":"Please retry in 5s."}}"#);
    assert_eq!(
        cool_down(&refusal_with(429, words.clone(), header)).0,
        header
    );
    assert_eq!(
        cool_down(&refusal_with(429, words, None)).0,
        Some(Duration::from_secs(5))
    );
    let info = body(
        r#"{"error":{"details":[{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"2s"}]}}"#,
    );
    assert_eq!(
        cool_down(&refusal_with(429, info, header)).0,
        Some(Duration::from_secs(2))
    );
    let overloaded = refusal_with(503, Vec::new(), header);
    assert_eq!(overloaded.verdict(), Verdict::Retry { after: header });
}

#[test]
fn limits_in_words_are_whole_numbers_of_a_metric() {
    let words =
        "* for metric: a/b, limit: 0, model: x\n* for metric: a/c, limit: 10\nlimit: 07 limit: x";
    assert_eq!(limits_in_words(words), [("a/b", 0), ("a/c", 10), ("", 7)]);
}

#[test]
fn a_quoted_key_is_withheld() {
    let error = refusal(403, "403_suspended");
    assert!(error.to_string().contains("api_key:[withheld]"), "{error}");
    assert!(!format!("{error:?}").contains("CANARY-KEY"));
}

#[test]
fn a_redirect_says_where_to() {
    let answer = Answer {
        status: 307,
        headers: HeaderMap::new(),
        retry_after: None,
        html: true,
        redirect_host: Some("elsewhere.example".to_owned()),
        body: b"<a href='https://elsewhere.example/?key=1'>".to_vec(),
    };
    let error = of_answer(&answer, &Veil::new(&SecretString::from("k")));
    assert!(
        error
            .to_string()
            .contains("redirects to elsewhere.example;"),
        "{error}"
    );
}

proptest! {
    #[test]
    fn no_refusal_makes_it_panic_or_shows_the_key(status in 300_u16..600, message in ".{0,200}", delay in ".{0,12}") {
        let body = serde_json::json!([{"error": {
            "message": format!("{message}CANARY-KEY{message}"),
            "details": [{"@type": "google.rpc.RetryInfo", "retryDelay": delay}],
        }}]);
        let error = refusal_with(status, body.to_string().into_bytes(), None);
        let shown = format!("{error} {error:?}");
        prop_assert!(!shown.contains("CANARY-KEY"));
    }
}
