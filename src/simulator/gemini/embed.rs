//! What `embedContent` and `batchEmbedContents` ask for, and Gemini's words when they ask wrongly.
//! Pure.

use serde_json::Value;

use super::failure::Failure;
use super::judge::{known_keys, object, texts, typed};
use super::wire::{EMBED_KEYS, EmbedRequest};
use crate::simulator::answer::tokens;
use crate::simulator::asked::{Asked, Wanted};
use crate::simulator::settings::{DIMENSIONS_MAX, ModelSettings};

/// Most requests in one `batchEmbedContents`.
const AT_ONCE: usize = 100;

/// The words for what a vector may be for.
const TASKS: [&str; 9] = [
    "TASK_TYPE_UNSPECIFIED",
    "RETRIEVAL_QUERY",
    "RETRIEVAL_DOCUMENT",
    "SEMANTIC_SIMILARITY",
    "CLASSIFICATION",
    "CLUSTERING",
    "QUESTION_ANSWERING",
    "FACT_VERIFICATION",
    "CODE_RETRIEVAL_QUERY",
];

/// Reads the body of either; `several`: of `batchEmbedContents`.
pub(super) fn question(
    body: &[u8],
    model: &ModelSettings,
    several: bool,
) -> Result<Asked, Failure> {
    let mut members = object(body)?;
    let requests = if several {
        known_keys(&members, &["requests", "model"], None)?;
        match members.remove("requests") {
            Some(Value::Array(requests)) if !requests.is_empty() => requests,
            _ => return Err(wrong("requests", "requests is not specified")),
        }
    } else {
        vec![Value::Object(members)]
    };
    if requests.len() > AT_ONCE {
        return Err(wrong(
            "requests",
            "at most 100 requests can be in one batch",
        ));
    }
    let wanted = requests
        .into_iter()
        .map(|one| read(one, model, several))
        .collect::<Result<Vec<_>, _>>()?;
    // longer texts are cut and not refused
    let limit = model.input_token_limit;
    let counted = wanted.iter().map(|it| tokens(&it.text).min(limit)).sum();
    Ok(Asked::for_vectors(wanted, counted))
}

fn read(request: Value, model: &ModelSettings, several: bool) -> Result<Wanted, Failure> {
    if let Some(members) = request.as_object() {
        known_keys(members, &EMBED_KEYS, several.then_some("requests"))?;
    }
    let request: EmbedRequest = typed(request)?;
    let named = request.model.as_deref();
    let own = format!("models/{}", model.name);
    if (several && named.is_none()) || named.is_some_and(|it| it != own && it != model.name) {
        let told = "the model of each request must be that of the batch";
        return Err(wrong("model", told));
    }
    let text = texts(&request.content).join("\n");
    if text.is_empty() {
        return Err(wrong("content", "content is empty"));
    }
    let config = request.embed_content_config.unwrap_or_default();
    let task = request.task_type.or(config.task_type).unwrap_or_default();
    if !task.is_empty() && !TASKS.contains(&task.as_str()) {
        return Err(Failure::invalid(format!(
            "Invalid value at 'task_type' (TaskType), \"{task}\""
        )));
    }
    let most = i64::from(DIMENSIONS_MAX);
    let asked = request
        .output_dimensionality
        .or(config.output_dimensionality);
    let dimensions = asked.unwrap_or_else(|| model.dimensions().unwrap_or(1).into());
    if !(1..=most).contains(&dimensions) {
        return Err(wrong(
            "output_dimensionality",
            "output_dimensionality must be between 1 and 3072",
        ));
    }
    Ok(Wanted {
        text,
        task: task.replace("TASK_TYPE_UNSPECIFIED", ""),
        dimensions: usize::try_from(dimensions).unwrap_or(1),
    })
}

fn wrong(at: &str, told: &str) -> Failure {
    Failure::invalid(format!("* EmbedContentRequest.{at}: {told}\n"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::simulator::asked::Form;

    fn asked(body: Value, several: bool) -> Result<Asked, Failure> {
        let model = ModelSettings::named("embedding-x");
        question(body.to_string().as_bytes(), &model, several)
    }

    fn one(text: &str) -> Value {
        json!({"model": "models/embedding-x", "content": {"parts": [{"text": text}]}})
    }

    #[test]
    fn what_is_wanted_is_read_from_either_place() {
        let mut old = one("ab");
        old["taskType"] = json!("CLUSTERING");
        old["output_dimensionality"] = json!(7);
        let mut new = one("ab");
        new["embedContentConfig"] = json!({"taskType": "CLUSTERING", "outputDimensionality": 7});
        for body in [old, new] {
            let Form::Vectors(wanted) = asked(body, false).unwrap().form else {
                panic!("no vectors")
            };
            assert_eq!(
                (wanted[0].task.as_str(), wanted[0].dimensions),
                ("CLUSTERING", 7)
            );
        }
        let several = asked(json!({"requests": [one("abcde"), one("b")]}), true).unwrap();
        assert_eq!(
            (several.prompt.as_str(), several.input_tokens),
            ("abcde\nb", 3)
        );
    }

    #[test]
    fn wrong_bodies_are_told_so() {
        let with = |key: &str, value: Value| {
            let mut body = one("a");
            body[key] = value;
            body
        };
        for (body, several) in [
            (json!({}), false),
            (one(""), false),
            (with("taskType", json!("NAPPING")), false),
            (with("outputDimensionality", json!(0)), false),
            (with("outputDimensionality", json!(4_000)), false),
            (with("prompt", json!("x")), false),
            (with("model", json!("models/other")), false),
            (json!({"requests": []}), true),
            (json!({"requests": vec![one("a"); 101]}), true),
            (
                json!({"requests": [{"content": {"parts": [{"text": "a"}]}}]}),
                true,
            ),
        ] {
            assert!(asked(body.clone(), several).is_err(), "{body}");
        }
    }
}
