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
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/provider/gemini/testdata");
    fs::read(format!("{folder}/{name}.json")).unwrap()
}

fn read(body: &[u8]) -> Result<Reply, CallError> {
    reply(body, &Veil::new(&SecretString::from("CANARY-KEY")))
}

fn told(name: &str) -> Result<Reply, CallError> {
    read(&testdata(name))
}

/// The body of a complete answer, but for its finish reason.
fn ending(reason: &str) -> Vec<u8> {
    let text = String::from_utf8(testdata("ok")).unwrap();
    text.replace("\"STOP\"", &format!("\"{reason}\""))
        .into_bytes()
}

#[test]
fn a_full_request_has_the_names_of_the_wire() {
    let request = Request {
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
    };
    assert_eq!(
        serde_json::to_value(ask(&request)).unwrap(),
        json!({
            "systemInstruction": {"parts": [{"text": "Answer in JSON."}]},
            "contents": [{"role": "user", "parts": [{"text": "Classify: the till ate my card"}]}],
            "generationConfig": {
                "temperature": 0.2, "topP": 0.95, "topK": 40, "maxOutputTokens": 512,
                "stopSequences": ["\n\n"], "seed": 7,
                "responseMimeType": "application/json",
                "responseJsonSchema": {"type": "object", "required": ["label"]},
                "thinkingConfig": {"thinkingBudget": 0}
            }
        })
    );
}

#[test]
fn what_is_not_set_is_not_sent() {
    let request = Request {
        prompt: "hi".to_owned(),
        ..Request::default()
    };
    assert_eq!(
        serde_json::to_value(ask(&request)).unwrap(),
        json!({"contents": [{"role": "user", "parts": [{"text": "hi"}]}], "generationConfig": {}})
    );
}

#[test]
fn a_seed_of_64_bits_is_folded_into_32() {
    assert_eq!(
        [seed(7), seed(-1), seed(i64::from(i32::MIN))],
        [7, -1, i32::MIN]
    );
    assert_eq!(seed(0x0000_0005_0000_0009), 9);
    assert_eq!(seed(i64::MAX), -1);
}

#[test]
fn a_complete_answer_is_a_reply() {
    assert_eq!(
        told("ok").unwrap(),
        Reply {
            text: "{\"label\":\"bug\"}".to_owned(),
            usage: Some(COUNTED),
            model_version: Some("gemini-2.5-flash".to_owned()),
            response_id: Some("rX0example".to_owned()),
        }
    );
}

#[test]
fn thoughts_are_left_out_and_parts_joined() {
    assert_eq!(
        told("ok_thoughts_and_parts").unwrap().text,
        "{\"label\":\"bug\"}"
    );
}

#[test]
fn usage_may_be_missing_odd_or_in_strings() {
    assert_eq!(told("ok_no_usage").unwrap().usage, None);
    assert_eq!(told("ok_usage_null").unwrap().usage, None);
    assert_eq!(
        told("ok_usage_odd").unwrap().usage,
        None,
        "an odd count loses no answer"
    );
    let strings = told("ok_usage_strings").unwrap().usage.unwrap();
    assert_eq!((strings.input_tokens, strings.output_tokens), (21, 6));
    let derived = told("ok_usage_no_candidates_count").unwrap().usage.unwrap();
    assert_eq!((derived.output_tokens, derived.thought_tokens), (7, 10));
}

#[test]
fn hostile_text_is_an_answer_all_the_same() {
    assert_eq!(
        told("ok_lone_surrogate").unwrap().text,
        "half \u{fffd} smile"
    );
    assert_eq!(told("ok_nul_and_new_fields").unwrap().text, "a\0b");
    let invalid = [&b"\xef\xbb\xbf"[..], &testdata("ok")].concat();
    assert!(read(&invalid).is_ok(), "byte order mark");
    let at = invalid.windows(3).position(|w| w == b"bug").unwrap();
    let mut invalid = invalid;
    invalid[at] = 0xff;
    assert_eq!(read(&invalid).unwrap().text, "{\"label\":\"\u{fffd}ug\"}");
}

