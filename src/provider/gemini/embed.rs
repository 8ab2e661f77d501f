//! Gemini's embeddings: `embedContent` for one text, `batchEmbedContents` for several.

use serde_json::Value;

use super::{
    batch_wire::EmbedLine,
    map::{unreadable, usage},
    wire::{self, Content, Part},
};
use crate::{
    llm::{CallError, EmbedParams, EmbedReply, EmbedRequest, TaskType, parse_lenient},
    provider::{vectors, words::Veil},
};

/// Most requests in one `batchEmbedContents`.
pub(super) const AT_ONCE: usize = 100;

/// The method that is called, and its body.
pub(super) enum Ask<'a> {
    One(wire::EmbedAsk<'a>),
    Several(wire::EmbedAsks<'a>),
}

/// What asks for these texts. `model` is the model's whole name, `models/...`.
pub(super) fn ask<'a>(model: &'a str, request: &'a EmbedRequest) -> Ask<'a> {
    let one = |text: &'a String| wire::EmbedAsk {
        model,
        content: content(text),
        task_type: request.task_type.map(task_word),
        output_dimensionality: request.dimensions,
    };
    match request.texts.as_slice() {
        [text] => Ask::One(one(text)),
        texts => Ask::Several(wire::EmbedAsks {
            requests: texts.iter().map(one).collect(),
        }),
    }
}

/// What asks for the vector of this text as an item of a batch, which names the model itself.
pub(super) fn ask_in_batch<'a>(text: &'a str, params: &EmbedParams) -> EmbedLine<'a> {
    EmbedLine {
        content: content(text),
        task_type: params.task_type.map(task_word),
        output_dimensionality: params.dimensions,
    }
}

fn content(text: &str) -> Content<'_> {
    Content {
        role: None,
        parts: [Part { text }],
    }
}

fn task_word(task: TaskType) -> String {
    task.as_str().to_ascii_uppercase()
}

/// The vectors in the body of a 200, or what is wrong with it.
pub(super) fn reply(
    body: &[u8],
    request: &EmbedRequest,
    veil: &Veil<'_>,
) -> Result<EmbedReply, CallError> {
    let told = parse_lenient::<wire::EmbedTold>(body).ok();
    let Some(told) = told.filter(|it| it.embedding.is_some() || it.embeddings.is_some()) else {
        return Err(misshapen(body, veil));
    };
    let usage = told.usage_metadata.as_deref().and_then(usage);
    let listed = told.embeddings.unwrap_or_default();
    let all = told.embedding.into_iter().chain(listed);
    let vectors = all.map(|one| one.values.unwrap_or_default()).collect();
    vectors::reply(vectors, request, usage, None)
}

/// JSON of the right keys may hold a vector with what is no number; its words would quote it.
fn misshapen(body: &[u8], veil: &Veil<'_>) -> CallError {
    let keys = ["embedding", "embeddings"];
    match parse_lenient::<Value>(body) {
        Ok(value) if keys.iter().any(|key| value.get(key).is_some()) => CallError::Damaged {
            message: "a vector that does not consist of numbers".to_owned(),
            usage: None,
        },
        _ => unreadable(body, veil),
    }
}

#[cfg(test)]
mod tests {
    use secrecy::SecretString;
    use serde_json::json;

    use super::*;

    fn request(texts: &[&str]) -> EmbedRequest {
        EmbedRequest {
            texts: texts.iter().map(|&it| it.to_owned()).collect(),
            task_type: Some(TaskType::CodeRetrievalQuery),
            dimensions: Some(2),
        }
    }

    #[test]
    fn one_text_is_asked_alone_and_several_in_a_batch() {
        let one = json!({"model": "models/m", "content": {"parts": [{"text": "a"}]},
            "taskType": "CODE_RETRIEVAL_QUERY", "outputDimensionality": 2});
        let (alone, both) = (request(&["a"]), request(&["a", "a"]));
        let Ask::One(asked) = ask("models/m", &alone) else {
            panic!("not alone")
        };
        assert_eq!(serde_json::to_value(asked).unwrap(), one);
        let Ask::Several(asked) = ask("models/m", &both) else {
            panic!("alone")
        };
        let asked = serde_json::to_value(asked).unwrap();
        assert_eq!(asked, json!({"requests": [one, one]}));
    }

    #[test]
    fn only_vectors_are_a_reply() {
        let key = SecretString::from("a-long-key");
        let veil = Veil::new(&key);
        let read = |body: &str| reply(body.as_bytes(), &request(&["a"]), &veil);
        let good = r#"{"embedding":{"values":[0.25,-1]},"usageMetadata":{"promptTokenCount":3}}"#;
        let reply = read(good).unwrap();
        assert_eq!(reply.embeddings[0].values, [0.25, -1.0]);
        assert_eq!(reply.usage.unwrap().input_tokens, 3);
        assert!(read(r#"{"embeddings":[{"values":[1,2]}]}"#).is_ok());
        for bad in [
            "",
            "{}",
            "[]",
            r#"{"embedding":{}}"#,
            r#"{"embedding":{"values":[]}}"#,
            r#"{"embedding":{"values":[1]}}"#,
            r#"{"embedding":{"values":[1,null]}}"#,
            r#"{"embedding":{"values":[1,"NaN"]}}"#,
            r#"{"embedding":{"values":[1,NaN]}}"#,
            r#"{"embedding":{"values":[1,1e39]}}"#,
            r#"{"embeddings":[{"values":[1,2]},{"values":[1,2]}]}"#,
        ] {
            let error = read(bad).unwrap_err();
            assert!(
                matches!(error, CallError::Damaged { .. }),
                "{bad}: {error:?}"
            );
        }
        let overloaded = read(r#"{"error":{"code":503,"message":"m","status":"UNAVAILABLE"}}"#);
        assert_eq!(overloaded.unwrap_err().class(), "overloaded");
    }
}
