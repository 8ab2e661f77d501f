//! Batches and files of both vendors, over HTTP.

mod control;
mod damage;
mod ends;
mod gemini;
mod gemini_files;
mod large;
mod lost;
mod openai;
mod openai_files;
mod refusals;

use super::*;
use reqwest::{Method, RequestBuilder};
use tidegate::simulator::BatchSettings;

const CHAT: &str = "/v1/chat/completions";

/// Models that answer and that make vectors; batches as given.
fn batches(settings: BatchSettings) -> Settings {
    let names = [MODEL, "embedding-x", "text-embedding-x"];
    Settings {
        models: names.map(ModelSettings::named).into(),
        batches: settings,
        ..Settings::default()
    }
}

/// Batches that take long, and end when they are hastened or cancelled.
fn slow() -> BatchSettings {
    BatchSettings {
        median_ms: 100_000_000.0,
        ..BatchSettings::default()
    }
}

impl Fixture {
    /// A call of Gemini's, below the base.
    fn gemini(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.client.request(method, self.url(path));
        request.header("x-goog-api-key", "key-1")
    }

    /// A call of OpenAI's, below the base.
    fn openai(&self, method: Method, path: &str) -> RequestBuilder {
        let url = format!("{}/{path}", self.simulator.openai_base_url());
        self.client.request(method, url).bearer_auth("key-1")
    }

    /// Creates a batch of Gemini's of the items given.
    async fn inline(&self, token: &str, requests: Value) -> (StatusCode, Value) {
        let batch =
            json!({"displayName": token, "inputConfig": {"requests": {"requests": requests}}});
        let path = format!("models/{MODEL}:batchGenerateContent");
        let request = self
            .gemini(Method::POST, &path)
            .json(&json!({"batch": batch}));
        read(request.send().await.unwrap()).await
    }

    /// Creates a batch of Gemini's of a file.
    async fn of_file(&self, file: &str) -> (StatusCode, Value) {
        let batch = json!({"displayName": "of a file", "inputConfig": {"fileName": file}});
        let path = format!("models/{MODEL}:batchGenerateContent");
        let request = self
            .gemini(Method::POST, &path)
            .json(&json!({"batch": batch}));
        read(request.send().await.unwrap()).await
    }

    /// Uploads a file to Gemini in one piece, and tells its name.
    async fn gemini_upload(&self, text: String) -> String {
        let url = self.begin_upload(json!({})).await.unwrap();
        let request = self.client.post(url).body(text);
        let request = request.header("X-Goog-Upload-Command", "upload, finalize");
        let answer = request.header("X-Goog-Upload-Offset", "0").send();
        let (_, told) = read(answer.await.unwrap()).await;
        told["file"]["name"].as_str().unwrap().to_owned()
    }

    /// Begins an upload to Gemini, and tells where it goes on; else what was said.
    async fn begin_upload(&self, file: Value) -> Result<String, (StatusCode, Value)> {
        let request = self.client.post(self.root("upload/v1beta/files"));
        let answer = request
            .header("x-goog-api-key", "key-1")
            .header("X-Goog-Upload-Protocol", "resumable")
            .header("X-Goog-Upload-Command", "start")
            .header("X-Goog-Upload-Header-Content-Type", "application/jsonl")
            .json(&json!({"file": file}))
            .send();
        let answer = answer.await.unwrap();
        match answer.headers().get("x-goog-upload-url") {
            Some(url) => Ok(url.to_str().unwrap().to_owned()),
            None => Err(read(answer).await),
        }
    }

    /// Uploads a file for a batch to OpenAI.
    async fn openai_upload(&self, name: &str, text: &str) -> reqwest::Result<Response> {
        let form = form(&[("purpose", None, "batch"), ("file", Some(name), text)]);
        let request = self.openai(Method::POST, "files").body(form);
        let kind = format!("multipart/form-data; boundary={BOUNDARY}");
        request.header("content-type", kind).send().await
    }

    /// Uploads lines and creates a batch of them.
    async fn openai_batch(&self, endpoint: &str, lines: &[Value]) -> (StatusCode, Value) {
        let lines: Vec<String> = lines.iter().map(Value::to_string).collect();
        let uploaded = self.openai_upload("lines.jsonl", &lines.join("\n")).await;
        let (_, file) = read(uploaded.unwrap()).await;
        self.openai_create(&file["id"], endpoint).await
    }