#[test]
fn max_tokens_is_truncated_with_or_without_text() {
    let truncated = CallError::Truncated {
        usage: Some(COUNTED),
    };
    assert_eq!(told("max_tokens").unwrap_err(), truncated);
    assert_eq!(told("max_tokens_no_content").unwrap_err(), truncated);
}

#[test]
fn a_filter_keeps_its_reason_and_the_count() {
    let reason = "SAFETY".to_owned();
    assert_eq!(
        told("safety").unwrap_err(),
        CallError::Filtered {
            reason,
            usage: Some(COUNTED)
        }
    );
    for reason in [
        "SAFETY",
        "RECITATION",
        "BLOCKLIST",
        "PROHIBITED_CONTENT",
        "SPII",
        "LANGUAGE",
        "IMAGE_SAFETY",
        "IMAGE_PROHIBITED_CONTENT",
        "IMAGE_OTHER",
        "IMAGE_RECITATION",
        "NO_IMAGE",
        "MALFORMED_FUNCTION_CALL",
        "UNEXPECTED_TOOL_CALL",
        "TOO_MANY_TOOL_CALLS",
        "MISSING_THOUGHT_SIGNATURE",
    ] {
        let error = read(&ending(reason)).unwrap_err();
        assert_eq!(error.class(), "filtered", "{reason}");
        assert!(error.to_string().contains(reason));
    }
}

#[test]
fn an_unclear_end_is_damaged() {
    for reason in [
        "OTHER",
        "MALFORMED_RESPONSE",
        "FINISH_REASON_UNSPECIFIED",
        "ESCALATION",
        "CONTINUATION",
        "INVENTED_TOMORROW",
        "",
    ] {
        let error = read(&ending(reason)).unwrap_err();
        assert_eq!(
            (error.class(), error.usage()),
            ("damaged", Some(COUNTED)),
            "{reason}"
        );
    }
    for name in ["stop_empty", "stop_only_thoughts", "no_finish_reason"] {
        let error = told(name).unwrap_err();
        assert_eq!(
            (error.class(), error.usage()),
            ("damaged", Some(COUNTED)),
            "{name}"
        );
    }
}

#[test]
fn a_limited_account_stops_the_key() {
    assert_eq!(
        read(&ending("PUP_LIMITED_DISABLED")).unwrap_err().class(),
        "key_refused"
    );
}

#[test]
fn a_blocked_prompt_is_filtered() {
    let usage = Some(Usage {
        input_tokens: 9,
        ..Usage::default()
    });
    let filtered = |reason: &str| CallError::Filtered {
        reason: reason.to_owned(),
        usage,
    };
    assert_eq!(
        told("blocked_prompt").unwrap_err(),
        filtered("PROHIBITED_CONTENT")
    );
    assert_eq!(
        told("no_candidates").unwrap_err(),
        filtered("no candidates")
    );
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
        b"{\"candidates\": \"SECRET\"}",
        deep.as_bytes(),
    ];
    let files = ["cut", "not_ours"].map(testdata);
    for body in bodies.into_iter().chain(files.iter().map(Vec::as_slice)) {
        let error = read(body).unwrap_err();
        assert_eq!(
            error.class(),
            "damaged",
            "{}",
            String::from_utf8_lossy(body)
        );
        assert!(!error.to_string().contains("SECRET"));
    }
}

#[test]
fn an_error_under_a_200_is_what_its_code_says() {
    assert_eq!(told("error_under_200").unwrap_err().class(), "overloaded");
    assert_eq!(
        told("error_under_200_array").unwrap_err().class(),
        "rate_limited"
    );
    assert_eq!(
        told("error_under_200_unknown").unwrap_err().class(),
        "damaged"
    );
    assert_eq!(told("error_text").unwrap_err().class(), "damaged");
}
