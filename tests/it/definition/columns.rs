//! The columns a source must have.

use super::{a_folder, check, check_set};

fn columns(names: &str) -> Vec<String> {
    names.split_whitespace().map(str::to_owned).collect()
}

#[test]
fn a_source_with_all_columns_will_do() {
    let definition = check(&a_folder()).unwrap();
    assert_eq!(
        definition.check_columns(&columns("id kind hot good title tags other")),
        Ok(())
    );
}

#[test]
fn a_missing_column_is_named_with_the_nearest() {
    let definition = check(&a_folder()).unwrap();
    for (given, said) in [
        (
            "di kind hot good title tags",
            "worker.toml: source.id \"id\" is no column of the source; did you mean \"di\"? \
             (columns: di, kind, hot, good, title, tags)",
        ),
        (
            "id hot good title tags",
            "worker.toml: source.category \"kind\" is no column of the source (columns: id, hot, good, title, tags)",
        ),
        (
            "id kind hott good title tags",
            "worker.toml: score.weights \"hot\" is no column of the source; did you mean \"hott\"? \
             (columns: id, kind, hott, good, title, tags)",
        ),
        (
            "id kind hot good titel tags",
            "prompt.md:2: template variable \"title\" is no column of the source; did you mean \"titel\"? \
             (columns: id, kind, hot, good, titel, tags)",
        ),
        (
            "id kind hot good title",
            "prompt.md:3: template variable \"tags\" is no column of the source (columns: id, kind, hot, good, title)",
        ),
    ] {
        let error = definition.check_columns(&columns(given)).unwrap_err();
        assert_eq!(error.to_string(), said);
    }
}

#[test]
fn version_and_ready_made_score_are_columns_too() {
    let definition = check_set(&[("source.version", "rev")]).unwrap();
    let error = definition
        .check_columns(&columns("id kind hot good title tags"))
        .unwrap_err();
    assert_eq!(
        (error.key(), error.file()),
        (Some("rev"), Some("worker.toml"))
    );
}
