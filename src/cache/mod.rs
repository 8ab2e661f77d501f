//! When two requests are the same: the key under which a reply may be used again.
//!
//! Owns: [`key`]. Never: I/O, SQL, what is stored under the key or for how long.

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::llm::{EmbedParams, Params, Request, TaskType};

/// All that a reply depends on. Which model of the ladder answered is provenance, not part of it.
#[derive(Clone, Copy, Debug)]
pub struct Parts<'a> {
    /// The request for one item, before packing.
    pub request: &'a Request,
    /// `cache.version` of the worker: raise it to forget all that was kept.
    pub cache_version: &'a str,
    /// The item's own version, if its source has one.
    pub item_version: Option<&'a str>,
    /// The ladder's family: its models in order, or the one name that stands for it.
    pub family: &'a [&'a str],
}

/// The key of a request: SHA-256 over its parts, each with its length in front, so that no two
/// different lists of parts read the same.
///
/// The order of keys and the white space in schema.json do not count, with one exception: the order
/// inside `properties` does, because models write their answer in that order. A `stop` list counts
/// in its order. Text counts to the letter.
pub fn key(parts: &Parts<'_>) -> [u8; 32] {
    let mut hash = Feed(Sha256::new());
    hash.text(FORMAT);
    hash.text(parts.cache_version);
    hash.maybe(parts.item_version);
    hash.count(parts.family.len());
    for name in parts.family {
        hash.text(name);
    }
    hash.maybe(parts.request.system.as_deref());
    hash.text(&parts.request.prompt);
    let schema = parts
        .request
        .schema
        .as_ref()
        .map(|schema| normal(schema, false).to_string());
    hash.maybe(schema.as_deref());
    hash.params(&parts.request.params);
    // what asks for text has the key that it always had
    if let Some(EmbedParams {
        task_type,
        dimensions,
        tag,
    }) = &parts.request.embed
    {
        hash.text("embed");
        hash.maybe(task_type.map(TaskType::as_str));
        hash.number(*dimensions);
        // it stands in the answer
        hash.maybe(tag.as_deref());
    }
    hash.0.finalize().into()
}

/// A JSON value with the keys of its objects sorted, but for those directly under `properties`.
fn normal(value: &Value, keep_order: bool) -> Value {
    match value {
        Value::Array(items) => items.iter().map(|item| normal(item, false)).collect(),
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.iter().collect();
            if !keep_order {
                fields.sort_unstable_by_key(|(name, _)| *name);
            }
            let named = |(name, field): (&String, &Value)| {
                (
                    name.clone(),
                    normal(field, name == "properties" && !keep_order),
                )
            };
            Value::Object(fields.into_iter().map(named).collect())
        }
        other => other.clone(),
    }
}

/// A hash that is fed parts which cannot run into each other.
struct Feed(Sha256);

impl Feed {
    fn count(&mut self, count: usize) {
        self.0.update((count as u64).to_be_bytes());
    }

    fn text(&mut self, text: &str) {
        self.count(text.len());
        self.0.update(text);
    }

    fn maybe(&mut self, text: Option<&str>) {
        self.0.update([u8::from(text.is_some())]);
        self.text(text.unwrap_or_default());
    }

    /// Taken apart without `..`, so that a new parameter cannot be forgotten here.
    fn params(&mut self, params: &Params) {
        let Params {
            temperature,
            top_p,
            top_k,
            max_output_tokens,
            stop,
            seed,
            thinking_budget,
        } = params;
        self.number(*temperature);
        self.number(*top_p);
        self.number(*top_k);
        self.number(*max_output_tokens);
        self.number(*seed);
        self.number(*thinking_budget);
        self.count(stop.len());
        for text in stop {
            self.text(text);
        }
    }

    /// A number by its shortest exact text.
    fn number(&mut self, number: Option<impl std::fmt::Display>) {
        self.maybe(number.map(|number| number.to_string()).as_deref());
    }
}

