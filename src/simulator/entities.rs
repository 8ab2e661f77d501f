//! Names in a text, found by simple rules that a test can follow with the eye. Pure.

use std::collections::BTreeSet;

/// A name and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entity<'a> {
    pub(super) name: &'a str,
    pub(super) kind: Kind,
    /// First character, counted in characters (Unicode scalar values).
    pub(super) start: usize,
    /// First character after it.
    pub(super) end: usize,
}

/// What a name seems to name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Person,
    Organization,
    Place,
    Date,
}

/// The names in a text, in order, each once: two or more capitalised words in a row on one line
/// (a month may go with numbers, as in "March 12"), of which the first word of a sentence is never
/// one.
pub(super) fn find(text: &str) -> Vec<Entity<'_>> {
    let words = words(text);
    let mut found = Vec::new();
    let mut seen = BTreeSet::new();
    let mut at = 0;
    while at < words.len() {
        let length = run_length(&words[at..]);
        if length >= 2 {
            let entity = entity(text, &words[at..at + length]);
            if seen.insert(entity.name) {
                found.push(entity);
            }
        }
        at += length.max(1);
    }
    found
}

impl Kind {
    /// The value of a schema's enum that means this kind; else one that means "other", else the
    /// first.
    pub(super) fn among<'a>(self, values: &[&'a str]) -> Option<&'a str> {
        let synonyms: &[&str] = match self {
            Self::Person => &["person", "people", "per", "human"],
            Self::Organization => &["organization", "organisation", "org", "company"],
            Self::Place => &["place", "location", "loc", "gpe", "city", "country"],
            Self::Date => &["date", "time"],
        };
        let named = |word: &&str| {
            values
                .iter()
                .find(|value| value.eq_ignore_ascii_case(word))
                .copied()
        };
        synonyms
            .iter()
            .find_map(named)
            .or_else(|| ["other", "misc"].iter().find_map(named))
            .or_else(|| values.first().copied())
    }

    /// The kind's own word, for schemas without an enum.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Person => "person",
            Self::Organization => "organization",
            Self::Place => "place",
            Self::Date => "date",
        }
    }
}

/// A word without the punctuation around it.
struct Word<'a> {
    text: &'a str,
    byte: usize,
    char: usize,
    /// First of a sentence, a line or the text.
    opens: bool,
    /// Punctuation or a line break follows: no name goes on after it.
    closes: bool,
}

fn words(text: &str) -> Vec<Word<'_>> {
    let mut words: Vec<Word<'_>> = Vec::new();
    let (mut byte, mut char, mut opens) = (0, 0, true);
    for piece in text.split_inclusive(char::is_whitespace) {
        let inner = piece.trim_matches(|letter: char| !letter.is_alphanumeric());
        if !inner.is_empty() {
            let before = &piece[..piece.find(inner).unwrap_or(0)];
            let after = piece[before.len() + inner.len()..].trim_end_matches([' ', '\t']);
            if !before.is_empty()
                && let Some(last) = words.last_mut()
            {
                last.closes = true;
            }
            words.push(Word {
                text: inner,
                byte: byte + before.len(),
                char: char + before.chars().count(),
                opens,
                closes: !after.is_empty(),
            });
            opens = after.contains(['.', '!', '?', ':', '\n']);
        } else if piece.contains('\n') {
            opens = true;
            if let Some(last) = words.last_mut() {
                last.closes = true;
            }
        }
        byte += piece.len();
        char += piece.chars().count();
    }
    words
}

