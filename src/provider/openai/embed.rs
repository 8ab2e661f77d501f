//! OpenAI's embeddings. There are no task types: what a vector is for is not told.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::Value;

use super::{
    map::{Dialect, Spoiled, unreadable, usage},
    wire,
};
use crate::{
    llm::{CallError, EmbedReply, EmbedRequest, parse_lenient},
    provider::{
        vectors,
        words::{self, Veil},
    },
};

/// Most texts in one call.
pub(super) const AT_ONCE: usize = 2048;

/// The body that asks for these texts. Base64 is a quarter of the size and exact, and all that is
/// answered is understood either way; copies are asked for what all of them know.
pub(super) fn ask<'a>(
    wire_name: &'a str,
    request: &'a EmbedRequest,
    dialect: Dialect,
) -> wire::EmbedAsk<'a> {
    ask_for(wire_name, &request.texts, request.dimensions, dialect)
}

/// The body that asks for the vectors of these texts.
pub(super) fn ask_for<'a>(
    wire_name: &'a str,
    texts: &'a [String],
    dimensions: Option<u32>,
    dialect: Dialect,
) -> wire::EmbedAsk<'a> {
    wire::EmbedAsk {
        model: wire_name,
        input: texts,
        dimensions,
        encoding_format: match dialect {
            Dialect::Original => "base64",
            Dialect::Copy => "float",
        },
    }
}

/// The vectors in the body of a 200, or what is wrong with it.
pub(super) fn reply(
    body: &[u8],
    request: &EmbedRequest,
    veil: &Veil<'_>,
) -> Result<EmbedReply, Spoiled> {
    let Ok(told) = parse_lenient::<wire::EmbedTold>(body) else {
        return Err(unreadable(body, veil));
    };
    let is_error = told.error.as_ref().is_some_and(|error| !error.is_null());
    let Some(data) = told.data.filter(|_| !is_error) else {
        return Err(unreadable(body, veil));
    };
    let usage = told.usage.as_deref().and_then(usage);
    let named = told
        .model
        .as_ref()
        .and_then(Value::as_str)
        .map(words::plain);
    let damaged = |message: &str| {
        Spoiled::Answer(CallError::Damaged {
            message: message.to_owned(),
            usage,
        })
    };
    let data = in_order(data).ok_or_else(|| damaged("an index is missing, or there twice"))?;
    let mut vectors = Vec::with_capacity(data.len());
    for one in data {
        let vector = one.embedding.and_then(vector);
        vectors.push(vector.ok_or_else(|| damaged("a vector that is none"))?);
    }
    vectors::reply(vectors, request, usage, named).map_err(Spoiled::Answer)
}

/// By index; where none has an index, as they came.
fn in_order(mut data: Vec<wire::ToldVector>) -> Option<Vec<wire::ToldVector>> {
    if data.iter().all(|one| one.index.is_none()) {
        return Some(data);
    }
    data.sort_by_key(|one| one.index);
    let mut places = (0..).zip(&data);
    places
        .all(|(at, one)| one.index == Some(at))
        .then_some(data)
}

/// The numbers, from a list or from base64 of four bytes each, the lowest first.
fn vector(told: wire::Numbers) -> Option<Vec<f32>> {
    let text = match told {
        wire::Numbers::List(values) => return Some(values),
        wire::Numbers::Text(text) => text,
    };
    let bytes = STANDARD.decode(text).ok()?;
    let (numbers, rest) = bytes.as_chunks::<4>();
    let values = numbers.iter().map(|bytes| f32::from_le_bytes(*bytes));
    rest.is_empty().then(|| values.collect())
}

#[cfg(test)]
mod tests {
    use secrecy::SecretString;
    use serde_json::json;

    use super::*;

    fn request() -> EmbedRequest {
        EmbedRequest {
            texts: vec!["a".to_owned(), "b".to_owned()],
            task_type: Some(crate::llm::TaskType::Clustering),
            dimensions: Some(2),
        }
    }

    fn read(data: &Value) -> Result<EmbedReply, Spoiled> {
        let key = SecretString::from("a-long-key");
        let body = json!({"object": "list", "data": data, "model": "m",
            "usage": {"prompt_tokens": 2, "total_tokens": 2}});
        reply(body.to_string().as_bytes(), &request(), &Veil::new(&key))
    }

    #[test]
    fn copies_are_asked_for_numbers_and_nobody_for_a_task() {
        let copy = serde_json::to_value(ask("m", &request(), Dialect::Copy)).unwrap();
        assert_eq!(
            copy,
            json!({"model": "m", "input": ["a", "b"], "dimensions": 2, "encoding_format": "float"})
        );
        let original = serde_json::to_value(ask("m", &request(), Dialect::Original)).unwrap();
        assert_eq!(original["encoding_format"], "base64");
    }

    #[test]
    fn vectors_are_put_in_order_and_base64_is_read() {
        let one = json!({"index": 1, "embedding": [3.0, 4.5]});
        // 1.0 and -2.0
        let two = json!({"index": 0, "embedding": "AACAPwAAAMA="});
        let reply = read(&json!([one, two])).unwrap();
        let values: Vec<_> = reply.embeddings.into_iter().map(|it| it.values).collect();
        assert_eq!(values, [[1.0, -2.0], [3.0, 4.5]]);
        assert_eq!(reply.usage.unwrap().input_tokens, 2);
        assert_eq!(reply.model_version.as_deref(), Some("m"));
        let bare = json!([{"embedding": [1, 2]}, {"embedding": [3, 4]}]);
        assert_eq!(read(&bare).unwrap().embeddings[1].values, [3.0, 4.0]);
    }

    #[test]
    fn what_is_no_whole_list_of_vectors_is_damaged() {
        let one = json!({"index": 0, "embedding": [1, 2]});
        let with = |other: Value| json!([one, other]);
        for data in [
            json!([]),
            json!([one]),
            json!(null),
            json!({}),
            with(json!({"embedding": [1, 2]})),
            with(json!({"index": 0, "embedding": [1, 2]})),
            with(json!({"index": 2, "embedding": [1, 2]})),
            with(json!({"index": 1, "embedding": []})),
            with(json!({"index": 1, "embedding": [1, 2, 3]})),
            with(json!({"index": 1, "embedding": [1, null]})),
            with(json!({"index": 1, "embedding": [1, 1e300]})),
            with(json!({"index": 1})),
            with(json!({"index": 1, "embedding": "AACAPw=="})),
            with(json!({"index": 1, "embedding": "AACAPwA"})),
            // not a number
            with(json!({"index": 1, "embedding": "AACAPwAAwH8="})),
        ] {
            let spoiled = read(&data).unwrap_err();
            assert!(
                matches!(&spoiled, Spoiled::Answer(CallError::Damaged { .. })),
                "{data}: {spoiled:?}"
            );
        }
    }
}
