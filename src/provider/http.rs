//! One HTTP exchange: bounded, not redirected, not retried.
//!
//! Owns: the client, the difference between "not sent" and "sent". The body's caps on time and bytes
//! are `flow`'s.
//! Never: a vendor's path, header or body.

use std::time::Duration;

use reqwest::{
    Client, Request, Response, Url,
    header::{CONTENT_TYPE, HeaderMap, LOCATION},
};
use rustix::io::Errno;
use tokio::time::{Instant, timeout_at};

use super::{
    flow::Flow,
    retry_after,
    settings::{CallLimits, ProviderError, ProviderSettings, is_loopback},
    words::Veil,
};
use crate::llm::CallError;

/// HTTP/2 asks a silent server for a sign of life, so that a dead connection is not shared on.
const PING_EVERY: Duration = Duration::from_secs(20);

/// The way to one base URL.
pub(super) struct Door {
    client: Client,
    base: Url,
}

/// A whole answer.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    /// The wait that the headers name.
    pub(super) retry_after: Option<Duration>,
    /// Says HTML where JSON was asked for.
    pub(super) html: bool,
    /// Of a redirect: the host it points to.
    pub(super) redirect_host: Option<String>,
    pub(super) body: Vec<u8>,
}

impl Answer {
    /// Words for an answer whose body holds no error object.
    pub(super) fn without_object(&self) -> String {
        let body = self.body.trim_ascii();
        let length = body.len();
        if (300..400).contains(&self.status) {
            let host = self.redirect_host.as_deref().unwrap_or("nowhere");
            return format!("redirects to {host}; redirects are not followed: is base_url right?");
        }
        match body {
            [] => "(empty body)".to_owned(),
            // A proxy's or a load balancer's page, not the API's words; it may repeat the URL.
            [b'<', ..] => format!("(HTML page of {length} bytes)"),
            _ if self.html => format!("(HTML page of {length} bytes)"),
            [b'{' | b'[', ..] => format!("(no error object in {length} bytes)"),
            text => String::from_utf8_lossy(text).into_owned(),
        }
    }
}

impl Door {
    pub(super) fn open(settings: &ProviderSettings) -> Result<Self, ProviderError> {
        let base = settings.checked_base()?;
        let connect = settings.connect_timeout;
        let mut builder = Client::builder()
            .user_agent(concat!("tidegate/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .connect_timeout(connect.clamp(Duration::from_millis(1), Duration::from_secs(60)))
            .http2_keep_alive_interval(PING_EVERY)
            .http2_keep_alive_timeout(PING_EVERY);
        if is_loopback(&base) {
            builder = builder.no_proxy();
        }
        let client = builder.build().map_err(|error| ProviderError::Client {
            entry: settings.entry.clone(),
            message: chain(&error.without_url()),
        })?;
        Ok(Self { client, base })
    }

    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// The base URL with segments added to its path, each escaped.
    pub(super) fn url<'a>(&self, segments: impl IntoIterator<Item = &'a str>) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(segments);
        }
        url
    }

    /// The same below a service that stands before the API's version: of `https://host/v1` and `up` it is
    /// `https://host/up/v1/...`.
    pub(super) fn service_url<'a>(
        &self,
        service: &str,
        segments: impl IntoIterator<Item = &'a str>,
    ) -> Url {
        let mut url = self.base.clone();
        let path = url.path().trim_end_matches('/').to_owned();
        let (above, version) = path.rsplit_once('/').unwrap_or(("", ""));
        if let Ok(mut path) = url.path_segments_mut() {
            let above = above.split('/').skip(1);
            let version = Some(version).filter(|it| !it.is_empty());
            path.clear().extend(above).push(service);
            path.extend(version).extend(segments);
        }
        url
    }

    /// Whether the key may go there: to the same scheme, host and port as the base URL.
    pub(super) fn is_home(&self, url: &Url) -> bool {
        url.origin() == self.base.origin()
    }

    /// Sends once and reads the whole answer.
    ///
    /// Fails with `Unreachable` (or `Exhausted`) before sending, `Unknown` after, `Damaged` for a success above the
    /// cap. The answer to an error status is definite: if its body is cut, what came is returned.
    pub(super) async fn exchange(
        &self,
        request: Request,
        limits: &CallLimits,
        veil: &Veil<'_>,
    ) -> Result<Answer, CallError> {
        let (mut answer, mut flow) = self.begin(request, limits, veil).await?;
        let read = flow.whole(&mut answer.body, veil).await;
        match answer.status {
            200..=299 => read.map(|()| answer),
            _ => Ok(answer),
        }
    }

    /// Sends once and reads the head of the answer; its body is still to be read. The deadline of
    /// the whole call runs on.
    pub(super) async fn begin(
        &self,
        request: Request,
        limits: &CallLimits,
        veil: &Veil<'_>,
    ) -> Result<(Answer, Flow), CallError> {
        let limits = limits.bounded();
        let deadline = Instant::now() + limits.timeout;
        let response = match timeout_at(deadline, self.client.execute(request)).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return Err(not_answered(error, veil)),
            Err(_) => return Err(out_of_time(&limits)),
        };
        let answer = Answer {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            retry_after: retry_after::from_headers(response.headers()),
            html: header(&response, CONTENT_TYPE.as_str()).is_some_and(|v| v.contains("html")),
            redirect_host: redirect_host(&response),
            body: Vec::new(),
        };
        Ok((answer, Flow::new(response, deadline, limits)))
    }
}

