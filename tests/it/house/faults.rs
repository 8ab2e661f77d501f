//! Every fault of the bar has a test named for it.

use std::{collections::BTreeSet, path::Path};

/// Faults of workers, Postgres and the network, of providers and their batches, of input and of equal work.
const FAULTS: [std::ops::RangeInclusive<u32>; 1] = [1..=66];

/// Faults without a test, each with the reason.
const EXCEPTIONS: &[(u32, &str)] = &[
    (4, "of the HTTP API, which is not built"),
    (24, "of the HTTP API, which is not built"),
    (61, "of the HTTP API, which is not built"),
];

/// Numbers of faults that the names of tests in this text begin with.
fn named(text: &str) -> BTreeSet<u32> {
    let mut found = BTreeSet::new();
    let mut is_test = false;
    for line in text.lines().map(str::trim) {
        if line.starts_with("#[") {
            is_test |= line.starts_with("#[test]") || line.starts_with("#[tokio::test");
            continue;
        }
        let name = line.strip_prefix("async ").unwrap_or(line);
        if let Some(name) = name.strip_prefix("fn ")
            && is_test
        {
            found.extend(number(name));
        }
        is_test = false;
    }
    found
}

/// 7 of `f07_no_lease...`: two digits, so that lists are in order.
fn number(name: &str) -> Option<u32> {
    let (digits, _) = name.strip_prefix('f')?.split_once('_')?;
    let whole = digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_digit());
    whole.then(|| digits.parse().ok())?
}

fn all_named(folder: &Path) -> BTreeSet<u32> {
    let entries = std::fs::read_dir(folder).expect("tests can be read");
    let mut found = BTreeSet::new();
    for path in entries.map(|entry| entry.expect("an entry").path()) {
        if path.is_dir() {
            found.extend(all_named(&path));
        } else if path.extension().is_some_and(|it| it == "rs") {
            found.extend(named(&std::fs::read_to_string(&path).expect("text")));
        }
    }
    found
}

#[test]
fn every_fault_has_a_test_named_for_it_or_a_reason() {
    let found = all_named(&super::root().join("tests/it"));
    for fault in FAULTS.into_iter().flatten() {
        let excused = EXCEPTIONS.iter().any(|(number, _)| *number == fault);
        assert!(
            found.contains(&fault) != excused,
            "F{fault}: has a test named f{fault:02}_...: {}, and is an exception: {excused}",
            found.contains(&fault)
        );
    }
}

#[test]
fn only_names_of_tests_count() {
    let text = "#[tokio::test(flavor = \"x\")]\n#[ignore]\nasync fn f07_a() {}\n#[test]\nfn f8_b() {}\nfn f09_c() {}\n// fn f10_d\n#[test]\nfn f11_e() {}";
    assert_eq!(named(text), BTreeSet::from([7, 11]));
}
