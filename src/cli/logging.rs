//! Logs, to stderr: without colour, and without control characters that a message may bring.

use std::io::{self, Write};

use tracing_subscriber::EnvFilter;

use super::talk::Talk;
use crate::config::{LogFormat, LogSettings};

/// Starts logging for the process. `verbose` stands above the filter: 1 debug, 2 everything.
pub(super) fn start(settings: &LogSettings, verbose: u8, way: Talk) {
    let filter = match verbose {
        0 => settings.filter.value.as_str(),
        1 => "info,tidegate=debug",
        _ => "debug,tidegate=trace",
    };
    let filter = EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new("warn"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(false)
        .with_writer(move || Plain(way.clone()));
    // A program that embeds us may have started its own: then that one stays.
    let _ = match settings.format.value {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
}

/// Stderr, less control characters. A record comes in one piece.
struct Plain(Talk);

impl Write for Plain {
    fn write(&mut self, record: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(record);
        let (body, end) = match text.strip_suffix('\n') {
            Some(body) => (body, "\n"),
            None => (text.as_ref(), ""),
        };
        let line = format!("{}{end}", super::printer::plain(body));
        self.0.say(line.into_bytes());
        Ok(record.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