    async fn openai_create(&self, file: &Value, endpoint: &str) -> (StatusCode, Value) {
        let body = json!({
            "input_file_id": file, "endpoint": endpoint, "completion_window": "24h",
            "metadata": {"submission": "token"},
        });
        let request = self.openai(Method::POST, "batches").json(&body);
        read(request.send().await.unwrap()).await
    }

    /// Gets a thing of Gemini's.
    async fn gemini_get(&self, path: &str) -> (StatusCode, Value) {
        read(self.gemini(Method::GET, path).send().await.unwrap()).await
    }

    /// Gets a thing of OpenAI's.
    async fn openai_get(&self, path: &str) -> (StatusCode, Value) {
        read(self.openai(Method::GET, path).send().await.unwrap()).await
    }

    /// Looks at what was created again.
    async fn again(&self, created: &Value) -> Value {
        let (status, told) = match created["name"].as_str() {
            Some(name) => self.gemini_get(name).await,
            None => {
                self.openai_get(&format!("batches/{}", text(&created["id"])))
                    .await
            }
        };
        assert_eq!(status, StatusCode::OK, "{told}");
        told
    }

    /// The text of a file of Gemini's results.
    async fn gemini_results(&self, operation: &Value) -> String {
        let name = text(&operation["response"]["responsesFile"]);
        assert_eq!(operation["metadata"]["output"]["responsesFile"], name);
        let path = format!("{name}:download?alt=media");
        let answer = self.gemini(Method::GET, &path).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        answer.text().await.unwrap()
    }

    /// The text of a file of OpenAI's; empty: none is told.
    async fn openai_results(&self, file: &Value) -> String {
        let Some(id) = file.as_str() else {
            return String::new();
        };
        let path = format!("files/{id}/content");
        let answer = self.openai(Method::GET, &path).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        answer.text().await.unwrap()
    }

    /// Ends all that is under way.
    fn hasten(&self) -> usize {
        self.simulator.hasten("*")
    }
}

const BOUNDARY: &str = "a boundary";

fn form(fields: &[(&str, Option<&str>, &str)]) -> String {
    let part = |(name, filename, value): &(&str, Option<&str>, &str)| {
        let filename = filename.map_or(String::new(), |it| format!("; filename=\"{it}\""));
        format!(
            "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"{filename}\r\n\r\n{value}\r\n"
        )
    };
    let parts: String = fields.iter().map(part).collect();
    format!("{parts}--{BOUNDARY}--\r\n")
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}"))
}

fn parsed(lines: &str) -> Vec<Value> {
    let lines = lines.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Items of Gemini's, with keys.
fn requests(prompts: &[&str]) -> Value {
    let item = |(at, prompt): (usize, &&str)| json!({"request": body(prompt), "metadata": {"key": format!("task-{at}")}});
    prompts.iter().enumerate().map(item).collect()
}

/// Lines of a file of Gemini's.
fn request_lines(prompts: &[&str]) -> String {
    let line = |(at, prompt): (usize, &&str)| {
        json!({"key": format!("task-{at}"), "request": body(prompt)}).to_string() + "\n"
    };
    prompts.iter().enumerate().map(line).collect()
}

/// Lines of a file of OpenAI's.
fn chat_lines(prompts: &[&str]) -> Vec<Value> {
    let line = |(at, prompt): (usize, &&str)| chat_line(&format!("task-{at}"), chat_body(prompt));
    prompts.iter().enumerate().map(line).collect()
}

fn chat_line(id: &str, body: Value) -> Value {
    json!({"custom_id": id, "method": "POST", "url": CHAT, "body": body})
}

/// The text of an answer of Gemini's.
fn said(response: &Value) -> &str {
    text(&response["candidates"][0]["content"]["parts"][0]["text"])
}

/// A hundred prompts.
fn hundred() -> Vec<String> {
    (0..100).map(|at| format!("Prompt number {at}")).collect()
}

fn borrowed(all: &[String]) -> Vec<&str> {
    all.iter().map(String::as_str).collect()
}
