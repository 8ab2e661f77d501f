//! The simulator as its clients see it: over HTTP.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests fail as loudly as tests do; clippy knows only the tests themselves"
)]

mod answers;
mod batches;
mod control;
mod errors;
mod faults;
mod limits;
mod openai;
mod packs;
mod sdks;
mod streams;

use reqwest::{Client, Response, StatusCode};
use serde_json::{Value, json};
use tidegate::simulator::{ModelSettings, Running, Settings, Simulator};

const MODEL: &str = "gemini-test";

/// A simulator and a client for it.
struct Fixture {
    simulator: Running,
    client: Client,
}

impl Fixture {
    async fn start(settings: Settings) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        Self {
            simulator: Simulator::start(settings).await.unwrap(),
            client: Client::builder().no_proxy().build().unwrap(),
        }
    }

    /// Sends a body to `{model}:generateContent`.
    async fn send(&self, model: &str, body: &Value) -> reqwest::Result<Response> {
        self.client
            .post(self.url(&format!("models/{model}:generateContent")))
            .header("x-goog-api-key", "key-1")
            .json(body)
            .send()
            .await
    }

    /// Asks the test's model and reads the answer.
    async fn ask(&self, prompt: &str) -> (StatusCode, Value) {
        read(self.send(MODEL, &body(prompt)).await.unwrap()).await
    }

    /// Sends a body to `chat/completions`.
    async fn chat(&self, body: &Value) -> Response {
        let url = format!("{}/chat/completions", self.simulator.openai_base_url());
        let request = self.client.post(url).bearer_auth("key-1").json(body);
        request.send().await.unwrap()
    }

    /// Calls the control surface.
    async fn order(&self, path: &str, body: Value) -> (StatusCode, Value) {
        let url = self.root(path);
        read(self.client.post(url).json(&body).send().await.unwrap()).await
    }

    fn url(&self, path: &str) -> String {
        format!("{}/{path}", self.simulator.base_url())
    }

    fn root(&self, path: &str) -> String {
        format!("http://{}/{path}", self.simulator.addr())
    }
}

async fn read(response: Response) -> (StatusCode, Value) {
    (response.status(), response.json().await.unwrap())
}

fn body(prompt: &str) -> Value {
    json!({"contents": [{"role": "user", "parts": [{"text": prompt}]}]})
}

fn chat_body(prompt: &str) -> Value {
    json!({"model": MODEL, "messages": [{"role": "user", "content": prompt}]})
}

/// One model without limits.
fn open() -> Settings {
    with(ModelSettings::named(MODEL))
}

fn with(model: ModelSettings) -> Settings {
    Settings {
        models: vec![model],
        ..Settings::default()
    }
}
