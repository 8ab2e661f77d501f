//! F40, F45: refusals as the vendors sent them, over the wire, and what is told beside them.

use std::time::Duration;

use tidegate::{
    llm::{LimitNotice, QuotaWindow, Verdict},
    provider::Kind,
};
use wiremock::{Mock, MockServer, ResponseTemplate, matchers::any};

use super::{Subject, VENDORS, Vendor};

/// A status, the name of a recorded body, and what follows.
type Case = (u16, &'static str, Verdict);

fn cool(seconds: Option<f64>) -> Verdict {
    Verdict::CoolDown {
        wait: seconds.map(Duration::from_secs_f64),
        until_day_ends: false,
    }
}

fn day(seconds: Option<f64>) -> Verdict {
    Verdict::CoolDown {
        wait: seconds.map(Duration::from_secs_f64),
        until_day_ends: true,
    }
}

const RETRY: Verdict = Verdict::Retry { after: None };

fn recorded(vendor: &Vendor) -> Vec<Case> {
    match vendor.kind {
        Kind::Gemini => vec![
            (429, "429_minute", cool(Some(27.312))),
            (429, "429_day_short_delay", day(Some(47.0))),
            (429, "429_several", day(Some(0.847))),
            (429, "429_limit_zero", day(Some(6.0))),
            (429, "429_limit_zero_no_details", day(None)),
            (429, "429_array", cool(Some(3.0))),
            (429, "429_no_details", cool(None)),
            (429, "429_help_only", cool(Some(0.890_5))),
            (429, "429_prepayment", Verdict::ParkProvider),
            (402, "402", Verdict::ParkProvider),
            (503, "503", RETRY),
        ],
        _ => vec![
            (429, "429_rpm", cool(Some(20.0))),
            (429, "429_tpm", cool(Some(0.006))),
            (429, "429_tpm_minutes", cool(Some(62.5))),
            (429, "429_rpd", cool(Some(432.0))),
            (429, "429_rpd_no_wait", day(None)),
            (429, "429_limit_zero", day(None)),
            (429, "429_old", cool(None)),
            (429, "429_text", cool(Some(6.0))),
            (429, "429_no_code", cool(None)),
            (429, "429_number", cool(None)),
            (429, "429_message", cool(None)),
            (429, "429_array", cool(Some(27.3))),
            (429, "429_slow_down", RETRY),
            (429, "429_engine", RETRY),
            (503, "503", RETRY),
            (529, "529", RETRY),
            (429, "429_quota", Verdict::ParkProvider),
            (429, "429_spend", Verdict::ParkProvider),
            (402, "402_quota", Verdict::ParkProvider),
            (403, "403_model", Verdict::ParkModel),
            (404, "404_model", Verdict::ParkModel),
            (429, "429_too_large", Verdict::NextModel),
            (400, "400_context", Verdict::NextModel),
        ],
    }
}

fn body(vendor: &Vendor, name: &str) -> Vec<u8> {
    let root = env!("CARGO_MANIFEST_DIR");
    let kind = vendor.kind.as_str();
    std::fs::read(format!("{root}/src/provider/{kind}/testdata/{name}.json")).expect("a record")
}

async fn answering(vendor: &Vendor, answer: ResponseTemplate) -> (MockServer, Subject) {
    let server = MockServer::start().await;
    Mock::given(any()).respond_with(answer).mount(&server).await;
    let subject = Subject::at(vendor, &server.uri());
    (server, subject)
}

#[tokio::test]
async fn f40_every_form_of_a_refusal_is_read() {
    for vendor in VENDORS {
        for (status, name, verdict) in recorded(vendor) {
            let answer = ResponseTemplate::new(status).set_body_bytes(body(vendor, name));
            let (_server, subject) = answering(vendor, answer).await;
            let error = subject.refusal().await;
            assert_eq!(error.verdict(), verdict, "{:?} {name}", vendor.kind);
        }
    }
}

#[tokio::test]
async fn f45_a_success_that_is_none_has_its_class() {
    for vendor in VENDORS {
        let cases: &[(&str, &str)] = match vendor.kind {
            Kind::Gemini => &[
                ("error_under_200", "overloaded"),
                ("error_under_200_array", "rate_limited"),
                ("error_under_200_unknown", "damaged"),
                ("no_candidates", "filtered"),
                ("max_tokens", "truncated"),
                ("safety", "filtered"),
                ("blocked_prompt", "filtered"),
                ("no_finish_reason", "damaged"),
            ],
            _ => &[
                ("error_under_200", "overloaded"),
                ("error_under_200_limit", "rate_limited"),
                ("error_under_200_status", "provider_failed"),
                ("error_under_200_unknown", "damaged"),
                ("error_in_choice", "rate_limited"),
                ("no_choices", "damaged"),
                ("length", "truncated"),
                ("content_filter", "filtered"),
                ("refusal", "filtered"),
                ("no_finish_reason", "damaged"),
            ],
        };
        for (name, class) in cases {
            let answer = ResponseTemplate::new(200).set_body_bytes(body(vendor, name));
            let (_server, subject) = answering(vendor, answer).await;
            assert_eq!(subject.refusal().await.class(), *class, "{name}");
        }
    }
}

#[tokio::test]
async fn limits_are_told_beside_answers_and_refusals() {
    for vendor in VENDORS {
        let headers = [
            ("x-ratelimit-limit-requests", "10000"),
            ("x-ratelimit-remaining-requests", "9999"),
            ("x-ratelimit-reset-requests", "8.64s"),
            ("x-ratelimit-limit-tokens", "60000"),
            ("x-ratelimit-remaining-tokens", "many"),
        ];
        let hello = ResponseTemplate::new(200)
            .set_body_string(vendor.hello)
            .append_headers(headers);
        let (_server, subject) = answering(vendor, hello).await;
        let exchange = subject.exchange().await;
        assert!(exchange.answer.is_ok());
        let requests = LimitNotice {
            tokens: false,
            window: QuotaWindow::Day,
            size: Some(10_000),
            remaining: Some(9_999),
            resets_in: Some(Duration::from_millis(8_640)),
        };
        let tokens = LimitNotice {
            tokens: true,
            window: QuotaWindow::Minute,
            size: Some(60_000),
            remaining: None,
            resets_in: None,
        };
        let told = match vendor.kind {
            Kind::Gemini => vec![], // which has no such headers
            _ => vec![requests, tokens],
        };
        assert_eq!(exchange.notices, told);

        let name = match vendor.kind {
            Kind::Gemini => "429_minute",
            _ => "429_rpm",
        };
        let refusal = ResponseTemplate::new(429).set_body_bytes(body(vendor, name));
        let (_server, subject) = answering(vendor, refusal).await;
        let spent = LimitNotice {
            size: Some(if vendor.kind == Kind::Gemini { 15 } else { 3 }),
            window: QuotaWindow::Minute,
            remaining: Some(0),
            resets_in: None,
            ..requests
        };
        assert_eq!(subject.exchange().await.notices, [spent]);
    }
}
