//! The handler that needs no Rust: a template asks, a schema judges; each step its own.

use std::collections::BTreeMap;

use super::{Definition, DefinitionError, step::Step};
use crate::{
    llm::{Reply, Request},
    task::{Answer, Handler, HandlerError, Item, Judgement},
};

/// Does the tasks of steps that ask no model: what the template renders to is the answer.
#[derive(Debug)]
pub struct LocalTemplate(Steps);

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
    /// The templates of a definition's local steps. `None`: it has none.
    ///
    /// # Errors
    /// As [`TemplateHandler::new`].
    pub fn of(definition: &Definition) -> Result<Option<Self>, DefinitionError> {
        let steps = Steps::of(definition, true)?;
        Ok((!steps.0.is_empty()).then_some(Self(steps)))
    }

    /// The answer to an item: the rendered text where it is JSON, else that text as a JSON string. It
    /// meets the schema, if there is one.
    ///
    /// # Errors
    /// [`LocalTemplateError`] says whose fault it is.
    pub fn answer(&self, item: &Item) -> Result<Answer, LocalTemplateError> {
        let step = self.0.step(item).map_err(LocalTemplateError::Input)?;
        let text = step
            .request(item)
            .map_err(LocalTemplateError::Input)?
            .prompt;
        let answer = Answer::json(text.trim()).unwrap_or_else(|_| Answer::text(&text));
        if !step.has_schema() {
            return Ok(answer);
        }
        match step.judge(answer.get()) {
            Judgement::Accept(answer) => Ok(answer),
            Judgement::Reject(words) => Err(LocalTemplateError::Schema(words)),
        }
    }
}

/// Asks by rendering the template of the item's component over the item's fields, and judges by its
/// schema.
///
/// Made once and shared: templates and schemas are compiled when it is made.
///
/// In a template, a field is a variable of its name. Null renders as nothing, a field that is not
/// there is an error, and numbers are printed as the source wrote them. Templates of components also
/// see `results.NAME`, the answer of each component that theirs needs: an object or list where it is
/// one, else a text.
#[derive(Debug)]
pub struct TemplateHandler(Steps);

impl TemplateHandler {
    /// The handler of a definition.
    ///
    /// # Errors
    /// [`DefinitionError::Syntax`] when template or schema do not compile,
    /// [`DefinitionError::BadValue`] when a template looks at results that its component does not
    /// need; for a definition that was [checked](Definition::check) neither happens.
    pub fn new(definition: &Definition) -> Result<Self, DefinitionError> {
        Steps::of(definition, false).map(Self)
    }
}

impl Handler for TemplateHandler {
    fn request(&self, item: &Item) -> Result<Request, HandlerError> {
        let step = self.0.step(item).map_err(HandlerError)?;
        step.request(item).map_err(HandlerError)
    }

    fn judge(&self, item: &Item, reply: &Reply) -> Judgement {
        match self.0.step(item) {
            Ok(step) => step.judge(&reply.text),
            Err(words) => Judgement::Reject(words),
        }
    }
}

/// Compiled steps by component.
#[derive(Debug)]
struct Steps(BTreeMap<String, Step>);

impl Steps {
    /// All steps, or only those that ask no model.
    fn of(definition: &Definition, local_only: bool) -> Result<Self, DefinitionError> {
        let mut steps = definition.steps();
        steps.retain(|step| step.local || !local_only);
        steps
            .into_iter()
            .map(|step| Ok((step.name.clone(), Step::new(&step)?)))
            .collect::<Result<_, _>>()
            .map(Self)
    }

    fn step(&self, item: &Item) -> Result<&Step, String> {
        let name = &item.component;
        self.0.get(name).ok_or_else(|| match name.as_str() {
            "" => "the worker has components, and this task is of none".to_owned(),
            _ => format!("the worker has no component {name} that does this"),
        })
    }
}
