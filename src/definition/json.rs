//! Looking into JSON text without losing any of it: fields as raw slices, strings as they are,
//! numbers by their text.

use std::fmt;

use serde::{
    Deserializer,
    de::{Error, Visitor},
};

/// Deepest nesting of a body that is accepted.
pub(super) const DEPTH_MAX: usize = 128;

/// A string that holds half of a surrogate pair: it is no Unicode text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LoneSurrogate;

/// The deepest nesting of valid JSON text; a scalar has 0.
pub(super) fn depth(json: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    let mut at = 0;
    while let Some(byte) = json.as_bytes().get(at) {
        match byte {
            b'"' => at = string_end(json, at) - 1,
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
        at += 1;
    }
    deepest
}

/// The members of a valid JSON object (with their raw keys) or array, as raw slices, in order.
/// A scalar has none. Each nesting level costs one pass over what is below it.
pub(super) fn members(json: &str) -> Vec<(Option<&str>, &str)> {
    let (mut found, mut key, mut at) = (Vec::new(), None, 1);
    let inner_end = json.len().saturating_sub(1);
    if !json.starts_with(['{', '[']) {
        return found;
    }
    while at < inner_end {
        match json.as_bytes()[at] {
            b' ' | b'\t' | b'\n' | b'\r' | b',' => at += 1,
            b':' => {
                key = found.pop().map(|(_, raw)| raw);
                at += 1;
            }
            _ => {
                let end = value_end(json, at);
                found.push((key.take(), &json[at..end]));
                at = end;
            }
        }
    }
    found
}

/// The text of a raw JSON string.
pub(super) fn text(raw: &str) -> Result<String, LoneSurrogate> {
    struct Bytes;
    impl Visitor<'_> for Bytes {
        type Value = Vec<u8>;

        fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
            out.write_str("a string")
        }

        fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
            Ok(bytes.to_vec())
        }
    }
    // As bytes, serde_json hands lone surrogates over as WTF-8 instead of refusing the string.
    let bytes = serde_json::Deserializer::from_str(raw).deserialize_bytes(Bytes);
    String::from_utf8(bytes.unwrap_or_default()).map_err(|_| LoneSurrogate)
}

/// A raw JSON value for a template. A number that would not be printed as it is written (1.50, 1e3,
/// thirty digits) is its text. `Err`: the dotted path of what is no text.
pub(super) fn for_template(raw: &str, path: &str) -> Result<minijinja::Value, String> {
    use minijinja::Value;
    match raw.as_bytes().first() {
        Some(b'{') => {
            let mut pairs = Vec::new();
            for (key, value) in members(raw) {
                let key = text(key.unwrap_or_default()).map_err(|_| path.to_owned())?;
                let value = for_template(value, &format!("{path}.{key}"))?;
                pairs.push((key, value));
            }
            Ok(Value::from_pairs(pairs))
        }
        Some(b'[') => {
            let item =
                |(at, (_, raw)): (usize, (_, &str))| for_template(raw, &format!("{path}.{at}"));
            Ok(Value::from(
                members(raw)
                    .into_iter()
                    .enumerate()
                    .map(item)
                    .collect::<Result<Vec<_>, _>>()?,
            ))
        }
        Some(b'"') => text(raw).map(Value::from).map_err(|_| path.to_owned()),
        Some(b't') => Ok(Value::from(true)),
        Some(b'f') => Ok(Value::from(false)),
        Some(b'n') => Ok(Value::from(())),
        _ => Ok(number(raw)),
    }
}

fn number(raw: &str) -> minijinja::Value {
    let whole = raw.parse::<i64>().map(minijinja::Value::from);
    let number = whole.or_else(|_| raw.parse::<f64>().map(minijinja::Value::from));
    match number {
        Ok(number) if number.to_string() == raw => number,
        _ => minijinja::Value::from(raw),
    }
}

/// Where a value that starts here ends.
fn value_end(json: &str, start: usize) -> usize {
    let bytes = json.as_bytes();
    match bytes[start] {
        b'"' => string_end(json, start),
        b'{' | b'[' => {
            let (mut depth, mut at) = (0_usize, start);
            loop {
                match bytes.get(at) {
                    Some(b'"') => at = string_end(json, at) - 1,
                    Some(b'{' | b'[') => depth += 1,
                    Some(b'}' | b']') => depth -= 1,
                    Some(_) => {}
                    None => return at,
                }
                at += 1;
                if depth == 0 {
                    return at;
                }
            }
        }
        _ => {
            let ends = |byte: &u8| {
                matches!(
                    byte,
                    b',' | b':' | b'}' | b']' | b' ' | b'\t' | b'\n' | b'\r'
                )
            };
            bytes[start..]
                .iter()
                .position(ends)
                .map_or(bytes.len(), |length| start + length)
        }
    }
}

/// Where a string that starts here ends, its closing quote included.
fn string_end(json: &str, start: usize) -> usize {
    let bytes = json.as_bytes();
    let mut at = start + 1;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "[\\PC\"\\\\{}\\[\\]:, ]{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::hash_map("[a-c\"\\\\:{ ]{0,3}", inner, 0..4)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    fn depth_of(value: &Value) -> usize {
        match value {
            Value::Array(items) => 1 + items.iter().map(depth_of).max().unwrap_or(0),
            Value::Object(fields) => 1 + fields.values().map(depth_of).max().unwrap_or(0),
            _ => 0,
        }
    }

    proptest! {
        #[test]
        fn members_are_those_a_parser_sees(value in json(), pretty: bool) {
            let json = if pretty { format!("{value:#}") } else { value.to_string() };
            prop_assert_eq!(depth(&json), depth_of(&value));
            let found = members(&json).into_iter().map(|(key, raw)| {
                let value: Value = serde_json::from_str(raw).unwrap();
                (key.map(|key| text(key).unwrap()), value)
            });
            let wanted: Vec<(Option<String>, Value)> = match value {
                Value::Array(items) => items.into_iter().map(|item| (None, item)).collect(),
                Value::Object(fields) => fields.into_iter().map(|(k, v)| (Some(k), v)).collect(),
                _ => Vec::new(),
            };
            prop_assert_eq!(found.collect::<Vec<_>>(), wanted);
        }
    }

    #[test]
    fn numbers_keep_their_text() {
        for raw in [
            "1",
            "-7",
            "0.5",
            "1.50",
            "1e3",
            "1E400",
            "123456789012345678901234567890",
            "-0",
        ] {
            assert_eq!(for_template(raw, "x").unwrap().to_string(), raw);
        }
        assert!(for_template("0.5", "x").unwrap().is_number());
    }

    #[test]
    fn a_lone_surrogate_is_named_and_a_nul_is_text() {
        assert_eq!(text(r#""\ud83d""#), Err(LoneSurrogate));
        assert_eq!(text(r#""\ud83d\ude00\u0000""#).as_deref(), Ok("😀\0"));
        assert_eq!(
            for_template(r#"{"a":["b","\udc00"]}"#, "x").unwrap_err(),
            "x.a.1"
        );
    }
}
