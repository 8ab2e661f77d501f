//! A value that meets a schema, filled from the prompt. Pure, and the same for the same prompt.
//!
//! Reads OpenAPI's subset (`responseSchema`: upper-case types, numbers as strings) and JSON Schema
//! alike. Where the schema asks for a list of objects with `name` and `kind`, the list holds the
//! names found in the material. A list of objects with an id, when the prompt packs several items
//! with ids, has one element per item, made from that item alone. `pattern` and `not` are not met.

use serde_json::{Map, Value, json};

use super::chance::{hash, mix};
use super::entities::{self, Entity};
use super::sections::Section;
use super::values::{bound, choice, integer, labels, number, string};

/// Makes a value that meets `schema` from the material of a prompt.
pub(super) fn instance(schema: &Value, sections: &[Section<'_>], seed: u64) -> Value {
    part(schema, schema, sections, seed)
}

/// The same for a schema that stands inside of another, `root`, to which its references lead.
pub(super) fn part(root: &Value, schema: &Value, sections: &[Section<'_>], seed: u64) -> Value {
    let whole = sections
        .first()
        .copied()
        .unwrap_or(Section { id: None, text: "" });
    let place = Place {
        section: whole,
        item: false,
        name: "",
        salt: seed,
        depth: 0,
    };
    Maker { root, sections }.make(schema, place)
}

struct Maker<'a> {
    root: &'a Value,
    sections: &'a [Section<'a>],
}

/// Where in the instance a value goes.
#[derive(Clone, Copy)]
struct Place<'a> {
    section: Section<'a>,
    /// Inside an element that belongs to one packed item.
    item: bool,
    /// The property's name.
    name: &'a str,
    salt: u64,
    depth: usize,
}

impl<'a> Place<'a> {
    fn below(self, name: &'a str) -> Self {
        Self {
            name,
            salt: mix(self.salt ^ hash(name)),
            depth: self.depth + 1,
            ..self
        }
    }

    fn nth(self, index: usize) -> Self {
        Self {
            salt: mix(self.salt.wrapping_add(1 + index as u64)),
            depth: self.depth + 1,
            ..self
        }
    }
}

/// Deeper than this only what is required is made; at twice the depth, nothing.
const DEPTH_MAX: usize = 12;

impl<'a> Maker<'a> {
    fn make(&self, schema: &'a Value, place: Place<'a>) -> Value {
        let schema = self.resolve(schema);
        if let Some(constant) = schema.get("const") {
            return constant.clone();
        }
        // Before its enum: a schema may list the ids that it expects back.
        if let Some(id) = place.section.id
            && is_id(place.name)
        {
            return match (kind(schema).as_str(), id.parse::<i64>()) {
                ("integer" | "number", Ok(number)) => json!(number),
                _ => json!(id),
            };
        }
        if let Some(values) = schema.get("enum").and_then(Value::as_array) {
            return choice(values, place.section.text, place.salt);
        }
        if place.depth > 2 * DEPTH_MAX {
            return Value::Null;
        }
        match kind(schema).as_str() {
            "object" => self.object(schema, place),
            "array" => self.array(schema, place),
            "integer" => json!(integer(schema, place.salt)),
            "number" => number(schema, place.salt),
            "boolean" => json!(place.salt.is_multiple_of(2)),
            "null" => Value::Null,
            _ => json!(string(schema, place.section.text, place.salt)),
        }
    }

