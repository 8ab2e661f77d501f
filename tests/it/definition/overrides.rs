//! Overrides laid over worker.toml.

use std::time::Duration;

use tidegate::definition::{
    Definition, PacingSpec, Policy, RoutingSpec, SourceFrom, StoredDefinition,
};

use super::{a_folder, check, check_set};

#[test]
fn values_are_toml_where_they_can_be_and_text_where_not() {
    let definition = check_set(&[
        ("tier.0.model", "g/other"),
        ("tier.1.fallbacks", r#"["a/b", "c/d"]"#),
        ("fallback.model", "\"x/y\""),
        ("score.weights.hot", "0.5"),
        ("score.weights.new", "1"),
        ("prompt.params.temperature", "0.3"),
        ("limits.max_concurrency", "5"),
        ("cache.version", "2"),
        ("version", "2026-01-01"),
        ("tier.0.mix", "7"),
    ])
    .unwrap();
    assert_eq!(definition.ladder(0)[0].as_str(), "g/other");
    assert_eq!(definition.ladder(1).last().unwrap().as_str(), "x/y");
    assert_eq!(definition.tiers[1].fallbacks.len(), 2);
    assert_eq!(definition.source.signals, ["good", "hot", "new"]);
    assert_eq!(definition.prompt.params.temperature, Some(0.3));
    assert_eq!(definition.prompt.params.max_output_tokens, Some(600));
    assert_eq!(definition.limits.max_concurrency, Some(5));
    assert_eq!(
        (
            definition.cache.version.as_str(),
            definition.version.as_str()
        ),
        ("2", "2026-01-01")
    );
    assert_eq!(definition.tiers[0].mix, 7);
}

#[test]
fn a_table_that_is_not_there_is_made() {
    let definition = check_set(&[
        ("score", "{}"),
        ("score.weights", "{ a = 1 }"),
        ("score.weights.b", "2"),
    ]);
    assert_eq!(definition.unwrap().source.signals, ["a", "b"]);
}

#[test]
fn a_file_set_from_outside_puts_the_query_aside() {
    let definition = check_set(&[("source.file", "/data/rows.jsonl")]).unwrap();
    assert!(matches!(
        definition.source.from,
        SourceFrom::File { ref path, overridden: true, .. } if path == "/data/rows.jsonl"
    ));
}

#[test]
fn an_override_that_means_nothing_is_told() {
    for (path, value, said) in [
        (
            "tier.0.modle",
            "a/b",
            "override tier.0.modle: unknown key \"modle\" in [[tier]]; did you mean \"model\"?",
        ),
        (
            "teir.0.model",
            "a/b",
            "override teir.0.model: unknown key \"teir\" in worker.toml; did you mean \"tier\"?",
        ),
        (
            "limit.max_concurrency",
            "5",
            "override limit.max_concurrency: unknown key \"limit\" in worker.toml; did you mean \"limits\"?",
        ),
        (
            "tier.2.model",
            "a/b",
            "override tier.2.model: \"tier.2.model\" names entry 2 of a list of 2 (from 0)",
        ),
        (
            "tier.first.model",
            "a/b",
            "override tier.first.model: \"tier.first.model\" names entry first of a list of 2 (from 0)",
        ),
        (
            "name.x",
            "a",
            "override name.x: \"name.x\" goes through a string, and only tables and lists have parts",
        ),
        (
            "tier..model",
            "a",
            "override tier..model: \"tier..model\" is no path: write it as tier.0.model",
        ),
        (
            "",
            "a",
            "override : \"\" is no path: write it as tier.0.model",
        ),
        (
            "tier.0.model",
            "flash",
            "override tier.0.model: \"model\" names no model: `flash` is no model name: write <provider entry>/<wire name>, as in gemini/gemini-3.5-flash-lite",
        ),
        (
            "routing.policy",
            "fastest",
            "override routing.policy: \"policy\" must be \"auto\", \"ladder\", \"spread\" or \"patient\"",
        ),
        (
            "pacing.cool_after",
            "3",
            "override pacing.cool_after: missing key \"cool_s\" in [pacing]",
        ),
        (
            "tier.0.mix",
            "many",
            "override tier.0.mix: \"mix\" must be an integer, not a string",
        ),
        (
            "tier.0.mix",
            "1\nx = 2",
            "override tier.0.mix: \"mix\" must be an integer, not a string",
        ),
        (
            "tier",
            "[]",
            "override tier: \"tier\" is empty: a worker has at least one [[tier]]",
        ),
        (
            "prompt.template",
            "other.md",
            "override prompt.template: `template` names the file other.md, which is not in the folder",
        ),
    ] {
        let error = check_set(&[(path, value)]).expect_err(path).to_string();
        assert_eq!(error, said);
    }
}

#[test]
fn overrides_change_the_hash() {
    let hash = check(&a_folder()).unwrap().hash();
    let set = check_set(&[("tier.0.mix", "4")]).unwrap().hash();
    assert_ne!(hash, set);
    assert_ne!(set, check_set(&[("tier.0.mix", "5")]).unwrap().hash());
}

#[test]
fn routing_and_pacing_are_set_from_outside_and_kept_with_the_definition() {
    let plain = check(&a_folder()).unwrap();
    assert_eq!(
        (plain.routing, plain.pacing),
        (RoutingSpec::default(), PacingSpec::default())
    );
    let set = check_set(&[
        ("routing.policy", "patient"),
        ("routing.patience_s", "5"),
        ("pacing.stagger_ms", "500"),
        ("pacing.cool_after", "10"),
        ("pacing.cool_s", "20"),
    ])
    .unwrap();
    let kept = StoredDefinition::of(&set).to_json();
    let kept = StoredDefinition::from_json(&kept).unwrap();
    let kept = Definition::check(&kept.folder, &kept.overrides).unwrap();
    for definition in [set, kept] {
        let (policy, patience) = (Policy::Patient, Duration::from_secs(5));
        assert_eq!(definition.routing, RoutingSpec { policy, patience });
        let stagger = Some(Duration::from_millis(500));
        let rest = Some((10, Duration::from_secs(20)));
        assert_eq!(definition.pacing, PacingSpec { stagger, rest });
    }
}

#[test]
fn a_model_that_the_global_fallback_names_again_is_in_its_ladder_once() {
    for (last, ladder) in [
        ("g/mid", &["g/best", "g/mid"][..]),
        ("g/best", &["g/best", "g/mid"]),
        ("g/new", &["g/best", "g/mid", "g/new"]),
    ] {
        let definition = check_set(&[("fallback.model", last)]).unwrap();
        let names: Vec<_> = definition
            .ladder(0)
            .iter()
            .map(|it| it.to_string())
            .collect();
        assert_eq!(names, ladder, "{last}");
    }
}
