//! The key goes by header, to one host. Nothing we sent comes back in an error.

use tidegate::{
    llm::CallError,
    provider::{ProviderError, ProviderSettings},
};
use wiremock::{Mock, MockServer, ResponseTemplate, matchers::any};

use super::{KEY, PROMPT, SYSTEM, Subject, VENDORS, built, settings};

async fn serving(status: u16, body: String) -> MockServer {
    let server = MockServer::start().await;
    let answer = ResponseTemplate::new(status).set_body_string(body);
    Mock::given(any()).respond_with(answer).mount(&server).await;
    server
}

#[tokio::test]
async fn the_key_is_sent_in_its_header_only() {
    for vendor in VENDORS {
        let server = serving(200, vendor.hello.to_owned()).await;
        let subject = Subject::at(vendor, &format!("{}/base/", server.uri()));
        assert_eq!(subject.ask().await.unwrap().text, "hello");

        let [request] = &server.received_requests().await.unwrap()[..] else {
            panic!("one call is one request");
        };
        assert_eq!(request.url.path(), format!("/base{}", vendor.path));
        assert!(!request.url.as_str().contains(KEY));
        assert!(!String::from_utf8_lossy(&request.body).contains(KEY));
        for (name, value) in &request.headers {
            let value = value.to_str().unwrap();
            if name == vendor.key_header.0 {
                assert_eq!(value, vendor.key_header.1);
            } else {
                assert!(!value.contains(KEY), "{name}");
            }
        }
    }
}

#[tokio::test]
async fn f47_a_redirect_is_not_followed_and_the_key_stays() {
    for vendor in VENDORS {
        for status in [301, 302, 303, 307, 308] {
            let elsewhere = serving(200, vendor.hello.to_owned()).await;
            let here = MockServer::start().await;
            // Another port of this host is another place too; the query must not show.
            let target = format!("{}/x?key={KEY}", elsewhere.uri());
            let answer = ResponseTemplate::new(status).insert_header("location", target.as_str());
            Mock::given(any()).respond_with(answer).mount(&here).await;

            let subject = Subject::at(vendor, &here.uri());
            for error in [subject.refusal().await, subject.check().await.unwrap_err()] {
                assert!(matches!(error, CallError::Failed { .. }), "{error:?}");
                assert!(
                    error.to_string().contains("redirects to 127.0.0.1;"),
                    "{error}"
                );
            }
            assert_eq!(elsewhere.received_requests().await.unwrap().len(), 0);
        }
    }
}

#[tokio::test]
async fn a_provider_that_quotes_us_is_not_quoted() {
    for vendor in VENDORS {
        let words = format!("no: 'api_key:{KEY}' asked \"{PROMPT}\" under {SYSTEM}!");
        for status in [400, 401, 402, 403, 404, 408, 413, 429, 500, 503, 302] {
            for body in [(vendor.error)(&words), words.clone()] {
                let server = serving(status, body).await;
                let subject = Subject::at(vendor, &server.uri());
                // `refusal` looks for the canaries.
                let error = subject.refusal().await;
                assert!(
                    status == 302 || error.to_string().contains("[withheld]"),
                    "{error}"
                );
            }
        }
        for body in [
            (vendor.error)(&words),
            words.clone(),
            format!("{{\"error\":\"{KEY}\"}}"),
        ] {
            let server = serving(200, body).await;
            Subject::at(vendor, &server.uri()).refusal().await;
        }
    }
}

/// Runs a test of this binary again, with a proxy in the environment that nobody listens on.
#[test]
fn loopback_goes_past_a_proxy() {
    let status = std::process::Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "provider::secrets::the_key_is_sent_in_its_header_only",
        ])
        .envs(
            ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"]
                .map(|name| (name, "http://127.0.0.1:1")),
        )
        .env_remove("no_proxy")
        .env_remove("NO_PROXY")
        .stdout(std::process::Stdio::null())
        .status();
    assert!(status.unwrap().success());
}

#[tokio::test]
async fn plain_http_to_another_host_is_refused_unless_allowed() {
    for vendor in VENDORS {
        let mut far = settings(vendor, "http://provider.example/v1");
        assert!(matches!(
            built(far.clone()),
            Err(ProviderError::PlainHttp { .. })
        ));
        far.allow_plain_http = true;
        assert!(built(far).is_ok());
    }
}

#[test]
fn a_base_url_with_secrets_is_refused_without_showing_them() {
    for vendor in VENDORS {
        for base in [
            format!("https://me:{KEY}@host/v1"),
            format!("https://host/v1?key={KEY}"),
            KEY.to_owned(),
        ] {
            let settings = settings(vendor, &base);
            super::assert_silent(&format!("{settings:?}"));
            assert!(matches!(
                built(settings),
                Err(ProviderError::BadBaseUrl { .. })
            ));
        }
    }
}

#[test]
fn a_key_that_no_header_may_hold_is_refused_without_showing_it() {
    for vendor in VENDORS {
        for key in ["", "  ", "CANARY\nx: y", "CANARY key", "CANARY-ключ"] {
            let settings = ProviderSettings::new("entry", vendor.kind, key);
            assert!(
                matches!(built(settings), Err(ProviderError::BadKey { .. })),
                "{key:?}"
            );
        }
        let from_a_file = ProviderSettings::new("entry", vendor.kind, format!("{KEY}\n"));
        assert!(built(from_a_file).is_ok());
    }
}
