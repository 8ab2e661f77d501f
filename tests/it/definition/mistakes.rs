//! Every mistake has its place, its key and what helps.

use super::{a_folder, check, with};

#[test]
fn a_mistake_in_worker_toml_is_told_in_one_line() {
    for (from, to, said) in MISTAKES {
        let error = check(&with(from, to)).expect_err(to).to_string();
        assert_eq!(error, *said, "after {from:?} became {to:?}");
    }
}

#[test]
fn the_parts_of_an_error_can_be_had() {
    let error = check(&with("model = \"g/best\"", "modle = \"g/best\"")).unwrap_err();
    assert_eq!(
        (error.file(), error.line(), error.key(), error.help()),
        (Some("worker.toml"), Some(13), Some("modle"), Some("model")),
    );
}

#[test]
fn a_mistake_in_another_file_is_told_with_its_line() {
    for (file, text, said) in [
        ("prompt.md", "a\n{{ b", "prompt.md:2: syntax error"),
        ("prompt.md", "a\n\n{% if b %}", "prompt.md:3: syntax error"),
        (
            "system.md",
            "{{ a | nosuch }}",
            "system.md:1: unknown filter",
        ),
        (
            "system.md",
            "a\n{{ nosuch(1) }}",
            "system.md:2: unknown function",
        ),
        (
            "system.md",
            "a\n{% include 'b' %}",
            "system.md:2: template not found",
        ),
        ("schema.json", "{\n\"a\": }", "schema.json:2: is not JSON"),
        (
            "schema.json",
            "[]",
            "schema.json: is no JSON Schema: it must be an object",
        ),
        (
            "schema.json",
            r#"{"type": "strng"}"#,
            "schema.json: is no valid JSON Schema, at /type: ",
        ),
        (
            "schema.json",
            "{\"items\":\n{\"enum\": []}}",
            "schema.json:2: /items/enum is empty, so no answer could ever be right",
        ),
        (
            "schema.json",
            r#"{"$ref": "https://nowhere.example/s"}"#,
            "schema.json: is no valid JSON Schema",
        ),
    ] {
        let mut folder = a_folder();
        folder.insert(file, text);
        let error = check(&folder).expect_err(text).to_string();
        assert!(error.starts_with(said), "{error}");
    }
}

