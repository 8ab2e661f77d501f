//! An accepted answer: JSON text that is kept as it came.

use serde::Serialize;
use serde_json::{
    Value,
    value::{RawValue, to_raw_value},
};

/// An accepted answer as JSON text, byte for byte: the text of a number, the order of keys and keys
/// that come twice stay as the model wrote them. White space around it is not part of it.
///
/// ```
/// # use tidegate::task::Answer;
/// let answer = Answer::json(r#"{"price": 1.0e2, "price": 1.50}"#)?;
/// assert_eq!(answer.get(), r#"{"price": 1.0e2, "price": 1.50}"#);
/// assert_eq!(Answer::text("say \"yes\"").get(), r#""say \"yes\"""#);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, Serialize)]
#[serde(transparent)]
pub struct Answer(Box<RawValue>);

impl Answer {
    /// The answer that this JSON text is.
    ///
    /// # Errors
    /// When it is not JSON. Nesting and the size of numbers are not limited here.
    pub fn json(text: impl Into<String>) -> Result<Self, serde_json::Error> {
        RawValue::from_string(text.into()).map(Self)
    }

    /// The answer that is this text and no JSON: a JSON string, U+0000 included.
    pub fn text(text: &str) -> Self {
        Value::from(text).into()
    }

    /// Its JSON text.
    pub fn get(&self) -> &str {
        self.0.get()
    }
}

impl From<Value> for Answer {
    /// The value's own JSON text.
    fn from(value: Value) -> Self {
        // a value always has one: its keys are strings
        Self(to_raw_value(&value).unwrap_or_else(|_| RawValue::NULL.to_owned()))
    }
}

impl PartialEq for Answer {
    /// By text: `1.0` and `1.00` are two answers.
    fn eq(&self, other: &Self) -> bool {
        self.get() == other.get()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_text_of_an_answer_is_kept_byte_for_byte() {
        for text in [
            r#"{"b":1.0e2,"a":1.50,"b":2}"#,
            r#"[9223372036854775809, 1e400000, -0.0]"#,
            "{\n  \"a\" : \"\\u0000 \\ud83d\\ude00\"\n}",
        ] {
            assert_eq!(Answer::json(text).unwrap().get(), text);
            assert_eq!(
                serde_json::to_string(&Answer::json(text).unwrap()).unwrap(),
                text
            );
        }
        assert_eq!(Answer::json(" 1 \n").unwrap().get(), "1");
        assert!(Answer::json("{\"a\":").is_err());
    }

    proptest! {
        #[test]
        fn every_text_is_read_back_from_its_answer(text in any::<String>()) {
            let answer = Answer::text(&text);
            prop_assert_eq!(serde_json::from_str::<String>(answer.get()).unwrap(), text);
        }
    }
}
