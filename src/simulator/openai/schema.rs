//! What OpenAI asks of a `json_schema` format, above all of a strict one. Pure.

use serde_json::Value;

use super::failure::Failure;

/// Refuses a format that OpenAI would refuse.
pub(super) fn check(format: &Value) -> Result<(), Failure> {
    let name = format.get("name").and_then(Value::as_str).unwrap_or("");
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if name.is_empty() || name.len() > 64 || !name.chars().all(fits) {
        return Err(Failure::of(
            "response_format.json_schema.name",
            "invalid_value",
            "Invalid 'response_format.json_schema.name': expected 1 to 64 of a-z, A-Z, 0-9, _ and -.",
        ));
    }
    if format.get("strict").and_then(Value::as_bool) != Some(true) {
        return Ok(());
    }
    let wrong = |why: String| {
        Failure::of(
            "response_format",
            "invalid_json_schema",
            format!("Invalid schema for response_format '{name}': {why}"),
        )
    };
    let schema = format.get("schema").unwrap_or(&Value::Null);
    if schema.get("type").and_then(Value::as_str) != Some("object") {
        return Err(wrong(
            "schema must be a JSON Schema of type \"object\".".to_owned(),
        ));
    }
    strict(schema).map_err(wrong)
}

/// Keywords that a strict schema may not have.
const REFUSED: [&str; 16] = [
    "allOf",
    "oneOf",
    "not",
    "if",
    "then",
    "else",
    "dependentRequired",
    "dependentSchemas",
    "patternProperties",
    "unevaluatedProperties",
    "propertyNames",
    "minProperties",
    "maxProperties",
    "minLength",
    "maxLength",
    "uniqueItems",
];

fn strict(schema: &Value) -> Result<(), String> {
    let Some(members) = schema.as_object() else {
        return Err("schema must have a 'type' key.".to_owned());
    };
    if let Some(key) = members.keys().find(|key| REFUSED.contains(&key.as_str())) {
        return Err(format!("'{key}' is not permitted."));
    }
    if let Some(properties) = members.get("properties").and_then(Value::as_object) {
        if members.get("additionalProperties") != Some(&Value::Bool(false)) {
            return Err(
                "'additionalProperties' is required to be supplied and to be false.".to_owned(),
            );
        }
        let required = members.get("required").and_then(Value::as_array);
        let is_required =
            |name: &String| required.is_some_and(|all| all.iter().any(|it| it == name));
        if let Some(name) = properties.keys().find(|name| !is_required(name)) {
            return Err(format!(
                "'required' is required to be supplied and to be an array including every key in \
                 properties. Missing '{name}'."
            ));
        }
        properties.values().try_for_each(strict)?;
    }
    members.get("items").map_or(Ok(()), strict)?;
    for key in ["anyOf", "prefixItems"] {
        let parts = members.get(key).and_then(Value::as_array);
        parts.into_iter().flatten().try_for_each(strict)?;
    }
    let definitions = members.get("$defs").and_then(Value::as_object);
    definitions
        .into_iter()
        .flat_map(serde_json::Map::values)
        .try_for_each(strict)
}
