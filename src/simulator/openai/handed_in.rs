//! What a file of lines asks for, and what is wrong with it as a whole: OpenAI reads it when the batch
//! was taken, and then fails the batch. Pure.

use std::collections::HashSet;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::lines::question;
use crate::simulator::batches::{Flaw, Item, Kind};
use crate::simulator::settings::ModelSettings;

/// Most lines of a batch.
const LINES_MAX: usize = 50_000;
/// Most flaws that are told.
const FLAWS_MAX: usize = 100;

/// A line, as far as it must be understood.
#[derive(Deserialize)]
struct Line<'a> {
    #[serde(default)]
    custom_id: Option<String>,
    #[serde(default)]
    method: Option<String>,
    #[serde(default)]
    url: Option<String>,
    #[serde(borrow, default)]
    body: Option<&'a RawValue>,
}

/// The model of a line's body.
#[derive(Deserialize)]
struct Named {
    #[serde(default)]
    model: Option<String>,
}

/// What a file asks for.
pub(super) struct Read<'m> {
    pub(super) model: String,
    /// The model's place and settings, if it is on offer.
    pub(super) found: Option<(usize, &'m ModelSettings)>,
    pub(super) items: Vec<Item>,
    pub(super) flaws: Vec<Flaw>,
}

/// Reads a file for an endpoint; `find` knows the models.
pub(super) fn read<'m>(
    bytes: &Bytes,
    (endpoint, kind): (&str, Kind),
    find: impl Fn(&str) -> Option<(usize, &'m ModelSettings)>,
) -> Read<'m> {
    let mut read = Read {
        model: String::new(),
        found: None,
        items: Vec::new(),
        flaws: Vec::new(),
    };
    let lines = bytes.split(|byte| *byte == b'\n').enumerate();
    let lines = lines.filter(|(_, text)| !text.trim_ascii().is_empty());
    let (mut ids, mut bodies) = (HashSet::new(), Vec::new());
    let mut count = 0;
    for (at, text) in lines {
        count += 1;
        let line = match serde_json::from_slice::<Line<'_>>(text) {
            Ok(line) => line,
            Err(_) => {
                read.flaw(
                    "invalid_json_line",
                    "This line is not parseable as valid JSON.",
                    None,
                    at,
                );
                continue;
            }
        };
        let custom_id = line.custom_id.unwrap_or_default();
        if custom_id.is_empty() {
            let told = "Missing required parameter: 'custom_id'.";
            read.flaw("missing_required_parameter", told, Some("custom_id"), at);
        } else if !ids.insert(custom_id.clone()) {
            let told = format!(
                "The custom_id '{custom_id}' for this request is a duplicate of another request. \
                 The custom_id parameter must be unique for each request in a batch."
            );
            read.flaw("duplicate_custom_id", &told, Some("custom_id"), at);
        }
        if line.method.as_deref() != Some("POST") {
            let told = "Invalid value: 'method' must be 'POST'.";
            read.flaw("invalid_method", told, Some("method"), at);
        }
        if line.url.as_deref() != Some(endpoint) {
            let told = "The URL provided for this request does not match the batch endpoint.";
            read.flaw("invalid_url", told, Some("url"), at);
        }
        let Some(body) = line.body else {
            let told = "Missing required parameter: 'body'.";
            read.flaw("missing_required_parameter", told, Some("body"), at);
            continue;
        };
        let named = serde_json::from_str::<Named>(body.get()).ok();
        let model = named.and_then(|named| named.model).unwrap_or_default();
        if count == 1 {
            read.found = find(&model);
            read.model = model;
            if read.found.is_none() {
                let told = format!(
                    "The provided model '{}' is not supported by the Batch API.",
                    read.model
                );
                read.flaw("model_not_found", &told, Some("body.model"), at);
            }
        } else if model != read.model {
            let told = format!(
                "The provided model '{model}' does not match the model of other requests in this \
                 batch, '{}'.",
                read.model
            );
            read.flaw("mismatched_model", &told, Some("body.model"), at);
        }
        bodies.push((custom_id, bytes.slice_ref(body.get().as_bytes())));
    }
    if count == 0 {
        read.whole("empty_file", "The input file is empty.".to_owned());
    }
    if count > LINES_MAX {
        let told = format!("The batch has {count} requests; at most {LINES_MAX} are allowed.");
        read.whole("too_many_tasks", told);
    }
    // of what is refused as a whole nothing is asked
    if let Some((_, settings)) = read.found.filter(|_| read.flaws.is_empty()) {
        let items = bodies.into_iter();
        read.items = items
            .map(|(id, raw)| item(id, raw, settings, kind))
            .collect();
    }
    read
}