/// What is replaced in the worker.toml that holds, by what, and what is said then.
const MISTAKES: &[(&str, &str, &str)] = &[
    (
        "name = \"demo\"",
        "name = ",
        "worker.toml:1: string values must be quoted, expected literal string",
    ),
    (
        "name = \"demo\"",
        "",
        "worker.toml: missing key \"name\" in worker.toml",
    ),
    (
        "name = \"demo\"",
        "name = \"A b\"",
        "worker.toml:1: \"name\" must be at most 63 of a-z, 0-9, _ and -",
    ),
    (
        "name = \"demo\"",
        "name = \" \"",
        "worker.toml:1: \"name\" is empty",
    ),
    (
        "version = \"1\"",
        "version = 1",
        "worker.toml:2: \"version\" must be a string, not an integer",
    ),
    (
        "version = \"1\"",
        "verison = \"1\"",
        "worker.toml:2: unknown key \"verison\" in worker.toml; did you mean \"version\"?",
    ),
    (
        "version = \"1\"",
        "order_by = \"rank\"",
        "worker.toml:2: \"order_by\" must be \"score\" or \"category\"",
    ),
    (
        "[score.weights]",
        "[scores.weights]",
        "worker.toml:7: unknown key \"scores\" in worker.toml; did you mean \"score\"?",
    ),
    (
        "[source]\n",
        "[source]\nfile = \"x.csv\"\n",
        "worker.toml:4: \"file\" stands beside \"sql\": a source is one or the other",
    ),
    (
        "sql = \"source.sql\"",
        "file = \"x.xml\"",
        "worker.toml:4: \"file\" must end in .jsonl, .ndjson or .csv (or that and .gz)",
    ),
    (
        "sql = \"source.sql\"\n",
        "",
        "worker.toml:3: missing key \"sql\" in [source]",
    ),
    (
        "sql = \"source.sql\"",
        "sql = \"sorce.sql\"",
        "worker.toml:4: `sql` names the file sorce.sql, which is not in the folder; did you mean \"source.sql\"?",
    ),
    (
        "id = \"id\"\n",
        "",
        "worker.toml:3: missing key \"id\" in [source]",
    ),
    (
        "category = \"kind\"",
        "catgory = \"kind\"",
        "worker.toml:6: unknown key \"catgory\" in [source]; did you mean \"category\"?",
    ),
    (
        "category = \"kind\"",
        "qqq = \"kind\"",
        "worker.toml:6: unknown key \"qqq\" in [source]",
    ),
    (
        "category = \"kind\"",
        "score = \"s\"",
        "worker.toml:7: \"score\" has weights although [source] names a ready-made score",
    ),
    (
        "hot = 0.65",
        "hot = nan",
        "worker.toml:8: \"hot\" is NaN: it must be finite",
    ),
    (
        "hot = 0.65",
        "hot = \"much\"",
        "worker.toml:8: \"hot\" must be a number, not a string",
    ),
    (
        "share = 0.3\n",
        "share = 0.31\n",
        "worker.toml:16: \"share\" makes the shares of all tiers sum to 1.0100, not to 1",
    ),
    (
        "share = 0.3\n",
        "share = 1.5\n",
        "worker.toml:11: \"share\" is 1.5: it must be 0 to 1, in steps of 0.0001",
    ),
    (
        "share = 0.3\n",
        "share = 0.30001\n",
        "worker.toml:11: \"share\" is 0.30001: it must be 0 to 1, in steps of 0.0001",
    ),
    (
        "share = 0.3\n",
        "",
        "worker.toml:10: missing key \"share\" in [[tier]]",
    ),
    (
        "mix = 4",
        "mix = 0",
        "worker.toml:12: \"mix\" is 0: it must be 1 to 1000000",
    ),
    (
        "mix = 4",
        "mix = 4.5",
        "worker.toml:12: \"mix\" must be an integer, not a float",
    ),
    (
        "model = \"g/best\"",
        "modle = \"g/best\"",
        "worker.toml:13: unknown key \"modle\" in [[tier]]; did you mean \"model\"?",
    ),
    (
        "model = \"g/best\"",
        "model = \"best\"",
        "worker.toml:13: \"model\" names no model: `best` is no model name: write <provider entry>/<wire name>, as in gemini/gemini-3.5-flash-lite",
    ),
    (
        "fallbacks = [\"g/mid\"]",
        "fallbacks = \"g/mid\"",
        "worker.toml:14: \"fallbacks\" must be a list, not a string",
    ),
    (
        "fallbacks = [\"g/mid\"]",
        "fallbacks = [\n\"g/mid\",\n1]",
        "worker.toml:16: \"fallbacks\" must be a string, not an integer",
    ),
    (
        "fallbacks = [\"g/mid\"]",
        "fallbacks = [\"g/best\"]",
        "worker.toml:14: \"fallbacks\" names g/best a second time in this tier",
    ),
    (
        "fallbacks = [\"g/mid\"]",
        "fallbacks = [\"g/a\", \"g/a\"]",
        "worker.toml:14: \"fallbacks\" names g/a a second time in this tier",
    ),
    (
        "[fallback]\nmodel = \"g/last\"",
        "[fallback]",
        "worker.toml:19: missing key \"model\" in [fallback]",
    ),
    (
        "template = \"prompt.md\"",
        "template = \"promt.md\"",
        "worker.toml:22: `template` names the file promt.md, which is not in the folder; did you mean \"prompt.md\"?",
    ),
    (
        "temperature = 0.2",
        "temperature = 3",
        "worker.toml:25: \"temperature\" is 3: it must be 0 to 2",
    ),
    (
        "temperature = 0.2",
        "temprature = 3",
        "worker.toml:25: unknown key \"temprature\" in prompt.params; did you mean \"temperature\"?",
    ),
    (
        "max_output_tokens = 600",
        "max_output_tokens = 0",
        "worker.toml:25: \"max_output_tokens\" is 0: it must be 1 to 4294967295",
    ),
    (
        "size = 1",
        "size = 101",
        "worker.toml:27: \"size\" is 101: it must be 1 to 100",
    ),
    (
        "size = 1",
        "size = 5\nmax_tokens = 8000",
        "worker.toml:28: unknown key \"max_tokens\" in [pack]",
    ),
    (
        "size = 1",
        "max_input_tokens = 0",
        "worker.toml:27: \"max_input_tokens\" is 0: it must be 1 to 10000000",
    ),
    (
        "version = \"3\"",
        "max_age_day = 3",
        "worker.toml:29: unknown key \"max_age_day\" in [cache]; did you mean \"max_age_days\"?",
    ),
    (
        "version = \"3\"",
        "max_age_days = 0",
        "worker.toml:29: \"max_age_days\" is 0: it must be 1 to 36500",
    ),
    (
        "version = \"3\"",
        "versoin = \"3\"",
        "worker.toml:29: unknown key \"versoin\" in [cache]; did you mean \"version\"?",
    ),
    (
        "max_concurrency = 10",
        "max_concurrency = 99999999999999999999",
        "worker.toml:31: \"max_concurrency\" must be an integer, not an integer beyond 64 bits",
    ),
    (
        "max_concurrency = 10",
        "call_timeout_s = 0",
        "worker.toml:31: \"call_timeout_s\" is 0: it must be 1 to 3600",
    ),
    (
        "mode = \"auto\"",
        "mod = \"batch\"",
        "worker.toml:33: unknown key \"mod\" in [strategy]; did you mean \"mode\"?",
    ),
    (
        "mode = \"auto\"",
        "purpose = \"rag\"",
        "worker.toml:33: \"purpose\" must be \"bulk\", \"interactive\", \"rag_query\" or \"quick_enrichment\"",
    ),
    (
        "mode = \"auto\"",
        "deadline_s = 0",
        "worker.toml:33: \"deadline_s\" is 0: it must be 1 to 604800",
    ),
    (
        "mode = \"auto\"",
        "by_purpose = { rag_qery = \"batch\" }",
        "worker.toml:33: unknown key \"rag_qery\" in [strategy.by_purpose]; did you mean \"rag_query\"?",
    ),
    (
        "mode = \"auto\"",
        "by_purpose = { bulk = \"bach\" }",
        "worker.toml:33: \"bulk\" must be \"auto\", \"individual\", \"batch\" or \"hybrid\"",
    ),
    (
        "mode = \"auto\"",
        "mode = \"fast\"",
        "worker.toml:33: \"mode\" must be \"auto\", \"individual\", \"batch\" or \"hybrid\"",
    ),
    (
        "[sink]",
        "[routing]\npolicy = \"spreed\"\n[sink]",
        "worker.toml:35: \"policy\" must be \"auto\", \"ladder\", \"spread\" or \"patient\"",
    ),
    (
        "[sink]",
        "[routing]\npolicy = \"ladder\"\npatience_s = 5\n[sink]",
        "worker.toml:36: \"patience_s\" has no use here: a ladder and a spread wait for no model; say policy = \"patient\", or leave it out",
    ),
    (
        "[sink]",
        "[routing]\npatience = 5\n[sink]",
        "worker.toml:35: unknown key \"patience\" in [routing]; did you mean \"patience_s\"?",
    ),
    (
        "[sink]",
        "[routing]\npatience_s = 86401\n[sink]",
        "worker.toml:35: \"patience_s\" is 86401: it must be 0 to 86400",
    ),
    (
        "[sink]",
        "[pacing]\ncool_after = 10\n[sink]",
        "worker.toml:34: missing key \"cool_s\" in [pacing]",
    ),
    (
        "[sink]",
        "[pacing]\ncool_s = 10\n[sink]",
        "worker.toml:34: missing key \"cool_after\" in [pacing]",
    ),
    (
        "[sink]",
        "[pacing]\nstagger_ms = 0\n[sink]",
        "worker.toml:35: \"stagger_ms\" is 0: it must be 1 to 3600000",
    ),
    (
        "[sink]\nsql = \"sink.sql\"",
        "[sink]",
        "worker.toml:34: missing key \"sql\" in [sink]",
    ),
];
