//! Answers piece by piece, as clients see them on the wire.

use std::time::Duration;

use super::*;
use tidegate::simulator::{Faults, Latency};

impl Fixture {
    /// Sends a prompt to `{model}:streamGenerateContent`.
    async fn stream(&self, query: &str, prompt: &str) -> Response {
        let path = format!("models/{MODEL}:streamGenerateContent{query}");
        let request = self.client.post(self.url(&path));
        let request = request.header("x-goog-api-key", "key-1");
        request.json(&body(prompt)).send().await.unwrap()
    }
}

fn streaming(prompt: &str) -> Value {
    let mut body = chat_body(prompt);
    body["stream"] = json!(true);
    body
}

const PROMPT: &str = "Tell me of the sea, of ships, and of those who sail in them.";

/// The JSON of each event.
fn events(text: &str) -> Vec<Value> {
    let lines = text.lines().filter_map(|line| line.strip_prefix("data: "));
    let json = lines.filter(|data| *data != "[DONE]");
    json.map(|data| serde_json::from_str(data).unwrap())
        .collect()
}

#[tokio::test]
async fn geminis_stream_has_events_or_is_one_array() {
    let fixture = Fixture::start(open()).await;
    let (_, whole) = fixture.ask(PROMPT).await;
    let answer = fixture.stream("?alt=sse", PROMPT).await;
    assert_eq!(answer.headers()["content-type"], "text/event-stream");
    let sse = events(&answer.text().await.unwrap());
    let array = fixture.stream("", PROMPT).await;
    let array: Vec<Value> = array.json().await.unwrap();
    for all in [sse, array] {
        let text = |event: &Value| {
            let text = &event["candidates"][0]["content"]["parts"][0]["text"];
            text.as_str().unwrap().to_owned()
        };
        let said: String = all.iter().map(text).collect();
        assert_eq!(said, text(&whole));
        let (last, before) = all.split_last().unwrap();
        assert!(!before.is_empty());
        assert_eq!(last["candidates"][0]["finishReason"], "STOP");
        assert_eq!(last["usageMetadata"], whole["usageMetadata"]);
        assert!(
            before
                .iter()
                .all(|it| it["candidates"][0].get("finishReason").is_none())
        );
    }
}

#[tokio::test]
async fn openais_stream_ends_with_its_counts_if_wanted_and_its_mark() {
    let fixture = Fixture::start(open()).await;
    let (_, whole) = read(fixture.chat(&chat_body(PROMPT)).await).await;
    for wanted in [true, false] {
        let mut body = streaming(PROMPT);
        body["stream_options"] = json!({"include_usage": wanted});
        let answer = fixture.chat(&body).await;
        assert!(answer.headers().contains_key("x-request-id"));
        let text = answer.text().await.unwrap();
        assert!(text.ends_with("data: [DONE]\n\n"));
        let all = events(&text);
        let deltas = all
            .iter()
            .map(|it| it["choices"][0]["delta"]["content"].as_str());
        let said: String = deltas.flatten().collect();
        assert_eq!(said, whole["choices"][0]["message"]["content"]);
        assert_eq!(all[0]["choices"][0]["delta"]["role"], "assistant");
        let last = all.last().unwrap();
        if wanted {
            assert_eq!(
                (&last["usage"], &last["choices"]),
                (&whole["usage"], &json!([]))
            );
            assert_eq!(all[0]["usage"], Value::Null);
        } else {
            assert_eq!(last["choices"][0]["finish_reason"], "stop");
            assert!(last.get("usage").is_none());
        }
    }
}

#[tokio::test]
async fn a_stream_that_breaks_is_no_whole_http() {
    for error in [false, true] {
        let mut faults = Faults::default();
        *(if error {
            &mut faults.stream_error
        } else {
            &mut faults.stream_cut
        }) = 1.0;
        let fixture = Fixture::start(Settings { faults, ..open() }).await;
        // neither befalls what does not stream
        assert_eq!(fixture.ask(PROMPT).await.0, StatusCode::OK);
        let gemini = fixture.stream("?alt=sse", PROMPT).await.text().await;
        let openai = fixture.chat(&streaming(PROMPT)).await.text().await;
        if error {
            assert!(gemini.unwrap().contains("\n{\n  \"error\": {"));
            let openai = openai.unwrap();
            assert!(openai.contains("data: {\"error\":") && !openai.contains("[DONE]"));
        } else {
            assert!(gemini.is_err() && openai.is_err());
        }
        let word = if error { "stream_error" } else { "stream_cut" };
        let counters = &fixture.simulator.counters().models[MODEL];
        assert_eq!((counters.ok, counters.faults[word]), (1, 2));
        assert_eq!(counters.calls_in_flight, 0);
    }
}

#[tokio::test]
async fn pieces_come_at_the_pace_of_the_answer_and_who_leaves_is_noted() {
    let latency = Latency {
        median_ms: 100_000.0,
        ..Latency::default()
    };
    let fixture = Fixture::start(Settings { latency, ..open() }).await;
    let mut body = streaming("a");
    body["max_tokens"] = json!(1);
    // it would take 100 s: the first pieces, or the wait for them, are enough
    let ask = fixture.chat(&body);
    assert!(
        tokio::time::timeout(Duration::from_millis(200), ask)
            .await
            .is_err()
    );
    while fixture.simulator.log().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(fixture.simulator.log()[0].outcome, "abandoned");
    fixture.simulator.shutdown().await.unwrap();
}
