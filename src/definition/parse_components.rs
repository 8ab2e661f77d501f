//! The steps of a worker of many, as values: each with its own template, schema, models and
//! parameters, over what the worker says for all.

use std::time::Duration;

use super::{
    Component, DefinitionError, Folder, PackSpec, PromptSpec,
    error::nearest,
    parse::{NAME_RULE, is_name, timeout},
    parse_local::nothing_of_calls,
    parse_prompt::{pack_size, params, system, with_files},
    select::circle,
    table::Table,
    toml_tree::Node,
};
use crate::{llm::Params, model::ModelId};

const COMPONENT_KEYS: &[&str] = &[
    "name",
    "needs",
    "priority",
    "enabled",
    "local",
    "template",
    "schema",
    "system",
    "model",
    "fallbacks",
    "params",
    "pack_size",
    "call_timeout_s",
];

/// What a worker says for all its components.
pub(super) struct Shared<'a> {
    pub(super) folder: &'a Folder,
    /// System text and parameters.
    pub(super) prompt: &'a PromptSpec,
    pub(super) pack: PackSpec,
    pub(super) call_timeout: Duration,
    /// The worker asks no model, so no component does.
    pub(super) local: bool,
}

/// The steps of a worker of many, in the order they are written; none for a worker of one.
pub(super) fn components(
    top: &Table<'_>,
    shared: &Shared<'_>,
) -> Result<Vec<Component>, DefinitionError> {
    let nodes = top.list("component")?;
    let tables = nodes
        .iter()
        .map(|node| Table::open(node, LABEL, COMPONENT_KEYS))
        .collect::<Result<Vec<_>, _>>()?;
    if tables.len() > COMPONENTS_MAX {
        let message = format!("has {} entries: at most {COMPONENTS_MAX}", tables.len());
        return Err(top.bad("component", message));
    }
    let mut components: Vec<Component> = Vec::with_capacity(tables.len());
    for (table, node) in tables.iter().zip(nodes) {
        let component = component(table, node, shared)?;
        if components.iter().any(|other| other.name == component.name) {
            return Err(table.bad("name", format!("is {} a second time", component.name)));
        }
        components.push(component);
    }
    for (table, component) in tables.iter().zip(&components) {
        check_needs(table, component, &components)?;
    }
    if let Some(circle) = circle(&components) {
        let names: Vec<_> = circle
            .iter()
            .map(|&at| components[at].name.as_str())
            .collect();
        let message = format!(
            "goes in a circle: {} needs {}",
            names.join(" needs "),
            names[0]
        );
        return Err(tables[circle[0]].bad_with(
            "needs",
            message,
            "take one of them out, or none of these can ever begin",
        ));
    }
    Ok(components)
}

fn check_needs(
    table: &Table<'_>,
    component: &Component,
    all: &[Component],
) -> Result<(), DefinitionError> {
    for (at, need) in component.needs.iter().enumerate() {
        if *need == component.name {
            return Err(table.bad("needs", format!("names {need} itself")));
        }
        if component.needs[..at].contains(need) {
            return Err(table.bad("needs", format!("names {need} a second time")));
        }
        if !all.iter().any(|other| other.name == *need) {
            let message = format!("names {need}, which is no component");
            let names = all.iter().map(|other| other.name.as_str());
            return Err(match nearest(need, names) {
                Some(name) => {
                    table.bad_with("needs", message, &format!("did you mean \"{name}\"?"))
                }
                None => table.bad("needs", message),
            });
        }
    }
    Ok(())
}

fn component(
    table: &Table<'_>,
    node: &Node,
    shared: &Shared<'_>,
) -> Result<Component, DefinitionError> {
    let name = table.need_text("name")?;
    if !is_name(&name) {
        return Err(table.bad("name", NAME_RULE));
    }
    let local = table.flag("local")?.unwrap_or(shared.local);
    if shared.local && !local {
        return Err(table.bad_with(
            "local",
            "is false, and the whole worker is local",
            "take local = true out of the top of worker.toml",
        ));
    }
    if local {
        nothing_of_calls(table)?;
    }
    let unset = Params {
        max_output_tokens: Some(OUTPUT_TOKENS),
        temperature: Some(TEMPERATURE),
        ..Params::default()
    };
    let of_worker = over(&shared.prompt.params, unset);
    let template = table
        .text("template")?
        .unwrap_or_else(|| format!("{name}.md"));
    let of_all = shared.prompt.system_file.clone();
    let of_all = of_all.zip(shared.prompt.system.clone());
    let system = match system(shared.folder, table)? {
        Some(_) if local => return Err(table.bad("system", "is for models")),
        None if !local => of_all,
        own => own,
    };
    let params = params(table, "component.params", of_worker)?;
    Ok(Component {
        needs: table.texts("needs")?,
        priority: table.integer("priority", i32::MIN, i32::MAX)?.unwrap_or(0),
        enabled: table.flag("enabled")?.unwrap_or(true),
        prompt: with_files(shared.folder, table, template, system, params)?,
        models: models(table)?,
        pack_size: match pack_size(table, "pack_size")? {
            _ if local => 1,
            own => own.unwrap_or(shared.pack.size),
        },
        call_timeout: timeout(table)?.unwrap_or(shared.call_timeout),
        place: table
            .node("needs")
            .map_or(&node.place, |it| &it.place)
            .clone(),
        name,
        local,
    })
}

/// A ladder of its own, if it has one.
fn models(table: &Table<'_>) -> Result<Vec<ModelId>, DefinitionError> {
    let model = table.model("model")?;
    if model.is_none() && table.node("fallbacks").is_some() {
        return Err(table.missing("model"));
    }
    let ladder: Vec<ModelId> = model
        .into_iter()
        .chain(table.models("fallbacks")?)
        .collect();
    match (1..ladder.len()).find(|&at| ladder[..at].contains(&ladder[at])) {
        Some(at) => Err(table.bad(
            "fallbacks",
            format!("names {} a second time in this component", ladder[at]),
        )),
        None => Ok(ladder),
    }
}

/// Parameters that are set, over others.
fn over(set: &Params, unset: Params) -> Params {
    Params {
        temperature: set.temperature.or(unset.temperature),
        max_output_tokens: set.max_output_tokens.or(unset.max_output_tokens),
        ..set.clone()
    }
}

const LABEL: &str = "[[component]]";
const COMPONENTS_MAX: usize = 100;
const OUTPUT_TOKENS: u32 = 600;
const TEMPERATURE: f64 = 0.6;
