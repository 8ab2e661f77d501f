use std::fs;

use secrecy::SecretString;
use serde_json::json;

use super::*;
use crate::llm::Params;

const COUNTED: Usage = Usage {
    input_tokens: 21,
    cached_tokens: 4,
    output_tokens: 6,
    thought_tokens: 40,
};

fn testdata(name: &str) -> Vec<u8> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/provider/openai/testdata");
    fs::read(format!("{folder}/{name}.json")).unwrap()
}

fn read(body: &[u8]) -> Result<Reply, CallError> {
    let key = SecretString::from("CANARY-KEY");
    let veil = Veil::new(&key);
    reply(body, &veil).map_err(|spoiled| match spoiled {
        Spoiled::Answer(error) => error,
        Spoiled::Fault { status, fault } => error::classify(status, &fault, None, &[], &veil),
    })
}

fn told(name: &str) -> Result<Reply, CallError> {
    read(&testdata(name))
}

/// The body of a complete answer, but for its finish reason.
fn ending(reason: &str) -> Vec<u8> {
    let text = String::from_utf8(testdata("ok")).unwrap();
    text.replace("\"stop\"", &format!("\"{reason}\""))
        .into_bytes()
}

fn full() -> Request {
    Request {
        system: Some("Answer in JSON.".to_owned()),
        prompt: "Classify: the till ate my card".to_owned(),
        schema: Some(json!({"type": "object", "required": ["label"]})),
        params: Params {
            temperature: Some(0.2),
            top_p: Some(0.95),
            top_k: Some(40),
            max_output_tokens: Some(512),
            stop: vec!["\n\n".to_owned()],
            seed: Some(7),
            thinking_budget: Some(0),
        },
        embed: None,
    }
}

#[test]
fn a_full_request_has_the_names_of_the_wire() {
    assert_eq!(
        serde_json::to_value(ask("gpt-4o-mini", &full(), Dialect::Original)).unwrap(),
        json!({
            "model": "gpt-4o-mini",
            "messages": [
                {"role": "system", "content": "Answer in JSON."},
                {"role": "user", "content": "Classify: the till ate my card"}
            ],
            "temperature": 0.2, "top_p": 0.95, "max_completion_tokens": 512,
            "stop": ["\n\n"], "seed": 7,
            "response_format": {"type": "json_schema", "json_schema": {
                "name": "answer", "strict": false,
                "schema": {"type": "object", "required": ["label"]}
            }}
        })
    );
}

#[test]
fn a_copy_gets_the_former_name_of_the_output_limit() {
    let asked = serde_json::to_value(ask("m", &full(), Dialect::Copy)).unwrap();
    assert_eq!(asked["max_tokens"], 512);
    assert!(asked.get("max_completion_tokens").is_none());
}

#[test]
fn a_reasoning_model_gets_only_what_it_takes() {
    for name in [
        "o1",
        "o3-mini",
        "gpt-5",
        "gpt-5-nano",
        "gpt-6.1",
        "openai/gpt-5-mini",
    ] {
        let asked = serde_json::to_value(ask(name, &full(), Dialect::Copy)).unwrap();
        assert_eq!(asked["max_completion_tokens"], 512, "{name}");
        assert_eq!(asked["reasoning_effort"], "low", "{name}");
        for refused in ["temperature", "top_p", "stop", "max_tokens"] {
            assert!(asked.get(refused).is_none(), "{name} {refused}");
        }
    }
    for name in [
        "gpt-4o",
        "gpt-4.1",
        "gpt-5-chat-latest",
        "omni",
        "llama-3",
        "gpt-oss-20b",
    ] {
        let asked = serde_json::to_value(ask(name, &full(), Dialect::Copy)).unwrap();
        assert_eq!(asked["temperature"], 0.2, "{name}");
        assert!(asked.get("reasoning_effort").is_none(), "{name}");
    }
    let efforts = [-1, 0, 1024, 1025, 8192, 24_576].map(effort);
    assert_eq!(
        efforts,
        [
            None,
            Some("low"),
            Some("low"),
            Some("medium"),
            Some("medium"),
            Some("high")
        ]
    );
}

#[test]
fn the_original_is_known_by_its_host() {
    for host in ["api.openai.com", "eu.api.openai.com", "x.openai.azure.com"] {
        assert_eq!(Dialect::of_host(host), Dialect::Original, "{host}");
    }
    for host in [
        "127.0.0.1",
        "openai.com.evil.example",
        "notopenai.com",
        "openrouter.ai",
    ] {
        assert_eq!(Dialect::of_host(host), Dialect::Copy, "{host}");
    }
}

#[test]
fn what_is_not_set_is_not_sent() {
    let request = Request {
        prompt: "hi".to_owned(),
        ..Request::default()
    };
    assert_eq!(
        serde_json::to_value(ask("m", &request, Dialect::Copy)).unwrap(),
        json!({"model": "m", "messages": [{"role": "user", "content": "hi"}]})
    );
}

