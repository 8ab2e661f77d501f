//! What every provider holds to, whatever vendor it speaks to. Add a vendor to [`VENDORS`] and all
//! laws are checked against it.
//!
//! All calls go through [`Subject`], which looks for the key and the prompt in every error.

mod answers;
mod batches;
mod batches_known;
mod batches_results;
mod batches_simulated;
mod batches_simulated_ends;
mod batches_uploads;
mod bounds;
mod refusals;
mod secrets;
mod simulated;
mod simulated_live;
mod streams;
mod streams_cut;
mod vectors;
mod wire;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use tidegate::{
    llm::{CallError, Chunk, EmbedReply, EmbedRequest, Exchange, Reply, Request, TaskType},
    provider::{self, CallLimits, Kind, Provider, ProviderError, ProviderSettings},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

const KEY: &str = "CANARY-key-5d41402abc4b2a76";
const PROMPT: &str = "CANARY-prompt: the machine in Elm Street ate my card, please help me";
const SYSTEM: &str = "CANARY-system: you are the clerk of a small bank and you are polite";

/// What the laws need to know of a vendor.
#[derive(Clone, Copy, Debug)]
struct Vendor {
    kind: Kind,
    /// Where a call for the model `m` goes, below the base URL.
    path: &'static str,
    /// The header of the key, and what it holds.
    key_header: (&'static str, &'static str),
    /// A complete answer saying `hello`.
    hello: &'static str,
    /// A complete stream saying [`STREAMED`]: every way to write an event is in it.
    stream: &'static str,
    /// The last of it that an answer needs.
    end_mark: &'static str,
    /// A stream that fails after three characters, in each way of the vendor: the model is overloaded.
    failing: &'static [&'static str],
    /// Where vectors of two texts are asked for, and an answer with `[1, 2]` and `[3, 4]`.
    vectors: (&'static str, &'static str),
    /// An error object with this message.
    error: fn(&str) -> String,
    /// A list of models, as the key check reads it.
    models: (&'static str, &'static str),
}

/// What a vendor's stream says.
const STREAMED: &str = "Gr\u{fc}\u{df}e \u{1f600}";

const VENDORS: &[Vendor] = &[
    Vendor {
        kind: Kind::Gemini,
        path: "/models/m:generateContent",
        key_header: ("x-goog-api-key", KEY),
        hello: r#"{"candidates":[{"content":{"parts":[{"text":"hello"}]},"finishReason":"STOP"}]}"#,
        stream: concat!(
            ": hello\r\n\r\n",
            "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"Gr\u{fc}\"}]}}],",
            "\"usageMetadata\":{\"promptTokenCount\":5}}\r\n\r\n",
            "id: 7\ndata:{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"hm\",\"thought\":true},",
            "{\"text\":\"\u{df}e \u{1f600}\"}]},\n",
            "data: \"finishReason\":\"STOP\"}],",
            "\"usageMetadata\":{\"promptTokenCount\":5,\"candidatesTokenCount\":2},\n",
            "data:\"modelVersion\":\"m-1\",\"responseId\":\"r\"}\n\n",
        ),
        end_mark: "\"responseId\":\"r\"}",
        failing: &[
            concat!(
                "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"Gr\u{fc}\"}]}}]}\r\n\r\n",
                "{\n  \"error\": {\n    \"code\": 503,\n    \"message\": \"busy\",\n",
                "    \"status\": \"UNAVAILABLE\"\n  }\n}\n",
            ),
            concat!(
                "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"Gr\u{fc}\"}]}}]}\n\n",
                "data: {\"error\":{\"code\":503,\"message\":\"busy\",\"status\":\"UNAVAILABLE\"}}\n\n",
            ),
        ],
        vectors: (
            "/models/m:batchEmbedContents",
            r#"{"embeddings":[{"values":[1,2]},{"values":[3,4]}],"usageMetadata":{"promptTokenCount":9}}"#,
        ),
        error: |message| serde_json::json!({"error": {"message": message}}).to_string(),
        models: ("/models", r#"{"models":[{"name":"models/m"}]}"#),
    },
    Vendor {
        kind: Kind::OpenAi,
        path: "/chat/completions",
        key_header: ("authorization", "Bearer CANARY-key-5d41402abc4b2a76"),
        hello: r#"{"choices":[{"message":{"content":"hello"},"finish_reason":"stop"}]}"#,
        stream: concat!(
            "data: {\"id\":\"r\",\"model\":\"m-1\",\"choices\":[{\"index\":0,",
            "\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n",
            "data:{\"choices\":[{\"delta\":{\"content\":\"Gr\u{fc}\"},\"finish_reason\":null}],",
            "\"usage\":null}\r\n\r\n: ping\n\n",
            "event: message\ndata: {\"choices\":[{\"index\":1,\"delta\":{\"content\":\"no\"}},\n",
            "data: {\"index\":0,\"delta\":{\"content\":\"\u{df}e \u{1f600}\"}}]}\n\n",
            "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n",
            "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":2}}\n\n",
            "data: [DONE]\n\n",
        ),
        end_mark: "data: [DONE]",
        failing: &[
            concat!(
                "data: {\"choices\":[{\"delta\":{\"content\":\"Gr\u{fc}\"}}]}\n\n",
                "data: {\"error\":{\"message\":\"busy\",\"type\":\"service_unavailable_error\",",
                "\"code\":\"server_is_overloaded\"}}\n\n",
            ),
            concat!(
                "data: {\"choices\":[{\"delta\":{\"content\":\"Gr\u{fc}\"}}]}\n\n",
                "event: error\ndata: {\"message\":\"busy\",\"code\":503}\n\n",
            ),
            concat!(
                "data: {\"choices\":[{\"delta\":{\"content\":\"Gr\u{fc}\"}}]}\n\n",
                "{\"error\":{\"message\":\"busy\",\"code\":503}}\n",
            ),
        ],
        vectors: (
            "/embeddings",
            r#"{"data":[{"index":1,"embedding":[3,4]},{"index":0,"embedding":"AACAPwAAAEA="}],"model":"m-1","usage":{"prompt_tokens":9,"total_tokens":9}}"#,
        ),
        error: |message| {
            serde_json::json!({"error": {"message": message, "type": "t", "param": null, "code": null}})
                .to_string()
        },
        models: (
            "/models",
            r#"{"object":"list","data":[{"id":"m","object":"model"}]}"#,
        ),
    },
];

