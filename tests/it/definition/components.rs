//! Workers of many steps: what each is by itself, and each mistake with its place.

use std::time::Duration;

use serde_json::value::RawValue;
use tidegate::{
    definition::{Definition, Folder, LocalTemplate, StoredDefinition, TemplateHandler},
    llm::{Reply, Request},
    task::{Answer, Handler, HandlerError, Item, Judgement},
};

use super::check;

/// Three steps: `draft`, `title` after it, and the local `page` after both.
pub(super) const STEPS: &str = r#"name = "pages"
[source]
file = "x.jsonl"
id = "id"
[[tier]]
share = 1
mix = 1
model = "g/best"
fallbacks = ["g/mid"]
[fallback]
model = "g/last"
[prompt]
system = "system.md"
params = { max_output_tokens = 900 }
[pack]
size = 4
max_input_tokens = 5000
[cache]
max_age_days = 30
[[component]]
name = "page"
local = true
needs = ["draft", "title"]
[[component]]
name = "title"
priority = 2
needs = ["draft"]
schema = "title.json"
model = "g/small"
params = { temperature = 0.1 }
pack_size = 1
call_timeout_s = 9
[[component]]
name = "draft"
priority = 1
"#;

pub(super) fn folder(worker: &str) -> Folder {
    let mut folder = Folder::default();
    folder.insert("worker.toml", worker);
    folder.insert("system.md", "You know {{ id }}.");
    folder.insert("draft.md", "Draft of {{ about }}.");
    folder.insert("title.md", "Title of: {{ results.draft }}");
    folder.insert("title.json", r#"{"type": "object", "required": ["t"]}"#);
    folder.insert("page.md", "# {{ results.title.t }}\n{{ results.draft }}");
    folder
}

fn with(from: &str, to: &str) -> Folder {
    assert_eq!(STEPS.matches(from).count(), 1, "{from}");
    folder(&STEPS.replacen(from, to, 1))
}

fn steps() -> Definition {
    check(&folder(STEPS)).expect("it holds")
}

fn an_item(component: &str, results: &[(&str, Answer)]) -> Item {
    let body = r#"{"id": 7, "about": "tides"}"#.to_owned();
    let results = results
        .iter()
        .map(|(name, answer)| ((*name).to_owned(), answer.clone()));
    Item::new("7", RawValue::from_string(body).expect("JSON")).of(component, results)
}

#[test]
fn a_component_is_what_it_says_over_what_its_worker_says() {
    let definition = steps();
    let [page, title, draft] = definition.components.as_slice() else {
        panic!("three components");
    };
    assert_eq!(
        (
            draft.prompt.params.max_output_tokens,
            draft.prompt.params.temperature
        ),
        (Some(900), Some(0.6))
    );
    assert_eq!(title.prompt.params.temperature, Some(0.1));
    assert_eq!(title.prompt.params.max_output_tokens, Some(900));
    assert_eq!(
        (draft.pack_size, title.pack_size, page.pack_size),
        (4, 1, 1)
    );
    assert_eq!(definition.pack.max_input_tokens, 5_000);
    assert_eq!(definition.cache.max_age_days, Some(30));
    assert_eq!(draft.call_timeout, Duration::from_secs(30));
    assert_eq!(title.call_timeout, Duration::from_secs(9));
    assert_eq!(draft.prompt.system.as_deref(), Some("You know {{ id }}."));
    assert_eq!(page.prompt.system, None);
    assert!(page.local && !title.local && page.enabled);
    let ladder = |step| {
        let models = definition.ladder_of(step, 0);
        models.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(ladder(draft), ["g/best", "g/mid", "g/last"]);
    assert_eq!(ladder(title), ["g/small", "g/last"]);
    assert!(ladder(page).is_empty());
    assert_eq!(definition.family_of(title, 0), ["g/small", "g/last"]);
    assert_eq!(
        definition.models(),
        ["g/best", "g/last", "g/mid", "g/small"]
    );
}

#[test]
fn parameters_of_components_have_defaults_of_their_own() {
    let definition = check(&with("params = { max_output_tokens = 900 }\n", "")).expect("it holds");
    let params = &definition.components[2].prompt.params;
    assert_eq!(
        (params.max_output_tokens, params.temperature),
        (Some(600), Some(0.6))
    );
    let definition =
        check(&with("[pack]", "[limits]\ncall_timeout_s = 45\n[pack]")).expect("it holds");
    assert_eq!(
        definition.components[2].call_timeout,
        Duration::from_secs(45)
    );
}

#[test]
fn a_template_sees_the_item_and_the_results_that_its_component_needs() {
    let definition = steps();
    let handler = TemplateHandler::new(&definition).expect("it compiles");
    let draft = ("draft", Answer::text("High \"and\" low."));
    let request = handler.request(&an_item("draft", &[])).expect("asked");
    assert_eq!(request.prompt, "Draft of tides.");
    assert_eq!(request.system.as_deref(), Some("You know 7."));
    assert!(request.schema.is_none());
    let request = handler
        .request(&an_item("title", std::slice::from_ref(&draft)))
        .expect("asked");
    assert_eq!(request.prompt, "Title of: High \"and\" low.");
    assert!(request.schema.is_some());
    let title = Answer::json(r#"{"t": "1.50"}"#).expect("JSON");
    let local = LocalTemplate::of(&definition).expect("it compiles");
    let page = local
        .expect("one is local")
        .answer(&an_item("page", &[draft, ("title", title)]))
        .expect("rendered");
    assert_eq!(page, Answer::text("# 1.50\nHigh \"and\" low."));
}

#[test]
fn a_component_that_is_not_there_and_a_result_that_is_missing_are_told() {
    let handler = TemplateHandler::new(&steps()).expect("it compiles");
    for (component, said) in [
        ("tags", "the worker has no component tags"),
        ("", "the worker has components, and this task is of none"),
        ("title", "title.md:1: undefined value"),
    ] {
        let error = handler.request(&an_item(component, &[])).unwrap_err().0;
        assert!(error.starts_with(said), "{error}");
    }
    let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
    for (answer, said) in [
        (
            r#""\ud800""#,
            "`results.draft` holds half of a surrogate pair",
        ),
        (&*deep, "the result of draft is nested deeper than 128"),
    ] {
        let draft = ("draft", Answer::json(answer).expect("JSON"));
        let error = handler.request(&an_item("title", &[draft])).unwrap_err().0;
        assert!(error.starts_with(said), "{error}");
    }
}

#[test]
fn a_stored_definition_keeps_its_components_and_one_of_former_times_is_read() {
    let definition = steps();
    let text = StoredDefinition::of(&definition).to_json();
    let back = StoredDefinition::from_json(&text).expect("it is read");
    assert_eq!((back.hash(), &back), (definition.hash(), &definition));
    for file in ["system.md", "draft.md", "title.md", "title.json", "page.md"] {
        assert!(definition.folder.text(file).is_some(), "{file}");
    }
    let former = r#"{"folder":{"prompt.md":"x","worker.toml":"name = 'w'\nlocal = true\n[pack]\nsize = 1\n[source]\nfile = 'x.csv'\nid = 'id'\n"},"overrides":[]}"#;
    let former = StoredDefinition::from_json(former).expect("it is read");
    assert_eq!((former.steps().len(), former.pack.size), (1, 1));
}

#[test]
fn columns_of_every_template_are_looked_for_and_results_are_none() {
    let columns = |names: &[&str]| names.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>();
    let definition = steps();
    definition
        .check_columns(&columns(&["id", "about"]))
        .expect("all are there");
    let error = definition.check_columns(&columns(&["id"])).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("draft.md:1: template variable \"about\""),
        "{error}"
    );
}

#[test]
fn a_mistake_in_a_component_is_told_in_one_line() {
    for (from, to, said) in MISTAKES {
        let error = check(&with(from, to)).expect_err(to).to_string();
        assert_eq!(error, *said, "after {from:?} became {to:?}");
    }
    for (file, text, said) in [
        (
            "draft.md",
            "x\n{{ results.title }}",
            "draft.md:2: \"results.title\" is no need of the component draft; add \"title\" to its needs in worker.toml",
        ),
        (
            "page.md",
            "{{ results.drft }}",
            "page.md:1: \"results.drft\" is no need of the component page; did you mean \"results.draft\"?",
        ),
    ] {
        let mut folder = folder(STEPS);
        folder.insert(file, text);
        assert_eq!(check(&folder).expect_err(text).to_string(), said);
    }
}

/// What is replaced in the worker.toml that holds, by what, and what is said then.
const MISTAKES: &[(&str, &str, &str)] = &[
    (
        "name = \"draft\"",
        "name = \"Draft 1\"",
        "worker.toml:34: \"name\" must be at most 63 of a-z, 0-9, _ and -",
    ),
    (
        "name = \"draft\"",
        "name = \"title\"",
        "worker.toml:34: \"name\" is title a second time",
    ),
    (
        "name = \"draft\"",
        "name = \"drafts\"\ntemplate = \"draft.md\"",
        "worker.toml:23: \"needs\" names draft, which is no component; did you mean \"drafts\"?",
    ),
    (
        "name = \"draft\"\npriority = 1",
        "name = \"draft\"\nneeds = [\"draft\"]",
        "worker.toml:35: \"needs\" names draft itself",
    ),
    (
        "name = \"draft\"\npriority = 1",
        "name = \"draft\"\nneeds = [\"page\"]",
        "worker.toml:23: \"needs\" goes in a circle: page needs title needs draft needs page; take one of them out, or none of these can ever begin",
    ),
    (
        "[\"draft\", \"title\"]",
        "[\"draft\", \"draft\"]",
        "worker.toml:23: \"needs\" names draft a second time",
    ),
    (
        "priority = 1",
        "prority = 1",
        "worker.toml:35: unknown key \"prority\" in [[component]]; did you mean \"priority\"?",
    ),
    (
        "priority = 1",
        "template = \"drafd.md\"",
        "worker.toml:35: `template` names the file drafd.md, which is not in the folder; did you mean \"draft.md\"?",
    ),
    (
        "name = \"draft\"",
        "name = \"final\"",
        "worker.toml:33: `template` names the file final.md, which is not in the folder",
    ),
    (
        "model = \"g/small\"",
        "fallbacks = [\"g/small\"]",
        "worker.toml:24: missing key \"model\" in [[component]]",
    ),
    (
        "model = \"g/small\"",
        "model = \"g/a\"\nfallbacks = [\"g/b\", \"g/a\"]",
        "worker.toml:30: \"fallbacks\" names g/a a second time in this component",
    ),
    (
        "{ temperature = 0.1 }",
        "{ temprature = 0.1 }",
        "worker.toml:30: unknown key \"temprature\" in component.params; did you mean \"temperature\"?",
    ),
    (
        "local = true",
        "local = true\nmodel = \"g/m\"",
        "worker.toml:23: \"model\" names a model, and local = true asks no model; leave it out, or say local = false",
    ),
    (
        "pack_size = 1",
        "pack_size = 0",
        "worker.toml:31: \"pack_size\" is 0: it must be 1 to 100",
    ),
    (
        "system = \"system.md\"",
        "template = \"draft.md\"",
        "worker.toml:13: \"template\" is nobody's: each component of this worker has its own; write it into each [[component]] (template: NAME.md unless set), or leave \"template\" out",
    ),
];

#[test]
fn a_handler_of_ones_own_is_told_the_component_and_sees_its_results() {
    struct Own;
    impl Handler for Own {
        fn request(&self, item: &Item) -> Result<Request, HandlerError> {
            Ok(Request {
                prompt: format!("{}: {}", item.component, item.results["draft"].get()),
                ..Request::default()
            })
        }

        fn judge(&self, _: &Item, reply: &Reply) -> Judgement {
            Judgement::Accept(Answer::text(&reply.text))
        }
    }
    let item = an_item("title", &[("draft", Answer::text("x"))]);
    assert_eq!(Own.request(&item).expect("asked").prompt, "title: \"x\"");
}
