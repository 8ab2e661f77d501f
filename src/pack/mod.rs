//! Several items in one prompt, and each its own answer out of one reply.
//!
//! Owns: [`Pack`] (which requests may travel together, what is asked for them, whose answer is
//! whose), [`share`] and [`shares`] (what each item used of a call), [`adapt`] and [`after_torn`]
//! (how many travel together next). Never: I/O, a clock, chance (a seed is an argument), whether an
//! answer does: that is the handler's.
//!
//! The law of the room: an item never gets another item's answer. Answers are told apart by ids
//! alone, never by their place in the list, and what is not told apart is lost: it is asked again.

mod codes;
mod compose;
mod read;
mod scan;
mod schema;
mod share;
mod size;

use std::{collections::BTreeMap, fmt};

pub use share::{Part, share, shares};
pub use size::{Change, Reason, State, adapt, after_torn};

use crate::llm::{Params, Request, parse_lenient};

/// Most items in one pack.
pub const ITEMS_MAX: usize = 1_000;
/// Tokens of the answer that an item's id and its brackets take.
const OUTPUT_TOKENS_PER_ITEM: u32 = 40;

/// Requests for single items, joined into one.
///
/// ```
/// # use tidegate::{llm::Request, pack::{Lost, Pack}};
/// let ask = |animal| Request { prompt: format!("Name the young of a {animal}."), ..Request::default() };
/// let (cow, hen) = (ask("cow"), ask("hen"));
/// let pack = Pack::new(&[&cow, &hen], 7)?;
///
/// let [_, second] = pack.ids() else { unreachable!() };
/// let reply = format!(r#"{{"answers": [{{"id": "{second}", "answer": "chick"}}]}}"#);
/// assert_eq!(pack.unpack(&reply), [Err(Lost::Missing), Ok("chick".to_owned())]);
/// # Ok::<(), tidegate::pack::Apart>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Pack {
    request: Request,
    /// In order of the requests.
    ids: Vec<String>,
    /// Answers are text; `false`: JSON of the items' schema.
    is_text: bool,
    /// No answer of these items has a member `answer` of its own.
    may_unwrap: bool,
}

