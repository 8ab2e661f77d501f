//! Whose answer is whose in the text of a reply. Never by place, and never by a guess.
//!
//! Reads forward once, without recursion into answers: these are skipped as raw JSON. Of a reply
//! that ends too soon, what was whole before stands. Of one that breaks in its middle nothing does:
//! a quote that was not escaped may have ended an answer early, and made another item's of its rest.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    Lost,
    scan::{Scan, Stop},
};
use crate::llm::parse_lenient;

/// The raw answer of each place. `may_unwrap`: under an id, `{"answer": ...}` is not the answer
/// itself.
pub(super) fn answers<'a>(
    text: &'a str,
    places: &BTreeMap<&str, usize>,
    may_unwrap: bool,
) -> Vec<Result<&'a str, Lost>> {
    let mut reader = Reader {
        scan: Scan::new(text),
        places,
        may_unwrap,
        heard: vec![Heard::Nothing; places.len()],
        is_ours: false,
    };
    if reader.prose().is_err() {
        return vec![Err(Lost::Malformed); places.len()];
    }
    let nothing = if reader.is_ours {
        Lost::Missing
    } else {
        Lost::Malformed
    };
    let told = reader.heard.into_iter().map(|heard| match heard {
        Heard::Nothing => Err(nothing),
        Heard::Answer(raw) => Ok(raw),
        Heard::Broken => Err(Lost::Malformed),
        Heard::Twice => Err(Lost::Doubled),
    });
    told.collect()
}

/// What was read under one id.
#[derive(Clone, Copy)]
enum Heard<'a> {
    Nothing,
    Answer(&'a str),
    Broken,
    Twice,
}

/// Nothing in a reply can be believed.
struct Broken;

/// Where an object stands.
#[derive(Clone, Copy, PartialEq)]
enum Level {
    /// By itself.
    Top,
    /// An element of the list of answers, or in its place.
    Inside,
}

struct Reader<'a, 'p> {
    scan: Scan<'a>,
    places: &'p BTreeMap<&'p str, usize>,
    may_unwrap: bool,
    heard: Vec<Heard<'a>>,
    /// Something whole, or a list of answers, was seen.
    is_ours: bool,
}

impl<'a> Reader<'a, '_> {
    /// Looks for JSON among words.
    fn prose(&mut self) -> Result<(), Broken> {
        while let Some(found) = self.scan.rest().find(['{', '[']) {
            self.scan.at += found;
            let start = self.scan.at;
            let read = if self.scan.peek() == Some(b'{') {
                self.object(Level::Top)
            } else {
                self.list(Level::Top)
            };
            match read {
                Ok(()) => self.is_ours = true,
                Err(Stop::Prose) => self.scan.at = self.scan.at.max(start + 1),
                Err(Stop::Cut) => return Ok(()),
                Err(Stop::Broken) => return Err(Broken),
            }
        }
        Ok(())
    }

    /// The list of answers.
    fn list(&mut self, level: Level) -> Result<(), Stop> {
        self.scan.at += 1;
        let inside = self.scan.at;
        self.scan.space();
        if level == Level::Top && !matches!(self.scan.peek(), Some(b'{' | b']')) {
            self.scan.at = inside; // "[1] says"
            return Err(Stop::Prose);
        }
        self.is_ours = true;
        let mut is_first = true;
        while self.scan.goes_on(b']', is_first)? {
            is_first = false;
            if self.scan.peek() == Some(b'{') {
                self.object(Level::Inside)?;
            } else {
                self.scan.value()?;
            }
        }
        Ok(())
    }

    fn object(&mut self, level: Level) -> Result<(), Stop> {
        self.scan.at += 1;
        let mut element = Element::default();
        let read = self.members(level, &mut element);
        self.hear(element, read.is_ok());
        read
    }

    fn members(&mut self, level: Level, element: &mut Element<'a>) -> Result<(), Stop> {
        let mut is_first = true;
        while self.scan.goes_on(b'}', is_first)? {
            let may_be_prose = is_first && level == Level::Top; // "{see below}"
            if self.scan.peek() != Some(b'"') {
                return Err(self.scan.stop(may_be_prose));
            }
            let key = words(self.scan.value()?);
            self.scan.space();
            if !self.scan.take(b':') {
                return Err(self.scan.stop(may_be_prose));
            }
            self.scan.space();
            is_first = false;
            match (key.as_deref(), self.scan.peek()) {
                (Some("answers"), Some(b'[')) if level == Level::Top => self.list(Level::Inside)?,
                (Some("answers"), Some(b'{')) if level == Level::Top => {
                    self.is_ours = true;
                    self.object(Level::Inside)?;
                }
                (Some("id"), _) => {
                    let id = words(self.scan.value()?);
                    element.ids.push(id.and_then(|id| self.place(&id)));
                }
                (Some("answer"), _) => element.answers.push(self.scan.value()?),
                (key, _) => {
                    let place = key.and_then(|key| self.place(key));
                    let value = self.scan.value();
                    element
                        .keyed
                        .extend(place.map(|at| (at, value.as_ref().ok().copied())));
                    value?;
                }
            }
        }
        Ok(())
    }

    /// Puts down what an object says.
    fn hear(&mut self, element: Element<'a>, is_whole: bool) {
        if element.ids.is_empty() {
            for (place, raw) in element.keyed {
                let answer = raw.and_then(|raw| self.unwrapped(place, raw));
                self.claim(place, answer);
            }
            return;
        }
        let answer = match (element.ids.as_slice(), element.answers.as_slice()) {
            ([_], [answer]) if is_whole => Some(*answer),
            _ => None,
        };
        for place in element.ids.into_iter().flatten() {
            self.claim(place, answer);
        }
    }

    fn claim(&mut self, place: usize, answer: Option<&'a str>) {
        self.is_ours = true;
        let before = self.heard[place];
        self.heard[place] = match (before, answer) {
            (Heard::Nothing, Some(answer)) => Heard::Answer(answer),
            (Heard::Nothing | Heard::Broken, None) => Heard::Broken,
            (Heard::Answer(before), Some(answer)) if before == answer => Heard::Answer(before),
            _ => Heard::Twice,
        };
    }

    /// The answer in `{"K7F": {"answer": ...}}`; `None`: it names another id.
    fn unwrapped(&self, place: usize, raw: &'a str) -> Option<&'a str> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Wrapped<'a> {
            id: Option<String>,
            #[serde(borrow)]
            answer: &'a RawValue,
        }
        let is_object = self.may_unwrap && raw.starts_with('{');
        match is_object.then(|| serde_json::from_str::<Wrapped<'_>>(raw)) {
            Some(Ok(Wrapped { id: Some(id), .. })) if self.place(&id) != Some(place) => None,
            Some(Ok(Wrapped { answer, .. })) => Some(answer.get()),
            _ => Some(raw),
        }
    }

    /// Ids are ASCII in upper case, so no two are the same in another case.
    fn place(&self, id: &str) -> Option<usize> {
        let id = id.trim().to_ascii_uppercase();
        self.places.get(id.as_str()).copied()
    }
}

/// What the members of an object said.
#[derive(Default)]
struct Element<'a> {
    /// Its ids; `None`: one that nobody knows.
    ids: Vec<Option<usize>>,
    answers: Vec<&'a str>,
    /// Members whose name is an id; without a value that breaks.
    keyed: Vec<(usize, Option<&'a str>)>,
}

/// The text of a raw JSON string; other values have none.
fn words(raw: &str) -> Option<String> {
    parse_lenient(raw.as_bytes()).ok()
}
