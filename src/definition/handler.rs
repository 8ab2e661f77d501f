//! The handler of a worker that needs no Rust: a template asks, a schema judges.

use minijinja::Value;

use super::{
    Definition, DefinitionError, Place, PromptSpec, answer::Judge, json, template::Templates,
};
use crate::{
    llm::{Reply, Request},
    task::{Answer, Handler, HandlerError, Item, Judgement},
};

/// Does the tasks of a worker that asks no model: what the template renders to is the answer.
#[derive(Debug)]
pub struct LocalTemplate(TemplateHandler);

/// Why a template brought no answer; asking it again cannot help.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LocalTemplateError {
    /// Nothing can be rendered of the item.
    #[error("{0}")]
    Input(String),
    /// The answer does not meet the schema.
    #[error("{0}")]
    Schema(String),
}

impl LocalTemplate {
    /// The template of a definition.
    ///
    /// # Errors
    /// As [`TemplateHandler::new`].
    pub fn new(definition: &Definition) -> Result<Self, DefinitionError> {
        TemplateHandler::new(definition).map(Self)
    }

    /// The answer to an item: the rendered text where it is JSON, else that text as a JSON string. It
    /// meets the schema, if there is one.
    ///
    /// # Errors
    /// [`LocalTemplateError`] says whose fault it is.
    pub fn answer(&self, item: &Item) -> Result<Answer, LocalTemplateError> {
        let text = self
            .0
            .rendered(item)
            .map_err(LocalTemplateError::Input)?
            .prompt;
        let answer = Answer::json(text.trim()).unwrap_or_else(|_| Answer::text(&text));
        if self.0.prompt.schema.is_none() {
            return Ok(answer);
        }
        match self.0.judge.judge(answer.get()) {
            Judgement::Accept(answer) => Ok(answer),
            Judgement::Reject(words) => Err(LocalTemplateError::Schema(words)),
        }
    }
}

/// Asks by rendering the worker's template over the item's fields, and judges by its schema.
///
/// Made once and shared: template and schema are compiled when it is made.
///
/// In a template, a field is a variable of its name. Null renders as nothing, a field that is not
/// there is an error, and numbers are printed as the source wrote them.
#[derive(Debug)]
pub struct TemplateHandler {
    templates: Templates,
    judge: Judge,
    prompt: PromptSpec,
}

impl TemplateHandler {
    /// The handler of a definition.
    ///
    /// # Errors
    /// [`DefinitionError::Syntax`] when template or schema do not compile; for a definition that
    /// was [checked](Definition::check) they do.
    pub fn new(definition: &Definition) -> Result<Self, DefinitionError> {
        let prompt = definition.prompt.clone();
        let judge = Judge::new(prompt.schema.as_ref()).map_err(|message| {
            let file = prompt.schema_file.as_deref().unwrap_or_default();
            DefinitionError::Syntax {
                place: Place::file(file),
                message,
            }
        })?;
        Ok(Self {
            templates: Templates::compile(&prompt)?,
            judge,
            prompt,
        })
    }

    /// The fields that the templates look at; what else is in a body is never looked at, so that
    /// damage there does no harm.
    fn fields(&self, body: &str) -> Result<Value, String> {
        let body = body.trim();
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
        Ok(Value::from_pairs(fields))
    }

    fn rendered(&self, item: &Item) -> Result<Request, String> {
        let fields = self.fields(item.body.get())?;
        let render = |file: &String| self.templates.render(file, &fields);
        Ok(Request {
            system: self.prompt.system_file.as_ref().map(render).transpose()?,
            prompt: render(&self.prompt.template_file)?,
            schema: self.prompt.schema.clone(),
            params: self.prompt.params.clone(),
        })
    }
}

impl Handler for TemplateHandler {
    fn request(&self, item: &Item) -> Result<Request, HandlerError> {
        self.rendered(item).map_err(HandlerError)
    }

    fn judge(&self, _item: &Item, reply: &Reply) -> Judgement {
        self.judge.judge(&reply.text)
    }
}
