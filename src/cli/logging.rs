//! Logs, to stderr: without colour, and without control characters that a message may bring.

use std::io::{self, Write};

use tracing::{Level, Metadata};
use tracing_subscriber::{EnvFilter, fmt::MakeWriter};

use super::talk::Talk;
use crate::config::{LogFormat, LogSettings, Origin};

/// Starts logging for the process. `verbose` stands above the filter: 1 debug, 2 everything.
pub(super) fn start(settings: &LogSettings, verbose: u8, way: Talk) {
    let filter = match verbose {
        0 => settings.filter.value.as_str(),
        1 => "info,tidegate=debug",
        _ => "debug,tidegate=trace",
    };
    // who asked for more gets it, beside a bar too
    let all = verbose > 0 || settings.filter.origin != Origin::Default;
    let filter = EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new("warn"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(false)
        .with_writer(Writers { way, all });
    // A program that embeds us may have started its own: then that one stays.
    let _ = match settings.format.value {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
}

/// A writer a record.
struct Writers {
    way: Talk,
    /// Whatever its level. Else a bar, which tells the same, leaves room for warnings only.
    all: bool,
}

impl<'a> MakeWriter<'a> for Writers {
    type Writer = Plain;

    fn make_writer(&'a self) -> Plain {
        Plain(Some(self.way.clone()))
    }

    fn make_writer_for(&'a self, of: &Metadata<'_>) -> Plain {
        if !self.all && *of.level() > Level::WARN && self.way.bar().is_some() {
            return Plain(None);
        }
        self.make_writer()
    }
}

/// Stderr, less control characters. A record comes in one piece. `None`: it goes unsaid.
struct Plain(Option<Talk>);

impl Write for Plain {
    fn write(&mut self, record: &[u8]) -> io::Result<usize> {
        let Some(way) = &self.0 else {
            return Ok(record.len());
        };
        let text = String::from_utf8_lossy(record);
        let (body, end) = match text.strip_suffix('\n') {
            Some(body) => (body, "\n"),
            None => (text.as_ref(), ""),
        };
        let line = format!("{}{end}", super::printer::plain(body));
        way.say(line.into_bytes());
        Ok(record.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
