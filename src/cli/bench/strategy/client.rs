//! A client that is connected: the engine's interactive side in this process, over a case's database.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use serde_json::{json, value::to_raw_value};
use tokio::time::Instant;

use super::scene::{self, ENTRY};
use crate::{
    cli::{CliError, ask, bench::world::World},
    definition::{Definition, Folder},
    engine::{EmbedQuestion, Interactive, Question, Registry, Told},
    llm::{Chunk, EmbedParams},
    model::ModelId,
    provider::{self, Kind, Provider, ProviderSettings},
    simulator::{CallRecord, Running},
    task::{Handler, Item, Purpose, Strategy},
};

/// The client, and whom it asks.
pub(super) struct Client {
    asking: Interactive,
    model: ModelId,
    handler: Arc<dyn Handler>,
}

/// What the client saw of one question.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    /// The prompt, or the texts joined by line breaks: by this the provider's log names it.
    pub(super) prompt: String,
    /// Until the last byte was here.
    pub(super) took: Duration,
    /// Of a stream: until the first piece was here.
    pub(super) first: Option<Duration>,
    /// The part that limits were waited for.
    pub(super) waited: Duration,
    /// What came is whole: as many vectors as texts, pieces that in a row are the answer.
    pub(super) whole: bool,
}

impl Asked {
    /// Milliseconds without what limits were waited for.
    pub(super) fn own_ms(&self) -> f64 {
        ms(self.took.saturating_sub(self.waited))
    }
}

pub(super) fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}

/// The provider of a case's simulator, by its entry.
pub(super) fn providers(
    simulator: &Running,
) -> Result<BTreeMap<String, Arc<dyn Provider>>, CliError> {
    let mut settings = ProviderSettings::new(ENTRY, Kind::Gemini, "no-secret");
    settings.base_url = Some(simulator.base_url());
    Ok(BTreeMap::from([(
        ENTRY.to_owned(),
        provider::build(settings)?,
    )]))
}

/// Calls of the log by the prompts that were asked, each with all of its calls.
pub(super) fn by_prompt(log: Vec<CallRecord>) -> BTreeMap<String, Vec<CallRecord>> {
    let mut calls: BTreeMap<String, Vec<CallRecord>> = BTreeMap::new();
    for call in log {
        calls.entry(call.prompt.clone()).or_default().push(call);
    }
    calls
}

/// The one call that was made for a question. `None`: none was, or several.
pub(super) fn call_of<'a>(
    calls: &'a BTreeMap<String, Vec<CallRecord>>,
    asked: &Asked,
) -> Option<&'a CallRecord> {
    match calls.get(&scene::prompt_hash(&asked.prompt))?.as_slice() {
        [call] if call.outcome == "ok" => Some(call),
        _ => None,
    }
}

impl Client {
    /// Connects, does this, and ends whatever came of it.
    pub(super) async fn with<T>(
        world: &World<'_>,
        model: &str,
        act: impl AsyncFnOnce(&Self) -> Result<T, CliError>,
    ) -> Result<T, CliError> {
        let store = world.store.clone();
        let providers = providers(world.simulator)?;
        let asking = Interactive::open(store, world.settings.clone(), providers).await?;
        let model = format!("{ENTRY}/{model}").parse();
        let client = Self {
            asking,
            model: model.map_err(|words| mistake(&words))?,
            handler: handler()?,
        };
        let acted = act(&client).await;
        let closed = client.asking.close().await;
        let acted = acted?;
        closed?;
        Ok(acted)
    }

    /// Vectors of these texts, by one question.
    pub(super) async fn embed(&self, texts: Vec<String>) -> Result<Asked, CliError> {
        let question = EmbedQuestion {
            models: vec![self.model.clone()],
            texts: texts.clone(),
            params: EmbedParams::default(),
            cache: Some(ask::FOR_EVER),
            strategy: Strategy::Individual,
            purpose: Purpose::Interactive,
            within: None,
            patience: PATIENCE,
            timeout: PATIENCE,
        };
        let began = Instant::now();
        let told = self.asking.embed(&question).await.map_err(ask::refused)?;
        let waits = told.vectors.iter().map(|it| it.waited);
        Ok(Asked {
            took: began.elapsed(),
            first: None,
            waited: waits.max().unwrap_or_default(),
            whole: told.vectors.len() == texts.len() && told.vectors.iter().all(|it| !it.cached),
            prompt: texts.join("\n"),
        })
    }

    /// An answer piece by piece.
    pub(super) async fn stream(&self, prompt: String) -> Result<Asked, CliError> {
        let body = to_raw_value(&json!({ "prompt": prompt }));
        let question = Question {
            models: vec![self.model.clone()],
            handler: self.handler.clone(),
            item: Item::new("question", body.map_err(|it| mistake(&it))?),
            cache: Some(ask::FOR_EVER),
            patience: PATIENCE,
            timeout: PATIENCE,
        };
        let heard = std::sync::Mutex::new((None, String::new()));
        let began = Instant::now();
        let hear = |chunk: Chunk| {
            if let Ok(mut heard) = heard.lock() {
                heard.0.get_or_insert_with(|| began.elapsed());
                heard.1.push_str(&chunk.text);
            }
        };
        let told = self.asking.stream(&question, &hear).await;
        let Told { answer, waited, .. } = told.map_err(ask::refused)?;
        let took = began.elapsed();
        let (first, text) = heard.into_inner().unwrap_or_default();
        Ok(Asked {
            prompt,
            took,
            first,
            waited,
            whole: serde_json::from_str::<String>(answer.get()).is_ok_and(|it| it == text),
        })
    }
}

/// Asks what the item says, as `tidegate ask` does.
fn handler() -> Result<Arc<dyn Handler>, CliError> {
    let mut folder = Folder::default();
    folder.insert("prompt.md", "{{ prompt }}");
    folder.insert(
        "worker.toml",
        "name = \"ask\"\nversion = \"1\"\n[source]\nfile = \"none.jsonl\"\nid = \"id\"\n[[tier]]\nshare = 1.0\nmix = 1\n\
         model = \"any/model\"\n[prompt]\ntemplate = \"prompt.md\"\n",
    );
    let definition = Definition::check(&folder, &[])?;
    Registry::new()
        .handler(&definition)
        .map_err(|words| mistake(&words))
}

fn mistake(words: &impl std::fmt::Display) -> CliError {
    CliError::input(words.to_string(), "this is a mistake in the bench")
}

/// Longer than any call may wait or take.
const PATIENCE: Duration = Duration::from_secs(60);
