//! The texts of a question, each once.

use std::collections::HashMap;

use super::{
    EmbedQuestion,
    text::{Reply, Text},
};
use crate::{
    cache,
    definition::estimated_request_tokens,
    llm::{EmbedParams, Request},
};

/// A text that is asked once.
pub(super) struct Distinct {
    pub(super) text: String,
    params: EmbedParams,
    pub(super) key: [u8; 32],
    pub(super) tokens: u32,
}

impl Distinct {
    pub(super) fn text(self, reply: Reply) -> Text {
        Text {
            request: Request {
                prompt: self.text,
                embed: Some(self.params),
                ..Request::default()
            },
            key: self.key,
            tokens: self.tokens,
            replies: vec![reply],
        }
    }
}

/// The texts, each once, and for each text of the question its place among them.
pub(super) fn distinct(question: &EmbedQuestion) -> (Vec<Distinct>, Vec<usize>) {
    let names: Vec<String> = question.models.iter().map(ToString::to_string).collect();
    let family: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut known: HashMap<&str, usize> = HashMap::new();
    let mut all = Vec::new();
    let mut places = Vec::with_capacity(question.texts.len());
    for text in &question.texts {
        let place = *known.entry(text).or_insert_with(|| {
            let request = Request {
                prompt: text.clone(),
                embed: Some(question.params.clone()),
                ..Request::default()
            };
            let key = cache::key(&cache::Parts {
                request: &request,
                cache_version: "1",
                item_version: None,
                family: &family,
            });
            all.push(Distinct {
                tokens: estimated_request_tokens(&request),
                text: request.prompt,
                params: question.params.clone(),
                key,
            });
            all.len() - 1
        });
        places.push(place);
    }
    (all, places)
}
