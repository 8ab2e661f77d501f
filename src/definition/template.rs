//! The templates of a worker, compiled once: what they name, and how they are rendered.

use std::{
    collections::{BTreeSet, HashSet},
    io::{self, Write},
};

use minijinja::{AutoEscape, Environment, ErrorKind, UndefinedBehavior, Value, value::ValueKind};

use super::{DefinitionError, Place, PromptSpec};

/// Compiled templates. A field that is not there is an error that names it; nothing is escaped;
/// null renders as nothing, a flag as true or false; no template runs for ever or renders more than 4 MiB.
#[derive(Debug)]
pub(super) struct Templates {
    env: Environment<'static>,
    /// The files in the order they are rendered: the prompt, and the system text if there is one.
    files: Vec<String>,
    /// The names of all fields of an item that any of them looks at.
    pub(super) fields: BTreeSet<String>,
}

impl Templates {
    pub(super) fn compile(prompt: &PromptSpec) -> Result<Self, DefinitionError> {
        let mut env = Environment::new();
        env.set_undefined_behavior(UndefinedBehavior::Strict);
        env.set_auto_escape_callback(|_| AutoEscape::None);
        env.set_fuel(Some(FUEL));
        env.set_formatter(|out, state, value| match value.kind() {
            ValueKind::None => Ok(()),
            ValueKind::Bool => Ok(out.write_str(if value.is_true() { "true" } else { "false" })?),
            _ => minijinja::escape_formatter(out, state, value),
        });
        let system = prompt.system_file.as_ref().zip(prompt.system.as_ref());
        let texts = [(&prompt.template_file, &prompt.template)]
            .into_iter()
            .chain(system);
        let mut files = Vec::new();
        for (file, text) in texts {
            env.add_template_owned(file.clone(), text.clone())
                .map_err(|error| DefinitionError::Syntax {
                    place: place_of(file, &error),
                    message: words_of(&error),
                })?;
            files.push(file.clone());
        }
        let mut templates = Self {
            env,
            files,
            fields: BTreeSet::new(),
        };
        templates.try_out()?;
        templates.fields = templates
            .variables()
            .into_iter()
            .map(|(_, name)| name)
            .collect();
        Ok(templates)
    }

    /// Finds filters, tests and functions that there are not, which compiling lets pass: renders over
    /// nothing, where nothing is an error but that. What stands in a branch or loop that is not
    /// entered then is found when an item is rendered.
    fn try_out(&self) -> Result<(), DefinitionError> {
        let mut env = self.env.clone();
        env.set_undefined_behavior(UndefinedBehavior::Chainable);
        for file in &self.files {
            let Ok(template) = env.get_template(file) else {
                continue;
            };
            let Err(error) = template.render_captured_to(Value::from_pairs(NO_FIELDS), io::sink())
            else {
                continue;
            };
            if let ErrorKind::UnknownFilter
            | ErrorKind::UnknownTest
            | ErrorKind::UnknownFunction
            | ErrorKind::TemplateNotFound = error.kind()
            {
                let (place, message) = (place_of(file, &error), words_of(&error));
                return Err(DefinitionError::Syntax { place, message });
            }
        }
        Ok(())
    }

    /// Each field of an item that a template looks at, with the first line that names it.
    pub(super) fn variables(&self) -> Vec<(Place, String)> {
        let globals: HashSet<&str> = self.env.globals().map(|(name, _)| name).collect();
        let mut found = Vec::new();
        for file in &self.files {
            let Ok(template) = self.env.get_template(file) else {
                continue;
            };
            let mut names: Vec<String> = template.undeclared_variables(false).into_iter().collect();
            names.retain(|name| !globals.contains(name.as_str()));
            let at = |name: &str| first_line_with(template.source(), name);
            let mut named: Vec<_> = names.into_iter().map(|name| (at(&name), name)).collect();
            named.sort_unstable();
            found.extend(
                named
                    .into_iter()
                    .map(|(line, name)| (Place::line(file, line), name)),
            );
        }
        found
    }

    /// Each member of this variable that a template looks at by name (`results.tags`), with the
    /// first line that names it.
    pub(super) fn members_of(&self, variable: &str) -> Vec<(Place, String)> {
        let mut found = Vec::new();
        for file in &self.files {
            let Ok(template) = self.env.get_template(file) else {
                continue;
            };
            let mut names: Vec<String> = template
                .undeclared_variables(true)
                .iter()
                .filter_map(|path| path.strip_prefix(variable)?.strip_prefix('.'))
                .map(|rest| rest.split('.').next().unwrap_or(rest).to_owned())
                .collect();
            names.sort_unstable();
            names.dedup();
            found.extend(names.into_iter().map(|name| {
                let line = first_line_with(template.source(), &name);
                (Place::line(file, line), name)
            }));
        }
        found
    }

    /// Renders one of the templates over an item's fields.
    pub(super) fn render(&self, file: &str, fields: &Value) -> Result<String, String> {
        let template = self
            .env
            .get_template(file)
            .map_err(|error| words_of(&error))?;
        let mut text = Capped(Vec::new());
        if let Err(error) = template.render_captured_to(fields.clone(), &mut text) {
            return Err(self.complaint(file, fields, &error));
        }
        String::from_utf8(text.0).map_err(|error| error.to_string())
    }

    fn complaint(&self, file: &str, fields: &Value, error: &minijinja::Error) -> String {
        let place = place_of(file, error);
        let absent = |name: &&String| {
            fields
                .get_attr(name)
                .is_ok_and(|value| value.is_undefined())
        };
        match (error.kind(), self.fields.iter().find(absent)) {
            (ErrorKind::UndefinedError, Some(name)) => {
                format!("{place}: the item has no field `{name}`")
            }
            (ErrorKind::WriteFailure, _) => {
                format!("{place}: renders more than {RENDERED_BYTES_MAX} bytes")
            }
            _ => format!("{place}: {}", words_of(error)),
        }
    }
}

fn place_of(file: &str, error: &minijinja::Error) -> Place {
    error
        .line()
        .map_or_else(|| Place::file(file), |line| Place::line(file, line))
}

fn words_of(error: &minijinja::Error) -> String {
    match error.detail() {
        Some(detail) => format!("{}: {detail}", error.kind()),
        None => error.kind().to_string(),
    }
}

/// The first line that holds a name as a whole word, from 1; 1 if none does.
fn first_line_with(text: &str, name: &str) -> usize {
    let in_word = |c: char| c.is_alphanumeric() || c == '_';
    let has = |line: &str| line.split(|c| !in_word(c)).any(|word| word == name);
    1 + text.lines().position(has).unwrap_or(0)
}

/// Bytes up to the limit.
struct Capped(Vec<u8>);

impl Write for Capped {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > RENDERED_BYTES_MAX {
            return Err(io::Error::other("too much text"));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// An item without fields.
const NO_FIELDS: [(String, Value); 0] = [];

/// Instructions one rendering may take.
const FUEL: u64 = 1_000_000;

/// Bytes one rendering may make.
const RENDERED_BYTES_MAX: usize = 4 << 20;