/// A provider under test.
struct Subject {
    provider: Arc<dyn Provider>,
    limits: CallLimits,
}

fn settings(vendor: &Vendor, base_url: &str) -> ProviderSettings {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut settings = ProviderSettings::new("entry", vendor.kind, KEY);
    settings.base_url = Some(base_url.to_owned());
    settings
}

impl Subject {
    fn at(vendor: &Vendor, base_url: &str) -> Self {
        let settings = settings(vendor, base_url);
        assert_silent(&format!("{settings:?}"));
        let provider = built(settings).expect("the settings are good");
        Self {
            provider,
            limits: CallLimits::default(),
        }
    }

    fn hasty(mut self) -> Self {
        self.limits.timeout = Duration::from_millis(200);
        self
    }

    async fn ask(&self) -> Result<Reply, CallError> {
        self.exchange().await.answer
    }

    async fn exchange(&self) -> Exchange {
        let request = Request {
            system: Some(SYSTEM.to_owned()),
            prompt: PROMPT.to_owned(),
            ..Request::default()
        };
        let exchange = self.provider.generate("m", &request, &self.limits).await;
        if let Err(error) = &exchange.answer {
            assert_silent(&format!("{error} {error:?}"));
        }
        exchange
    }

    /// Listens, and gives besides the pieces that came. Of a reply they are its text.
    async fn listen(&self) -> (Result<Reply, CallError>, Vec<String>) {
        let request = Request {
            system: Some(SYSTEM.to_owned()),
            prompt: PROMPT.to_owned(),
            ..Request::default()
        };
        let pieces = Mutex::new(Vec::new());
        let told = |chunk: Chunk| pieces.lock().expect("unbroken").push(chunk.text);
        let exchange = self.provider.stream("m", &request, &self.limits, &told);
        let answer = exchange.await.answer;
        let pieces = pieces.into_inner().expect("unbroken");
        assert!(pieces.iter().all(|piece| !piece.is_empty()));
        match &answer {
            Ok(reply) => assert_eq!(reply.text, pieces.concat()),
            Err(error) => assert_silent(&format!("{error} {error:?}")),
        }
        (answer, pieces)
    }

    async fn embed(&self, texts: &[&str]) -> Exchange<EmbedReply> {
        let request = EmbedRequest {
            texts: texts.iter().map(|&text| text.to_owned()).collect(),
            task_type: Some(TaskType::RetrievalQuery),
            dimensions: Some(2),
        };
        let exchange = self.provider.embed("m", &request, &self.limits).await;
        if let Err(error) = &exchange.answer {
            assert_silent(&format!("{error} {error:?}"));
        }
        exchange
    }

    async fn refusal(&self) -> CallError {
        self.ask().await.expect_err("the answer is no reply")
    }

    async fn check(&self) -> Result<(), CallError> {
        let result = self.provider.check().await;
        if let Err(error) = &result {
            assert_silent(&format!("{error} {error:?}"));
        }
        result
    }
}

fn built(settings: ProviderSettings) -> Result<Arc<dyn Provider>, ProviderError> {
    let built = provider::build(settings);
    if let Err(error) = &built {
        assert_silent(&format!("{error} {error:?}"));
    }
    built
}

/// Neither the key nor a piece of the prompt.
fn assert_silent(shown: &str) {
    for secret in ["CANARY", &KEY[10..], &PROMPT[20..50], &SYSTEM[20..50]] {
        assert!(!shown.contains(secret), "{secret:?} shows in {shown}");
    }
}

/// A server that reads one request, then does what it is told with the connection. Returns its
/// base URL.
async fn raw_server<F>(answer: impl FnOnce(TcpStream) -> F + Send + 'static) -> String
where
    F: Future<Output = ()> + Send,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let base = format!("http://{}", listener.local_addr().expect("bound"));
    // Ends with the test's runtime.
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        read_request(&mut stream).await;
        answer(stream).await;
    });
    base
}

/// Reads head and body of a request with a content length.
async fn read_request(stream: &mut TcpStream) {
    let mut seen = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&seen).to_ascii_lowercase();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "));
            let length = length.map_or(0, |n| n.trim().parse::<usize>().expect("a number"));
            if body.len() >= length {
                return;
            }
        }
        let read = stream
            .read_buf(&mut seen)
            .await
            .expect("the request can be read");
        assert_ne!(read, 0, "the request was cut");
    }
}

async fn write(stream: &mut TcpStream, text: &str) {
    stream
        .write_all(text.as_bytes())
        .await
        .expect("the answer can be written");
}
