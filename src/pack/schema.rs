//! The schema of a pack's answer: a list of ids and answers, each answer of the items' schema.
//!
//! Of the subset that providers hold a model to where the items' schema is. Definitions move to the
//! top, where `#/$defs/...` finds them as before; other references get the new place in front.

use serde_json::{Map, Value, json};

use super::Apart;

/// The schema for these ids.
pub(super) fn of_pack(item: Option<&Value>, ids: &[String]) -> Result<Value, Apart> {
    let mut answer = match item {
        None => json!({"type": "string"}),
        Some(schema) => schema.clone(),
    };
    let mut top = Map::new();
    if let Some(members) = answer.as_object_mut() {
        for key in HOISTED {
            if let Some(value) = members.shift_remove(key) {
                top.insert(key.to_owned(), value);
            }
        }
    }
    rebase(&mut answer)?;
    for key in ["$defs", "definitions"] {
        if let Some(Value::Object(parts)) = top.get_mut(key) {
            parts.values_mut().try_for_each(rebase)?;
        }
    }
    let element = object("id", json!({"type": "string", "enum": ids}), Some(answer));
    let count = ids.len();
    let list = json!({"type": "array", "minItems": count, "maxItems": count, "items": element});
    let mut schema = object("answers", list, None);
    if let Some(members) = schema.as_object_mut() {
        members.extend(top);
    }
    Ok(schema)
}

/// What holds for a schema as a whole, or is looked for at its top.
const HOISTED: [&str; 3] = ["$schema", "$defs", "definitions"];
/// Where the items' schema stands now.
const PLACE: &str = "#/properties/answers/items/properties/answer";

/// An object of one member, or of it and `answer`, and of nothing else.
fn object(name: &str, member: Value, answer: Option<Value>) -> Value {
    let mut properties = Map::new();
    properties.insert(name.to_owned(), member);
    properties.extend(answer.map(|answer| ("answer".to_owned(), answer)));
    let required: Vec<&String> = properties.keys().collect();
    json!({
        "type": "object",
        "required": required,
        "properties": properties,
        "additionalProperties": false,
    })
}

/// Makes the references of a schema hold in their new place.
fn rebase(schema: &mut Value) -> Result<(), Apart> {
    match schema {
        Value::Array(parts) => parts.iter_mut().try_for_each(rebase),
        Value::Object(members) => members.iter_mut().try_for_each(|(key, value)| {
            match (key.as_str(), value) {
                // data, whatever it looks like
                ("enum" | "const" | "default" | "examples", _) => Ok(()),
                // names that the schema's author chose
                (
                    "properties" | "patternProperties" | "$defs" | "definitions"
                    | "dependentSchemas",
                    Value::Object(parts),
                ) => parts.values_mut().try_for_each(rebase),
                ("$ref", Value::String(path)) => {
                    *path = moved(path)?;
                    Ok(())
                }
                (key, _) if ANCHORS.contains(&key) => Err(Apart::Reference {
                    keyword: key.to_owned(),
                }),
                (_, value) => rebase(value),
            }
        }),
        _ => Ok(()),
    }
}

const ANCHORS: [&str; 7] = [
    "$ref",
    "$id",
    "$anchor",
    "$dynamicRef",
    "$dynamicAnchor",
    "$recursiveRef",
    "$recursiveAnchor",
];

fn moved(path: &str) -> Result<String, Apart> {
    let Some(rest) = path.strip_prefix('#') else {
        return Err(reference(path));
    };
    let is_hoisted = |key: &str| {
        rest.strip_prefix(key)
            .is_some_and(|rest| rest.starts_with('/'))
    };
    if is_hoisted("/$defs") || is_hoisted("/definitions") {
        Ok(path.to_owned())
    } else if rest.is_empty() || rest.starts_with('/') {
        Ok(format!("{PLACE}{rest}"))
    } else {
        Err(reference(path))
    }
}

fn reference(path: &str) -> Apart {
    Apart::Reference {
        keyword: format!("the $ref {path:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed(item: &Value) -> Value {
        of_pack(Some(item), &["K7F".to_owned(), "M3T".to_owned()]).unwrap()
    }

    /// Whether an answer of one item is valid in a pack of two.
    fn takes(item: &Value, answer: &Value) -> bool {
        let validator = jsonschema::validator_for(&packed(item)).unwrap();
        validator.is_valid(&json!({"answers": [
            {"id": "K7F", "answer": answer}, {"id": "M3T", "answer": answer}]}))
    }

    #[test]
    fn references_hold_in_their_new_place() {
        let item = json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "object",
            "properties": {
                "kind": {"enum": ["a", "b"]},
                "also": {"$ref": "#/properties/kind"},
                "size": {"$ref": "#/$defs/size"},
                "inner": {"$ref": "#"},
                "$ref": {"type": "string", "const": "#"},
            },
            "required": ["kind"],
            "$defs": {"size": {"type": "integer"}, "again": {"$ref": "#/properties/kind"}},
        });
        let alone = jsonschema::validator_for(&item).unwrap();
        for answer in [
            json!({"kind": "a"}),
            json!({"kind": "a", "also": "b", "size": 1, "inner": {"kind": "b"}, "$ref": "#"}),
            json!({"kind": "a", "also": "c"}),
            json!({"kind": "a", "size": "1"}),
            json!({"kind": "a", "inner": {"kind": "c"}}),
            json!({"kind": "a", "$ref": "x"}),
        ] {
            assert_eq!(takes(&item, &answer), alone.is_valid(&answer), "{answer}");
        }
        let schema = packed(&item);
        assert_eq!(
            schema["$defs"]["again"]["$ref"],
            format!("{PLACE}/properties/kind")
        );
    }

    #[test]
    fn what_cannot_hold_is_told() {
        for item in [
            json!({"$id": "https://x.example"}),
            json!({"properties": {"a": {"$anchor": "b"}}}),
            json!({"items": {"$ref": "#b"}}),
            json!({"$ref": "other.json"}),
            json!({"$defs": {"a": {"$ref": "other.json#/x"}}}),
            json!({"$ref": 5}),
        ] {
            let apart = of_pack(Some(&item), &[]).unwrap_err();
            assert!(matches!(apart, Apart::Reference { .. }), "{item}");
        }
    }

    #[test]
    fn the_list_and_its_elements_are_closed_and_in_order() {
        let schema = packed(&json!({"type": "object", "properties": {"why": {}, "a": {}}}));
        let text = schema.to_string();
        assert!(text.find("\"why\"") < text.find("\"a\":"), "{text}");
        let list = &schema["properties"]["answers"];
        assert_eq!(
            (&list["minItems"], &list["maxItems"]),
            (&json!(2), &json!(2))
        );
        assert_eq!(list["items"]["required"], json!(["id", "answer"]));
        assert_eq!(
            list["items"]["properties"]["id"]["enum"],
            json!(["K7F", "M3T"])
        );
        let valid =
            jsonschema::validator_for(&of_pack(None, &["K7F".to_owned()]).unwrap()).unwrap();
        assert!(valid.is_valid(&json!({"answers": [{"id": "K7F", "answer": "yes"}]})));
        assert!(!valid.is_valid(&json!({"answers": [{"id": "K7F", "answer": 1}]})));
        assert!(!valid.is_valid(&json!({"answers": [{"id": "X", "answer": "yes"}]})));
    }
}
