use secrecy::SecretString;
use serde_json::json;

use super::*;
use crate::llm::{EmbedParams, Params};

fn read(told: &Value) -> RemoteBatch {
    let key = SecretString::from("a-long-key");
    batch(told.to_string().as_bytes(), &Veil::blind(&key)).unwrap()
}

fn line_of(told: &Value, embed: Option<&EmbedParams>) -> BatchLine {
    let key = SecretString::from("a-long-key");
    super::told(told.to_string().as_bytes(), embed, &Veil::blind(&key))
}

#[test]
fn a_line_asks_what_a_single_call_asks() {
    let request = Request {
        prompt: "line\nbreak".to_owned(),
        params: Params {
            max_output_tokens: Some(9),
            ..Params::default()
        },
        ..Request::default()
    };
    for dialect in [Dialect::Original, Dialect::Copy] {
        let written = line("m", "k", &request, dialect);
        assert!(!written.contains('\n'));
        let written: Value = serde_json::from_str(&written).unwrap();
        let single = serde_json::to_value(map::ask("m", &request, dialect)).unwrap();
        assert_eq!(
            written,
            json!({"custom_id": "k", "method": "POST", "url": "/v1/chat/completions", "body": single})
        );
    }
}

#[test]
fn a_line_for_a_vector_has_one_text() {
    let request = Request {
        prompt: "t".to_owned(),
        embed: Some(EmbedParams {
            dimensions: Some(8),
            ..EmbedParams::default()
        }),
        ..Request::default()
    };
    let written: Value = serde_json::from_str(&line("m", "k", &request, Dialect::Copy)).unwrap();
    assert_eq!(written["url"], "/v1/embeddings");
    assert_eq!(
        written["body"],
        json!({"model": "m", "input": ["t"], "dimensions": 8, "encoding_format": "float"})
    );
}

#[test]
fn a_status_is_a_state_and_what_is_unknown_goes_on() {
    for (word, state) in [
        ("validating", BatchState::Waiting),
        ("in_progress", BatchState::Running),
        ("finalizing", BatchState::Running),
        ("cancelling", BatchState::Running),
        ("something_new", BatchState::Running),
        ("completed", BatchState::Succeeded),
        ("expired", BatchState::Expired),
        ("cancelled", BatchState::Cancelled),
    ] {
        let told = read(&json!({"id": "batch_1", "status": word}));
        assert_eq!((told.state, told.state_word.as_str()), (state, word));
    }
    assert_eq!(read(&json!({"id": "b"})).state, BatchState::Waiting);
}

#[test]
fn either_file_of_results_may_be_absent() {
    for (output, error, seen) in [
        (json!("file-o"), json!("file-e"), vec!["file-o", "file-e"]),
        (json!(null), json!("file-e"), vec!["file-e"]),
        (json!("file-o"), json!(""), vec!["file-o"]),
        (json!(null), json!(null), vec![]),
    ] {
        let told = json!({"id": "b", "status": "expired", "output_file_id": output, "error_file_id": error});
        assert_eq!(read(&told).outputs, seen);
    }
}

#[test]
fn a_batch_is_found_by_its_metadata() {
    let token = format!("tide-{}", "0".repeat(32));
    let told = read(
        &json!({"id": "b", "input_file_id": "file-i", "metadata": {"submission": token},
        "request_counts": {"total": 9, "completed": 3, "failed": 1}}),
    );
    assert_eq!(told.token, Some(token));
    assert_eq!(told.input_file.as_deref(), Some("file-i"));
    assert_eq!((told.through, told.items), (Some(4), Some(9)));
    for metadata in [json!(null), json!({}), json!({"submission": 7}), json!("x")] {
        let told = read(&json!({"id": "b", "metadata": metadata}));
        assert_eq!((told.token, told.through), (None, None));
    }
}

#[test]
fn a_whole_batch_fails_for_a_limit_for_its_lines_or_for_neither() {
    let failure = |data: Value| {
        let told = read(
            &json!({"id": "b", "status": "failed", "errors": {"object": "list", "data": data}}),
        );
        let BatchState::Failed(failure) = told.state else {
            panic!("{told:?}")
        };
        failure
    };
    let over = failure(json!([{"code": "token_limit_exceeded", "line": null,
        "message": "Enqueued token limit reached for m in organization o. Limit: 900,000 enqueued tokens."}]));
    assert!(over.over_limit && !over.bad_input && over.lines.is_empty());

    let bad = failure(json!([
        {"code": "invalid_json_line", "message": "This line is not parseable: \"secret\"", "line": 3},
        {"code": "duplicate_custom_id", "message": "The custom_id is there twice", "line": 5},
    ]));
    assert!(bad.bad_input && !bad.over_limit);
    let lines: Vec<_> = bad.lines.iter().map(|(line, _)| *line).collect();
    assert_eq!(lines, [3, 5]);
    assert_eq!(
        bad.lines[0].1,
        "invalid_json_line: This line is not parseable"
    );
    assert!(!format!("{bad:?}").contains("secret"));

    let other = failure(json!([{"code": "server_error", "message": "m"}]));
    assert!(!other.bad_input && !other.over_limit);
    let none = failure(json!(null));
    assert!(!none.bad_input && !none.over_limit && !none.message.is_empty());
}

