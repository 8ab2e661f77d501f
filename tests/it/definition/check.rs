//! What a folder that holds says.

use std::time::Duration;

use tidegate::{
    definition::{FileFormat, OrderBy, SourceFrom},
    task::Strategy,
};

use super::{a_folder, check, with};

#[test]
fn every_table_is_read() {
    let definition = check(&a_folder()).unwrap();
    assert_eq!(
        (definition.name.as_str(), definition.version.as_str()),
        ("demo", "1")
    );
    assert_eq!(definition.source.signals, ["good", "hot"]);
    assert_eq!(definition.source.category.as_deref(), Some("kind"));
    assert!(matches!(&definition.source.from, SourceFrom::Sql { text, .. } if text == "select 1"));
    assert_eq!(
        definition
            .tiers
            .iter()
            .map(|tier| tier.share_bp)
            .collect::<Vec<_>>(),
        [3_000, 7_000]
    );
    assert_eq!(
        definition
            .tiers
            .iter()
            .map(|tier| tier.mix)
            .collect::<Vec<_>>(),
        [4, 5]
    );
    assert_eq!(definition.prompt.params.max_output_tokens, Some(600));
    assert_eq!(definition.cache.version, "3");
    assert!(definition.cache.enabled);
    assert_eq!(definition.limits.max_concurrency, Some(10));
    assert_eq!(definition.limits.call_timeout, Duration::from_secs(60));
    assert_eq!(
        (definition.strategy.mode, definition.order_by),
        (Strategy::Auto, OrderBy::Score)
    );
    assert_eq!(definition.sink.unwrap().sql, "select 2");
}

#[test]
fn the_global_fallback_ends_every_ladder_once() {
    let names = |definition: &tidegate::definition::Definition, tier| {
        definition
            .ladder(tier)
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
    };
    let definition = check(&a_folder()).unwrap();
    assert_eq!(names(&definition, 0), ["g/best", "g/mid", "g/last"]);
    assert_eq!(names(&definition, 1), ["g/mid", "g/last"]);
    assert!(names(&definition, 2).is_empty());
    let definition = check(&with("g/last", "g/mid")).unwrap();
    assert_eq!(names(&definition, 0), ["g/best", "g/mid"]);
    assert_eq!(names(&definition, 1), ["g/mid"]);
}

#[test]
fn tables_may_be_left_out() {
    let mut folder = a_folder();
    folder.insert(
        "worker.toml",
        "name = 'x'\nsource = { file = 'rows.csv.gz', id = 'n' }\n\
         [[tier]]\nshare = 1\nmix = 1\nmodel = 'a/b'\n",
    );
    let definition = check(&folder).unwrap();
    let SourceFrom::File { format, gzip, .. } = definition.source.from else {
        panic!()
    };
    assert_eq!((format, gzip), (FileFormat::Csv, true));
    assert!(definition.prompt.schema.is_none() && definition.sink.is_none());
    assert!(definition.fallback.is_none() && definition.weights.is_empty());
}

#[test]
fn a_share_counts_in_hundredths_of_a_percent() {
    let folder = with("share = 0.3\n", "share = 0.3333\n");
    assert!(check(&folder).is_err());
    let text = folder
        .text("worker.toml")
        .unwrap()
        .replace("share = 0.7\n", "share = 0.6667\n");
    let mut folder = folder;
    folder.insert("worker.toml", &text);
    assert_eq!(check(&folder).unwrap().tiers[1].share_bp, 6_667);
}

#[test]
fn only_what_is_named_counts_in_the_hash_and_all_of_that_does() {
    let hash = check(&a_folder()).unwrap().hash();
    let mut folder = a_folder();
    folder.insert("README.md", "anything");
    let checked = check(&folder).unwrap();
    assert_eq!(checked.hash(), hash);
    assert!(checked.folder.text("README.md").is_none());
    assert_eq!(
        check(&checked.folder).unwrap(),
        checked,
        "what is stored is the same worker"
    );
    for file in [
        "worker.toml",
        "prompt.md",
        "system.md",
        "schema.json",
        "source.sql",
        "sink.sql",
    ] {
        let mut folder = a_folder();
        folder.insert(file, &format!("{}\n", folder.text(file).unwrap()));
        assert_ne!(check(&folder).unwrap().hash(), hash, "{file}");
    }
}
