//! Server-sent events out of bytes, however these are cut. Pure.
//!
//! Owns: lines (`\n`, `\r\n` or `\r`), fields, comments, and JSON that stands between the events,
//! as Gemini writes an error. Never: what an event says. Bytes stay bytes here, so that a character
//! may be cut anywhere.

/// One event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Event {
    /// It is named `error`.
    pub(super) is_error: bool,
    /// Its data, several lines of it joined by a line break.
    pub(super) data: Vec<u8>,
}

/// Reads a stream piece by piece.
#[derive(Default)]
pub(super) struct Events {
    line: Vec<u8>,
    /// The last byte was a `\r`: a `\n` after it belongs to it.
    after_return: bool,
    begun: bool,
    is_error: bool,
    data: Option<Vec<u8>>,
    /// JSON that is no event.
    stray: Vec<u8>,
    /// It may be whole.
    closed: bool,
}

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

impl Events {
    /// The events that `bytes` complete.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Vec<Event> {
        let mut events = Vec::new();
        for byte in bytes {
            match byte {
                b'\n' if self.after_return => self.after_return = false,
                b'\n' | b'\r' => {
                    self.after_return = *byte == b'\r';
                    let line = std::mem::take(&mut self.line);
                    events.extend(self.end_line(&line));
                }
                other => {
                    self.after_return = false;
                    self.line.push(*other);
                }
            }
        }
        events
    }

    /// What the stream's end completes.
    pub(super) fn end(&mut self) -> Option<Event> {
        let line = std::mem::take(&mut self.line);
        if !line.is_empty() {
            self.end_line(&line);
        }
        self.dispatch()
    }

    /// JSON that came between events, or in their place.
    pub(super) fn stray(&self) -> &[u8] {
        &self.stray
    }

    /// Whether a line that may be the last of such JSON came since this was asked last.
    pub(super) fn has_closed(&mut self) -> bool {
        std::mem::take(&mut self.closed)
    }

    /// Bytes held that are no event yet.
    pub(super) fn held(&self) -> usize {
        self.line.len() + self.data.as_ref().map_or(0, Vec::len) + self.stray.len()
    }

    fn end_line(&mut self, line: &[u8]) -> Option<Event> {
        let line = match line.strip_prefix(BYTE_ORDER_MARK) {
            Some(rest) if !self.begun => rest,
            _ => line,
        };
        self.begun = true;
        if line.is_empty() {
            return self.dispatch();
        }
        let colon = line.iter().position(|byte| *byte == b':');
        let (field, value) = match colon {
            Some(at) => (&line[..at], &line[at + 1..]),
            None => (line, &[][..]),
        };
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match field {
            b"data" => match &mut self.data {
                Some(data) => {
                    data.push(b'\n');
                    data.extend_from_slice(value);
                }
                None => self.data = Some(value.to_vec()),
            },
            b"event" => self.is_error = value == b"error",
            // a comment, or of no use here
            b"" | b"id" | b"retry" => {}
            _ => self.keep_json(line),
        }
        None
    }

    fn keep_json(&mut self, line: &[u8]) {
        let begins = matches!(line.trim_ascii_start().first(), Some(b'{' | b'['));
        if self.stray.is_empty() && !begins {
            return; // a field that nobody knows is to be ignored
        }
        self.stray.extend_from_slice(line);
        self.stray.push(b'\n');
        let at_margin = !line[0].is_ascii_whitespace();
        self.closed |= at_margin && matches!(line.trim_ascii_end().last(), Some(b'}' | b']'));
    }

    fn dispatch(&mut self) -> Option<Event> {
        let is_error = std::mem::take(&mut self.is_error);
        let data = self.data.take()?;
        Some(Event { is_error, data })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(pieces: &[&[u8]]) -> (Vec<String>, String) {
        let mut events = Events::default();
        let mut found: Vec<Event> = pieces.iter().flat_map(|it| events.feed(it)).collect();
        found.extend(events.end());
        let data = found.into_iter().map(|event| {
            let text = String::from_utf8_lossy(&event.data).into_owned();
            if event.is_error {
                format!("error {text}")
            } else {
                text
            }
        });
        let stray = String::from_utf8_lossy(events.stray()).into_owned();
        (data.collect(), stray)
    }

    #[test]
    fn every_way_to_write_an_event_is_read() {
        for (text, data) in [
            ("data: a\n\ndata:b\n\n", &["a", "b"][..]),
            ("data: a\r\n\r\ndata: b\r\n\r\n", &["a", "b"]),
            ("data: a\r\rdata: b\r\r", &["a", "b"]),
            ("data:  a\ndata: b\ndata\n\n", &[" a\nb\n"]),
            (": ping\n\nid: 7\nretry: 3\ndata: a\n\n: x", &["a"]),
            ("event: error\ndata: a\n\ndata: b\n\n", &["error a", "b"]),
            ("\u{feff}data: a\n\n", &["a"]),
            ("foo: bar\ndata: \u{1f600}\n\n", &["\u{1f600}"]),
            ("data: a", &["a"]),
            ("\n\n\n", &[]),
            ("event: x\n\n", &[]),
        ] {
            assert_eq!(
                read(&[text.as_bytes()]),
                (
                    data.iter().map(|it| (*it).to_owned()).collect(),
                    String::new()
                ),
                "{text:?}"
            );
        }
    }

    #[test]
    fn json_between_events_is_kept_apart() {
        let text = "data: a\n\n{\n  \"error\": {\n    \"code\": 503\n  }\n}\ndata: b\n\n";
        let (data, stray) = read(&[text.as_bytes()]);
        assert_eq!(data, ["a", "b"]);
        assert_eq!(stray, "{\n  \"error\": {\n    \"code\": 503\n  }\n}\n");
        let mut events = Events::default();
        events.feed(b"{\n  \"a\": {\n  }\n");
        assert!(!events.has_closed());
        events.feed(b"}\n");
        assert!(events.has_closed() && !events.has_closed());
    }

    proptest! {
        #[test]
        fn where_bytes_are_cut_makes_no_difference(
            lines in prop::collection::vec("(data|event|id|foo|)(:| |: |)[a-zé:{}]{0,6}(\n|\r|\r\n|\n\n|\r\n\r\n)", 0..12),
            at in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        ) {
            let text = lines.concat().into_bytes();
            let mut cuts: Vec<usize> = at.iter().map(|it| it.index(text.len() + 1)).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|pair| &text[pair[0]..pair[1]]).collect();
            let bytes: Vec<&[u8]> = text.chunks(1).collect();
            prop_assert_eq!(read(&pieces), read(&[&text]));
            prop_assert_eq!(read(&bytes), read(&[&text]));
        }
    }
}
