//! The worker folders that ship, with their sample data.

use std::{collections::BTreeSet, fs::File, io::BufReader, path::PathBuf};

use flate2::read::GzDecoder;
use tidegate::{
    definition::{
        Definition, Folder, LocalTemplate, TemplateHandler, estimated_request_tokens, rows,
    },
    task::{Answer, Handler, Item},
};

fn folder() -> PathBuf {
    folder_of("entity_extraction")
}

fn folder_of(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("workers")
        .join(name)
}

fn shipped(name: &str) -> Definition {
    Definition::check(&Folder::read(&folder_of(name)).expect("it is there"), &[])
        .unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn entity_extraction() -> Definition {
    shipped("entity_extraction")
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
            .request(&Item::new(row.id.clone(), row.body))
            .unwrap();
        assert!((300..2_000).contains(&estimated_request_tokens(&request)));
        assert!(row.category.is_some());
        assert!(ids.insert(row.id));
    }
    assert_eq!(ids.len(), 1_863);
}

#[test]
fn tag_space_holds_and_its_vocabulary_is_the_same_in_prompt_and_schema() {
    let definition = shipped("tag_space");
    assert_eq!((definition.pack.size, definition.steps().len()), (5, 1));
    let columns = ["page_id", "version", "section", "title", "body"];
    definition
        .check_columns(&columns.map(str::to_owned))
        .unwrap();
    let schema = definition.prompt.schema.expect("it has one");
    let labels = schema["properties"]["labels"]["items"]["enum"]
        .as_array()
        .expect("a list");
    for label in labels {
        let line = format!("- `{}`:", label.as_str().expect("a word"));
        assert!(definition.prompt.template.contains(&line), "{line}");
    }
    let lines = definition.prompt.template.matches("\n- `").count();
    assert_eq!(lines, labels.len());
}

#[test]
fn embedding_holds() {
    let definition = shipped("embedding");
    assert_eq!((definition.pack.size, definition.steps().len()), (100, 1));
    assert!(definition.prompt.embed.is_some());
    let columns = ["chunk_id", "text_hash", "text"];
    definition
        .check_columns(&columns.map(str::to_owned))
        .unwrap();
}

#[test]
fn a_vocabulary_without_a_label_is_refused_when_the_folder_is_read() {
    let mut folder = Folder::read(&folder_of("tag_space")).expect("it is there");
    let schema = folder.text("schema.json").expect("it has one").to_owned();
    let (before, rest) = schema.split_once("\"enum\": [").expect("its labels");
    let (_, after) = rest.split_once(']').expect("their end");
    folder.insert("schema.json", &format!("{before}\"enum\": []{after}"));
    let error = Definition::check(&folder, &[]).unwrap_err().to_string();
    assert_eq!(
        error,
        "schema.json:10: /properties/labels/items/enum is empty, so no answer could ever be right: list what may be chosen"
    );
}

#[test]
fn a_page_of_no_bytes_can_be_asked_about() {
    let handler = TemplateHandler::new(&shipped("tag_space")).unwrap();
    let body = r#"{"title": "", "body": ""}"#.to_owned();
    let body = serde_json::value::RawValue::from_string(body).unwrap();
    assert!(handler.request(&Item::new("empty", body)).is_ok());
}

#[test]
fn content_generation_holds_and_does_five_of_its_ten_parts_unless_told() {
    let definition = shipped("content_generation");
    let names = |all, only: &[&str]| {
        let only: Vec<_> = only.iter().map(|name| (*name).to_owned()).collect();
        let selection = definition.selected(all, &only).expect("it can be");
        let steps = selection.steps.into_iter();
        steps.map(|step| step.component.name).collect::<Vec<_>>()
    };
    assert_eq!(
        names(false, &[]),
        ["frontmatter", "metatags", "text", "table", "tags"]
    );
    assert_eq!(names(true, &[]).len(), 10);
    assert_eq!(names(false, &["faq"]), ["faq"]);
}

#[test]
fn every_part_of_every_material_of_the_sample_can_be_made() {
    let definition = shipped("content_generation");
    let handler = TemplateHandler::new(&definition).unwrap();
    let local = LocalTemplate::of(&definition).unwrap().expect("two are");
    let results: Vec<(String, Answer)> = [
        (
            "frontmatter",
            r#"{"title": "T \"q\"", "description": "D", "slug": "s", "keywords": ["a", "b"]}"#,
        ),
        ("text", r#""A text.""#),
        ("tags", r#"{"tags": ["metal"]}"#),
    ]
    .map(|(name, answer)| (name.to_owned(), Answer::json(answer).unwrap()))
    .into();
    let file = File::open(folder_of("content_generation").join("sample/elements.jsonl")).unwrap();
    let mut count = 0;
    for row in rows::jsonl(BufReader::new(file), &{
        let mut source = definition.source.clone();
        (source.version, source.signals) = (None, Vec::new());
        source
    }) {
        let row = row.unwrap();
        let body = row.body.get().replacen('{', r#"{"neighbours": null, "#, 1);
        let body = serde_json::value::RawValue::from_string(body).unwrap();
        for step in &definition.components {
            let results = results.clone().into_iter();
            let seen = results.filter(|(name, _)| step.needs.contains(name));
            let item = Item::new(row.id.clone(), body.clone()).of(&step.name, seen);
            if step.local {
                let answer = local.answer(&item).unwrap_or_else(|it| panic!("{it}"));
                assert!(answer.get().starts_with('{'), "{}", answer.get());
            } else {
                let request = handler.request(&item).unwrap_or_else(|it| panic!("{it}"));
                assert!(estimated_request_tokens(&request) < 1_000);
            }
        }
        count += 1;
    }
    assert_eq!(count, 118);
}
