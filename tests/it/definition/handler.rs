//! The handler that needs no Rust.

use serde_json::{json, value::RawValue};
use tidegate::{
    definition::{Folder, TemplateHandler},
    llm::Reply,
    task::{Answer, Handler, Item, Judgement},
};

use super::{a_folder, check};

fn handler(prompt: &str) -> TemplateHandler {
    let mut folder = a_folder();
    folder.insert("prompt.md", prompt);
    folder.insert("system.md", "system");
    handler_of(&folder)
}

fn handler_of(folder: &Folder) -> TemplateHandler {
    TemplateHandler::new(&check(folder).expect("the folder holds")).expect("the folder holds")
}

fn an_item(body: &str) -> Item {
    Item::new(
        "1",
        RawValue::from_string(body.into()).expect("the body is JSON"),
    )
}

fn asked(prompt: &str, body: &str) -> Result<String, String> {
    handler(prompt)
        .request(&an_item(body))
        .map(|request| request.prompt)
        .map_err(|error| error.0)
}

#[test]
fn the_whole_request_is_rendered() {
    let item = an_item(r#"{"title": "T <b>", "tags": ["a", "b"], "kind": "birds"}"#);
    let handler = handler_of(&a_folder());
    let request = handler.request(&item).unwrap();
    assert_eq!(request.prompt, "Title:\nT <b>\na;b;");
    assert_eq!(request.system.as_deref(), Some("You know birds."));
    assert_eq!(
        request.schema,
        Some(json!({"type": "object", "required": ["a"]}))
    );
    assert_eq!(request.params.temperature, Some(0.2));
    assert_eq!(handler.request(&item).unwrap(), request);
}

#[test]
fn fields_come_out_as_the_source_wrote_them() {
    for (prompt, body, said) in [
        ("{{ a }}", r#"{"a": 1.50}"#, "1.50"),
        (
            "{{ a }}",
            r#"{"a": 12345678901234567890123}"#,
            "12345678901234567890123",
        ),
        ("{{ a + 1 }}", r#"{"a": 41}"#, "42"),
        ("{{ a }}|", r#"{"a": null}"#, "|"),
        ("{% if a is none %}no{% endif %}", r#"{"a": null}"#, "no"),
        ("{{ a }}", r#"{"a": true}"#, "true"),
        ("{{ a }}", r#"{"a": 1, "a": 2}"#, "2"),
        ("{{ a.b[1].c }}", r#"{"a": {"b": [0, {"c": "x"}]}}"#, "x"),
        ("{{ a }}", r#"{"a": "x\u0000y\ud83d\ude00"}"#, "x\0y😀"),
        ("{{ a }}", r#"{"a": "x", "b": "\ud800", "\udc00": 1}"#, "x"),
        (
            "{% if b is defined %}{{ b }}{% else %}none{% endif %}",
            r#"{"a": "x"}"#,
            "none",
        ),
        ("{{ range(3) | join(',') }}", "{}", "0,1,2"),
    ] {
        assert_eq!(asked(prompt, body).as_deref(), Ok(said), "{prompt} {body}");
    }
}

#[test]
fn an_item_that_cannot_be_asked_about_says_why() {
    let deep = format!("{{\"a\": {}1{}}}", "[".repeat(200), "]".repeat(200));
    for (prompt, body, said) in [
        (
            "x\n{{ a }}",
            r#"{"b": 1}"#,
            "prompt.md:2: the item has no field `a`",
        ),
        ("{{ a.b }}", r#"{"a": {}}"#, "prompt.md:1: undefined value"),
        (
            "{{ a }}",
            r#"{"a": "\ud83d"}"#,
            "the field `a` holds half of a surrogate pair, which is no text",
        ),
        (
            "{{ a }}",
            r#"{"a": {"b": ["\ud83d"]}}"#,
            "the field `a.b.0` holds half of a surrogate pair, which is no text",
        ),
        ("{{ a }}", "[1]", "the item is no JSON object"),
        ("{{ a }}", &deep, "the item is nested deeper than 128"),
    ] {
        let error = asked(prompt, body).unwrap_err();
        assert!(error.starts_with(said), "{error}");
    }
}

#[test]
fn no_template_runs_for_ever_or_fills_the_memory() {
    let endless = "{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}";
    assert!(asked(endless, "{}").unwrap_err().contains("fuel"));
    let large = format!("{{\"a\": \"{}\"}}", "x".repeat(1 << 20));
    let error = asked("{% for i in range(9) %}{{ a }}{% endfor %}", &large).unwrap_err();
    assert!(error.contains("renders more than 4194304 bytes"), "{error}");
}

#[test]
fn the_schema_judges() {
    let judged = |text: &str| {
        let (usage, model_version, response_id) = (None, None, None);
        let reply = Reply {
            text: text.into(),
            usage,
            model_version,
            response_id,
        };
        handler("x").judge(&an_item("{}"), &reply)
    };
    assert_eq!(
        judged("```json\n{\"a\": 1}\n```"),
        Judgement::Accept(Answer::json("{\"a\": 1}").expect("it is JSON"))
    );
    assert_eq!(
        judged("{\"b\": \"secret\"}"),
        Judgement::Reject("the answer does not meet the schema: /: required \"a\"".into())
    );
    assert!(matches!(judged("sorry"), Judgement::Reject(_)));
}
