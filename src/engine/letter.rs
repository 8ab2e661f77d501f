//! What is sent for the tasks of one call, and each one's own answer out of what comes back: a prompt, a
//! pack of prompts, or texts that are to become vectors.

use crate::{
    llm::{EmbedParams, EmbedReply, EmbedRequest, Exchange, Reply, Request, Usage},
    pack::Pack,
    provider::{CallLimits, Provider},
};

/// What is sent.
pub(super) enum Letter<'a> {
    /// One task's request.
    One(&'a Request),
    /// Several in one.
    Pack(Box<Pack>),
    /// Texts, and what is kept with each one's vector.
    Vectors(EmbedRequest, Vec<&'a EmbedParams>),
}

/// What came of it.
pub(super) struct Came {
    /// Each task's own, in their order; or why it was lost.
    pub(super) texts: Vec<Result<String, String>>,
    /// What the call used.
    pub(super) usage: Option<Usage>,
    model_version: Option<String>,
    response_id: Option<String>,
}

impl<'a> Letter<'a> {
    /// For these requests, of which there is one at least; `seed` chooses the ids of a pack.
    ///
    /// # Errors
    /// Why the requests cannot travel together.
    pub(super) fn of(requests: &[&'a Request], seed: u64) -> Result<Self, String> {
        let [first, others @ ..] = requests else {
            return Err("nothing is asked".to_owned());
        };
        let Some(embed) = &first.embed else {
            return match others {
                [] => Ok(Self::One(first)),
                _ => Pack::new(requests, seed)
                    .map(|pack| Self::Pack(Box::new(pack)))
                    .map_err(|apart| apart.to_string()),
            };
        };
        let params: Vec<&EmbedParams> = requests
            .iter()
            .filter_map(|it| it.embed.as_ref())
            .filter(|other| embed.goes_with(other))
            .collect();
        if params.len() != requests.len() {
            return Err("not all ask for vectors of one sort".to_owned());
        }
        let texts = requests.iter().map(|it| it.prompt.clone()).collect();
        let request = EmbedRequest {
            texts,
            task_type: embed.task_type,
            dimensions: embed.dimensions,
        };
        Ok(Self::Vectors(request, params))
    }

    /// Sends it once.
    pub(super) async fn send(
        &self,
        provider: &dyn Provider,
        wire_name: &str,
        limits: &CallLimits,
    ) -> Exchange<Came> {
        match self {
            Self::One(request) => {
                let exchange = provider.generate(wire_name, request, limits).await;
                exchanged(exchange, |reply| {
                    Came::of(vec![Ok(reply.text.clone())], reply)
                })
            }
            Self::Pack(pack) => {
                let exchange = provider.generate(wire_name, pack.request(), limits).await;
                exchanged(exchange, |reply| {
                    let texts = pack.unpack(&reply.text).into_iter();
                    Came::of(
                        texts
                            .map(|it| it.map_err(|lost| lost.to_string()))
                            .collect(),
                        reply,
                    )
                })
            }
            Self::Vectors(request, params) => {
                let exchange = provider.embed(wire_name, request, limits).await;
                exchanged(exchange, |reply| Came::of_vectors(&reply, params))
            }
        }
    }
}

/// Whether two requests may be of one call at all.
pub(super) fn are_alike(one: &Request, other: &Request) -> bool {
    match (&one.embed, &other.embed) {
        (None, None) => true,
        (Some(one), Some(other)) => one.goes_with(other),
        _ => false,
    }
}

impl Came {
    fn of(texts: Vec<Result<String, String>>, reply: Reply) -> Self {
        Self {
            texts,
            usage: reply.usage,
            model_version: reply.model_version,
            response_id: reply.response_id,
        }
    }

    fn of_vectors(reply: &EmbedReply, params: &[&EmbedParams]) -> Self {
        let vectors = reply.embeddings.iter().zip(params);
        Self {
            texts: vectors
                .map(|(vector, asked)| Ok(vector.answer(asked)))
                .collect(),
            usage: reply.usage,
            model_version: reply.model_version.clone(),
            response_id: None,
        }
    }

    /// A task's own part of it as a reply.
    pub(super) fn reply(&self, text: String, usage: Option<Usage>) -> Reply {
        Reply {
            text,
            usage,
            model_version: self.model_version.clone(),
            response_id: self.response_id.clone(),
        }
    }

    /// How long each one's answer is, in bytes; 0: it was lost.
    pub(super) fn lengths(&self) -> Vec<u64> {
        let length = |text: &Result<String, String>| text.as_ref().map_or(0, |it| it.len() as u64);
        self.texts.iter().map(length).collect()
    }
}

fn exchanged<T>(exchange: Exchange<T>, came: impl FnOnce(T) -> Came) -> Exchange<Came> {
    Exchange {
        answer: exchange.answer.map(came),
        notices: exchange.notices,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::llm::TaskType;

    fn text(prompt: &str, embed: Option<EmbedParams>) -> Request {
        Request {
            prompt: prompt.to_owned(),
            embed,
            ..Request::default()
        }
    }

    #[test]
    fn vectors_of_two_sorts_never_share_a_call() {
        let of = |task_type, dimensions, tag: Option<&str>| EmbedParams {
            task_type,
            dimensions,
            tag: tag.map(str::to_owned),
        };
        let one = text("a", Some(of(None, Some(8), None)));
        let tagged = text("b", Some(of(None, Some(8), Some("t"))));
        let letter = Letter::of(&[&one, &tagged], 1);
        assert!(matches!(letter, Ok(Letter::Vectors(request, _)) if request.texts == ["a", "b"]));
        for other in [
            text("b", None),
            text("b", Some(of(None, Some(9), None))),
            text("b", Some(of(Some(TaskType::Clustering), Some(8), None))),
        ] {
            assert!(Letter::of(&[&one, &other], 1).is_err());
            assert!(!are_alike(&one, &other) && !are_alike(&other, &one));
        }
    }
}
