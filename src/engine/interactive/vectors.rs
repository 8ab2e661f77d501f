//! Texts that somebody waits for as vectors: what is kept is told, equal ones are asked once, the rest goes
//! to where callers gather.

use std::{sync::Arc, time::Duration};

use tokio::sync::oneshot;
use uuid::Uuid;

use super::{
    AskError, Interactive,
    asking::seconds,
    distinct::{Distinct, distinct},
    sort::Sort,
    text::Told,
};
use crate::{
    llm::{EmbedParams, Embedding, Usage},
    model::ModelId,
    plan::Way,
    store::StoreError,
    task::{Purpose, Strategy},
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
    /// How texts are asked: singly, by batch, both, or as it is best.
    pub strategy: Strategy,
    /// What vectors are wanted for: of `auto`, what it makes small.
    pub purpose: Purpose,
    /// All are wanted within so long: of what goes by batch, what is not back in time is asked singly.
    /// `None`: no matter when.
    pub within: Option<Duration>,
    /// How long a single call may wait until it may start, refusals included.
    pub patience: Duration,
    /// How long one call may take.
    pub timeout: Duration,
}

/// The vectors.
#[derive(Clone, Debug, PartialEq)]
pub struct EmbedTold {
    /// One for each text, in the order of the texts.
    pub vectors: Vec<VectorTold>,
    /// How those were asked for that were not kept. `None`: all were.
    pub how: Option<HowAsked>,
}

/// How texts were asked for, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HowAsked {
    /// The way that was gone.
    pub strategy: Way,
    /// Why, in one line.
    pub reason: String,
    /// Texts that calls answered.
    pub singly: usize,
    /// Texts that a batch answered.
    pub by_batch: usize,
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
    /// Its task. `None`: the cache answered before one was made.
    pub task: Option<Uuid>,
}

impl EmbedTold {
    /// Micro-dollars of all that was asked, as far as prices are known.
    pub fn cost_microusd(&self) -> i64 {
        self.vectors.iter().filter_map(|it| it.cost_microusd).sum()
    }
}

impl Interactive {
    /// Makes a vector of each text: singly (by as few calls as it takes, several side by side), by the
    /// provider's Batch API, or both, as `plan::decide` says or the question does. Each text is a task of its
    /// own, with its own place in the cache and the ledger; equal texts are one. Callers who come at the
    /// same time share calls (see [`EmbedSettings`](super::EmbedSettings)). What goes by batch is there
    /// whoever dies: any process of the fleet takes it further, and this one does until all is answered.
    ///
    /// # Errors
    /// [`AskError`] of the first text without a vector. What the others brought is kept, so that asking
    /// again costs only the rest.
    ///
    /// # Cancel safety
    /// What is under way is answered and kept, by batch too; texts that were not asked yet are not asked.
    pub async fn embed(&self, question: &EmbedQuestion) -> Result<EmbedTold, AskError> {
        check(question)?;
        let sort = Arc::new(Sort::of(question));
        let coming = self.vectors.announced(&sort);
        let (distinct, places) = distinct(question);
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
        let asked = distinct.into_iter().enumerate();
        let mut asked: Vec<(usize, Distinct)> =
            asked.filter(|(at, _)| told[*at].is_none()).collect();
        let mut choice = self.chosen(question, &sort, &asked).await?;
        let listed = asked.split_off(choice.singles.min(asked.len()));
        let (mut waited_for, mut texts) = (Vec::new(), Vec::new());
        for (at, text) in asked {
            let (reply, heard) = oneshot::channel();
            texts.push(text.text(reply));
            waited_for.push((at, heard));
        }
        self.vectors.join(coming, texts);
        let singly = waited_for.len();
        let (heard, listed) = tokio::join!(
            heard(waited_for),
            self.listed(question, &mut choice, listed)
        );
        let mut failed: Option<(usize, Arc<AskError>)> = None;
        for (at, came) in heard?.into_iter().chain(listed?) {
            match came {
                Ok(vector) => told[at] = Some(vector),
                // the first of the list, whatever way it went
                Err(error) if failed.as_ref().is_none_or(|(first, _)| at < *first) => {
                    failed = Some((at, error));
                }
                Err(_) => {}
            }
        }
        if let Some((at, error)) = failed {
            let first = places.iter().position(|place| *place == at);
            return Err(error.again(first.filter(|_| places.len() > 1)));
        }
        Ok(EmbedTold {
            vectors: in_order(&told, places)?,
            how: choice.told(singly),
        })
    }
}

/// What came of texts that were asked singly.
async fn heard(
    waited_for: Vec<(usize, oneshot::Receiver<Told>)>,
) -> Result<Vec<(usize, Told)>, AskError> {
    let mut all = Vec::with_capacity(waited_for.len());
    for (at, heard) in waited_for {
        let told = heard.await;
        all.push((at, told.map_err(|_| AskError::Store(StoreError::Broken))?));
    }
    Ok(all)
}

/// One vector for each text of the question. Of equal texts the first bears the cost.
fn in_order(told: &[Option<VectorTold>], places: Vec<usize>) -> Result<Vec<VectorTold>, AskError> {
    let mut vectors: Vec<VectorTold> = Vec::with_capacity(places.len());
    let mut first_of = vec![true; told.len()];
    for place in places {
        let vector = told[place].clone();
        let vector = vector.ok_or(AskError::Store(StoreError::Broken))?;
        vectors.push(match std::mem::take(&mut first_of[place]) {
            true => vector,
            false => VectorTold {
                usage: None,
                cost_microusd: None,
                ..vector
            },
        });
    }
    Ok(vectors)
}

fn check(question: &EmbedQuestion) -> Result<(), AskError> {
    if question.models.is_empty() {
        return Err(AskError::Input("no model is named".to_owned()));
    }
    let of_two = |it: &ModelId| it.wire_name() != question.models[0].wire_name();
    if question.params.dimensions.is_none() && question.models.iter().any(of_two) {
        return Err(AskError::Input(
            "vectors of two models may be of two lengths, which cannot be compared: say how long they are to be"
                .to_owned(),
        ));
    }
    match question.texts.iter().position(|it| it.trim().is_empty()) {
        None => Ok(()),
        Some(at) => Err(AskError::Input(format!(
            "text {} is empty, and an empty text has no vector",
            at + 1
        ))),
    }
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
