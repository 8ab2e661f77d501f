//! The tables about what is asked and what of it is asked together or again: prompt, its
//! parameters, pack and cache.

use super::{
    CacheSpec, DefinitionError, Folder, PackSpec, Place, PromptSpec,
    check::WORKER,
    named::{named_text, schema},
    parse, parse_embed,
    table::Table,
    toml_tree::{Node, Tree},
};
use crate::llm::Params;

const PARAM_KEYS: &[&str] = &[
    "temperature",
    "top_p",
    "top_k",
    "max_output_tokens",
    "stop",
    "seed",
    "thinking_budget",
];

/// The prompt of a worker of one step.
pub(super) fn prompt(folder: &Folder, top: &Table<'_>) -> Result<PromptSpec, DefinitionError> {
    let none = no_table();
    let table = opened(top, &none)?;
    let file = table
        .text("template")?
        .unwrap_or_else(|| "prompt.md".to_owned());
    let params = params(&table, "prompt.params", Params::default())?;
    let prompt = with_files(folder, &table, file, system(folder, &table)?, params)?;
    Ok(PromptSpec {
        embed: parse_embed::embed(top, &table)?,
        ..prompt
    })
}

/// What all components of a worker share: the system text, and parameters that theirs are laid over.
/// A template or schema there would be nobody's.
pub(super) fn shared(folder: &Folder, top: &Table<'_>) -> Result<PromptSpec, DefinitionError> {
    let none = no_table();
    let table = opened(top, &none)?;
    for key in ["template", "schema"] {
        if table.node(key).is_some() {
            return Err(table.bad_with(
                key,
                "is nobody's: each component of this worker has its own",
                &format!("write it into each [[component]] (template: NAME.md unless set), or leave \"{key}\" out"),
            ));
        }
    }
    let (system_file, system) = system(folder, &table)?.unzip();
    Ok(PromptSpec {
        system_file,
        system,
        params: params(&table, "prompt.params", Params::default())?,
        ..PromptSpec::default()
    })
}

/// The system text that this table names, with its file.
type System = Option<(String, String)>;

pub(super) fn system(folder: &Folder, table: &Table<'_>) -> Result<System, DefinitionError> {
    let file = table.text("system")?;
    file.map(|file| Ok((file.clone(), named_text(folder, table, "system", &file)?)))
        .transpose()
}

/// A prompt from this template and the table's own schema.
pub(super) fn with_files(
    folder: &Folder,
    table: &Table<'_>,
    template_file: String,
    system: System,
    params: Params,
) -> Result<PromptSpec, DefinitionError> {
    let schema_file = table.text("schema")?;
    let schema = schema_file
        .as_ref()
        .map(|file| schema(file, &named_text(folder, table, "schema", file)?))
        .transpose()?;
    let (system_file, system) = system.unzip();
    Ok(PromptSpec {
        template: named_text(folder, table, "template", &template_file)?,
        template_file,
        system_file,
        system,
        schema_file,
        schema,
        params,
        embed: None,
    })
}

fn opened<'a>(top: &Table<'a>, none: &'a Node) -> Result<Table<'a>, DefinitionError> {
    let node = top.node("prompt").unwrap_or(none);
    Table::open(node, "[prompt]", parse::PROMPT_KEYS)
}

fn no_table() -> Node {
    Node {
        place: Place::file(WORKER),
        value: Tree::Table(Vec::new()),
    }
}

/// Parameters of generation: what the table says, over what holds without it.
pub(super) fn params(
    prompt: &Table<'_>,
    label: &'static str,
    unset: Params,
) -> Result<Params, DefinitionError> {
    let Some(node) = prompt.node("params") else {
        return Ok(unset);
    };
    let table = Table::open(node, label, PARAM_KEYS)?;
    let within = |key, most: f64| match table.number(key)? {
        Some(value) if !(0.0..=most).contains(&value) => {
            Err(table.bad(key, format!("is {value}: it must be 0 to {most}")))
        }
        value => Ok(value),
    };
    let stop = table.node("stop").map(|_| table.texts("stop"));
    Ok(Params {
        temperature: within("temperature", 2.0)?.or(unset.temperature),
        top_p: within("top_p", 1.0)?.or(unset.top_p),
        top_k: table.integer("top_k", 1, u32::MAX)?.or(unset.top_k),
        max_output_tokens: table
            .integer("max_output_tokens", 1, u32::MAX)?
            .or(unset.max_output_tokens),
        stop: stop.transpose()?.unwrap_or(unset.stop),
        seed: table.integer("seed", i64::MIN, i64::MAX)?.or(unset.seed),
        thinking_budget: table
            .integer("thinking_budget", -1, i32::MAX)?
            .or(unset.thinking_budget),
    })
}

/// What travels together; `embeds`: texts to be made into vectors, which a call takes many of.
pub(super) fn pack(top: &Table<'_>, embeds: bool) -> Result<PackSpec, DefinitionError> {
    let (mut pack, size_unset) = match embeds {
        true => (parse_embed::PACK, parse_embed::PACK.size),
        false => (PackSpec::default(), PACK_SIZE),
    };
    if let Some(node) = top.node("pack") {
        let table = Table::open(node, "[pack]", &["size", "max_input_tokens"])?;
        pack.size = pack_size(&table, "size")?.unwrap_or(size_unset);
        pack.max_input_tokens = table
            .integer("max_input_tokens", 1, 10_000_000)?
            .unwrap_or(pack.max_input_tokens);
    }
    Ok(pack)
}

/// Items in one prompt where a folder has a `[pack]` and no size in it.
const PACK_SIZE: u32 = 5;

/// How many items one prompt asks about at most.
pub(super) fn pack_size(table: &Table<'_>, key: &str) -> Result<Option<u32>, DefinitionError> {
    table.integer(key, 1, 100)
}

pub(super) fn cache(top: &Table<'_>) -> Result<CacheSpec, DefinitionError> {
    let mut cache = CacheSpec {
        enabled: true,
        version: "1".to_owned(),
        family: None,
        max_age_days: None,
    };
    if let Some(node) = top.node("cache") {
        let known = ["enabled", "version", "family", "max_age_days"];
        let table = Table::open(node, "[cache]", &known)?;
        cache.enabled = table.flag("enabled")?.unwrap_or(cache.enabled);
        cache.version = table.text("version")?.unwrap_or(cache.version);
        cache.family = table.text("family")?;
        cache.max_age_days = table.integer("max_age_days", 1, 36_500)?;
    }
    Ok(cache)
}