/// How many of these words, from the first on, are one name.
fn run_length(words: &[Word<'_>]) -> usize {
    let month = words.first().is_some_and(|word| is_month(word.text));
    let mut length = 0;
    for word in words {
        let capital = word.text.starts_with(char::is_uppercase);
        let number = month && length > 0 && word.text.starts_with(|c: char| c.is_ascii_digit());
        if word.opens || !(capital || number) {
            break;
        }
        length += 1;
        if word.closes {
            break;
        }
    }
    length
}

fn entity<'a>(text: &'a str, words: &[Word<'a>]) -> Entity<'a> {
    let (first, last) = (&words[0], &words[words.len() - 1]);
    let name = &text[first.byte..last.byte + last.text.len()];
    Entity {
        name,
        kind: kind(words),
        start: first.char,
        end: first.char + name.chars().count(),
    }
}

fn kind(words: &[Word<'_>]) -> Kind {
    const ORGANIZATION: [&str; 27] = [
        "Inc",
        "Corp",
        "Corporation",
        "Ltd",
        "Company",
        "Group",
        "University",
        "Institute",
        "College",
        "Bank",
        "Agency",
        "Council",
        "Ministry",
        "Party",
        "Association",
        "Committee",
        "Department",
        "Union",
        "Foundation",
        "Labs",
        "Media",
        "Press",
        "Times",
        "Systems",
        "Motors",
        "Airlines",
        "Partners",
    ];
    const PLACE: [&str; 17] = [
        "City", "River", "Lake", "Mount", "Island", "Islands", "Street", "County", "Valley", "Bay",
        "Sea", "Republic", "Kingdom", "States", "Ocean", "Park", "Harbor",
    ];
    const PLACE_FIRST: [&str; 11] = [
        "North", "South", "East", "West", "New", "San", "Saint", "Port", "Los", "Las", "Fort",
    ];
    let has = |list: &[&str]| words.iter().any(|word| list.contains(&word.text));
    if is_month(words[0].text) {
        Kind::Date
    } else if has(&ORGANIZATION) {
        Kind::Organization
    } else if has(&PLACE) || PLACE_FIRST.contains(&words[0].text) {
        Kind::Place
    } else {
        Kind::Person
    }
}

fn is_month(word: &str) -> bool {
    [
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    ]
    .contains(&word)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn found(text: &str) -> Vec<(&str, Kind)> {
        find(text).iter().map(|e| (e.name, e.kind)).collect()
    }

    #[test]
    fn names_are_two_capitalised_words_that_do_not_open_a_sentence() {
        assert_eq!(
            found(
                "Yesterday Ada Lovelace joined the Harbor Bank. Tom Ford left. On March 12 she \
                 flew to New York, where Ada Lovelace met Ann."
            ),
            [
                ("Ada Lovelace", Kind::Person),
                ("Harbor Bank", Kind::Organization),
                ("March 12", Kind::Date),
                ("New York", Kind::Place),
            ]
        );
    }

    #[test]
    fn punctuation_and_line_ends_part_names() {
        assert_eq!(
            found("we saw Ann Lee, Bo Chen (Cy Young) and\nDee Doe\nwith El Fox"),
            [
                ("Ann Lee", Kind::Person),
                ("Bo Chen", Kind::Person),
                ("Cy Young", Kind::Person),
                ("El Fox", Kind::Person),
            ]
        );
    }

    #[test]
    fn offsets_count_characters() {
        let text = "Größe: für Änne Müller 😀 und Bo Li";
        let chars: Vec<char> = text.chars().collect();
        let names: Vec<String> = find(text)
            .iter()
            .map(|e| chars[e.start..e.end].iter().collect())
            .collect();
        assert_eq!(names, ["Änne Müller", "Bo Li"]);
    }

    #[test]
    fn a_kind_is_put_into_the_words_of_the_schema() {
        assert_eq!(Kind::Person.among(&["ORG", "PERSON"]), Some("PERSON"));
        assert_eq!(Kind::Date.among(&["org", "other"]), Some("other"));
        assert_eq!(Kind::Date.among(&["org", "per"]), Some("org"));
        assert_eq!(Kind::Date.among(&[]), None);
    }

    proptest! {
        #[test]
        fn every_span_is_its_name(text in "([A-Z][a-zß]{0,4}|[ .,\n]|é|😀| [A-Z]x [A-Z]y ){0,60}") {
            let chars: Vec<char> = text.chars().collect();
            for entity in find(&text) {
                let there: String = chars[entity.start..entity.end].iter().collect();
                prop_assert_eq!(there, entity.name);
            }
        }
    }
}
