//! What holds of the vectors of any vendor.

use crate::llm::{CallError, EmbedReply, EmbedRequest, Embedding, Usage};

/// Whether the request may be sent at all; `most` texts fit into a call.
///
/// Fails with `Rejected` before anything is sent.
pub(super) fn may_send(request: &EmbedRequest, most: usize) -> Result<(), CallError> {
    let count = request.texts.len();
    let message = match count {
        0 => "there is no text to embed".to_owned(),
        _ if count > most => format!("{count} texts in one call, and at most {most} fit"),
        _ if request.dimensions == Some(0) => "a vector has at least one dimension".to_owned(),
        _ => return Ok(()),
    };
    Err(CallError::Rejected {
        status: 400,
        message: format!("{message} (nothing was sent)"),
    })
}

/// The reply, if there is one vector for each text, all of the length asked for and of numbers only.
pub(super) fn reply(
    vectors: Vec<Vec<f32>>,
    request: &EmbedRequest,
    usage: Option<Usage>,
    model_version: Option<String>,
) -> Result<EmbedReply, CallError> {
    let damaged = |message| Err(CallError::Damaged { message, usage });
    if vectors.len() != request.texts.len() {
        let (came, sent) = (vectors.len(), request.texts.len());
        return damaged(format!("{came} vectors for {sent} texts"));
    }
    let asked = request.dimensions.and_then(|it| usize::try_from(it).ok());
    let length = asked.or(vectors.first().map(Vec::len)).unwrap_or(0);
    for (at, vector) in vectors.iter().enumerate() {
        if vector.is_empty() {
            return damaged(format!("vector {at} is empty"));
        }
        if vector.len() != length {
            let own = vector.len();
            return damaged(format!("vector {at} has {own} dimensions and not {length}"));
        }
        if !vector.iter().all(|value| value.is_finite()) {
            return damaged(format!("vector {at} holds what is no number"));
        }
    }
    let embeddings = vectors.into_iter().map(|values| Embedding { values });
    Ok(EmbedReply {
        embeddings: embeddings.collect(),
        usage,
        model_version,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(texts: usize, dimensions: Option<u32>) -> EmbedRequest {
        EmbedRequest {
            texts: vec!["t".to_owned(); texts],
            task_type: None,
            dimensions,
        }
    }

    #[test]
    fn only_a_whole_answer_is_a_reply() {
        let good = vec![vec![0.5, -1.0], vec![0.0, 2.0]];
        let read = |vectors, dimensions| reply(vectors, &request(2, dimensions), None, None);
        assert_eq!(read(good.clone(), Some(2)).unwrap().embeddings.len(), 2);
        assert!(read(good.clone(), None).is_ok());
        for (vectors, dimensions, says) in [
            (good.clone(), Some(3), "not 3"),
            (good[..1].to_vec(), None, "1 vectors for 2 texts"),
            (vec![vec![], vec![]], None, "empty"),
            (vec![vec![1.0], vec![1.0, 2.0]], None, "not 1"),
            (vec![vec![1.0], vec![f32::NAN]], None, "no number"),
            (vec![vec![f32::INFINITY], vec![1.0]], None, "no number"),
        ] {
            let error = read(vectors, dimensions).unwrap_err();
            assert!(matches!(error, CallError::Damaged { .. }), "{error:?}");
            assert!(error.to_string().contains(says), "{error}");
        }
    }

    #[test]
    fn what_cannot_fit_is_not_sent() {
        assert_eq!(may_send(&request(100, Some(1)), 100), Ok(()));
        for odd in [request(0, None), request(101, None), request(1, Some(0))] {
            let error = may_send(&odd, 100).unwrap_err();
            assert!(matches!(error, CallError::Rejected { .. }), "{error:?}");
        }
    }
}