impl Read<'_> {
    fn flaw(&mut self, code: &'static str, told: &str, param: Option<&'static str>, at: usize) {
        if self.flaws.len() < FLAWS_MAX {
            self.flaws.push(Flaw {
                code,
                message: told.to_owned(),
                param,
                line: Some(at + 1),
            });
        }
    }

    fn whole(&mut self, code: &'static str, message: String) {
        let flaw = Flaw {
            code,
            message,
            param: None,
            line: None,
        };
        self.flaws.insert(0, flaw);
    }
}

fn item(key: String, raw: Bytes, model: &ModelSettings, kind: Kind) -> Item {
    let asked = question(kind, &raw, model).ok().map(|(asked, _)| asked);
    Item {
        key,
        metadata: None,
        raw,
        wrong: asked.is_none(),
        prompt_hash: asked.as_ref().map_or([0; 16], |asked| asked.prompt_hash),
        input_tokens: asked.map_or(0, |asked| asked.input_tokens),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHAT: &str = "/v1/chat/completions";

    fn line(id: &str, url: &str, model: &str) -> String {
        format!(
            "{{\"custom_id\":\"{id}\",\"method\":\"POST\",\"url\":\"{url}\",\"body\":{{\"model\":\
             \"{model}\",\"messages\":[{{\"role\":\"user\",\"content\":\"hi\"}}]}}}}"
        )
    }

    fn flaws(text: &str) -> Vec<(&'static str, Option<usize>)> {
        let model = ModelSettings::named("m");
        let find = |name: &str| (name == "m").then_some((0, &model));
        let read = read(&Bytes::from(text.to_owned()), (CHAT, Kind::Answers), find);
        read.flaws
            .iter()
            .map(|flaw| (flaw.code, flaw.line))
            .collect()
    }

    #[test]
    fn each_flaw_is_told_with_its_line() {
        let good = line("a", CHAT, "m");
        for (second, code) in [
            (line("a", CHAT, "m"), "duplicate_custom_id"),
            (line("b", "/v1/embeddings", "m"), "invalid_url"),
            (line("b", CHAT, "n"), "mismatched_model"),
            (line("", CHAT, "m"), "missing_required_parameter"),
            (
                line("b", CHAT, "m").replace("POST", "GET"),
                "invalid_method",
            ),
            ("{\"custom_id\": ".to_owned(), "invalid_json_line"),
        ] {
            assert_eq!(flaws(&format!("{good}\n{second}\n")), [(code, Some(2))]);
        }
        assert_eq!(
            flaws(&line("a", CHAT, "gone")),
            [("model_not_found", Some(1))]
        );
        assert_eq!(flaws("\n"), [("empty_file", None)]);
        assert_eq!(flaws(&format!("{good}\n\n{}", line("b", CHAT, "m"))), []);
    }

    #[test]
    fn more_lines_than_allowed_are_told_once() {
        let lines: Vec<String> = (0..=LINES_MAX)
            .map(|at| line(&at.to_string(), CHAT, "m"))
            .collect();
        assert_eq!(flaws(&lines.join("\n")), [("too_many_tasks", None)]);
    }
}
