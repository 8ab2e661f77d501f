//! The worker folders that ship, with their sample data.

use std::{collections::BTreeSet, fs::File, io::BufReader, path::PathBuf};

use flate2::read::GzDecoder;
use tidegate::{
    definition::{Definition, Folder, TemplateHandler, estimated_request_tokens, rows},
    task::{Handler, Item},
};

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("workers/entity_extraction")
}

fn entity_extraction() -> Definition {
    Definition::check(&Folder::read(&folder()).expect("it is there"), &[])
        .expect("the folder holds")
}

#[test]
fn entity_extraction_holds() {
    let definition = entity_extraction();
    let shares: Vec<_> = definition
        .tiers
        .iter()
        .map(|tier| (tier.share_bp, tier.mix))
        .collect();
    assert_eq!(shares, [(3_000, 4), (5_000, 5), (2_000, 1)]);
    let columns = [
        "article_id",
        "revision",
        "title",
        "body",
        "domain",
        "published_on",
        "cluster_hotness",
        "domain_goodness",
    ];
    definition
        .check_columns(&columns.map(str::to_owned))
        .unwrap();
}

#[test]
fn every_article_of_the_sample_can_be_asked_about() {
    let mut definition = entity_extraction();
    let handler = TemplateHandler::new(&definition).unwrap();
    definition.source.signals.clear();
    let file = File::open(folder().join("sample/articles.jsonl.gz")).unwrap();
    let input = BufReader::new(GzDecoder::new(file));
    let mut ids = BTreeSet::new();
    for row in rows::jsonl(input, &definition.source) {
        let row = row.unwrap();
        let request = handler
            .request(&Item {
                id: row.id.clone(),
                body: row.body,
            })
            .unwrap();
        assert!((300..2_000).contains(&estimated_request_tokens(&request)));
        assert!(row.category.is_some());
        assert!(ids.insert(row.id));
    }
    assert_eq!(ids.len(), 1_863);
}
