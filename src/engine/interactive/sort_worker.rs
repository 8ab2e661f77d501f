//! The worker that texts of one sort are of which go by batch: a real one, so that any process of the fleet can
//! take its tasks further.

use sha2::{Digest, Sha256};

use super::{AskError, EmbedQuestion, asking::seconds};
use crate::{
    definition::{Definition, Folder},
    llm::TaskType,
    model::ModelId,
};

/// It as a folder would say it. Its name is made of what it says, so that the same question is of the same
/// worker in whatever process.
pub(super) fn definition(question: &EmbedQuestion) -> Result<Definition, AskError> {
    let text = worker_toml(question);
    let hash = hex::encode(Sha256::digest(&text));
    let mut folder = Folder::default();
    let name = format!("embed-{}", hash.get(..NAME_DIGITS).unwrap_or(&hash));
    folder.insert("worker.toml", &format!("name = {}\n{text}", quoted(&name)));
    folder.insert("prompt.md", "{{ text }}");
    Definition::check(&folder, &[]).map_err(|error| AskError::Input(error.to_string()))
}

/// Digits of the hash in a worker's name: so many that no two sorts meet.
const NAME_DIGITS: usize = 12;

fn worker_toml(question: &EmbedQuestion) -> String {
    let mut models = question.models.iter().map(ModelId::to_string);
    let model = quoted(&models.next().unwrap_or_default());
    let fallbacks: Vec<String> = models.map(|it| quoted(&it)).collect();
    let params = &question.params;
    let embed = [
        params
            .task_type
            .map(TaskType::as_str)
            .map(|it| format!("task_type = {}\n", quoted(it))),
        params.dimensions.map(|it| format!("dimensions = {it}\n")),
        params
            .tag
            .as_deref()
            .map(|it| format!("tag = {}\n", quoted(it))),
    ];
    let embed: String = embed.into_iter().flatten().collect();
    let cache = match question.cache {
        Some(age) => format!("enabled = true # for {} s\n", seconds(age)),
        None => "enabled = false\n".to_owned(),
    };
    format!(
        "# made by `tidegate embed` and `Interactive::embed`, for lists that go by batch\n\
         [source]\nfile = \"texts.jsonl\"\nid = \"id\"\n\
         [[tier]]\nshare = 1.0\nmix = 1\nmodel = {model}\nfallbacks = [{}]\n\
         [embed]\n{embed}[cache]\n{cache}[limits]\ncall_timeout_s = {}\n\
         [strategy]\nmode = \"batch\"\npurpose = \"{}\"\n",
        fallbacks.join(", "),
        question.timeout.as_secs().clamp(1, 3_600),
        question.purpose,
    )
}

/// A text as TOML: JSON's escapes are TOML's, but for one character.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text)
        .to_string()
        .replace('\u{7f}', "\\u007f")
}
