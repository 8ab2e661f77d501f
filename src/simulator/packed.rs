//! Several tasks in one prompt, answered as a careful model would: each from its own text alone, and
//! just as if it had been asked alone. Faults of packs spoil one answer of them. Pure.
//!
//! A prompt packs tasks when its lines `<item-WORD id="...">` and `</item-WORD>` hold each one's own
//! part, what stands in `<opening-WORD>` and `<ending-WORD>` belongs to each, and its schema asks
//! for `{"answers": [{"id", "answer"}]}`.

use serde_json::{Value, json};

use super::asked::Asked;
use super::chance::mix;
use super::faults::Fault;
use super::values::index;

/// A prompt that packs tasks.
pub(super) struct Pack<'a> {
    /// What an answer to one task is; `None`: text.
    pub(super) schema: Option<&'a Value>,
    pub(super) tasks: Vec<Task<'a>>,
}

/// One task of a pack.
pub(super) struct Task<'a> {
    pub(super) id: &'a str,
    /// What would be asked if it were asked alone.
    pub(super) prompt: String,
}

/// Whether a question may be a pack: cheap, and never wrong about one that is.
pub(super) fn may_be(asked: &Asked) -> bool {
    answer_schema(asked).is_some() && asked.prompt.contains("\n<item-")
}

/// Reads a pack; `None`: it is none.
pub(super) fn read(asked: &Asked) -> Option<Pack<'_>> {
    let schema = answer_schema(asked)?;
    let word = word(&asked.prompt)?;
    let opening = block(&asked.prompt, "opening", word);
    let ending = block(&asked.prompt, "ending", word);
    let (open, close) = (
        format!("\n<item-{word} id=\""),
        format!("\n</item-{word}>\n"),
    );
    let mut tasks = Vec::new();
    let mut rest = asked.prompt.as_str();
    while let Some((_, after)) = rest.split_once(&open) {
        let (id, after) = after.split_once("\">")?;
        // an empty part has one line break on either side as well
        let (own, after) = after.split_once(&close)?;
        let own = own.strip_prefix('\n')?;
        let parts = [opening, Some(own), ending];
        let prompt = parts.into_iter().flatten().collect::<Vec<_>>().join("\n");
        tasks.push(Task { id, prompt });
        rest = after;
    }
    let is_text = schema.as_object()?.iter().all(|(key, value)| {
        key == "type"
            && value
                .as_str()
                .is_some_and(|kind| kind.eq_ignore_ascii_case("string"))
    });
    (!tasks.is_empty()).then_some(Pack {
        schema: (!is_text).then_some(schema),
        tasks,
    })
}

/// The schema of one answer.
fn answer_schema(asked: &Asked) -> Option<&Value> {
    let properties = asked
        .schema
        .as_ref()?
        .pointer("/properties/answers/items/properties")?;
    properties.get("id")?;
    properties.get("answer")
}

/// The word that borders have, from the first of them.
fn word(prompt: &str) -> Option<&str> {
    let at = ["\n<opening-", "\n<ending-", "\n<item-"]
        .iter()
        .filter_map(|open| prompt.find(open).map(|at| at + open.len()))
        .min()?;
    let end = prompt[at..].find(|letter: char| !letter.is_ascii_alphanumeric())?;
    (end > 0).then(|| &prompt[at..at + end])
}

fn block<'a>(prompt: &'a str, name: &str, word: &str) -> Option<&'a str> {
    let (_, after) = prompt.split_once(&format!("\n<{name}-{word}>\n"))?;
    after
        .split_once(&format!("\n</{name}-{word}>\n"))
        .map(|(inside, _)| inside)
}

/// The answers as JSON text, one of them spoilt by the fault.
pub(super) fn told(mut answers: Vec<(String, Value)>, fault: Option<Fault>, salt: u64) -> String {
    let victim = index(mix(salt), answers.len());
    match fault {
        Some(Fault::PackMissing) => {
            answers.remove(victim);
        }
        Some(Fault::PackDoubled) => {
            let (id, answer) = answers[victim].clone();
            answers.insert(victim + 1, (id, another(answer)));
        }
        Some(Fault::PackWrongId) => answers[victim].0.push('Q'),
        Some(Fault::PackSwappedId) => {
            let neighbour = answers[(victim + 1) % answers.len()].0.clone();
            answers[victim].0 = neighbour;
        }
        _ => {}
    }
    let elements = answers.into_iter();
    let elements: Value = elements
        .map(|(id, answer)| json!({"id": id, "answer": answer}))
        .collect();
    let mut text = json!({ "answers": elements }).to_string();
    if fault == Some(Fault::PackCut) {
        text.truncate(text.floor_char_boundary(text.len() / 2));
    }
    text
}

/// Another answer than this one.
fn another(answer: Value) -> Value {
    match answer {
        Value::String(text) => json!(format!("{text} (again)")),
        Value::Array(mut values) => {
            values.push(Value::Null);
            Value::Array(values)
        }
        Value::Object(mut members) => {
            let Some((_, value)) = members.iter_mut().next() else {
                return Value::Null;
            };
            *value = another(value.take());
            Value::Object(members)
        }
        Value::Bool(yes) => json!(!yes),
        Value::Number(number) => json!(number.as_f64().map_or(0.5, |it| it + 0.5)),
        Value::Null => json!(false),
    }
}

#[cfg(test)]
#[path = "packed_tests.rs"]
mod tests;
