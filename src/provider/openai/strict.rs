//! Whether a schema is of the subset that OpenAI takes as `strict`: the model then cannot stray from
//! it. Any other schema goes as a wish, since a strict one outside the subset is refused with a 400.

use serde_json::{Map, Value};

/// Levels of nesting that are taken.
const DEPTH_MAX: usize = 10;
/// Properties taken in all.
const PROPERTIES_MAX: usize = 5_000;

/// Whether the schema may be sent as strict.
pub(super) fn fits(schema: &Value) -> bool {
    let is_object = schema.get("type").and_then(Value::as_str) == Some("object");
    let mut properties = 0;
    is_object && part_fits(schema, 0, &mut properties) && properties <= PROPERTIES_MAX
}

fn part_fits(schema: &Value, depth: usize, properties: &mut usize) -> bool {
    let Some(members) = schema.as_object() else {
        return false; // `true` and `false` are schemas too
    };
    let known = members.iter().all(|(key, value)| match key.as_str() {
        "type" => true,
        "description" | "title" | "const" | "enum" | "$ref" | "minimum" | "maximum"
        | "exclusiveMinimum" | "exclusiveMaximum" | "multipleOf" | "minItems" | "maxItems"
        | "pattern" => true,
        "format" => value.as_str().is_some_and(|word| FORMATS.contains(&word)),
        "properties" | "required" | "additionalProperties" => true, // below
        "items" => part_fits(value, depth + 1, properties),
        "anyOf" => depth > 0 && all_fit(value.as_array().into_iter().flatten(), depth, properties),
        "$defs" | "definitions" => {
            let parts = value.as_object().into_iter().flat_map(Map::values);
            all_fit(parts, depth, properties)
        }
        _ => false,
    });
    known && depth <= DEPTH_MAX && object_fits(members, depth, properties)
}

/// An object names all its properties as required, and allows no others.
fn object_fits(members: &Map<String, Value>, depth: usize, properties: &mut usize) -> bool {
    let is_object = match members.get("type") {
        Some(Value::String(kind)) => kind == "object",
        Some(Value::Array(kinds)) => kinds.iter().any(|kind| kind == "object"),
        _ => false,
    };
    let Some(own) = members.get("properties").and_then(Value::as_object) else {
        let bare = ["properties", "required", "additionalProperties"];
        return !is_object && !bare.iter().any(|key| members.contains_key(*key));
    };
    *properties += own.len();
    let required = members.get("required").and_then(Value::as_array);
    let is_required = |name: &String| required.is_some_and(|all| all.iter().any(|it| it == name));
    is_object
        && members.get("additionalProperties") == Some(&Value::Bool(false))
        && own.keys().all(is_required)
        && required.is_some_and(|all| all.len() == own.len())
        && all_fit(own.values(), depth + 1, properties)
}

fn all_fit<'a>(
    mut parts: impl Iterator<Item = &'a Value>,
    depth: usize,
    properties: &mut usize,
) -> bool {
    parts.all(|part| part_fits(part, depth + 1, properties))
}

/// What `format` may say.
const FORMATS: [&str; 9] = [
    "date-time",
    "time",
    "date",
    "duration",
    "email",
    "hostname",
    "ipv4",
    "ipv6",
    "uuid",
];

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(label: Value) -> Value {
        json!({"type": "object", "properties": {"label": label}, "required": ["label"], "additionalProperties": false})
    }

    #[test]
    fn the_subset_is_strict() {
        for part in [
            json!({"type": "string", "enum": ["bug", "praise"]}),
            json!({"type": ["string", "null"], "description": "or none"}),
            json!({"type": "array", "minItems": 1, "items": {"type": "integer", "minimum": 0}}),
            json!({"anyOf": [{"type": "string"}, object(json!({"type": "null"}))]}),
            json!({"$ref": "#/$defs/x"}),
            json!({"type": "string", "format": "date"}),
            object(json!({"type": "boolean"})),
        ] {
            assert!(fits(&object(part.clone())), "{part}");
        }
    }

    #[test]
    fn what_is_outside_of_it_is_a_wish() {
        for schema in [
            json!({}),
            json!(true),
            json!({"type": "array", "items": object(json!({"type": "string"}))}),
            json!({"type": "object"}),
            json!({"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}),
            json!({"type": "object", "properties": {"a": {"type": "string"}}, "required": [], "additionalProperties": false}),
            object(json!({"type": "string", "minLength": 1})),
            object(json!({"type": "string", "format": "moon"})),
            object(json!({"type": "object"})),
            object(json!({"allOf": [{"type": "string"}]})),
            object(json!({"not": {"type": "string"}})),
            object(json!({"type": "array", "items": true})),
            object(json!({"type": "object", "additionalProperties": {"type": "string"}})),
            json!({"anyOf": [object(json!({"type": "string"}))]}),
        ] {
            assert!(!fits(&schema), "{schema}");
        }
        let deep = (0..12).fold(json!({"type": "string"}), |inner, _| object(inner));
        assert!(!fits(&deep));
    }
}
