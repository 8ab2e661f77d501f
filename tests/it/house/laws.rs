//! What must not be found, where, and which files have a reason to be excepted.

use super::{
    Breach, Source,
    tokens::{Token, What},
};

/// One law of absence.
pub(super) struct Law {
    /// In words.
    pub(super) says: &'static str,
    /// Where a file breaks it.
    pub(super) find: fn(&Source) -> Vec<Breach>,
    /// Files that may, and why.
    pub(super) exceptions: &'static [(&'static str, &'static str)],
    /// Little files that break it.
    pub(super) broken_by: &'static [(&'static str, &'static str)],
    /// Little files that keep it.
    pub(super) kept_by: &'static [(&'static str, &'static str)],
}

pub(super) const LAWS: &[Law] = &[
    Law {
        says: "a file opens with //!: what it is, what it owns, what it never does",
        find: opens_with_its_page,
        exceptions: &[],
        broken_by: &[("a/mod.rs", "use std::fs;"), ("a/mod.rs", "")],
        kept_by: &[
            ("a/mod.rs", "//! A room."),
            ("a/map_tests.rs", "use super::*;"),
        ],
    },
    Law {
        says: "no SQL outside store",
        find: sql_outside_store,
        exceptions: &[
            (
                "local/connect.rs",
                "makes a database on its own server before there is a schema or a store",
            ),
            (
                "cli/demo/scene.rs",
                "counts in the demo's own sample tables, run by store::sample",
            ),
            (
                "cli/demo/summary.rs",
                "statements shown to people to try, never run",
            ),
        ],
        broken_by: &[
            ("engine/x.rs", "sqlx::query!(\"commit\")"),
            ("cli/x.rs", "sqlx::query_as::<_, Row>(text)"),
            ("cli/x.rs", "sqlx::raw_sql(text)"),
            ("cli/x.rs", "let s = \"select 1\";"),
            ("cli/x.rs", "let s = \"with a as (select 1) table a\";"),
            ("cli/x.rs", "let s = \"insert into tidegate.tasks\";"),
            (
                "cli/x.rs",
                "let s = \"  update tidegate.tasks set state = 'ready'\";",
            ),
            ("cli/x.rs", "let s = \"delete from tidegate.ready\";"),
            ("cli/x.rs", "let s = format!(\"create database {name}\");"),
        ],
        kept_by: &[
            ("store/x.rs", "sqlx::query!(\"select 1\")"),
            (
                "cli/x.rs",
                "// select 1\nlet s = \"cannot update the run\";",
            ),
            ("cli/x.rs", "let s = \"create the folder {dir}\";"),
        ],
    },
    Law {
        says: "the driver of the database is named in store only",
        find: driver_outside_store,
        exceptions: &[
            (
                "local/connect.rs",
                "speaks to its own server while starting it",
            ),
            ("local/error.rs", "keeps the driver's words"),
            ("local/handle.rs", "gives out the options of its own server"),
            (
                "local/server.rs",
                "speaks to its own server while starting it",
            ),
        ],
        broken_by: &[("client/x.rs", "use sqlx::PgPool;")],
        kept_by: &[("store/x.rs", "use sqlx::PgPool;")],
    },
    Law {
        says: "no vendor's field name outside provider and simulator",
        find: vendor_words,
        exceptions: &[],
        broken_by: &[
            ("llm/x.rs", "#[serde(rename = \"usageMetadata\")]"),
            ("engine/x.rs", "json[\"candidates\"]"),
            ("engine/x.rs", "struct X { finishReason: u8 }"),
        ],
        kept_by: &[
            ("provider/x.rs", "json[\"candidates\"]"),
            (
                "local/x.rs",
                "fn candidates() -> &'static str { \"two candidates\" }",
            ),
        ],
    },
    Law {
        says: "the environment is read in config only",
        find: environment_reads,
        exceptions: &[],
        broken_by: &[
            ("engine/x.rs", "std::env::var(\"X\")"),
            ("engine/x.rs", "env::vars_os()"),
            ("cli/x.rs", "#[arg(long, env = \"X\")] x: u8"),
        ],
        kept_by: &[
            ("config/x.rs", "std::env::vars_os()"),
            ("cli/x.rs", "std::env::current_exe(); let env = 1;"),
        ],
    },
    Law {
        says: "below floor 3 nobody reads a clock or rolls dice",
        find: clock_or_dice,
        exceptions: &[
            (
                "provider/http.rs",
                "the deadline of a call under way: tokio's instant, which tests pause",
            ),
            (
                "store/link/doubt.rs",
                "how long ago a connection went silent, beside the ages that the driver tells",
            ),
            ("task/mod.rs", "ids come from one function, new_id"),
        ],
        broken_by: &[
            ("limits/x.rs", "Utc::now()"),
            ("retry/x.rs", "Instant::now()"),
            ("store/x.rs", "std::time::SystemTime::UNIX_EPOCH"),
            ("priority/x.rs", "rand::random::<f64>()"),
            ("task/x.rs", "Uuid::new_v4()"),
        ],
        kept_by: &[
            ("engine/x.rs", "Instant::now(); rand::random::<f64>()"),
            ("limits/x.rs", "fn room(now: Instant) {}"),
        ],
    },
];

/// Rooms of floors 0 to 2.
const BELOW_FLOOR_3: &[&str] = &[
    "llm",
    "model",
    "task",
    "cache",
    "cost",
    "definition",
    "limits",
    "priority",
    "retry",
    "route",
    "provider",
    "store",
];

