//! Both vendors' calls against the simulator, which has wire types of its own: what one side writes,
//! the other must read.

use std::time::Duration;

use serde_json::{Value, json};
use tidegate::{
    llm::{CallError, Exchange, LimitNotice, Params, QuotaWindow, Request},
    provider::{CallLimits, Kind},
    simulator::{ModelSettings, RateHeaders, Running, Settings, Simulator, WindowKind},
};

use super::{Subject, VENDORS, Vendor};

async fn simulating(rate_headers: RateHeaders) -> Running {
    let limited = ModelSettings {
        rpm: Some(3),
        tpm: Some(10_000),
        rpd: Some(200),
        window: WindowKind::Sliding,
        ..ModelSettings::named("limited")
    };
    let free = ["plain", "gpt-5-nano", "o3"].map(ModelSettings::named);
    let settings = Settings {
        models: [&[limited][..], &free[..]].concat(),
        rate_headers,
        ..Settings::default()
    };
    Simulator::start(settings).await.expect("it starts")
}

fn subject(vendor: &Vendor, simulator: &Running) -> Subject {
    let base = match vendor.kind {
        Kind::Gemini => simulator.base_url(),
        _ => simulator.openai_base_url(),
    };
    Subject::at(vendor, &base)
}

async fn ask(subject: &Subject, model: &str, request: &Request) -> Exchange {
    let limits = CallLimits::default();
    subject.provider.generate(model, request, &limits).await
}

fn full() -> Request {
    Request {
        system: Some("Label it.".to_owned()),
        prompt: "What a bug!".to_owned(),
        schema: Some(json!({
            "type": "object", "required": ["label"], "additionalProperties": false,
            "properties": {"label": {"type": "string", "enum": ["bug", "praise"]}},
        })),
        params: Params {
            temperature: Some(0.2),
            top_p: Some(0.9),
            top_k: Some(40),
            max_output_tokens: Some(500),
            stop: vec!["\n\n".to_owned()],
            seed: Some(7),
            thinking_budget: Some(0),
        },
        embed: None,
    }
}

#[tokio::test]
async fn a_full_request_is_taken_by_every_sort_of_model() {
    let simulator = simulating(RateHeaders::True).await;
    for vendor in VENDORS {
        let subject = subject(vendor, &simulator);
        assert_eq!(subject.check().await, Ok(()));
        let mut loose = full();
        if let Some(schema) = &mut loose.schema {
            schema["properties"]["why"] = json!({"type": "string", "minLength": 1});
        }
        for request in [full(), loose] {
            for model in ["plain", "gpt-5-nano", "o3"] {
                let reply = ask(&subject, model, &request).await.answer;
                let reply = reply.expect("it is taken");
                let said: Value = serde_json::from_str(&reply.text).expect("JSON");
                assert_eq!(said["label"], "bug");
                let usage = reply.usage.expect("it is counted");
                assert!(usage.input_tokens > 0 && usage.output_tokens > 0);
                assert_eq!(reply.model_version.as_deref(), Some(model));
                assert!(reply.response_id.is_some());
            }
        }
        let gone = ask(&subject, "gone", &full()).await.answer;
        assert!(matches!(gone, Err(CallError::ModelGone { .. })), "{gone:?}");
    }
}

#[tokio::test]
async fn what_is_told_of_limits_is_true() {
    for vendor in VENDORS {
        let simulator = simulating(RateHeaders::True).await;
        let subject = subject(vendor, &simulator);
        let first = ask(&subject, "limited", &full()).await;
        let told = |tokens, window, size, remaining| {
            let seen = first.notices.iter();
            let of = |it: &&LimitNotice| (it.tokens, it.window) == (tokens, window);
            let notice = seen.clone().find(of).expect("it is told");
            assert_eq!(
                (notice.size, notice.remaining),
                (Some(size), Some(remaining))
            );
        };
        if vendor.kind == Kind::OpenAi {
            told(false, QuotaWindow::Minute, 3, 2);
            told(true, QuotaWindow::Minute, 10_000, 9_500);
            told(false, QuotaWindow::Day, 200, 199);
        }
        for _ in 0..2 {
            assert!(ask(&subject, "limited", &full()).await.answer.is_ok());
        }
        let refused = ask(&subject, "limited", &full()).await;
        let spent = refused.notices.iter().find(|it| it.remaining == Some(0));
        let spent = spent.expect("it is told");
        assert_eq!(
            (spent.tokens, spent.window, spent.size),
            (false, QuotaWindow::Minute, Some(3))
        );
        let Err(CallError::RateLimited { retry_after, .. }) = refused.answer else {
            panic!("{refused:?}")
        };
        let wait = retry_after.expect("it is told");
        assert!(
            wait > Duration::ZERO && wait <= Duration::from_secs(60),
            "{wait:?}"
        );
    }
}

#[tokio::test]
async fn garbage_in_headers_spoils_no_answer_and_teaches_nothing() {
    let simulator = simulating(RateHeaders::Garbage).await;
    for vendor in VENDORS {
        let subject = subject(vendor, &simulator);
        for _ in 0..20 {
            let exchange = ask(&subject, "plain", &full()).await;
            assert!(exchange.answer.is_ok());
            assert_eq!(exchange.notices, []);
        }
    }
}