impl Pack {
    /// Joins 2 to [`ITEMS_MAX`] requests, each for one item.
    ///
    /// `seed` chooses the ids and the marks between items; the same requests and seed make the same
    /// pack. Neither an id nor the mark stands in any item's text, so no text can pretend to be
    /// another item or to end before its end.
    ///
    /// `max_output_tokens` becomes that of one item times the items, and 40 tokens for each; all
    /// other parameters stay.
    ///
    /// # Errors
    /// Why they may not travel together.
    pub fn new(requests: &[&Request], seed: u64) -> Result<Self, Apart> {
        let first = fellow(requests)?;
        let texts: Vec<&str> = requests.iter().map(|it| it.prompt.as_str()).collect();
        let mark = codes::mark(&texts, seed);
        let spoken: Vec<&str> = texts
            .iter()
            .copied()
            .chain(first.system.as_deref())
            .collect();
        let ids = codes::ids(texts.len(), &spoken, &mark, seed);
        let schema = schema::of_pack(first.schema.as_ref(), &ids)?;
        let is_text = first.schema.is_none();
        let request = Request {
            system: first.system.clone(),
            prompt: compose::prompt(&texts, &ids, &mark, is_text),
            schema: Some(schema),
            params: params(&first.params, ids.len()),
            embed: None,
        };
        let own = first.schema.as_ref().map(ToString::to_string);
        Ok(Self {
            request,
            ids,
            is_text,
            may_unwrap: !own.is_some_and(|schema| schema.contains(r#""answer""#)),
        })
    }

    /// What is asked for all of them at once.
    pub fn request(&self) -> &Request {
        &self.request
    }

    /// The id of each request, in their order: three upper-case letters and digits, or more.
    pub fn ids(&self) -> &[String] {
        &self.ids
    }

    /// Each request's own answer out of the reply's text, in order of the requests: its JSON text
    /// byte for byte, or for requests without a schema the text itself.
    ///
    /// Read as well: words or a fence around the JSON, the list alone, an object keyed by id, ids in
    /// another case or with white space around them, members nobody asked for, ids nobody knows
    /// (left out), and of a reply that ends too soon all that is whole before its end. An id that
    /// comes twice with different answers is lost, and everything where the JSON is broken in its
    /// middle, since nobody can say then where an answer ends. Time and memory grow with the text's length.
    pub fn unpack(&self, text: &str) -> Vec<Result<String, Lost>> {
        let ids = self.ids.iter().map(String::as_str);
        let places: BTreeMap<&str, usize> = ids.enumerate().map(|(at, id)| (id, at)).collect();
        let answers = read::answers(text, &places, self.may_unwrap);
        answers
            .into_iter()
            .map(|answer| self.own_words(answer?))
            .collect()
    }

    fn own_words(&self, raw: &str) -> Result<String, Lost> {
        if self.is_text {
            parse_lenient(raw.as_bytes()).map_err(|_| Lost::Malformed)
        } else {
            Ok(raw.to_owned())
        }
    }
}

/// The request that stands for all, if they ask in the same way.
fn fellow<'a>(requests: &[&'a Request]) -> Result<&'a Request, Apart> {
    let [first, others @ ..] = requests else {
        return Err(Apart::Few);
    };
    if others.is_empty() {
        return Err(Apart::Few);
    }
    if requests.len() > ITEMS_MAX {
        return Err(Apart::Many);
    }
    if !first.params.stop.is_empty() {
        return Err(Apart::Stop);
    }
    // by text: the order of properties is part of what is asked
    let schema = |request: &Request| request.schema.as_ref().map(ToString::to_string);
    let first_schema = schema(first);
    for other in others {
        if other.system != first.system {
            return Err(Apart::System);
        }
        if other.params != first.params {
            return Err(Apart::Params);
        }
        if schema(other) != first_schema {
            return Err(Apart::Schema);
        }
    }
    Ok(first)
}

fn params(one: &Params, items: usize) -> Params {
    let items = u32::try_from(items).unwrap_or(u32::MAX);
    let all = |tokens: u32| {
        let each = tokens.saturating_add(OUTPUT_TOKENS_PER_ITEM);
        each.saturating_mul(items)
    };
    Params {
        max_output_tokens: one.max_output_tokens.map(all),
        ..one.clone()
    }
}

/// Why requests may not travel together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Apart {
    /// Fewer than two.
    #[error("a pack has at least 2 items")]
    Few,
    /// More than [`ITEMS_MAX`].
    #[error("a pack has at most {ITEMS_MAX} items")]
    Many,
    /// Their instructions differ.
    #[error("the items have different system instructions")]
    System,
    /// Their schemas differ, or the order of properties in them.
    #[error("the items have different schemas")]
    Schema,
    /// Their parameters of generation differ.
    #[error("the items have different parameters")]
    Params,
    /// A stop string would end the answers of all at the first.
    #[error("items with stop strings are asked alone")]
    Stop,
    /// Their schema refers to something in a way that does not hold inside another schema.
    #[error("the schema has {keyword}, which does not hold inside the schema of a pack")]
    Reference {
        /// The keyword: `$id`, `$anchor`, a `$ref` that is no path from the schema's top ...
        keyword: String,
    },
}

/// Why an item has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lost {
    /// No answer has its id.
    Missing,
    /// Two different answers have its id.
    Doubled,
    /// Its answer ends too soon or cannot be told, or the whole reply is no JSON.
    Malformed,
}

impl Lost {
    /// A fixed word for metrics and columns.
    pub fn word(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Doubled => "doubled",
            Self::Malformed => "malformed",
        }
    }
}

impl fmt::Display for Lost {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Missing => "the pack's answer has none for this item",
            Self::Doubled => "the pack's answer has two different ones for this item",
            Self::Malformed => "the pack's answer for this item cannot be read",
        })
    }
}

#[cfg(test)]
#[path = "pack_tests.rs"]
mod tests;
