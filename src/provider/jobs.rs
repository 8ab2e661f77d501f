//! What holds of the batches of any vendor: bounds of its exchanges, tokens, lists in pages, and what the
//! failure of one item may never do.

use std::{collections::HashSet, time::Duration};

use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::CallLimits;
use crate::llm::{
    BatchDraft, CallError, EmbedParams, EmbedRequest, RemoteBatch, TOKEN_PREFIX, parse_lenient,
};

/// Most entries read of a list.
const ENTRIES_MAX: usize = 5_000;
/// Most pages read of a list. One that goes on and on is none.
const PAGES_MAX: usize = 500;

/// For an exchange about a batch or a file. A page of a list may be large where somebody else's batches
/// hold their answers in it.
pub(super) fn small() -> CallLimits {
    CallLimits {
        timeout: Duration::from_secs(60),
        idle: Duration::from_secs(30),
        max_body_bytes: 64 << 20,
    }
}

/// For a file, up or down: as long as it moves.
pub(super) fn freight() -> CallLimits {
    CallLimits {
        timeout: Duration::from_secs(3_600),
        idle: Duration::from_secs(60),
        // a flow may be 32 times as large: 8 GiB
        max_body_bytes: 256 << 20,
    }
}

/// The token, if this is one of ours and nothing else.
pub(super) fn token(text: &str) -> Option<String> {
    let digits = text.strip_prefix(TOKEN_PREFIX)?;
    let hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    (digits.len() == 32 && digits.bytes().all(hex)).then(|| text.to_owned())
}

/// The request that a batch's item for a vector stands for, as far as its answer is read by it.
pub(super) fn one_vector(params: &EmbedParams) -> EmbedRequest {
    EmbedRequest {
        texts: vec![String::new()],
        task_type: params.task_type,
        dimensions: params.dimensions,
    }
}

/// An item's failure. Whatever it says of key, money, model or limits was true of its batch some time
/// ago: it is the item's alone, and neither closes nor parks anything. What it asks to wait is over.
pub(super) fn of_item(status: u16, error: CallError) -> CallError {
    match error {
        // the key was at fault, and not the item
        CallError::KeyRefused { message } if status == 401 => failed(status, message),
        CallError::KeyRefused { message } | CallError::ModelGone { message } => {
            CallError::Rejected { status, message }
        }
        CallError::NoMoney { message }
        | CallError::RateLimited { message, .. }
        | CallError::Overloaded { message, .. }
        | CallError::Failed { message, .. } => failed(status, message),
        other => other,
    }
}

pub(super) fn failed(status: u16, message: String) -> CallError {
    CallError::Failed {
        status,
        retry_after: None,
        message,
    }
}

/// An answer's shape is wrong, or it does not say what it must.
pub(super) fn damaged(message: &str) -> CallError {
    CallError::Damaged {
        message: message.to_owned(),
        usage: None,
    }
}

/// The failure of a create: what was answered and cannot be understood may have created.
pub(super) fn of_create(error: CallError) -> CallError {
    match error {
        CallError::Damaged { message, .. } => CallError::Unknown { message },
        other => other,
    }
}

/// The batch that a create told of, with what was asked for where the provider does not repeat it.
pub(super) fn created(batch: RemoteBatch, draft: &BatchDraft<'_>) -> RemoteBatch {
    RemoteBatch {
        token: batch.token.or_else(|| token(draft.token)),
        input_file: batch.input_file.or_else(|| Some(draft.file.to_owned())),
        ..batch
    }
}

/// The entries of a page. What cannot be read is somebody else's, and hides nothing; but one that has a
/// token of ours in it is not left out, or its work would be submitted again.
pub(super) fn entries<T: DeserializeOwned>(
    told: Option<Vec<Box<RawValue>>>,
) -> Result<Vec<T>, CallError> {
    let mut read = Vec::new();
    for entry in told.into_iter().flatten() {
        match parse_lenient(entry.get().as_bytes()) {
            Ok(entry) => read.push(entry),
            Err(_) if entry.get().contains(TOKEN_PREFIX) => {
                return Err(damaged("an entry of ours that cannot be read"));
            }
            Err(_) => {}
        }
    }
    Ok(read)
}

