//! Texts to vectors: what is sent, what is a reply, and what is none.

use serde_json::Value;
use tidegate::{llm::CallError, provider::Kind};
use wiremock::{Mock, MockServer, ResponseTemplate, matchers::any};

use super::{KEY, PROMPT, SYSTEM, Subject, VENDORS, Vendor};

async fn answering(vendor: &Vendor, status: u16, body: &str) -> (MockServer, Subject) {
    let server = MockServer::start().await;
    let answer = ResponseTemplate::new(status).set_body_string(body);
    Mock::given(any()).respond_with(answer).mount(&server).await;
    let subject = Subject::at(vendor, &server.uri());
    (server, subject)
}

#[tokio::test]
async fn vectors_come_in_the_order_of_their_texts() {
    for vendor in VENDORS {
        let (server, subject) = answering(vendor, 200, vendor.vectors.1).await;
        let reply = subject.embed(&[PROMPT, SYSTEM]).await.answer.unwrap();
        let values: Vec<_> = reply.embeddings.iter().map(|it| &it.values[..]).collect();
        assert_eq!(values, [[1.0, 2.0], [3.0, 4.0]]);
        assert_eq!(reply.usage.map(|usage| usage.input_tokens), Some(9));

        let asked = &server.received_requests().await.unwrap()[0];
        assert_eq!(asked.url.path(), vendor.vectors.0);
        assert_eq!(asked.headers[vendor.key_header.0], vendor.key_header.1);
        let body: Value = asked.body_json().unwrap();
        match vendor.kind {
            Kind::Gemini => {
                let second = &body["requests"][1];
                assert_eq!(second["model"], "models/m");
                assert_eq!(second["content"]["parts"][0]["text"], SYSTEM);
                assert_eq!(second["taskType"], "RETRIEVAL_QUERY");
                assert_eq!(second["outputDimensionality"], 2);
            }
            _ => {
                assert_eq!(body["input"][1], SYSTEM);
                assert_eq!(body["dimensions"], 2);
                // OpenAI has no task types
                assert_eq!(body.as_object().unwrap().len(), 4);
            }
        }
    }
}

#[tokio::test]
async fn an_answer_of_another_shape_is_damaged() {
    for vendor in VENDORS {
        let good = vendor.vectors.1;
        for body in [
            good.replace("[3,4]", "[]"),
            good.replace("[3,4]", "[3]"),
            good.replace("[3,4]", "[3,null]"),
            good.replace("[3,4]", "[3,NaN]"),
            good.replace("[3,4]", "[3,1e39]"),
            good[..good.len() - 1].to_owned(),
            "{}".to_owned(),
            String::new(),
        ] {
            let (_server, subject) = answering(vendor, 200, &body).await;
            let error = subject.embed(&[PROMPT, SYSTEM]).await.answer.unwrap_err();
            assert!(
                matches!(error, CallError::Damaged { .. }),
                "{body}: {error:?}"
            );
        }
        let (_server, subject) = answering(vendor, 200, good).await;
        for texts in [&[PROMPT][..], &[PROMPT; 3]] {
            let error = subject.embed(texts).await.answer.unwrap_err();
            assert!(matches!(error, CallError::Damaged { .. }), "{error:?}");
        }
    }
}

#[tokio::test]
async fn what_does_not_fit_is_not_sent() {
    for vendor in VENDORS {
        let (server, subject) = answering(vendor, 200, vendor.vectors.1).await;
        let most = subject.provider.embeds_at_once();
        for texts in [vec![], vec!["a"; most + 1]] {
            let error = subject.embed(&texts).await.answer.unwrap_err();
            assert!(matches!(error, CallError::Rejected { .. }), "{error:?}");
        }
        assert!(server.received_requests().await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn refusals_mean_what_they_always_mean_and_quote_no_text() {
    for vendor in VENDORS {
        for (status, class) in [
            (401, "key_refused"),
            (400, "rejected"),
            (404, "model_gone"),
            (429, "rate_limited"),
            (503, "overloaded"),
        ] {
            let quote = format!("bad: '{SYSTEM}' of {KEY}");
            let (_server, subject) = answering(vendor, status, &(vendor.error)(&quote)).await;
            let error = subject
                .embed(&["short", PROMPT, SYSTEM])
                .await
                .answer
                .unwrap_err();
            assert_eq!(error.class(), class);
            assert!(error.to_string().contains("[withheld]"), "{error}");
        }
    }
}
