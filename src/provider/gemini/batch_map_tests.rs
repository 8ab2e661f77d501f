use secrecy::SecretString;
use serde_json::json;

use super::*;
use crate::llm::{EmbedParams, Params, TaskType};

fn read(told: &Value) -> RemoteBatch {
    let key = SecretString::from("a-long-key");
    batch(told.to_string().as_bytes(), &Veil::blind(&key)).unwrap()
}

fn line_of(told: &str, embed: Option<&EmbedParams>) -> BatchLine {
    let key = SecretString::from("a-long-key");
    super::told(told.as_bytes(), embed, &Veil::blind(&key))
}

#[test]
fn a_line_asks_what_a_single_call_asks() {
    let request = Request {
        system: Some("s".to_owned()),
        prompt: "line\nbreak".to_owned(),
        params: Params {
            temperature: Some(0.0),
            ..Params::default()
        },
        ..Request::default()
    };
    let written = line("k", &request);
    assert!(!written.contains('\n'));
    let written: Value = serde_json::from_str(&written).unwrap();
    let single = serde_json::to_value(map::ask(&request)).unwrap();
    assert_eq!(written, json!({"key": "k", "request": single}));
}

#[test]
fn a_line_for_a_vector_says_what_it_is_for() {
    let request = Request {
        prompt: "t".to_owned(),
        embed: Some(EmbedParams {
            task_type: Some(TaskType::Clustering),
            dimensions: Some(8),
            ..EmbedParams::default()
        }),
        ..Request::default()
    };
    let written: Value = serde_json::from_str(&line("k", &request)).unwrap();
    assert_eq!(
        written,
        json!({"key": "k", "request": {"content": {"parts": [{"text": "t"}]},
            "taskType": "CLUSTERING", "outputDimensionality": 8}})
    );
}

#[test]
fn a_state_is_read_in_either_set_of_words_and_what_is_unknown_goes_on() {
    for prefix in ["BATCH_STATE_", "JOB_STATE_", ""] {
        for (word, state) in [
            ("UNSPECIFIED", BatchState::Waiting),
            ("PENDING", BatchState::Waiting),
            ("RUNNING", BatchState::Running),
            ("SOMETHING_NEW", BatchState::Running),
            ("CANCELLING", BatchState::Running),
            ("SUCCEEDED", BatchState::Succeeded),
            ("CANCELLED", BatchState::Cancelled),
            ("EXPIRED", BatchState::Expired),
        ] {
            let word = format!("{prefix}{word}");
            let told = read(&json!({"name": "batches/b", "metadata": {"state": word}}));
            assert_eq!((told.state, told.state_word), (state, word));
        }
    }
    let failed = json!({"name": "batches/b", "metadata": {"state": "BATCH_STATE_FAILED"},
        "done": true, "error": {"code": 3, "message": "m"}});
    assert!(matches!(read(&failed).state, BatchState::Failed(it) if it.bad_input));
}

#[test]
fn without_a_state_the_operation_tells() {
    let told = |more: Value| {
        let mut operation = json!({"name": "batches/b"});
        let all = operation.as_object_mut().unwrap();
        all.extend(more.as_object().unwrap().clone());
        read(&operation).state
    };
    assert_eq!(told(json!({})), BatchState::Waiting);
    assert_eq!(told(json!({"done": false})), BatchState::Waiting);
    assert_eq!(
        told(json!({"done": true, "response": {}})),
        BatchState::Succeeded
    );
    let error = |code| json!({"done": true, "error": {"code": code, "message": "m"}});
    assert_eq!(told(error(1)), BatchState::Cancelled);
    assert!(matches!(told(error(8)), BatchState::Failed(it) if it.over_limit));
    assert!(matches!(told(error(13)), BatchState::Failed(it) if !it.over_limit && !it.bad_input));
}

#[test]
fn a_batch_is_read_with_its_operation_and_without() {
    let token = format!("tide-{}", "0".repeat(32));
    let about = json!({"name": "batches/b", "displayName": token, "state": "BATCH_STATE_RUNNING",
        "inputConfig": {"fileName": "files/in"},
        "batchStats": {"requestCount": "9", "pendingRequestCount": "5", "successfulRequestCount": "3",
            "failedRequestCount": "1"}});
    let operation = json!({"name": "batches/b", "metadata": about});
    for told in [read(&about), read(&operation)] {
        assert_eq!(told.id, "batches/b");
        assert_eq!(told.token.as_ref(), Some(&token));
        assert_eq!(told.input_file.as_deref(), Some("files/in"));
        assert_eq!((told.through, told.items), (Some(4), Some(9)));
        assert!(told.outputs.is_empty());
    }
    let foreign = json!({"name": "batches/b", "metadata": {"displayName": "nightly"}});
    assert_eq!(read(&foreign).token, None);
    assert_eq!(read(&foreign).through, None);
}

