//! What an operator sets: one entry per account, and the limits of a call.

use std::{fmt, time::Duration};

use reqwest::{Url, header::HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

/// One `[providers.<entry>]`: an account at a vendor.
#[derive(Clone)]
#[non_exhaustive]
pub struct ProviderSettings {
    /// The entry's name, the first part of a [`ModelId`](crate::model::ModelId).
    pub entry: String,
    /// The vendor.
    pub kind: Kind,
    /// Where to call: an http or https URL with the API's version in its path; no user, query or
    /// fragment. `None`: [`Kind::base_url`].
    pub base_url: Option<String>,
    /// The key. Sent in a header, to the host of `base_url` only. White space around it is dropped.
    pub api_key: SecretString,
    /// Allows plain http to other hosts than loopback. The key and all prompts are then readable on
    /// the way. Default: `false`.
    pub allow_plain_http: bool,
    /// Longest wait for name, connection and TLS together. Default: 10 s; held between 1 ms and 1 min.
    ///
    /// A property of the entry and not of a call, since calls share connections.
    pub connect_timeout: Duration,
}

/// The vendor whose wire format an entry speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Kind {
    /// Google's Gemini API, v1beta (`generateContent`, embeddings).
    Gemini,
    /// OpenAI's API, v1 (chat completions, embeddings), and the servers that copy it.
    OpenAi,
}

/// Bounds of one call. No bound can be switched off: values out of range are held at its ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallLimits {
    /// The whole call, from connecting to the last byte. Default: 60 s; 1 ms to 1 h.
    pub timeout: Duration,
    /// Longest silence inside the answer's body, within `timeout`. Default: 30 s; 1 ms to 1 h.
    ///
    /// Does not bound the wait for the answer to begin: a model that thinks is silent until it is
    /// done. In a stream it is the longest silence after the first text.
    pub idle: Duration,
    /// Largest answer, in bytes after decompression. Default: 8 MiB; 1 KiB to 256 MiB.
    ///
    /// Of a stream: its text, and each piece; the whole may be 32 times as large, for each piece has
    /// an envelope. Of embeddings: 128 KiB more for each text.
    pub max_body_bytes: usize,
}

/// Settings that no provider can be built from.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProviderError {
    /// The key is empty or holds characters that no header may hold.
    #[error("providers.{entry}: the key is empty or not printable ASCII")]
    BadKey {
        /// The entry.
        entry: String,
    },
    /// The base URL cannot be used.
    #[error("providers.{entry}: base_url {why}")]
    BadBaseUrl {
        /// The entry.
        entry: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Plain http to another machine, and not allowed.
    #[error(
        "providers.{entry}: base_url would send the key over plain http to {host}; use https, or \
         set allow_plain_http = true"
    )]
    PlainHttp {
        /// The entry.
        entry: String,
        /// The host it would go to.
        host: String,
    },
    /// The HTTP client did not start, such as for unreadable root certificates.
    #[error("providers.{entry}: no HTTP client: {message}")]
    Client {
        /// The entry.
        entry: String,
        /// What failed.
        message: String,
    },
}

impl ProviderSettings {
    /// An entry with all else at its default.
    pub fn new(entry: impl Into<String>, kind: Kind, api_key: impl Into<SecretString>) -> Self {
        Self {
            entry: entry.into(),
            kind,
            base_url: None,
            api_key: api_key.into(),
            allow_plain_http: false,
            connect_timeout: Duration::from_secs(10),
        }
    }

    /// The value of the header that carries the key: the key after `prefix`, never printed.
    pub(super) fn key_header(&self, prefix: &str) -> Result<HeaderValue, ProviderError> {
        let key = self.api_key.expose_secret().trim();
        let printable = !key.is_empty() && key.bytes().all(|b| b.is_ascii_graphic());
        let header = HeaderValue::from_str(&format!("{prefix}{key}"));
        let mut header =
            header
                .ok()
                .filter(|_| printable)
                .ok_or_else(|| ProviderError::BadKey {
                    entry: self.entry.clone(),
                })?;
        header.set_sensitive(true);
        Ok(header)
    }

    /// The checked base URL.
    pub(super) fn checked_base(&self) -> Result<Url, ProviderError> {
        let bad = |why| ProviderError::BadBaseUrl {
            entry: self.entry.clone(),
            why,
        };
        let text = self.base_url.as_deref().unwrap_or(self.kind.base_url());
        let url = Url::parse(text.trim()).map_err(|_| bad("is no URL"))?;
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
            return Err(bad("must begin with https:// (or http:// for loopback)"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(bad("must not hold a user or password"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(bad(
                "must not hold a query or fragment; keys go into api_key",
            ));
        }
        if url.scheme() == "http" && !is_loopback(&url) && !self.allow_plain_http {
            return Err(ProviderError::PlainHttp {
                entry: self.entry.clone(),
                host: url.host_str().unwrap_or_default().to_owned(),
            });
        }
        Ok(url)
    }
}

impl fmt::Debug for ProviderSettings {
    /// Prints no key, and of the base URL neither user nor query.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let base = self.base_url.as_deref().map(|text| match Url::parse(text) {
            Ok(url) => format!("{}://{}", url.scheme(), url.host_str().unwrap_or_default()),
            Err(_) => "(no URL)".to_owned(),
        });
        out.debug_struct("ProviderSettings")
            .field("entry", &self.entry)
            .field("kind", &self.kind)
            .field("base_url", &base)
            .field("allow_plain_http", &self.allow_plain_http)
            .field("connect_timeout", &self.connect_timeout)
            .finish_non_exhaustive()
    }
}

