//! deny.toml, kept without cargo-deny: licences and bans of what this platform builds.

use std::process::Command;

use serde_json::Value;

/// The licences of an SPDX expression that is met by the allowed ones; brackets, `and`, `or` and the
/// old slash are understood.
fn is_allowed(expression: &str, allowed: &[String]) -> bool {
    let spaced = expression
        .replace('(', " ( ")
        .replace(')', " ) ")
        .replace('/', " OR ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let (met, rest) = either(&words, allowed);
    met && rest.is_empty()
}

fn either<'a>(words: &'a [&'a str], allowed: &[String]) -> (bool, &'a [&'a str]) {
    let (mut met, mut rest) = both(words, allowed);
    while let ["OR", after @ ..] = rest {
        let (other, after) = both(after, allowed);
        (met, rest) = (met || other, after);
    }
    (met, rest)
}

fn both<'a>(words: &'a [&'a str], allowed: &[String]) -> (bool, &'a [&'a str]) {
    let (mut met, mut rest) = one(words, allowed);
    while let ["AND", after @ ..] = rest {
        let (other, after) = one(after, allowed);
        (met, rest) = (met && other, after);
    }
    (met, rest)
}

fn one<'a>(words: &'a [&'a str], allowed: &[String]) -> (bool, &'a [&'a str]) {
    match words {
        ["(", inner @ ..] => match either(inner, allowed) {
            (met, [")", rest @ ..]) => (met, rest),
            (_, rest) => (false, rest),
        },
        [name, "WITH", exception, rest @ ..] => {
            let joined = format!("{name} WITH {exception}");
            (allowed.contains(&joined), rest)
        }
        [name, rest @ ..] => (allowed.iter().any(|it| it == name), rest),
        [] => (false, words),
    }
}

fn texts(list: &toml::Value, key: Option<&str>) -> Vec<String> {
    let items = list.as_array().expect("deny.toml has this list").iter();
    items
        .map(|item| key.map_or(item, |key| &item[key]))
        .filter_map(toml::Value::as_str)
        .map(str::to_owned)
        .collect()
}

/// The packages this platform's build is made of.
fn packages() -> Vec<Value> {
    let rustc = Command::new("rustc").arg("-vV").output().expect("rustc");
    let said = String::from_utf8_lossy(&rustc.stdout).into_owned();
    let host = said.lines().find_map(|line| line.strip_prefix("host: "));
    let out = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--locked", "--offline"])
        .args(["--filter-platform", host.expect("rustc names its host")])
        .current_dir(super::root())
        .output()
        .expect("cargo runs");
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{said}");
    let read: Value = serde_json::from_slice(&out.stdout).expect("cargo writes JSON");
    let used = read["resolve"]["nodes"]
        .as_array()
        .expect("metadata has nodes");
    let used: Vec<_> = used.iter().map(|node| &node["id"]).collect();
    let all = read["packages"].as_array().expect("and packages").iter();
    all.filter(|it| used.contains(&&it["id"]))
        .cloned()
        .collect()
}

#[test]
fn dependencies_hold_to_deny_toml() {
    let file = std::fs::read_to_string(super::root().join("deny.toml")).unwrap();
    let deny: toml::Value = toml::from_str(&file).expect("deny.toml is TOML");
    let allowed = texts(&deny["licenses"]["allow"], None);
    let banned = texts(&deny["bans"]["deny"], Some("crate"));
    let packages = packages();
    assert!(packages.len() > 100, "the build has many packages");
    for package in packages {
        let name = package["name"].as_str().unwrap();
        let licence = package["license"].as_str().unwrap_or("none stated");
        assert!(is_allowed(licence, &allowed), "{name}: {licence}");
        assert!(!banned.iter().any(|it| it == name), "{name} is banned");
    }
}

#[test]
fn licences_that_are_not_allowed_are_seen() {
    let allowed = ["MIT", "ISC"].map(str::to_owned);
    for (expression, expected) in [
        ("MIT", true),
        ("MIT/Apache-2.0", true),
        ("GPL-3.0 OR (MIT AND ISC)", true),
        ("Apache-2.0 WITH LLVM-exception OR MIT", true),
        ("GPL-3.0", false),
        ("MIT AND GPL-3.0", false),
        ("(MIT OR GPL-3.0) AND GPL-3.0", false),
        ("MIT WITH something", false),
        ("none stated", false),
    ] {
        assert_eq!(is_allowed(expression, &allowed), expected, "{expression}");
    }
}
