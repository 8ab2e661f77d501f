use serde_json::json;

use super::*;

fn read_for(name: &str, more: Value) -> Result<Asked, Failure> {
    let mut whole = json!({"model": name, "messages": [{"role": "user", "content": "hello json"}]});
    for (key, value) in more.as_object().unwrap() {
        whole[key] = value.clone();
    }
    let body = body(whole.to_string().as_bytes(), &KEYS)?;
    question(&body, &ModelSettings::named(model(&body)?))
}

fn read(more: Value) -> Result<Asked, Failure> {
    read_for("m", more)
}

#[test]
fn both_wires_hash_and_count_the_same() {
    let asked = read(json!({"messages": [
        {"role": "developer", "content": "be good"},
        {"role": "user", "content": [{"type": "text", "text": "hello"}]},
    ]}))
    .unwrap();
    assert_eq!(
        (asked.prompt.as_str(), asked.input_tokens),
        ("hello", 2 + 2)
    );
    assert_eq!(asked.prompt_hash, prompt_hash("be good", "hello"));
}

#[test]
fn the_larger_of_prompt_and_output_limit_is_charged() {
    for (more, charged, most) in [
        (json!({}), 3, 65_536),
        (json!({"max_tokens": 2}), 3, 2),
        (json!({"max_completion_tokens": 500}), 500, 500),
    ] {
        let asked = read(more).unwrap();
        assert_eq!(
            (asked.charged_tokens, asked.output_tokens_max),
            (charged, most)
        );
    }
}

#[test]
fn wrong_bodies_are_told_so_in_openais_words() {
    let schema = |strict: bool, schema: Value| {
        json!({"response_format": {"type": "json_schema", "json_schema": {
            "name": "answer", "strict": strict, "schema": schema}}})
    };
    let loose = json!({"type": "object", "properties": {"a": {"type": "string"}}});
    for (more, told) in [
        (json!({"messages": []}), "at least one message"),
        (
            json!({"messages": [{"role": "model", "content": "x"}]}),
            "'model'",
        ),
        (
            json!({"messages": [{"role": "user", "content": 7}]}),
            "messages[0].content",
        ),
        (json!({"top_k": 3}), "Unknown parameter: 'top_k'"),
        (json!({"stream_options": {}}), "'stream' is enabled"),
        (json!({"n": 2}), "one choice"),
        (json!({"temperature": 3}), "'temperature'"),
        (json!({"max_tokens": 0}), "positive"),
        (
            json!({"max_tokens": 1, "max_completion_tokens": 1}),
            "same time",
        ),
        (json!({"response_format": {"type": "xml"}}), "json_schema"),
        (schema(true, loose.clone()), "additionalProperties"),
    ] {
        let said = format!("{:?}", read(more.clone()).unwrap_err());
        assert!(said.contains(told), "{more}: {said}");
    }
    assert!(read(schema(false, loose)).is_ok());
    assert!(read(json!({"n": 1, "stream": false, "temperature": 0.2})).is_ok());
    assert!(body(b"{\"messages\": [", &KEYS).is_err());
}

#[test]
fn a_model_that_reasons_takes_no_sampling() {
    for more in [
        json!({"temperature": 0.2}),
        json!({"max_tokens": 5}),
        json!({"stop": ["x"]}),
    ] {
        assert!(read(more.clone()).is_ok(), "{more}");
        for name in ["gpt-5-nano", "o3"] {
            assert!(read_for(name, more.clone()).is_err(), "{name} {more}");
        }
    }
    assert!(
        read_for(
            "gpt-5",
            json!({"temperature": 1, "max_completion_tokens": 5})
        )
        .is_ok()
    );
}

#[test]
fn a_json_object_must_be_spoken_of() {
    let format = json!({"type": "json_object"});
    assert!(read(json!({"response_format": format})).is_ok());
    let silent = json!([{"role": "user", "content": "hello"}]);
    assert!(read(json!({"response_format": format, "messages": silent})).is_err());
}
