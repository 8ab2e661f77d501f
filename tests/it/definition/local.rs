//! Workers that ask no model: what their template renders to is the answer.

use serde_json::value::RawValue;
use tidegate::{
    definition::{Definition, Folder, LocalTemplate, LocalTemplateError},
    task::Item,
};

const LOCAL: &str = "name = \"w\"\nlocal = true\n[source]\nfile = \"x.jsonl\"\nid = \"id\"\n";

fn folder(more: &str, prompt: &str) -> Folder {
    let mut folder = Folder::default();
    folder.insert("worker.toml", &format!("{LOCAL}{more}"));
    folder.insert("prompt.md", prompt);
    folder.insert("system.md", "s");
    folder.insert("schema.json", r#"{"type": "object", "required": ["n"]}"#);
    folder
}

fn answer(more: &str, prompt: &str, body: &str) -> Result<String, LocalTemplateError> {
    let definition = Definition::check(&folder(more, prompt), &[]).expect("it holds");
    let item = Item::new("1", RawValue::from_string(body.to_owned()).expect("JSON"));
    let answered = LocalTemplate::of(&definition)
        .expect("it compiles")
        .expect("it is local");
    Ok(answered.answer(&item)?.get().to_owned())
}

#[test]
fn a_local_worker_needs_no_tier_and_has_no_ladder() {
    let definition = Definition::check(&folder("", "x"), &[]).expect("it holds");
    assert!(definition.local);
    assert_eq!(
        (definition.tiers.len(), definition.tiers[0].share_bp),
        (1, 10_000)
    );
    assert!(definition.ladder(0).is_empty());
    let tiers = "[[tier]]\nshare = 0.5\nmix = 4\n[[tier]]\nshare = 0.5\nmix = 1\n";
    let definition = Definition::check(&folder(tiers, "x"), &[]).expect("it holds");
    assert_eq!((definition.tiers.len(), definition.tiers[0].mix), (2, 4));
}

#[test]
fn what_is_json_is_the_answer_byte_for_byte_and_all_else_is_a_string() {
    for (prompt, body, wanted) in [
        (
            "{\"n\": {{ n }}, \"n\": 2.50}\n",
            "{\"n\": 1.0e2}",
            "{\"n\": 1.0e2, \"n\": 2.50}",
        ),
        (" [1] ", "{}", "[1]"),
        ("say \"{{ n }}\"", "{\"n\": \"a\\nb\"}", r#""say \"a\nb\"""#),
        ("{n}", "{}", r#""{n}""#),
    ] {
        assert_eq!(answer("", prompt, body).as_deref(), Ok(wanted));
    }
}

#[test]
fn an_answer_that_does_not_meet_the_schema_and_an_item_without_a_field_are_told() {
    let schema = "[prompt]\nschema = \"schema.json\"\n";
    assert!(answer(schema, "{\"n\": 1}", "{}").is_ok());
    let refused = answer(schema, "{\"m\": 1}", "{}").expect_err("no n");
    assert!(
        matches!(&refused, LocalTemplateError::Schema(words) if words.contains("required")),
        "{refused}"
    );
    let refused = answer(schema, "text", "{}").expect_err("no object");
    assert!(
        matches!(&refused, LocalTemplateError::Schema(words) if words.contains("/: type")),
        "{refused}"
    );
    let refused = answer("", "{{ n }}", "{}").expect_err("no field");
    assert!(
        matches!(&refused, LocalTemplateError::Input(words) if words.contains('n')),
        "{refused}"
    );
}

#[test]
fn what_is_for_models_is_refused_with_its_line_and_what_to_do() {
    for (more, said) in [
        (
            "[fallback]\nmodel = \"g/m\"\n",
            "worker.toml:6: \"fallback\" names a model",
        ),
        (
            "[[tier]]\nshare = 1\nmix = 1\nmodel = \"g/m\"\n",
            "worker.toml:9: \"model\" names a model",
        ),
        (
            "[[tier]]\nshare = 1\nmix = 1\nfallbacks = [\"g/m\"]\n",
            "worker.toml:9: \"fallbacks\" names models",
        ),
        (
            "[prompt]\nparams = { temperature = 1 }\n",
            "worker.toml:7: \"params\" is for models",
        ),
        (
            "[prompt]\nsystem = \"system.md\"\n",
            "worker.toml:7: \"system\" is for models",
        ),
        (
            "[limits]\nmax_concurrency = 2\n",
            "worker.toml:7: \"max_concurrency\" counts calls",
        ),
        (
            "[cache]\nversion = \"2\"\n",
            "worker.toml:6: \"cache\" keeps replies",
        ),
        (
            "[strategy]\nmode = \"auto\"\n",
            "worker.toml:6: \"strategy\" says how calls travel",
        ),
    ] {
        let error = Definition::check(&folder(more, "x"), &[])
            .expect_err(more)
            .to_string();
        assert!(error.starts_with(said), "{error}");
        assert!(
            error.ends_with("local = true asks no model; leave it out, or say local = false"),
            "{error}"
        );
    }
    let mut asks = folder("", "x");
    asks.insert(
        "worker.toml",
        &LOCAL.replace("local = true", "local = false"),
    );
    let error = Definition::check(&asks, &[])
        .expect_err("no tier")
        .to_string();
    assert!(error.contains("missing key \"tier\""), "{error}");
}
