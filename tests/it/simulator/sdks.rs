//! The vendors' own SDKs drive the simulator: what they understand, it speaks.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use super::*;
use tidegate::simulator::WindowKind;

/// Drives one call, one list, one stream, vectors, one refusal and one unknown model by either SDK.
/// Each retries nothing.
const SCRIPT: &str = r#"
import json, sys
import openai
from google import genai
from google.genai import errors, types

root, model = sys.argv[1], sys.argv[2]
schema = {"type": "object", "properties": {"label": {"type": "string", "enum": ["bug", "praise"]}},
          "required": ["label"], "additionalProperties": False}

client = openai.OpenAI(base_url=root + "/v1", api_key="k", max_retries=0, timeout=20)
def ask(model):
    return client.chat.completions.with_raw_response.create(
        model=model, temperature=0, max_completion_tokens=100,
        messages=[{"role": "system", "content": "Label it."}, {"role": "user", "content": "What a bug!"}],
        response_format={"type": "json_schema", "json_schema": {"name": "label", "strict": True, "schema": schema}})
raw = ask(model)
said = raw.parse()
assert json.loads(said.choices[0].message.content) == {"label": "bug"}, said
assert said.choices[0].finish_reason == "stop" and said.choices[0].message.refusal is None
assert said.usage.total_tokens == said.usage.prompt_tokens + said.usage.completion_tokens
assert raw.headers["x-ratelimit-limit-requests"] == "2"
assert said._request_id.startswith("req_")
assert model in [one.id for one in client.models.list()]
try:
    ask("gone")
    raise SystemExit("an unknown model answered")
except openai.NotFoundError as error:
    assert error.code == "model_not_found", error

google = genai.Client(api_key="k", http_options=types.HttpOptions(base_url=root, api_version="v1beta"))
def generate():
    return google.models.generate_content(
        model=model, contents="What a bug!",
        config=types.GenerateContentConfig(
            system_instruction="Label it.", response_mime_type="application/json", response_json_schema=schema))
said = generate()
assert json.loads(said.text) == {"label": "bug"}, said
assert said.usage_metadata.total_token_count > 0
assert model in [one.name.removeprefix("models/") for one in google.models.list()]

# while it is written, and as vectors: by models without limits
parts, last = [], None
for chunk in client.chat.completions.create(
        model="free", stream=True, stream_options={"include_usage": True},
        messages=[{"role": "user", "content": "Tell me of the sea, and of ships."}]):
    parts += [choice.delta.content or "" for choice in chunk.choices]
    last = chunk
assert "of the sea" in "".join(parts) and len(parts) > 3, parts
assert last.usage.completion_tokens > 0 and not last.choices, last
parts = []
for chunk in google.models.generate_content_stream(model="free", contents="Tell me of the sea, and of ships."):
    parts.append(chunk.text or "")
    last = chunk
assert "of the sea" in "".join(parts) and len(parts) > 1, parts
assert last.usage_metadata.candidates_token_count > 0, last
assert last.candidates[0].finish_reason.name == "STOP", last

made = client.embeddings.create(model="text-embedding-x", input=["a b", "c"], dimensions=16)
assert [one.index for one in made.data] == [0, 1] and made.usage.total_tokens == 2, made
assert all(abs(sum(v * v for v in one.embedding) - 1) < 1e-3 and len(one.embedding) == 16 for one in made.data)
listed = client.embeddings.create(model="text-embedding-x", input=["a b", "c"], dimensions=16, encoding_format="float")
assert max(abs(a - b) for a, b in zip(made.data[0].embedding, listed.data[0].embedding)) < 1e-6
for texts in ["a b"], ["a b", "c"]:
    made = google.models.embed_content(
        model="embedding-x", contents=texts,
        config=types.EmbedContentConfig(task_type="RETRIEVAL_QUERY", output_dimensionality=16))
    assert len(made.embeddings) == len(texts) and len(made.embeddings[0].values) == 16, made

try:
    ask(model)
    raise SystemExit("the limit did not hold for OpenAI's client")
except openai.RateLimitError as error:
    assert error.code == "rate_limit_exceeded" and int(error.response.headers["retry-after"]) > 0, error
try:
    generate()
    raise SystemExit("the limit did not hold for Google's client")
except errors.ClientError as error:
    assert error.code == 429 and error.status == "RESOURCE_EXHAUSTED", error
print("both are served")
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_vendors_own_sdks_are_served() {
    let Some((_folder, python)) = environment() else {
        return;
    };
    let model = ModelSettings {
        rpm: Some(2),
        window: WindowKind::Sliding,
        ..ModelSettings::named(MODEL)
    };
    let free = ["free", "embedding-x", "text-embedding-x"].map(ModelSettings::named);
    let settings = Settings {
        models: [&[model][..], &free[..]].concat(),
        ..Settings::default()
    };
    let fixture = Fixture::start(settings).await;
    let root = format!("http://{}", fixture.simulator.addr());
    drive(&python, SCRIPT, &[&root, MODEL]).await;
    drive(&python, BATCHES, &[&root, "free"]).await;
}

/// The same for batches and files.
const BATCHES: &str = include_str!("sdk_batches.py");

async fn drive(python: &Path, script: &str, arguments: &[&str]) {
    let mut command = tokio::process::Command::new(python);
    let driving = command
        .args(["-c", script])
        .args(arguments)
        .env("NO_PROXY", "127.0.0.1")
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(Duration::from_secs(120), driving).await;
    let output = output.unwrap().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
}

/// A virtual environment with both SDKs. Where one cannot be made, says aloud that the test was
/// left out.
fn environment() -> Option<(tempfile::TempDir, PathBuf)> {
    let folder = tempfile::tempdir().unwrap();
    let venv = folder.path().join("venv");
    let python = venv.join("bin/python");
    let at = venv.to_string_lossy();
    run("python3", &["-m", "venv", &at])
        .and_then(|()| {
            let program = python.to_string_lossy();
            let quiet = [
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
            ];
            let bounded = ["--no-compile", "--retries", "1", "--timeout", "15"];
            let names = ["openai>=2,<4", "google-genai>=1,<4"];
            run(&program, &[&quiet[..], &bounded[..], &names[..]].concat())
        })
        .map_err(|why| left_out(&why))
        .ok()
        .map(|()| (folder, python))
}

fn run(program: &str, arguments: &[&str]) -> Result<(), String> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null());
    match command.output() {
        Ok(Output { status, .. }) if status.success() => Ok(()),
        Ok(Output { stderr, .. }) => {
            let words = String::from_utf8_lossy(&stderr);
            let last = words.trim_end().lines().last().unwrap_or_default();
            Err(format!("`{program} {}`: {last}", arguments[..3].join(" ")))
        }
        Err(error) => Err(format!("{program}: {error}")),
    }
}

#[expect(
    clippy::print_stderr,
    reason = "whoever runs the tests must see what was left out"
)]
fn left_out(why: &str) {
    eprintln!(
        "tests: SKIPPED: the SDKs of OpenAI and Google could not be installed (needs python3 with venv, and a package index in reach): {why}"
    );
}
