//! Which steps a run does: the enabled ones, all, or those that were picked.

use tidegate::definition::{Definition, Selection};

use super::{
    a_folder, check,
    components::{STEPS, folder},
};

fn steps() -> Definition {
    check(&folder(STEPS)).expect("it holds")
}

fn picked(only: &[&str]) -> Vec<String> {
    only.iter().map(|name| (*name).to_owned()).collect()
}

fn names(selection: &Selection) -> Vec<&str> {
    let steps = selection.steps.iter();
    steps.map(|step| step.component.name.as_str()).collect()
}

#[test]
fn each_step_comes_after_what_it_needs_and_lower_priorities_first() {
    let selection = steps().selected(false, &[]).expect("all are enabled");
    assert_eq!(names(&selection), ["draft", "title", "page"]);
    assert_eq!(selection.asked, None);
    assert!(selection.steps.iter().all(|step| step.earlier.is_empty()));
    assert_eq!(selection.steps[2].needs, ["draft", "title"]);
}

#[test]
fn what_a_picked_step_needs_and_the_run_leaves_out_comes_from_earlier() {
    let selection = steps()
        .selected(false, &picked(&["page", "draft", "page"]))
        .expect("they are components");
    assert_eq!(names(&selection), ["draft", "page"]);
    let page = &selection.steps[1];
    assert_eq!(
        (page.needs.as_slice(), page.earlier.as_slice()),
        (&["draft".to_owned()][..], &["title".to_owned()][..])
    );
    assert_eq!(selection.asked.as_deref(), Some("page,draft,page"));
}

#[test]
fn a_disabled_step_is_done_where_it_is_asked_for() {
    let disabled = STEPS.replace("name = \"page\"", "name = \"page\"\nenabled = false");
    let definition = check(&folder(&disabled)).expect("it holds");
    let of = |all, only: &[&str]| definition.selected(all, &picked(only)).expect("it can be");
    assert_eq!(names(&of(false, &[])), ["draft", "title"]);
    assert_eq!(names(&of(true, &[])), ["draft", "title", "page"]);
    assert_eq!(of(true, &[]).asked.as_deref(), Some("all"));
    assert_eq!(names(&of(false, &["page"])), ["page"]);
}

#[test]
fn a_need_that_is_disabled_is_refused_unless_it_is_asked_for() {
    let disabled = STEPS.replace("name = \"draft\"", "name = \"draft\"\nenabled = false");
    let definition = check(&folder(&disabled)).expect("it holds");
    let error = definition.selected(false, &[]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "worker.toml:23: \"needs\" of page names draft, which is not enabled: it would have no result; enable draft, or say --all, or --only with what is to be done"
    );
    assert!(definition.selected(true, &[]).is_ok());
    assert!(definition.selected(false, &picked(&["title"])).is_ok());
}

#[test]
fn a_selection_that_cannot_be_is_told() {
    let said = |definition: &Definition, only: &[&str]| {
        let error = definition.selected(false, &picked(only)).unwrap_err();
        error.to_string()
    };
    assert_eq!(
        said(&steps(), &["titel"]),
        "\"titel\" is no component of pages; did you mean \"title\"?"
    );
    assert_eq!(
        said(&steps(), &["xyz"]),
        "\"xyz\" is no component of pages; there are page, title, draft"
    );
    assert_eq!(
        said(&check(&a_folder()).expect("it holds"), &["a"]),
        "demo has no components: there is nothing to pick; leave --only out"
    );
    let none = STEPS.replace("name = \"", "enabled = false\nname = \"");
    let none = none.replacen("enabled = false\n", "", 1);
    assert_eq!(
        said(&check(&folder(&none)).expect("it holds"), &[]),
        "no component of pages is enabled; say --all, pick some with --only, or enable one in worker.toml"
    );
}

#[test]
fn a_worker_of_one_step_is_selected_whole() {
    let definition = check(&a_folder()).expect("it holds");
    for all in [false, true] {
        let selection = definition.selected(all, &[]).expect("one step");
        assert_eq!(names(&selection), [""]);
        assert_eq!(selection.asked, None);
    }
}
