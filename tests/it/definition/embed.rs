//! The table `[embed]`: what a worker that makes vectors asks, and what has no use there.

use tidegate::{
    definition::{Definition, DefinitionError, Folder, TemplateHandler, estimated_request_tokens},
    llm::{EmbedParams, TaskType},
    task::{Handler, Item},
};

const WORKER: &str = r#"name = "vectors"
[source]
file = "chunks.jsonl"
id = "id"
[[tier]]
share = 1.0
mix = 1
model = "g/embedding"
[prompt]
template = "prompt.md"
[embed]
task_type = "retrieval_document"
dimensions = 768
tag = "v2"
"#;

fn check(worker: &str) -> Result<Definition, DefinitionError> {
    let mut folder = Folder::default();
    folder.insert("worker.toml", worker);
    folder.insert("prompt.md", "{{ text }}");
    folder.insert("schema.json", "{}");
    folder.insert("part.md", "{{ text }}");
    Definition::check(&folder, &[])
}

fn item(text: &str) -> Item {
    let body = serde_json::json!({ "text": text });
    Item::new(
        "i",
        serde_json::value::to_raw_value(&body).expect("it is JSON"),
    )
}

#[test]
fn the_rendered_text_is_asked_for_as_a_vector() {
    let definition = check(WORKER).expect("it holds");
    let handler = TemplateHandler::new(&definition).expect("it compiles");
    let request = handler.request(&item("Twelve chars")).expect("a request");
    let asked = EmbedParams {
        task_type: Some(TaskType::RetrievalDocument),
        dimensions: Some(768),
        tag: Some("v2".to_owned()),
    };
    assert_eq!(
        (request.prompt.as_str(), request.embed.as_ref()),
        ("Twelve chars", Some(&asked))
    );
    assert_eq!((request.system.as_ref(), &request.schema), (None, &None));
    assert_eq!(estimated_request_tokens(&request), 3, "no frame around it");
}

#[test]
fn an_empty_text_is_the_items_fault() {
    let handler = TemplateHandler::new(&check(WORKER).expect("it holds")).expect("it compiles");
    for text in ["", " \n\t"] {
        let words = handler.request(&item(text)).expect_err("nothing").0;
        assert!(words.starts_with("there is no text to embed"), "{words}");
    }
}

#[test]
fn a_hundred_texts_travel_together_unless_the_folder_says_otherwise() {
    let pack = |more: &str| {
        let definition = check(&format!("{WORKER}{more}")).expect("it holds");
        (definition.pack.size, definition.pack.max_input_tokens)
    };
    assert_eq!(pack(""), (100, 100_000));
    assert_eq!(pack("[pack]\nmax_input_tokens = 20000\n"), (100, 20_000));
    assert_eq!(pack("[pack]\nsize = 7\n"), (7, 100_000));
}

#[test]
fn what_shapes_words_is_refused_beside_it() {
    for (from, to, said) in [
        (
            "\"retrieval_document\"",
            "\"retreival_document\"",
            "worker.toml:12: \"task_type\" is no task type: \"retreival_document\"; did you mean \"retrieval_document\"?",
        ),
        (
            "\"retrieval_document\"",
            "\"x\"",
            "worker.toml:12: \"task_type\" is no task type: \"x\"; it is one of retrieval_query, retrieval_document, semantic_similarity, classification, clustering, question_answering, fact_verification, code_retrieval_query",
        ),
        (
            "dimensions = 768",
            "dimensions = 0",
            "worker.toml:13: \"dimensions\" is 0: it must be 1 to 20000",
        ),
        (
            "dimensions",
            "dimension",
            "worker.toml:13: unknown key \"dimension\" in [embed]; did you mean \"dimensions\"?",
        ),
        (
            "template = \"prompt.md\"",
            "schema = \"schema.json\"",
            "worker.toml:10: \"schema\" says what words must look like, and [embed] asks for vectors; leave it out, or take [embed] away",
        ),
        (
            "template = \"prompt.md\"",
            "params = { temperature = 0.1 }",
            "worker.toml:10: \"params\" says how words are made, and [embed] asks for vectors; leave it out, or take [embed] away",
        ),
        (
            "template = \"prompt.md\"",
            "system = \"prompt.md\"",
            "worker.toml:10: \"system\" instructs a model that writes, and [embed] asks for vectors; leave it out, or take [embed] away",
        ),
        (
            "[prompt]\ntemplate = \"prompt.md\"\n",
            "[[component]]\nname = \"part\"\n",
            "worker.toml:11: \"embed\" is for a worker of one step, and this one has components; embed in a worker of its own, whose source.sql reads what this one wrote",
        ),
    ] {
        assert_eq!(WORKER.matches(from).count(), 1, "{from}");
        let error = check(&WORKER.replacen(from, to, 1)).expect_err(to);
        assert_eq!(error.to_string(), said);
    }
}

#[test]
fn a_worker_that_asks_no_model_embeds_nothing() {
    let local = format!(
        "local = true\n{}",
        WORKER.replace("model = \"g/embedding\"\n", "")
    );
    let error = check(&local).expect_err("nobody embeds").to_string();
    assert!(
        error.contains("\"embed\" asks a model for vectors"),
        "{error}"
    );
}
