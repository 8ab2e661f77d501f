//! Texts that somebody waits for as vectors: what is kept is told, equal ones are asked once, the rest goes
//! to where callers gather.

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::sync::oneshot;
use uuid::Uuid;

use super::{
    AskError, Interactive,
    asking::seconds,
    sort::Sort,
    text::{Reply, Text},
};
use crate::{
    cache,
    definition::estimated_request_tokens,
    llm::{EmbedParams, Embedding, Request, Usage},
    model::ModelId,
    store::StoreError,
};

/// Texts of which each is to become a vector, and of whom.
#[derive(Clone, Debug, PartialEq)]
pub struct EmbedQuestion {
    /// The models, the first choice first. Vectors of two models cannot be compared: a second one should
    /// be the same model under another key.
    pub models: Vec<ModelId>,
    /// The texts, in order; none empty. Any number: calls take as many as they take (100 of Gemini).
    pub texts: Vec<String>,
    /// What is asked of the vectors.
    pub params: EmbedParams,
    /// How old a kept vector may be that is taken instead of a call. `None`: models are asked, and what
    /// they answer is not kept.
    pub cache: Option<Duration>,
    /// How long a call may wait until it may start, refusals included.
    pub patience: Duration,
    /// How long one call may take.
    pub timeout: Duration,
}

/// The vectors.
#[derive(Clone, Debug, PartialEq)]
pub struct EmbedTold {
    /// One for each text, in the order of the texts.
    pub vectors: Vec<VectorTold>,
}

/// One vector, and where it came from.
#[derive(Clone, Debug, PartialEq)]
pub struct VectorTold {
    /// The vector.
    pub vector: Embedding,
    /// The model that made it.
    pub model: String,
    /// That model as its provider names it.
    pub model_version: Option<String>,
    /// Its share of the call's tokens, where the provider counted them. `None` too where nothing was
    /// asked for it: it was kept, or an equal text stands before it.
    pub usage: Option<Usage>,
    /// Its share of the call's cost in micro-dollars. `None`: nothing was asked for it, or the price is
    /// not known.
    pub cost_microusd: Option<i64>,
    /// It was kept already: no call was made for it.
    pub cached: bool,
    /// How long limits, cooldowns and retries were waited for.
    pub waited: Duration,
    /// From sending to the last byte, of the call that brought it.
    pub latency: Duration,
    /// Its task. `None`: the cache answered.
    pub task: Option<Uuid>,
}

impl EmbedTold {
    /// Micro-dollars of all that was asked, as far as prices are known.
    pub fn cost_microusd(&self) -> i64 {
        self.vectors.iter().filter_map(|it| it.cost_microusd).sum()
    }
}

impl Interactive {
    /// Makes a vector of each text, by as few calls as it takes; several calls go side by side. Each text
    /// is a task of its own, with its own place in the cache and the ledger; equal texts are one. Callers
    /// who come at the same time share calls (see [`EmbedSettings`](super::EmbedSettings)).
    ///
    /// # Errors
    /// [`AskError`] of the first text without a vector. What the others brought is kept, so that asking
    /// again costs only the rest.
    ///
    /// # Cancel safety
    /// What is under way is answered and kept; texts that were not asked yet are not asked.
    pub async fn embed(&self, question: &EmbedQuestion) -> Result<EmbedTold, AskError> {
        check(question)?;
        let sort = Arc::new(Sort::of(question));
        let coming = self.vectors.announced(&sort);
        let (mut distinct, places) = distinct(question);
        let mut told: Vec<Option<VectorTold>> = vec![None; distinct.len()];
        if let Some(age) = question.cache {
            let keys: Vec<Vec<u8>> = distinct.iter().map(|it| it.key.to_vec()).collect();
            let store = &self.desk.shared.store;
            for (at, hit) in store
                .kept_answers(&keys, seconds(age), super::EMBED_WORKER)
                .await?
            {
                if let Some(place) = told.get_mut(at) {
                    *place = kept(hit.answer, hit.model, hit.model_version);
                }
            }
        }
        let mut waited_for = Vec::new();
        let mut texts = Vec::new();
        for (at, asked) in distinct.drain(..).enumerate() {
            if told[at].is_none() {
                let (reply, heard) = oneshot::channel();
                texts.push(asked.text(reply));
                waited_for.push((at, heard));
            }
        }
        self.vectors.join(coming, texts);
        let mut failed: Option<(usize, Arc<AskError>)> = None;
        for (at, heard) in waited_for {
            match heard.await {
                Ok(Ok(vector)) => told[at] = Some(vector),
                Ok(Err(error)) => drop(failed.get_or_insert((at, error))),
                Err(_) => return Err(AskError::Store(StoreError::Broken)),
            }
        }
        if let Some((at, error)) = failed {
            let first = places.iter().position(|place| *place == at);
            return Err(error.again(first.filter(|_| places.len() > 1)));
        }
        let mut vectors: Vec<VectorTold> = Vec::with_capacity(places.len());
        let mut first_of = vec![true; told.len()];
        for place in places {
            let vector = told[place].clone();
            let vector = vector.ok_or(AskError::Store(StoreError::Broken))?;
            vectors.push(match std::mem::take(&mut first_of[place]) {
                true => vector,
                // an equal text stands before it, and bears the cost
                false => VectorTold {
                    usage: None,
                    cost_microusd: None,
                    ..vector
                },
            });
        }
        Ok(EmbedTold { vectors })
    }
}

fn check(question: &EmbedQuestion) -> Result<(), AskError> {
    if question.models.is_empty() {
        return Err(AskError::Input("no model is named".to_owned()));
    }
    match question.texts.iter().position(|it| it.trim().is_empty()) {
        None => Ok(()),
        Some(at) => Err(AskError::Input(format!(
            "text {} is empty, and an empty text has no vector",
            at + 1
        ))),
    }
}

/// A text that is asked once.
struct Distinct {
    text: String,
    params: EmbedParams,
    key: [u8; 32],
    tokens: u32,
}

impl Distinct {
    fn text(self, reply: Reply) -> Text {
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
fn distinct(question: &EmbedQuestion) -> (Vec<Distinct>, Vec<usize>) {
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

/// A kept vector; `None`: what is kept is none, so it is asked for again.
fn kept(answer: String, model: String, model_version: Option<String>) -> Option<VectorTold> {
    Some(VectorTold {
        vector: Embedding::of_answer(&answer).ok()?,
        model,
        model_version,
        usage: None,
        cost_microusd: None,
        cached: true,
        waited: Duration::ZERO,
        latency: Duration::ZERO,
        task: None,
    })
}