#[test]
fn a_complete_answer_is_a_reply() {
    assert_eq!(
        told("ok").unwrap(),
        Reply {
            text: "{\"label\":\"bug\"}".to_owned(),
            usage: Some(COUNTED),
            model_version: Some("gpt-5-nano-2025-08-07".to_owned()),
            response_id: Some("chatcmpl-example".to_owned()),
        }
    );
}

#[test]
fn fields_may_be_missing_or_of_another_type() {
    let bare = told("ok_bare").unwrap();
    assert_eq!((bare.text.as_str(), bare.usage), ("hello", None));
    assert_eq!(told("ok_parts").unwrap().text, "{\"label\":\"bug\"}");
    let odd = told("ok_odd_types").unwrap();
    assert_eq!((odd.model_version, odd.response_id), (None, None));
}

#[test]
fn usage_may_be_missing_odd_or_in_strings() {
    assert_eq!(told("ok_usage_null").unwrap().usage, None);
    let odd = told("ok_usage_odd").unwrap().usage;
    assert_eq!(odd, None, "an odd count loses no answer");
    let counts = |name: &str| {
        let usage = told(name).unwrap().usage.unwrap();
        (
            usage.input_tokens,
            usage.output_tokens,
            usage.thought_tokens,
        )
    };
    assert_eq!(counts("ok_usage_strings"), (21, 6, 0));
    assert_eq!(counts("ok_usage_total_only"), (21, 6, 0));
    assert_eq!(counts("ok_usage_beside"), (21, 6, 40));
}

#[test]
fn hostile_text_is_an_answer_all_the_same() {
    assert_eq!(
        told("ok_lone_surrogate").unwrap().text,
        "half \u{fffd} smile"
    );
    assert_eq!(told("ok_nul_and_new_fields").unwrap().text, "a\0b");
    let marked = [&b"\xef\xbb\xbf"[..], &testdata("ok")].concat();
    assert!(read(&marked).is_ok(), "byte order mark");
}

#[test]
fn length_is_truncated_with_or_without_text() {
    let truncated = CallError::Truncated {
        usage: Some(COUNTED),
    };
    assert_eq!(told("length").unwrap_err(), truncated);
    assert_eq!(told("length_no_content").unwrap_err(), truncated);
}

#[test]
fn a_filter_or_a_refusal_keeps_the_count_and_no_word_of_the_answer() {
    for name in ["content_filter", "refusal", "tool_calls"] {
        let error = told(name).unwrap_err();
        assert_eq!(
            (error.class(), error.usage()),
            ("filtered", Some(COUNTED)),
            "{name}"
        );
        assert!(error.to_string().contains(name) && !error.to_string().contains("CANARY"));
    }
}

#[test]
fn an_unclear_end_is_damaged() {
    for reason in ["error", "INVENTED_TOMORROW", ""] {
        let error = read(&ending(reason)).unwrap_err();
        assert_eq!(
            (error.class(), error.usage()),
            ("damaged", Some(COUNTED)),
            "{reason}"
        );
    }
    for name in [
        "stop_empty",
        "stop_null",
        "no_finish_reason",
        "no_choices",
        "no_message",
    ] {
        let error = told(name).unwrap_err();
        assert_eq!(
            (error.class(), error.usage()),
            ("damaged", Some(COUNTED)),
            "{name}"
        );
    }
    for reason in ["STOP", "eos", "end_turn"] {
        assert!(read(&ending(reason)).is_ok(), "{reason}");
    }
}

#[test]
fn what_is_no_answer_is_damaged_and_not_quoted() {
    let deep = "[".repeat(10_000);
    let bodies = [
        &b""[..],
        b"  \n",
        b"<html>SECRET</html>",
        b"SECRET",
        b"null",
        b"[]",
        b"7",
        b"{}",
        b"{\"choices\": \"SECRET\"}",
        deep.as_bytes(),
    ];
    let files = ["cut", "not_ours"].map(testdata);
    for body in bodies.into_iter().chain(files.iter().map(Vec::as_slice)) {
        let error = read(body).unwrap_err();
        let shown = String::from_utf8_lossy(body);
        assert_eq!(error.class(), "damaged", "{shown}");
        assert!(!error.to_string().contains("SECRET"));
    }
}

#[test]
fn an_error_under_a_200_is_what_its_code_says() {
    for (name, class) in [
        ("error_under_200", "overloaded"),
        ("error_under_200_status", "provider_failed"),
        ("error_under_200_limit", "rate_limited"),
        ("error_in_choice", "rate_limited"),
        ("error_under_200_unknown", "damaged"),
        ("error_text", "damaged"),
    ] {
        assert_eq!(told(name).unwrap_err().class(), class, "{name}");
    }
}