pub(super) fn out_of_time(limits: &CallLimits) -> CallError {
    CallError::Unknown {
        message: format!("no complete answer within {:?}", limits.timeout),
    }
}

/// A failure before the answer began: did anything leave?
fn not_answered(error: reqwest::Error, veil: &Veil<'_>) -> CallError {
    let unsent = error.is_connect() || error.is_builder();
    let ours = unsent && is_ours(&error);
    let message = veil.words(&chain(&error.without_url()));
    if ours {
        CallError::Exhausted { message }
    } else if unsent {
        CallError::Unreachable { message }
    } else {
        CallError::Unknown { message }
    }
}

/// Whether it is this machine that has nothing left, whoever was to be called.
fn is_ours(error: &(dyn std::error::Error + 'static)) -> bool {
    std::iter::successors(Some(error), |error| error.source())
        .filter_map(|error| Errno::from_io_error(error.downcast_ref::<std::io::Error>()?))
        .any(|error| {
            matches!(
                error,
                Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::ADDRNOTAVAIL
            )
        })
}

/// An error and what caused it, in one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
}

fn header<'a>(response: &'a Response, name: &str) -> Option<&'a str> {
    response.headers().get(name)?.to_str().ok()
}

fn redirect_host(response: &Response) -> Option<String> {
    let target = response
        .url()
        .join(header(response, LOCATION.as_str())?)
        .ok()?;
    response
        .status()
        .is_redirection()
        .then(|| target.host_str().map(str::to_owned))?
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::Kind;

    fn door(base: &str) -> Door {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut settings = ProviderSettings::new("g", Kind::Gemini, "key");
        settings.base_url = Some(base.to_owned());
        Door::open(&settings).unwrap()
    }

    #[test]
    fn a_service_stands_before_the_version() {
        for (base, url) in [
            ("https://h/v1beta", "https://h/up/v1beta/files"),
            ("https://h/v1beta/", "https://h/up/v1beta/files"),
            ("https://h/by/way/v1", "https://h/by/way/up/v1/files"),
            ("https://h", "https://h/up/files"),
        ] {
            assert_eq!(door(base).service_url("up", ["files"]).as_str(), url);
        }
    }

    #[test]
    fn home_is_one_scheme_host_and_port() {
        let door = door("https://h/v1beta");
        let is_home = |url| door.is_home(&Url::parse(url).unwrap());
        assert!(is_home("https://h/up?id=1") && is_home("https://h:443/"));
        for other in [
            "http://h/",
            "https://h:444/",
            "https://h.x/",
            "https://x/h",
            "file:///h",
        ] {
            assert!(!is_home(other), "{other}");
        }
    }
}