/// Names what is hashed and how; a change of either must change it.
const FORMAT: &str = "tidegate cache key 1";

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn a_request() -> Request {
        Request {
            system: Some("be brief".into()),
            prompt: "say a".into(),
            schema: Some(
                json!({"type": "object", "properties": {"a": {"type": "string", "minLength": 1}}}),
            ),
            params: Params {
                temperature: Some(0.2),
                stop: vec!["x".into()],
                ..Params::default()
            },
            embed: None,
        }
    }

    fn key_of(request: &Request) -> [u8; 32] {
        key(&Parts {
            request,
            cache_version: "1",
            item_version: None,
            family: &["g/a", "g/b"],
        })
    }

    #[test]
    fn the_order_of_fields_and_our_white_space_do_not_count() {
        let ours = serde_json::to_string_pretty(&a_request()).unwrap();
        let schema = r#" {"properties":{"a":{ "minLength":1,"type":"string"}},
            "type" : "object"}"#;
        let other = Request {
            schema: serde_json::from_str(schema).unwrap(),
            ..serde_json::from_str(&ours).unwrap()
        };
        assert_eq!(key_of(&a_request()), key_of(&other));
    }

    #[test]
    fn whatever_shapes_the_answer_counts() {
        let changes: [fn(&mut Request); 19] = [
            |r| r.system = None,
            |r| r.system = Some(String::new()),
            |r| r.system = Some("be long".into()),
            |r| r.prompt.push(' '),
            |r| r.schema = None,
            |r| r.schema = Some(json!({"type": "object"})),
            |r| r.params.temperature = Some(0.3),
            |r| r.params.temperature = None,
            |r| r.params.top_p = Some(0.2),
            |r| r.params.top_k = Some(1),
            |r| r.params.max_output_tokens = Some(1),
            |r| r.params.stop = vec![],
            |r| r.params.stop = vec!["x".into(), String::new()],
            |r| r.params.seed = Some(1),
            |r| r.params.thinking_budget = Some(1),
            |r| r.embed = Some(EmbedParams::default()),
            |r| {
                r.embed = Some(EmbedParams {
                    task_type: Some(TaskType::RetrievalQuery),
                    ..EmbedParams::default()
                });
            },
            |r| {
                r.embed = Some(EmbedParams {
                    dimensions: Some(8),
                    ..EmbedParams::default()
                });
            },
            |r| {
                r.embed = Some(EmbedParams {
                    tag: Some("8".to_owned()),
                    ..EmbedParams::default()
                });
            },
        ];
        let mut keys = std::collections::BTreeSet::from([key_of(&a_request())]);
        for (number, change) in changes.iter().enumerate() {
            let mut request = a_request();
            change(&mut request);
            assert!(
                keys.insert(key_of(&request)),
                "change {number} made no new key"
            );
        }
    }

    #[test]
    fn versions_and_ladder_count_and_do_not_run_together() {
        let request = a_request();
        let with = |cache_version, item_version, family: &[&str]| {
            key(&Parts {
                request: &request,
                cache_version,
                item_version,
                family,
            })
        };
        let keys = std::collections::BTreeSet::from([
            with("1", None, &["a", "b"]),
            with("1", None, &["b", "a"]),
            with("1", None, &["ab"]),
            with("1", Some(""), &["a", "b"]),
            with("1", Some("2"), &["a", "b"]),
            with("12", None, &["a", "b"]),
            with("12", None, &[]),
        ]);
        assert_eq!(keys.len(), 7);
    }

    #[test]
    fn the_order_a_model_is_to_write_in_counts() {
        let schema = |text: &str| Request {
            schema: serde_json::from_str(text).unwrap(),
            ..a_request()
        };
        assert_ne!(
            key_of(&schema(r#"{"properties":{"why":{},"answer":{}}}"#)),
            key_of(&schema(r#"{"properties":{"answer":{},"why":{}}}"#)),
        );
    }
}