    /// Follows references and takes the first alternative that is not null.
    fn resolve(&self, mut schema: &'a Value) -> &'a Value {
        for _ in 0..DEPTH_MAX {
            let target = schema.get("$ref").and_then(Value::as_str);
            let alternative = ["anyOf", "oneOf", "allOf"].iter().find_map(|key| {
                let options = schema.get(key)?.as_array()?;
                options.iter().find(|option| kind(option) != "null")
            });
            schema = match (target, alternative) {
                (Some(path), _) => match self.root.pointer(path.trim_start_matches('#')) {
                    Some(found) => found,
                    None => return schema,
                },
                (None, Some(option)) if schema.get("properties").is_none() => option,
                _ => return schema,
            };
        }
        schema
    }

    fn object(&self, schema: &'a Value, place: Place<'a>) -> Value {
        let required: Vec<&str> = strings(schema.get("required"));
        let properties = schema.get("properties").and_then(Value::as_object);
        let made = properties
            .into_iter()
            .flatten()
            .filter_map(|(name, schema)| {
                let wanted = place.depth < DEPTH_MAX || required.contains(&name.as_str());
                wanted.then(|| (name.clone(), self.make(schema, place.below(name))))
            });
        Value::Object(made.collect())
    }

    fn array(&self, schema: &'a Value, place: Place<'a>) -> Value {
        let least = bound(schema, "minItems").unwrap_or(0);
        let most = bound(schema, "maxItems").unwrap_or(u64::MAX).max(least);
        if let Some(items) = schema.get("prefixItems").and_then(Value::as_array) {
            let made = items.iter().enumerate();
            return made
                .map(|(at, item)| self.make(item, place.nth(at)))
                .collect();
        }
        let Some(items) = schema.get("items").map(|items| self.resolve(items)) else {
            return json!([]);
        };
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let least = usize::try_from(least).unwrap_or(0).min(LEAST_MAX);
        if let Some(shape) = EntityShape::of(items) {
            return self.entities(&shape, place, least, most);
        }
        if let Some(packed) = self.packed(items, place, most) {
            return packed;
        }
        let strings = choices(items);
        if !strings.is_empty() {
            return json!(labels(
                &strings,
                place.section.text,
                place.salt,
                (least, most)
            ));
        }
        let count = (1 + (place.salt % 3) as usize).clamp(least, most);
        let made = (0..count).map(|at| self.make(items, place.nth(at)));
        made.collect()
    }

    /// One element per packed item, if the prompt packs items and the elements have an id.
    fn packed(&self, items: &'a Value, place: Place<'a>, most: usize) -> Option<Value> {
        let properties = items.get("properties")?.as_object()?;
        let packs = !place.item
            && self.sections.iter().any(|section| section.id.is_some())
            && properties.keys().any(|name| is_id(name));
        let element = |section: &Section<'a>| {
            let place = Place {
                section: *section,
                item: true,
                salt: mix(place.salt ^ hash(section.text)),
                ..place.nth(0)
            };
            self.make(items, place)
        };
        packs.then(|| self.sections.iter().take(most).map(element).collect())
    }

    fn entities(
        &self,
        shape: &EntityShape<'a>,
        place: Place<'a>,
        least: usize,
        most: usize,
    ) -> Value {
        let mut found = entities::find(place.section.text);
        found.truncate(most);
        // A schema that wants more than there is gets the first word, again and again.
        while found.len() < least {
            found.push(first_word(place.section.text));
        }
        let made = found.iter().enumerate();
        made.map(|(at, entity)| self.entity(shape, entity, place.nth(at)))
            .collect()
    }

    fn entity(&self, shape: &EntityShape<'a>, entity: &Entity<'_>, place: Place<'a>) -> Value {
        let made = shape.properties.iter().map(|(name, schema)| {
            let schema = self.resolve(schema);
            let value = match name.as_str() {
                "name" => json!(entity.name),
                name if name == shape.kind => {
                    let word = entity.kind.among(&choices(schema));
                    json!(word.unwrap_or(entity.kind.word()))
                }
                "span" => self.span(schema, entity, place.below(name)),
                "start" => json!(entity.start),
                "end" => json!(entity.end),
                _ => self.make(schema, place.below(name)),
            };
            (name.clone(), value)
        });
        Value::Object(made.collect())
    }