#[test]
fn answers_are_found_in_either_place() {
    let file = json!({"responsesFile": "files/out"});
    let inline = json!({"inlinedResponses": {"inlinedResponses": []}});
    let bare = json!({"inlinedResponses": []});
    for (output, name) in [
        (file, "files/out"),
        (inline, "inline:batches/b"),
        (bare, "inline:batches/b"),
    ] {
        for told in [
            json!({"name": "batches/b", "done": true, "response": output}),
            json!({"name": "batches/b", "metadata": {"output": output}}),
            json!({"name": "batches/b", "response": output, "metadata": {"output": output}}),
            json!({"name": "batches/b", "output": output}),
        ] {
            assert_eq!(read(&told).outputs, [name], "{told}");
        }
    }
    assert_eq!(batch_of("inline:batches/b"), Some("batches/b"));
    assert_eq!(batch_of("files/out"), None);
}

#[test]
fn inlined_answers_are_a_list_that_may_be_named_twice() {
    let key = SecretString::from("a-long-key");
    let veil = Veil::blind(&key);
    let list = json!([{"metadata": {"key": "a"}}, {"metadata": {"key": "b"}}]);
    for output in [
        json!({"inlinedResponses": list}),
        json!({"inlinedResponses": {"inlinedResponses": list}}),
    ] {
        for told in [
            json!({"response": output}),
            json!({"metadata": {"output": output}}),
        ] {
            let found = inlined(told.to_string().as_bytes(), &veil).unwrap();
            assert_eq!(found.len(), 2, "{told}");
        }
    }
    assert!(inlined(b"{}", &veil).is_err());
}

#[test]
fn what_is_no_batch_is_none() {
    let key = SecretString::from("a-long-key");
    for body in [
        "",
        "{}",
        "[]",
        r#"{"metadata":{"state":"PENDING"}}"#,
        "<html>",
    ] {
        let error = batch(body.as_bytes(), &Veil::blind(&key)).unwrap_err();
        assert!(
            matches!(error, CallError::Damaged { .. }),
            "{body}: {error:?}"
        );
    }
}

#[test]
fn a_line_is_an_answer_an_error_or_damaged_and_keeps_its_key() {
    let good = r#"{"candidates":[{"content":{"parts":[{"text":"hi"}]},"finishReason":"STOP"}]}"#;
    for key in [r#""key":"k""#, r#""metadata":{"key":"k"}"#] {
        let line = line_of(&format!(r#"{{{key},"response":{good}}}"#), None);
        assert_eq!(line.key.as_deref(), Some("k"));
        assert!(matches!(line.answer, Ok(BatchAnswer::Text(reply)) if reply.text == "hi"));
    }
    for (rest, class) in [
        (r#""error":{"code":3,"message":"m"}"#, "rejected"),
        (r#""error":{"code":13,"message":"m"}"#, "provider_failed"),
        (
            r#""response":{"promptFeedback":{"blockReason":"SAFETY"}}"#,
            "filtered",
        ),
        (
            r#""response":{"error":{"code":403,"message":"API key"}}"#,
            "provider_failed",
        ),
        (
            r#""response":{"error":{"code":429,"message":"m"}}"#,
            "provider_failed",
        ),
        (r#""response":{}"#, "damaged"),
        (r#""response":null,"error":null"#, "damaged"),
    ] {
        let line = line_of(&format!(r#"{{"key":"k",{rest}}}"#), None);
        assert_eq!(line.key.as_deref(), Some("k"));
        assert_eq!(line.answer.unwrap_err().class(), class, "{rest}");
    }
    for odd in [
        "{",
        "no",
        "[]",
        "7",
        r#"{"key":{"a":1}}"#,
        &format!(r#"{{"response":{good}}}"#),
    ] {
        assert_eq!(line_of(odd, None).key, None, "{odd}");
    }
}

#[test]
fn a_vector_of_another_length_is_damaged() {
    let asked = EmbedParams {
        dimensions: Some(2),
        ..EmbedParams::default()
    };
    let with = |values: &str| {
        let line = format!(r#"{{"key":"k","response":{{"embedding":{{"values":{values}}}}}}}"#);
        line_of(&line, Some(&asked)).answer
    };
    assert!(
        matches!(with("[1,2]"), Ok(BatchAnswer::Vector { embedding, .. }) if embedding.values == [1.0, 2.0])
    );
    for bad in ["[1]", "[]", "[1,null]", "[1,2,3]"] {
        assert!(matches!(with(bad), Err(CallError::Damaged { .. })), "{bad}");
    }
}

#[test]
fn a_file_is_ours_by_its_shown_name_or_by_its_own() {
    let token = format!("tide-{}", "a".repeat(32));
    let read = |told: Value| uploaded(serde_json::from_value(told).unwrap());
    for told in [
        json!({"name": "files/x", "displayName": token}),
        json!({"name": format!("files/{token}"), "source": "UPLOADED"}),
    ] {
        assert_eq!(read(told).unwrap().token.as_ref(), Some(&token));
    }
    assert_eq!(
        read(json!({"name": "files/x", "displayName": "y"}))
            .unwrap()
            .token,
        None
    );
    assert_eq!(
        read(json!({"name": "files/x", "source": "GENERATED"})),
        None
    );
    assert_eq!(read(json!({})), None);
}