/// `map_tests.rs` is the bottom of `map.rs`, whose page it shares.
fn opens_with_its_page(source: &Source) -> Vec<Breach> {
    if source.text.starts_with("//!") || source.file.ends_with("_tests.rs") {
        return Vec::new();
    }
    vec![source.breach(1, "does not open with //!")]
}

fn sql_outside_store(source: &Source) -> Vec<Breach> {
    if source.is_in(&["store"]) {
        return Vec::new();
    }
    let runs = windows(source, |it| {
        let name = it[2].word().unwrap_or_default();
        let is_query = name.starts_with("query") || name == "raw_sql";
        (it[0].is("sqlx") && it[1].what == What::Joint && is_query).then(|| format!("sqlx::{name}"))
    });
    let says = source.tokens.iter().filter_map(|token| {
        let text = token.text().filter(|text| is_sql(text))?;
        let short: String = text.chars().take(60).collect();
        Some(source.breach(token.line, format!("SQL: {short:?}")))
    });
    runs.into_iter().chain(says).collect()
}

/// Whether a text is a statement; prose that begins with "update" or "create" is not.
fn is_sql(text: &str) -> bool {
    let text = text.replace("\\n", " ").to_lowercase();
    let words: Vec<&str> = text.split_whitespace().collect();
    let pair = |a: &str, b: &[&str]| {
        words
            .windows(2)
            .any(|pair| pair[0] == a && b.contains(&pair[1]))
    };
    match words.first() {
        Some(&"select") if words.len() > 1 => true,
        Some(&"with") if text.contains("(select ") => true,
        Some(&"update") if words.get(2) == Some(&"set") => true,
        Some(&("create" | "drop" | "alter" | "truncate")) => {
            ["create", "drop", "alter", "truncate"].iter().any(|verb| {
                pair(
                    verb,
                    &["database", "schema", "table", "view", "index", "role"],
                )
            })
        }
        _ => pair("insert", &["into"]) || pair("delete", &["from"]),
    }
}

fn driver_outside_store(source: &Source) -> Vec<Breach> {
    if source.is_in(&["store"]) {
        return Vec::new();
    }
    windows(source, |it| {
        (it[0].is("sqlx") && it[1].what == What::Joint).then(|| "names sqlx".to_owned())
    })
}

/// Names of Gemini's and OpenAI's wire formats.
const VENDOR_WORDS: &[&str] = &[
    "generationConfig",
    "systemInstruction",
    "responseSchema",
    "responseJsonSchema",
    "responseMimeType",
    "maxOutputTokens",
    "thinkingConfig",
    "usageMetadata",
    "promptTokenCount",
    "candidatesTokenCount",
    "thoughtsTokenCount",
    "finishReason",
    "promptFeedback",
    "blockReason",
    "retryDelay",
    "QuotaFailure",
    "RetryInfo",
    "generateContent",
    "streamGenerateContent",
    "embedContent",
    "batchEmbedContents",
    "batchGenerateContent",
    "asyncBatchEmbedContent",
    "inlinedResponses",
    "responsesFile",
    "input_file_id",
    "completion_window",
    "custom_id",
    "outputDimensionality",
    "encoding_format",
    "stream_options",
    "include_usage",
    "finish_reason",
    "prompt_tokens",
    "completion_tokens",
    "x-goog-api-key",
    "max_completion_tokens",
    "reasoning_effort",
    "response_format",
    "x-ratelimit",
];

/// Of these an identifier may be ours: only a text that is the word and nothing else is a field.
const VENDOR_TEXTS: &[&str] = &["candidates", "choices"];

fn vendor_words(source: &Source) -> Vec<Breach> {
    if source.is_in(&["provider", "simulator"]) {
        return Vec::new();
    }
    let tokens = source.tokens.iter().filter_map(|token| {
        let word = match &token.what {
            What::Word(word) => VENDOR_WORDS.iter().find(|it| *it == word),
            What::Text(text) => {
                let inside = VENDOR_WORDS.iter().find(|it| text.contains(**it));
                inside.or_else(|| VENDOR_TEXTS.iter().find(|it| *it == text))
            }
            _ => None,
        };
        Some(source.breach(token.line, *word?))
    });
    tokens.collect()
}

/// `env::var`, its relatives, and clap's `env = "..."`, which reads on its own.
fn environment_reads(source: &Source) -> Vec<Breach> {
    if source.is_in(&["config"]) {
        return Vec::new();
    }
    windows(source, |it| {
        let name = it[2].word().unwrap_or_default();
        let reads = it[1].what == What::Joint && name.starts_with("var");
        let clap = it[1].is_mark('=') && it[2].text().is_some();
        (it[0].is("env") && (reads || clap)).then(|| "reads the environment".to_owned())
    })
}

fn clock_or_dice(source: &Source) -> Vec<Breach> {
    if !source.is_in(BELOW_FLOOR_3) {
        return Vec::new();
    }
    windows(source, |it| {
        let (first, last) = (it[0].word()?, it[2].word().unwrap_or_default());
        let joined = it[1].what == What::Joint;
        let does = match first {
            "SystemTime" | "rand" | "fastrand" => joined,
            "Utc" | "Local" | "Instant" => joined && last == "now",
            "Uuid" => joined && (last.starts_with("now_v") || last == "new_v4"),
            _ => false,
        };
        does.then(|| format!("{first}::{last}"))
    })
}

/// What is found at any three tokens in a row.
fn windows(source: &Source, find: impl Fn(&[Token]) -> Option<String>) -> Vec<Breach> {
    let found = source.tokens.windows(3);
    found
        .filter_map(|it| Some(source.breach(it[0].line, find(it)?)))
        .collect()
}
