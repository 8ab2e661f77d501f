//! Texts to be made into vectors, and the vectors.

use serde::{Deserialize, Serialize};

/// Texts of which each is to become a vector, by one call.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EmbedRequest {
    /// The texts, in order; at least one, none of them empty.
    pub texts: Vec<String>,
    /// What the vectors are for. `None`: the model's default. A vendor that has no such thing is not
    /// told of it.
    pub task_type: Option<TaskType>,
    /// Length of each vector. `None`: the model's default (Gemini 3,072, OpenAI 1,536 or 3,072).
    pub dimensions: Option<u32>,
}

/// What is asked of a vector besides its text: part of a [`Request`](super::Request) that asks for one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct EmbedParams {
    /// What it is for. `None`: the model's default.
    pub task_type: Option<TaskType>,
    /// Its length, from 1. `None`: the model's default.
    pub dimensions: Option<u32>,
    /// The caller's own word, kept with the answer; no provider is told of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
}

impl EmbedParams {
    /// Whether texts of both may be made into vectors by one call: all that the provider is told of is
    /// the same.
    pub fn goes_with(&self, other: &Self) -> bool {
        (self.task_type, self.dimensions) == (other.task_type, other.dimensions)
    }
}

/// What a vector is for. Vectors of a query and of a document are made to be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskType {
    /// A search query.
    RetrievalQuery,
    /// A document that is searched.
    RetrievalDocument,
    /// How alike texts are.
    SemanticSimilarity,
    /// Classes given beforehand.
    Classification,
    /// Groups yet to be found.
    Clustering,
    /// A question whose answer is searched.
    QuestionAnswering,
    /// A claim whose proof is searched.
    FactVerification,
    /// A search for code, in words.
    CodeRetrievalQuery,
}

/// All task types, in the order of their declaration.
pub const TASK_TYPES: [TaskType; 8] = [
    TaskType::RetrievalQuery,
    TaskType::RetrievalDocument,
    TaskType::SemanticSimilarity,
    TaskType::Classification,
    TaskType::Clustering,
    TaskType::QuestionAnswering,
    TaskType::FactVerification,
    TaskType::CodeRetrievalQuery,
];

impl TaskType {
    /// Its word in files and columns.
    ///
    /// ```
    /// # use tidegate::llm::TaskType;
    /// assert_eq!(TaskType::RetrievalQuery.as_str(), "retrieval_query");
    /// ```
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RetrievalQuery => "retrieval_query",
            Self::RetrievalDocument => "retrieval_document",
            Self::SemanticSimilarity => "semantic_similarity",
            Self::Classification => "classification",
            Self::Clustering => "clustering",
            Self::QuestionAnswering => "question_answering",
            Self::FactVerification => "fact_verification",
            Self::CodeRetrievalQuery => "code_retrieval_query",
        }
    }
}

/// One vector, as the model gave it: never empty, every number finite. Its length in space need not
/// be 1: Gemini's is not where fewer than 3,072 dimensions are asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Embedding {
    /// The numbers.
    pub values: Vec<f32>,
}

impl Embedding {
    /// It as the answer to a request for one: a JSON object that keeps what was asked with it. Each
    /// number is the shortest text that reads back to the same one.
    ///
    /// ```
    /// # use tidegate::llm::{EmbedParams, Embedding, TaskType};
    /// let vector = Embedding { values: vec![0.1, -2.0] };
    /// let asked = EmbedParams { task_type: Some(TaskType::Clustering), tag: Some("v2".to_owned()), ..EmbedParams::default() };
    /// let answer = vector.answer(&asked);
    /// assert_eq!(answer, r#"{"vector":[0.1,-2.0],"dimensions":2,"task_type":"clustering","tag":"v2"}"#);
    /// assert_eq!(Embedding::of_answer(&answer)?, vector);
    /// # Ok::<(), serde_json::Error>(())
    /// ```
    pub fn answer(&self, asked: &EmbedParams) -> String {
        let kept = Kept {
            vector: self.values.clone(),
            dimensions: self.values.len(),
            task_type: asked.task_type,
            tag: asked.tag.clone(),
        };
        // finite numbers and texts are always JSON
        serde_json::to_string(&kept).unwrap_or_default()
    }

    /// The vector in such an answer.
    ///
    /// # Errors
    /// When it is none.
    pub fn of_answer(answer: &str) -> Result<Self, serde_json::Error> {
        let Kept { vector: values, .. } = serde_json::from_str(answer)?;
        Ok(Self { values })
    }
}

/// An answer that holds a vector.
#[derive(Serialize, Deserialize)]
struct Kept {
    vector: Vec<f32>,
    dimensions: usize,
    task_type: Option<TaskType>,
    tag: Option<String>,
}

/// The vectors of all texts of one call. Whatever else came back is a
/// [`CallError`](super::CallError).
#[derive(Clone, Debug, PartialEq)]
pub struct EmbedReply {
    /// One for each text, in the order of the texts; all of one length, which is the one asked for.
    pub embeddings: Vec<Embedding>,
    /// Tokens counted by the provider, of all texts together. `None`: it did not say.
    pub usage: Option<super::Usage>,
    /// The exact model that answered, where the provider names it.
    pub model_version: Option<String>,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_number_of_a_vector_is_read_back_as_it_was(
            values in prop::collection::vec(prop::num::f32::NORMAL | prop::num::f32::SUBNORMAL | prop::num::f32::ZERO, 0..20),
            tag: Option<String>,
        ) {
            let vector = Embedding { values };
            let answer = vector.answer(&EmbedParams { tag, ..EmbedParams::default() });
            let back = Embedding::of_answer(&answer).unwrap();
            let bits = |it: &Embedding| it.values.iter().map(|it| it.to_bits()).collect::<Vec<_>>();
            prop_assert_eq!(bits(&back), bits(&vector));
        }
    }

    #[test]
    fn a_task_types_word_is_what_files_hold() {
        for task in TASK_TYPES {
            let written = serde_json::to_value(task).unwrap();
            assert_eq!(written, task.as_str());
            assert_eq!(serde_json::from_value::<TaskType>(written).unwrap(), task);
        }
    }
}