#[test]
fn a_line_is_read_by_its_status() {
    let good = json!({"choices": [{"message": {"content": "hi"}, "finish_reason": "stop"}]});
    let line = |status: Value, body: Value| {
        line_of(
            &json!({"id": "r", "custom_id": "k", "error": null,
            "response": {"status_code": status, "request_id": "q", "body": body}}),
            None,
        )
    };
    let answered = line(json!(200), good.clone());
    assert_eq!(answered.key.as_deref(), Some("k"));
    assert!(matches!(answered.answer, Ok(BatchAnswer::Text(reply)) if reply.text == "hi"));
    let fault =
        |code: &str| json!({"error": {"message": "m", "type": "t", "param": null, "code": code}});
    for (status, body, class) in [
        (json!(400), fault("x"), "rejected"),
        (json!(400), fault("context_length_exceeded"), "too_long"),
        (json!(401), fault("invalid_api_key"), "provider_failed"),
        (json!(403), fault("x"), "rejected"),
        (json!(404), fault("model_not_found"), "rejected"),
        (json!(408), fault("x"), "provider_failed"),
        (json!(429), fault("rate_limit_exceeded"), "provider_failed"),
        (json!(429), fault("insufficient_quota"), "provider_failed"),
        (json!(500), json!(null), "provider_failed"),
        (json!(503), json!("busy"), "provider_failed"),
        (json!(0), good.clone(), "provider_failed"),
        (json!(null), good.clone(), "provider_failed"),
        (json!(200), json!(null), "damaged"),
        (json!(200), json!({"choices": []}), "damaged"),
        (json!(200), fault("model_not_found"), "rejected"),
    ] {
        let seen = line(status.clone(), body.clone());
        assert_eq!(seen.key.as_deref(), Some("k"));
        assert_eq!(seen.answer.unwrap_err().class(), class, "{status} {body}");
    }
}

#[test]
fn an_item_that_was_not_asked_may_be_asked_again() {
    for told in [
        json!({"custom_id": "k", "response": null, "error": {"code": "batch_expired", "message": "This request could not be executed before the completion window expired."}}),
        json!({"custom_id": "k", "response": null, "error": {"code": "batch_cancelled", "message": ""}}),
        json!({"custom_id": "k", "response": null, "error": null}),
        json!({"custom_id": "k"}),
    ] {
        let line = line_of(&told, None);
        let seen = matches!(line.answer, Err(CallError::Failed { status: 0, .. }));
        assert!(seen, "{told}: {line:?}");
    }
    for odd in [json!(7), json!([]), json!({"response": 7})] {
        assert_eq!(line_of(&odd, None).key, None);
    }
}

#[test]
fn a_vector_of_another_length_is_damaged() {
    let asked = EmbedParams {
        dimensions: Some(2),
        ..EmbedParams::default()
    };
    let with = |values: Value| {
        let body = json!({"data": [{"index": 0, "embedding": values}], "model": "m"});
        line_of(
            &json!({"custom_id": "k", "response": {"status_code": 200, "body": body}}),
            Some(&asked),
        )
        .answer
    };
    assert!(
        matches!(with(json!([1, 2])), Ok(BatchAnswer::Vector { embedding, .. }) if embedding.values == [1.0, 2.0])
    );
    for bad in [json!([1]), json!([]), json!([1, null])] {
        assert!(matches!(with(bad), Err(CallError::Damaged { .. })));
    }
}

#[test]
fn a_file_is_ours_by_its_name() {
    let token = format!("tide-{}", "a".repeat(32));
    let read = |name: &str| {
        uploaded(serde_json::from_value(json!({"id": "file-1", "filename": name})).unwrap())
    };
    assert_eq!(read(&file_name(&token)).unwrap().token, Some(token));
    assert_eq!(read("x.jsonl").unwrap().token, None);
}