    /// A span as the schema wants it: `[start, end]`, `{"start", "end"}` or the text itself.
    fn span(&self, schema: &'a Value, entity: &Entity<'_>, place: Place<'a>) -> Value {
        match kind(schema).as_str() {
            "array" => json!([entity.start, entity.end]),
            "object" => {
                let properties = schema.get("properties").and_then(Value::as_object);
                let made = properties.into_iter().flatten().map(|(name, schema)| {
                    let value = match name.as_str() {
                        "start" | "from" | "begin" => json!(entity.start),
                        "end" | "to" => json!(entity.end),
                        "text" => json!(entity.name),
                        _ => self.make(schema, place.below(name)),
                    };
                    (name.clone(), value)
                });
                Value::Object(made.collect())
            }
            "integer" | "number" => json!(entity.start),
            _ => json!(entity.name),
        }
    }
}

/// No list is filled up to more than this.
const LEAST_MAX: usize = 1000;

/// The elements of a list of entities.
struct EntityShape<'a> {
    properties: &'a Map<String, Value>,
    kind: &'static str,
}

impl<'a> EntityShape<'a> {
    fn of(items: &'a Value) -> Option<Self> {
        let properties = items.get("properties")?.as_object()?;
        let kind = ["kind", "type"]
            .into_iter()
            .find(|name| properties.contains_key(*name))?;
        properties
            .contains_key("name")
            .then_some(Self { properties, kind })
    }
}

fn first_word(text: &str) -> Entity<'_> {
    let name = text.split_whitespace().next().unwrap_or("");
    let start = text.chars().take_while(|c| c.is_whitespace()).count();
    Entity {
        name,
        kind: entities::Kind::Person,
        start,
        end: start + name.chars().count(),
    }
}

/// The type's word in lower case; guessed from the other keys when it is missing.
fn kind(schema: &Value) -> String {
    let named = match schema.get("type") {
        Some(Value::Array(types)) => types
            .iter()
            .filter_map(Value::as_str)
            .find(|word| !word.eq_ignore_ascii_case("null")),
        Some(Value::String(word)) => Some(word.as_str()),
        _ if schema.get("properties").is_some() => Some("object"),
        _ if schema.get("items").is_some() || schema.get("prefixItems").is_some() => Some("array"),
        _ => None,
    };
    named.unwrap_or("string").to_ascii_lowercase()
}

/// The enum of a schema, as strings.
fn choices(schema: &Value) -> Vec<&str> {
    strings(schema.get("enum"))
}

fn is_id(name: &str) -> bool {
    ["id", "item_id", "itemId", "key", "article_id", "page_id"].contains(&name)
}