impl Kind {
    /// The vendor's fixed word: `gemini` or `openai`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gemini => "gemini",
            Self::OpenAi => "openai",
        }
    }

    /// The vendor's own base URL, used if the entry names none.
    pub fn base_url(self) -> &'static str {
        match self {
            Self::Gemini => "https://generativelanguage.googleapis.com/v1beta",
            Self::OpenAi => "https://api.openai.com/v1",
        }
    }
}

impl Default for CallLimits {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(60),
            idle: Duration::from_secs(30),
            max_body_bytes: 8 << 20,
        }
    }
}

impl CallLimits {
    /// For the check of a key.
    pub(super) fn check() -> Self {
        Self {
            timeout: Duration::from_secs(20),
            ..Self::default()
        }
    }

    /// For a call whose answer is a vector for each of so many texts.
    pub(super) fn for_vectors(self, texts: usize) -> Self {
        let more = texts.saturating_mul(128 << 10);
        Self {
            max_body_bytes: self.max_body_bytes.saturating_add(more),
            ..self
        }
    }

    /// The limits, held in their ranges.
    pub(super) fn bounded(self) -> Self {
        let (shortest, longest) = (Duration::from_millis(1), Duration::from_secs(3600));
        Self {
            timeout: self.timeout.clamp(shortest, longest),
            idle: self.idle.clamp(shortest, longest),
            max_body_bytes: self.max_body_bytes.clamp(1 << 10, 256 << 20),
        }
    }
}

/// Whether the URL's host is this machine: `localhost`, a name below it, or a loopback address.
pub(super) fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    match bare.parse::<std::net::IpAddr>() {
        Ok(address) => address.to_canonical().is_loopback(),
        Err(_) => bare == "localhost" || bare.ends_with(".localhost"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base(text: &str) -> Result<Url, ProviderError> {
        let mut settings = ProviderSettings::new("g", Kind::Gemini, "key");
        settings.base_url = Some(text.to_owned());
        settings.checked_base()
    }

    #[test]
    fn plain_http_is_for_loopback_only() {
        for local in [
            "http://127.0.0.1:1",
            "http://127.8.9.1",
            "http://[::1]:1",
            "http://localhost:1",
            "http://a.localhost",
            "http://[::ffff:127.0.0.1]",
            "https://example.com/v1beta",
        ] {
            assert!(base(local).is_ok(), "{local}");
        }
        for far in [
            "http://example.com",
            "http://10.0.0.1",
            "http://localhost.example.com",
            "http://0.0.0.0",
            "http://[::ffff:10.0.0.1]",
            "http://127.0.0.1.nip.io",
        ] {
            assert!(
                matches!(base(far), Err(ProviderError::PlainHttp { .. })),
                "{far}"
            );
        }
    }

    #[test]
    fn a_base_url_holds_no_secrets_and_no_odd_scheme() {
        for bad in [
            "",
            "gemini",
            "ftp://h/",
            "file:///etc/passwd",
            "https://u:p@h/",
            "https://u@h/",
            "https://h/?key=1",
            "https://h/#x",
        ] {
            assert!(
                matches!(base(bad), Err(ProviderError::BadBaseUrl { .. })),
                "{bad}"
            );
        }
    }

    #[test]
    fn the_defaults_are_usable() {
        for kind in [Kind::Gemini, Kind::OpenAi] {
            let settings = ProviderSettings::new("g", kind, "key");
            assert!(settings.checked_base().is_ok());
        }
        assert_eq!(CallLimits::default(), CallLimits::default().bounded());
        let endless = CallLimits {
            timeout: Duration::MAX,
            ..CallLimits::default()
        };
        assert_eq!(endless.bounded().timeout, Duration::from_secs(3600));
    }

    #[test]
    fn debug_prints_neither_key_nor_query() {
        let mut settings = ProviderSettings::new("g", Kind::Gemini, "the-key");
        settings.base_url = Some("https://me:secret@h/v1?key=the-key".to_owned());
        let shown = format!("{settings:?}");
        assert!(
            !shown.contains("the-key") && !shown.contains("secret"),
            "{shown}"
        );
    }
}
