//! One step's template and schema, compiled: what is asked of an item and what its answer must be.

use minijinja::Value;

use super::{
    Component, DefinitionError, Place, PromptSpec, answer::Judge, error::nearest, json,
    template::Templates,
};
use crate::{
    llm::Request,
    task::{Answer, Item, Judgement},
};

/// The name by which templates of components see the answers of what they need.
pub(super) const RESULTS: &str = "results";

/// Template and schema of one step.
#[derive(Debug)]
pub(super) struct Step {
    templates: Templates,
    judge: Judge,
    prompt: PromptSpec,
    /// Whether `results` are the answers of other components; else it is a field like any other.
    of_many: bool,
}

impl Step {
    pub(super) fn new(component: &Component) -> Result<Self, DefinitionError> {
        let prompt = component.prompt.clone();
        let judge = Judge::new(prompt.schema.as_ref()).map_err(|message| {
            let file = prompt.schema_file.as_deref().unwrap_or_default();
            DefinitionError::Syntax {
                place: Place::file(file),
                message,
            }
        })?;
        let step = Self {
            templates: Templates::compile(&prompt)?,
            judge,
            prompt,
            of_many: !component.name.is_empty(),
        };
        if step.of_many {
            step.check_results(component)?;
        }
        Ok(step)
    }

    /// A template may look at results of what its component needs, and at no others: those might not
    /// be there yet.
    fn check_results(&self, component: &Component) -> Result<(), DefinitionError> {
        let seen = self.templates.members_of(RESULTS);
        let Some((place, name)) = seen
            .into_iter()
            .find(|(_, name)| !component.needs.contains(name))
        else {
            return Ok(());
        };
        let needs = component.needs.iter().map(String::as_str);
        let near = nearest(&name, needs).map(|near| format!("did you mean \"{RESULTS}.{near}\"?"));
        Err(DefinitionError::BadValue {
            place,
            message: format!("is no need of the component {}", component.name),
            advice: near.or_else(|| Some(format!("add \"{name}\" to its needs in worker.toml"))),
            key: format!("{RESULTS}.{name}"),
        })
    }

    /// The request for an item.
    pub(super) fn request(&self, item: &Item) -> Result<Request, String> {
        let fields = self.fields(item)?;
        let render = |file: &String| self.templates.render(file, &fields);
        let prompt = render(&self.prompt.template_file)?;
        let embed = self.prompt.embed.clone();
        if embed.is_some() && prompt.trim().is_empty() {
            return Err("there is no text to embed: its prompt renders to nothing".to_owned());
        }
        Ok(Request {
            system: self.prompt.system_file.as_ref().map(render).transpose()?,
            prompt,
            schema: self.prompt.schema.clone(),
            params: self.prompt.params.clone(),
            embed,
        })
    }

    pub(super) fn judge(&self, text: &str) -> Judgement {
        if self.prompt.embed.is_none() {
            return self.judge.judge(text);
        }
        // the vector's length was looked at where it was read
        match Answer::json(text) {
            Ok(answer) => Judgement::Accept(answer),
            Err(_) => Judgement::Reject("it is no JSON object with a vector".to_owned()),
        }
    }

    /// Whether an answer must be JSON of a certain shape.
    pub(super) fn has_schema(&self) -> bool {
        self.prompt.schema.is_some()
    }

    /// The columns that the templates look at, with the first line that names each.
    pub(super) fn columns(&self) -> Vec<(Place, String)> {
        let mut columns = self.templates.variables();
        columns.retain(|(_, name)| !(self.of_many && name == RESULTS));
        columns
    }

    /// The fields that the templates look at; what else is in a body is never looked at, so that
    /// damage there does no harm.
    fn fields(&self, item: &Item) -> Result<Value, String> {
        let body = item.body.get().trim();
        if !body.starts_with('{') {
            return Err("the item is no JSON object".to_owned());
        }
        if json::depth(body) > json::DEPTH_MAX {
            return Err(format!(
                "the item is nested deeper than {}",
                json::DEPTH_MAX
            ));
        }
        let mut fields = Vec::new();
        for (key, raw) in json::members(body) {
            let Ok(key) = json::text(key.unwrap_or_default()) else {
                continue;
            };
            if self.templates.fields.contains(&key) {
                let value = json::for_template(raw, &key).map_err(|path| {
                    format!("the field `{path}` holds half of a surrogate pair, which is no text")
                })?;
                fields.push((key, value));
            }
        }
        if self.of_many && self.templates.fields.contains(RESULTS) {
            // after the item's own, so that a column of this name does not hide them
            fields.push((RESULTS.to_owned(), results(item)?));
        }
        Ok(Value::from_pairs(fields))
    }
}

/// The answers of what was needed, by component.
fn results(item: &Item) -> Result<Value, String> {
    let value = |(name, answer): (&String, &Answer)| {
        let raw = answer.get().trim();
        if json::depth(raw) > json::DEPTH_MAX {
            let most = json::DEPTH_MAX;
            return Err(format!("the result of {name} is nested deeper than {most}"));
        }
        let value = json::for_template(raw, &format!("{RESULTS}.{name}"))
            .map_err(|path| format!("`{path}` holds half of a surrogate pair, which is no text"))?;
        Ok((name.clone(), value))
    };
    let values = item
        .results
        .iter()
        .map(value)
        .collect::<Result<Vec<_>, _>>()?;
    Ok(Value::from_pairs(values))
}