fn strings(value: Option<&Value>) -> Vec<&str> {
    let values = value.and_then(Value::as_array);
    values.map_or_else(Vec::new, |values| {
        values.iter().filter_map(Value::as_str).collect()
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::sections::sections;
    use super::*;

    fn made(schema: &Value, prompt: &str) -> Value {
        instance(schema, &sections(prompt), 7)
    }

    fn entity_schema(span: Value) -> Value {
        json!({"type": "OBJECT", "properties": {"entities": {"type": "ARRAY", "items": {
            "type": "OBJECT",
            "properties": {
                "name": {"type": "STRING"},
                "kind": {"type": "STRING", "enum": ["person", "organization", "place"]},
                "span": span,
            },
        }}}})
    }

    const ARTICLE: &str = "List names.\n<article>\nToday Ada Lovelace met Bo Li.\n</article>";

    #[test]
    fn entities_are_found_in_the_article_with_offsets_into_it() {
        let spans = json!({"type": "ARRAY", "items": {"type": "INTEGER"}});
        assert_eq!(
            made(&entity_schema(spans), ARTICLE),
            json!({"entities": [
                {"name": "Ada Lovelace", "kind": "person", "span": [6, 18]},
                {"name": "Bo Li", "kind": "person", "span": [23, 28]},
            ]})
        );
    }

    #[test]
    fn a_span_has_the_type_that_the_schema_says() {
        let object = json!({"type": "object", "properties": {
            "start": {"type": "integer"}, "end": {"type": "integer"}}});
        for (schema, span) in [
            (json!({"type": "string"}), json!("Bo Li")),
            (object, json!({"start": 23, "end": 28})),
        ] {
            assert_eq!(
                made(&entity_schema(schema), ARTICLE)["entities"][1]["span"],
                span
            );
        }
    }

    #[test]
    fn packed_items_are_answered_each_from_its_own_text() {
        let schema = json!({"type": "array", "items": {"type": "object", "properties": {
            "id": {"type": "string"},
            "entities": entity_schema(json!({"type": "string"}))["properties"]["entities"],
        }}});
        let prompt = "<item id=\"a\">we met Ann Lee</item><item id=\"b\">we met Bo Li</item>";
        let answer = made(&schema, prompt);
        let picked: Vec<_> = answer
            .as_array()
            .unwrap()
            .iter()
            .map(|element| {
                (
                    element["id"].clone(),
                    element["entities"][0]["name"].clone(),
                )
            })
            .collect();
        assert_eq!(
            picked,
            [(json!("a"), json!("Ann Lee")), (json!("b"), json!("Bo Li"))]
        );
    }

    #[test]
    fn the_id_of_an_item_comes_back_in_the_schemas_type() {
        for (id, expected) in [
            (json!({"type": "INTEGER"}), json!([7, 9])),
            (
                json!({"type": "STRING", "enum": ["9", "7"]}),
                json!(["7", "9"]),
            ),
        ] {
            let schema = json!({"type": "ARRAY", "items": {"type": "OBJECT", "properties": {
                "id": id, "title": {"type": "STRING"}}}});
            let answer = made(&schema, "<item id=\"7\">9</item>\n<item id=\"9\">7</item>");
            let ids = answer.as_array().unwrap().iter();
            let ids: Value = ids.map(|element| element["id"].clone()).collect();
            assert_eq!(ids, expected);
        }
    }

    #[test]
    fn labels_are_those_that_the_text_mentions() {
        let schema = json!({"type": "ARRAY", "minItems": "1", "maxItems": "3", "items":
            {"type": "STRING", "enum": ["billing", "bug", "praise"]}});
        assert_eq!(made(&schema, "a Bug in billing"), json!(["billing", "bug"]));
        assert_eq!(made(&schema, "nothing").as_array().unwrap().len(), 2);
    }

    #[test]
    fn references_and_alternatives_are_followed_and_recursion_ends() {
        let schema = json!({
            "$defs": {"node": {"type": "object", "properties": {
                "next": {"$ref": "#/$defs/node"},
                "maybe": {"anyOf": [{"type": "null"}, {"type": "integer", "minimum": 5, "maximum": 5}]},
            }}},
            "$ref": "#/$defs/node",
        });
        assert_eq!(made(&schema, "x")["next"]["maybe"], json!(5));
    }

    /// A schema of the common keys, with the depth bounded.
    fn schemas() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            (0_u64..20, 0_u64..20).prop_map(|(least, more)| json!(
                {"type": "string", "minLength": least, "maxLength": least + more})),
            (-50_i64..50, 0_i64..9).prop_map(|(least, more)| json!(
                {"type": "integer", "minimum": least, "maximum": least + more})),
            Just(json!({"type": "number", "minimum": 0, "maximum": 1})),
            Just(json!({"type": "boolean"})),
            Just(json!({"type": "string", "enum": ["a", "b"]})),
            Just(json!({"type": ["string", "null"]})),
        ];
        leaf.prop_recursive(3, 20, 4, |inner| {
            prop_oneof![
                (inner.clone(), 0_u64..4, 0_u64..3).prop_map(|(items, least, more)| json!(
                    {"type": "array", "items": items, "minItems": least, "maxItems": least + more})),
                prop::collection::btree_map("[a-z]{1,6}", inner, 1..4).prop_map(|properties| {
                    let required: Vec<_> = properties.keys().cloned().collect();
                    json!({"type": "object", "properties": properties, "required": required,
                        "additionalProperties": false})
                }),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_made_meets_its_schema(schema in schemas(), prompt in ".{0,80}") {
            let validator = jsonschema::validator_for(&schema).unwrap();
            let made = instance(&schema, &sections(&prompt), hash(&prompt));
            prop_assert!(validator.is_valid(&made), "{made} against {schema}");
        }
    }
}
