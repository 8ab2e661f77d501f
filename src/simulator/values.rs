//! The leaves of an instance: strings, numbers and picks from an enum, out of the words of a text.
//! Pure; `salt` is all the chance there is.

use serde_json::{Number, Value};

/// The value of an enum that the text mentions; else one drawn.
pub(super) fn choice(values: &[Value], text: &str, salt: u64) -> Value {
    let text = text.to_lowercase();
    let mentioned = values.iter().find(|value| {
        let word = value.as_str().unwrap_or("");
        !word.is_empty() && text.contains(&word.to_lowercase())
    });
    let drawn = values.get(index(salt, values.len()));
    mentioned.or(drawn).cloned().unwrap_or(Value::Null)
}

/// Labels that the material mentions; if none, up to two drawn ones. The same twice only when the
/// schema wants more than there are.
pub(super) fn labels<'a>(
    values: &[&'a str],
    text: &str,
    salt: u64,
    (least, most): (usize, usize),
) -> Vec<&'a str> {
    let text = text.to_lowercase();
    let mentioned = values.iter().copied();
    let mut picked: Vec<&str> = mentioned
        .filter(|value| text.contains(&value.to_lowercase()))
        .collect();
    let wanted = if picked.is_empty() { 2 } else { 0 }.max(least).min(most);
    let start = index(salt, values.len());
    let drawn = values.iter().copied().cycle().skip(start);
    for value in drawn.clone().take(values.len()) {
        if picked.len() < wanted && !picked.contains(&value) {
            picked.push(value);
        }
    }
    picked.extend(drawn.take(least.saturating_sub(picked.len())));
    picked.truncate(most);
    picked
}

/// A whole number within the schema's bounds; from 0 to 100 without.
pub(super) fn integer(schema: &Value, salt: u64) -> i64 {
    let least = signed(schema, "minimum").unwrap_or(0);
    let most = signed(schema, "maximum").unwrap_or(least.saturating_add(100));
    let width = most.abs_diff(least).saturating_add(1).max(1);
    least
        .saturating_add_unsigned(salt % width)
        .min(most.max(least))
}

/// A number within the schema's bounds; from 0 to 1 without.
#[expect(
    clippy::cast_precision_loss,
    reason = "a number made up within bounds; the last digit does not matter"
)]
pub(super) fn number(schema: &Value, salt: u64) -> Value {
    let least = float(schema, "minimum").unwrap_or(0.0);
    let most = float(schema, "maximum").unwrap_or(least + 1.0);
    let drawn = least + (most - least) * ((salt % 1001) as f64 / 1000.0);
    Number::from_f64(drawn).map_or(Value::Null, Value::Number)
}

/// Some words of the text, of a length that the schema allows.
pub(super) fn string(schema: &Value, text: &str, salt: u64) -> String {
    match schema.get("format").and_then(Value::as_str) {
        Some("date-time") => return "2026-01-15T12:00:00Z".to_owned(),
        Some("date") => return "2026-01-15".to_owned(),
        Some("time") => return "12:00:00Z".to_owned(),
        _ => {}
    }
    let mut text = phrase(text, salt);
    while let Some(least) = bound(schema, "minLength")
        && (text.chars().count() as u64) < least.min(STRING_MAX)
    {
        text.push_str(if text.is_empty() { "word" } else { " and more" });
    }
    match bound(schema, "maxLength") {
        Some(most) => {
            let most = usize::try_from(most).unwrap_or(usize::MAX);
            text.chars().take(most).collect()
        }
        None => text,
    }
}

/// No string is filled up to more than this.
const STRING_MAX: u64 = 100_000;

/// Three to ten words in a row out of a text.
fn phrase(text: &str, salt: u64) -> String {
    let words: Vec<&str> = text.split_whitespace().take(500).collect();
    let length = 3 + index(salt >> 32, 8);
    let start = index(salt, words.len().saturating_sub(length).max(1));
    let picked: Vec<&str> = words.into_iter().skip(start).take(length).collect();
    picked.join(" ")
}

/// A place in a list of this length.
pub(super) fn index(salt: u64, length: usize) -> usize {
    let length = u64::try_from(length).unwrap_or(u64::MAX).max(1);
    usize::try_from(salt % length).unwrap_or(0)
}

/// A bound that may be written as a number or, as int64 is at Gemini, as a string.
pub(super) fn bound(schema: &Value, key: &str) -> Option<u64> {
    let value = schema.get(key)?;
    value
        .as_u64()
        .or_else(|| value.as_str().and_then(|text| text.parse().ok()))
}

fn signed(schema: &Value, key: &str) -> Option<i64> {
    let value = schema.get(key)?;
    let whole = value.as_i64();
    #[expect(
        clippy::cast_possible_truncation,
        reason = "an `as` from f64 saturates, which is what a bound needs"
    )]
    whole.or_else(|| value.as_f64().map(|float| float.ceil() as i64))
}

fn float(schema: &Value, key: &str) -> Option<f64> {
    schema.get(key)?.as_f64()
}
