//! The steps of a worker of many, as values.

use super::{
    Component, DefinitionError,
    parse::{params, timeout},
    table::{Table, bad},
    toml_tree::Node,
};

const COMPONENT_KEYS: &[&str] = &[
    "name",
    "needs",
    "priority",
    "enabled",
    "local",
    "template",
    "schema",
    "model",
    "fallbacks",
    "params",
    "call_timeout_s",
];

/// The steps of a worker of many; [`Definition::check`](super::Definition::check) refuses them yet.
pub(super) fn components(top: &Table<'_>) -> Result<Vec<Component>, DefinitionError> {
    let components = top
        .list("component")?
        .iter()
        .map(component)
        .collect::<Result<Vec<_>, _>>()?;
    for (at, node) in top.list("component")?.iter().enumerate() {
        let Component { name, needs, .. } = &components[at];
        if components[..at].iter().any(|other| other.name == *name) {
            return Err(bad(&node.place, "name", format!("is {name} a second time")));
        }
        if let Some(need) = needs
            .iter()
            .find(|need| !components.iter().any(|c| c.name == **need))
        {
            return Err(bad(
                &node.place,
                "needs",
                format!("names {need}, which is no component"),
            ));
        }
    }
    Ok(components)
}

fn component(node: &Node) -> Result<Component, DefinitionError> {
    let table = Table::open(node, "[[component]]", COMPONENT_KEYS)?;
    let model = table.model("model")?;
    Ok(Component {
        name: table.need_text("name")?,
        needs: table.texts("needs")?,
        priority: table.integer("priority", i32::MIN, i32::MAX)?.unwrap_or(0),
        enabled: table.flag("enabled")?.unwrap_or(true),
        local: table.flag("local")?.unwrap_or(false),
        template: table.text("template")?,
        schema: table.text("schema")?,
        models: model
            .into_iter()
            .chain(table.models("fallbacks")?)
            .collect(),
        params: table.node("params").map(|_| params(&table)).transpose()?,
        call_timeout: timeout(&table)?,
    })
}