/// A list that comes in pages.
pub(super) struct Pages<T> {
    all: Vec<T>,
    next: Option<String>,
    read: usize,
}

impl<T> Pages<T> {
    pub(super) fn new() -> Self {
        Self {
            all: Vec::new(),
            next: None,
            read: 0,
        }
    }

    /// What asks for the page that is next; `None`: the first.
    pub(super) fn next(&self) -> Option<&str> {
        self.next.as_deref()
    }

    /// Takes a page, and says whether there is more to read.
    pub(super) fn add(
        &mut self,
        page: impl IntoIterator<Item = T>,
        next: Option<String>,
    ) -> Result<bool, CallError> {
        self.all.extend(page);
        self.read += 1;
        let next = next.filter(|it| !it.is_empty());
        if self.all.len() >= ENTRIES_MAX || next.is_none() {
            return Ok(false);
        }
        if self.read >= PAGES_MAX || next == self.next {
            return Err(damaged("a list whose pages do not end"));
        }
        self.next = next;
        Ok(true)
    }

    /// All entries, each once: what is new while pages are read pushes others onto the next page.
    pub(super) fn once_each(mut self, id: impl Fn(&T) -> &str) -> Vec<T> {
        self.all.truncate(ENTRIES_MAX);
        let mut seen = HashSet::new();
        self.all.retain(|it| seen.insert(id(it).to_owned()));
        self.all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_token_is_one_of_ours() {
        let ours = format!("{TOKEN_PREFIX}{}", "0f".repeat(16));
        assert_eq!(token(&ours), Some(ours.clone()));
        for other in [
            "",
            "tide-",
            &ours[..36],
            &format!("{ours}0"),
            &format!("x{ours}"),
            &ours.to_uppercase(),
            &ours.replace('f', "g"),
        ] {
            assert_eq!(token(other), None, "{other}");
        }
    }

    #[test]
    fn one_items_failure_parks_and_closes_nothing() {
        let message = || "m".to_owned();
        for error in [
            CallError::KeyRefused { message: message() },
            CallError::ModelGone { message: message() },
            CallError::NoMoney { message: message() },
            CallError::RateLimited {
                quotas: Vec::new(),
                retry_after: Some(Duration::from_secs(9)),
                message: message(),
            },
        ] {
            for status in [401, 402, 403, 404, 429] {
                let verdict = of_item(status, error.clone()).verdict();
                let of_one = [
                    crate::llm::Verdict::Retry { after: None },
                    crate::llm::Verdict::GiveUp,
                ];
                assert!(of_one.contains(&verdict), "{error:?}: {verdict:?}");
            }
        }
    }

    #[test]
    fn an_entry_that_cannot_be_read_is_left_out_unless_it_is_ours() {
        let page = |text: &str| entries::<u32>(serde_json::from_str(text).unwrap());
        assert_eq!(page(r#"[1, {"a": 2}, 3]"#), Ok(vec![1, 3]));
        assert_eq!(page("null"), Ok(vec![]));
        assert!(page(r#"[1, {"a": "tide-2"}, 3]"#).is_err());
    }

    #[test]
    fn pages_end_and_an_entry_is_listed_once() {
        let mut pages = Pages::new();
        let next = |it: &str| Some(it.to_owned());
        assert_eq!(pages.add(["a", "b"], next("2")), Ok(true));
        assert_eq!(pages.next(), Some("2"));
        assert_eq!(pages.add(["b", "c"], next("")), Ok(false));
        assert_eq!(pages.once_each(|it| it), ["a", "b", "c"]);

        let mut stuck = Pages::new();
        assert_eq!(stuck.add(["a"], next("2")), Ok(true));
        assert!(stuck.add(["a"], next("2")).is_err());

        let mut long = Pages::new();
        let many = vec!["a"; ENTRIES_MAX + 1];
        assert_eq!(long.add(many, next("2")), Ok(false));
    }
}
