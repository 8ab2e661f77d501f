//! What a client hands in as a batch, and Gemini's words when it does so wrongly. Pure.

use bytes::Bytes;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::failure::Failure;
use super::items::question;
use crate::simulator::batches::{Content, Draft, Flaw, Item, Kind, Stored, Vendor};
use crate::simulator::settings::ModelSettings;

/// The body of a create.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Create<'a> {
    #[serde(borrow)]
    batch: Batch<'a>,
}

/// A batch to be.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Batch<'a> {
    #[serde(default, alias = "display_name")]
    display_name: String,
    #[serde(borrow, alias = "input_config")]
    input_config: InputConfig<'a>,
    #[serde(default, deserialize_with = "int64")]
    priority: i64,
    #[serde(default, rename = "webhookConfig", alias = "webhook_config")]
    _webhook_config: Option<Value>,
    #[serde(default, rename = "model")]
    _model: Option<String>,
    #[serde(default, rename = "name")]
    _name: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct InputConfig<'a> {
    #[serde(borrow, default)]
    requests: Option<Requests<'a>>,
    #[serde(default, alias = "file_name")]
    file_name: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Requests<'a> {
    #[serde(borrow, default)]
    requests: Vec<Inlined<'a>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Inlined<'a> {
    #[serde(borrow)]
    request: &'a RawValue,
    #[serde(default)]
    metadata: Option<Map<String, Value>>,
}

/// A line of a file of requests.
#[derive(Deserialize)]
struct Line<'a> {
    #[serde(default)]
    key: Option<String>,
    #[serde(borrow)]
    request: &'a RawValue,
}

impl Batch<'_> {
    /// The file that the items are in, without `files/`.
    pub(super) fn file_id(&self) -> Option<&str> {
        let name = self.input_config.file_name.as_deref();
        name.map(|name| name.strip_prefix("files/").unwrap_or(name))
    }
}

/// Reads a body.
pub(super) fn read(body: &[u8]) -> Result<Batch<'_>, Failure> {
    let create: Create<'_> = serde_json::from_slice(body)
        .map_err(|error| Failure::invalid(format!("Invalid JSON payload received. {error}")))?;
    let config = &create.batch.input_config;
    if config.requests.is_some() == config.file_name.is_some() {
        return Err(wrong(
            "input_config: one of requests and file_name must be set",
        ));
    }
    Ok(create.batch)
}

/// Makes of it what is kept. The items of a file that cannot be read fail the batch, not its create.
pub(super) fn draft(
    batch: &Batch<'_>,
    body: &Bytes,
    file: Option<&Stored>,
    (at, model): (usize, &ModelSettings),
    kind: Kind,
    key_hash: u32,
) -> Result<Draft, Failure> {
    let mut flaws = Vec::new();
    let items = match file.map(|file| &file.content) {
        None => {
            let requests = batch.input_config.requests.iter();
            let requests = requests.flat_map(|requests| &requests.requests);
            let items = requests.map(|one| inlined(one, body, model, kind));
            items.collect::<Vec<_>>()
        }
        Some(Content::Uploaded { bytes, .. }) => lines(bytes, model, kind, &mut flaws),
        Some(Content::Output(_)) => {
            return Err(wrong("input_config.file_name: results are no requests"));
        }
    };
    if items.is_empty() && flaws.is_empty() {
        return Err(wrong("input_config: there are no requests"));
    }
    Ok(Draft {
        vendor: Vendor::Gemini,
        kind,
        model: (Some(at), model.name.clone()),
        token: batch.display_name.clone(),
        items,
        input_file: file.map(|file| file.id.clone()),
        flaws,
        metadata: None,
        priority: batch.priority,
        output_live_s: None,
        key_hash,
    })
}

fn inlined(one: &Inlined<'_>, body: &Bytes, model: &ModelSettings, kind: Kind) -> Item {
    let key = one.metadata.as_ref().and_then(|it| it.get("key"));
    Item {
        metadata: one.metadata.clone(),
        ..item(
            key.and_then(Value::as_str).unwrap_or_default().to_owned(),
            body.slice_ref(one.request.get().as_bytes()),
            model,
            kind,
        )
    }
}

fn lines(bytes: &Bytes, model: &ModelSettings, kind: Kind, flaws: &mut Vec<Flaw>) -> Vec<Item> {
    let mut items = Vec::new();
    let lines = bytes.split(|byte| *byte == b'\n').enumerate();
    for (at, text) in lines.filter(|(_, text)| !text.trim_ascii().is_empty()) {
        match serde_json::from_slice::<Line<'_>>(text) {
            Ok(line) => {
                let raw = bytes.slice_ref(line.request.get().as_bytes());
                items.push(item(line.key.unwrap_or_default(), raw, model, kind));
            }
            Err(error) => {
                flaws.push(Flaw {
                    code: "INVALID_ARGUMENT",
                    message: format!(
                        "Line {} of the input file is not a request: {error}",
                        at + 1
                    ),
                    param: None,
                    line: Some(at + 1),
                });
                return Vec::new();
            }
        }
    }
    items
}

fn item(key: String, raw: Bytes, model: &ModelSettings, kind: Kind) -> Item {
    let asked = question(kind, &raw, model).ok();
    Item {
        key,
        metadata: None,
        raw,
        wrong: asked.is_none(),
        prompt_hash: asked.as_ref().map_or([0; 16], |asked| asked.prompt_hash),
        input_tokens: asked.map_or(0, |asked| asked.input_tokens),
    }
}

fn wrong(told: &str) -> Failure {
    Failure::invalid(format!("* BatchGenerateContentRequest.batch.{told}\n"))
}

/// A number of 64 bits, which JSON may write as a string.
fn int64<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Wire {
        Number(i64),
        Text(String),
    }
    match Wire::deserialize(deserializer)? {
        Wire::Number(number) => Ok(number),
        Wire::Text(text) => text.parse().map_err(serde::de::Error::custom),
    }
}
