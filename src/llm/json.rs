//! Reading JSON that a model or a provider wrote.
//!
//! Owns: mending of text that is JSON but for broken Unicode. Never: guessing at broken structure.

use std::borrow::Cow;

use serde::de::DeserializeOwned;

/// Parses JSON whose strings may hold broken Unicode.
///
/// Valid JSON is parsed as it is. Only if that fails, three things are mended and the parse is
/// tried once more: a byte order mark at the start is dropped, bytes that are no UTF-8 become
/// U+FFFD, and an escaped surrogate without its other half (`\ud800`) becomes `\ufffd`.
///
/// ```
/// # use tidegate::llm::parse_lenient;
/// let text: String = parse_lenient(br#""half \ud83d smile""#)?;
/// assert_eq!(text, "half \u{fffd} smile");
/// # Ok::<(), serde_json::Error>(())
/// ```
///
/// # Errors
///
/// Whatever [`serde_json`] says of the mended text: wrong syntax, nesting deeper than 128, a number
/// beyond its type, a shape other than `T`. The error's `Display` may quote the text; where the
/// text is an answer, print only its category, line and column.
pub fn parse_lenient<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, serde_json::Error> {
    serde_json::from_slice(bytes).or_else(|_| serde_json::from_str(&mend(bytes)))
}

/// The same, with the text that was read: the one given, or where that failed the mended one.
///
/// # Errors
///
/// As [`parse_lenient`].
pub fn read_lenient<T: DeserializeOwned>(
    text: &str,
) -> Result<(T, Cow<'_, str>), serde_json::Error> {
    if let Ok(value) = serde_json::from_str(text) {
        return Ok((value, Cow::Borrowed(text)));
    }
    let mended = mend(text.as_bytes());
    Ok((serde_json::from_str(&mended)?, Cow::Owned(mended)))
}

/// The text with its Unicode mended. What is valid stays byte for byte.
fn mend(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let mut mended = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        let (plain, escape) = rest.split_at(at);
        mended.push_str(plain);
        let (kept, taken) = match surrogate(escape) {
            None => {
                // Both characters of the escape, so that an escaped backslash hides what follows.
                let second = escape.chars().nth(1).map_or(0, char::len_utf8);
                (&escape[..1 + second], 1 + second)
            }
            Some(Half::High) if surrogate(&escape[6..]) == Some(Half::Low) => (&escape[..12], 12),
            Some(_) => (r"\ufffd", 6),
        };
        mended.push_str(kept);
        rest = &escape[taken..];
    }
    mended.push_str(rest);
    mended
}

#[derive(PartialEq)]
enum Half {
    High,
    Low,
}

/// Which half of a surrogate pair the text begins with, if it begins with an escaped one.
fn surrogate(text: &str) -> Option<Half> {
    let digits = text.strip_prefix(r"\u")?.get(..4)?;
    match u16::from_str_radix(digits, 16).ok()? {
        0xd800..=0xdbff => Some(Half::High),
        0xdc00..=0xdfff => Some(Half::Low),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::{mend, parse_lenient};

    fn string_of(json: &[u8]) -> String {
        parse_lenient(json).unwrap()
    }

    #[test]
    fn a_lone_surrogate_becomes_the_replacement_character() {
        assert_eq!(string_of(br#""a\ud800b""#), "a\u{fffd}b");
        assert_eq!(string_of(br#""\uDC00""#), "\u{fffd}");
        assert_eq!(string_of(br#""\ud800\ud83d\ude00""#), "\u{fffd}\u{1f600}");
        assert_eq!(string_of(br#""\ud800\n\udc00""#), "\u{fffd}\n\u{fffd}");
    }

    #[test]
    fn a_pair_and_an_escaped_backslash_are_left_alone() {
        assert_eq!(
            mend(br#""\ud83d\ude00 \\ud800""#),
            r#""\ud83d\ude00 \\ud800""#
        );
        assert_eq!(string_of(b"\"\\\\ud800 \xff\""), "\\ud800 \u{fffd}");
    }

    #[test]
    fn invalid_utf_8_and_a_byte_order_mark_are_mended() {
        assert_eq!(string_of(b"\"a\xffb\""), "a\u{fffd}b");
        assert_eq!(string_of(b"\xef\xbb\xbf\"a\""), "a");
    }

    #[test]
    fn broken_structure_stays_broken() {
        for broken in [
            &b""[..],
            b"{",
            b"\"a",
            b"\"\\",
            b"\"\\u12",
            b"\"\\ud800",
            b"[1e400000]",
        ] {
            assert!(parse_lenient::<Value>(broken).is_err());
        }
        let deep = "[".repeat(10_000) + &"]".repeat(10_000);
        assert!(parse_lenient::<Value>(deep.as_bytes()).is_err());
    }

    /// JSON text of a string, with some characters written as escapes.
    fn json_string() -> impl Strategy<Value = String> {
        prop::collection::vec((any::<char>(), any::<bool>()), 0..20).prop_map(|chars| {
            let mut json = String::from("\"");
            for (c, escaped) in chars {
                if escaped {
                    let mut units = [0; 2];
                    for unit in c.encode_utf16(&mut units) {
                        json += &format!("\\u{unit:04x}");
                    }
                } else {
                    json += serde_json::to_string(&c).unwrap().trim_matches('"');
                    // trim_matches takes an escaped quote apart; put its last half back.
                    json += if c == '"' { "\"" } else { "" };
                }
            }
            json + "\""
        })
    }

    proptest! {
        #[test]
        fn valid_json_is_never_changed(json in json_string()) {
            let plain: String = serde_json::from_str(&json).unwrap();
            prop_assert_eq!(mend(json.as_bytes()), json.as_str());
            prop_assert_eq!(string_of(json.as_bytes()), plain);
        }

        #[test]
        fn any_string_of_code_units_can_be_read(units in prop::collection::vec(any::<u16>(), 0..20)) {
            let escapes: String = units.iter().map(|unit| format!("\\u{unit:04x}")).collect();
            let read = string_of(format!("\"{escapes}\"").as_bytes());
            prop_assert_eq!(read, String::from_utf16_lossy(&units));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = parse_lenient::<Value>(&bytes);
        }
    }
}
