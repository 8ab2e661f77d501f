//! What people and programs see: data on stdout, talk on stderr.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};

use comfy_table::{Cell, ColumnConstraint, ContentArrangement, Table};
use serde::Serialize;

use super::{CliError, progress::Size, talk::Talk};

/// Writes to stdout and stderr. Cheap to clone.
///
/// Control characters never reach either: what a provider or a row said may hold them. Nothing is
/// coloured, so `NO_COLOR` has nothing to forbid.
#[derive(Clone, Debug)]
pub struct Printer {
    json: bool,
    stdout_is_terminal: bool,
    stderr_is_terminal: bool,
    talk: Talk,
}

impl Printer {
    /// For the streams of this process.
    pub fn of_process(json: bool) -> Self {
        Self {
            json,
            stdout_is_terminal: io::stdout().is_terminal(),
            stderr_is_terminal: io::stderr().is_terminal(),
            talk: Talk::of_process(),
        }
    }

    /// Whether data is to be JSON, one object a line.
    pub fn is_json(&self) -> bool {
        self.json
    }

    /// Whether stdout is a terminal: then times are told relative to now, and screens are redrawn.
    pub fn stdout_is_terminal(&self) -> bool {
        self.stdout_is_terminal
    }

    /// Whether stderr is a terminal: then progress is drawn, else it is told in lines.
    pub fn stderr_is_terminal(&self) -> bool {
        self.stderr_is_terminal
    }

    /// How large the terminal of stderr is; where it does not say, 80 by 24.
    pub(super) fn stderr_size(&self) -> Size {
        let told = rustix::termios::tcgetwinsize(io::stderr()).ok();
        let told = told.filter(|it| it.ws_col > 0 && it.ws_row > 0);
        told.map_or(
            Size {
                columns: 80,
                rows: 24,
            },
            |it| Size {
                columns: it.ws_col.into(),
                rows: it.ws_row.into(),
            },
        )
    }

    /// A line of data for people.
    ///
    /// # Errors
    /// [`CliError::OutputClosed`] when nobody reads any more, [`CliError::Io`] when a disk is full.
    pub fn line(&self, line: impl Display) -> Result<(), CliError> {
        self.write(&format!("{}\n", plain(&line.to_string())))
    }

    /// A line of data for programs: one JSON object.
    ///
    /// # Errors
    /// As [`line`](Self::line).
    pub fn object(&self, object: &impl Serialize) -> Result<(), CliError> {
        self.write(&self.object_text(object)?)
    }

    /// The text of [`object`](Self::object), with the end of its line.
    ///
    /// # Errors
    /// [`CliError::Io`] for what has no form as JSON.
    pub fn object_text(&self, object: &impl Serialize) -> Result<String, CliError> {
        let text = serde_json::to_string(object).map_err(|error| CliError::Io {
            doing: "write JSON".to_owned(),
            source: error.into(),
        })?;
        Ok(format!("{}\n", ascii_controls(&text)))
    }

    /// A list: with `--json` one object a line, else a table of what `row` makes of each.
    ///
    /// # Errors
    /// As [`line`](Self::line).
    pub fn list<T: Serialize>(
        &self,
        headers: &[&str],
        items: &[T],
        row: impl Fn(&T) -> Vec<String>,
    ) -> Result<(), CliError> {
        if self.json {
            return items.iter().try_for_each(|item| self.object(item));
        }
        let rows: Vec<_> = items.iter().map(row).collect();
        self.table(headers, &rows)
    }

    /// A table, readable without colour. Nothing where there are no rows.
    ///
    /// # Errors
    /// As [`line`](Self::line).
    pub fn table(&self, headers: &[&str], rows: &[Vec<String>]) -> Result<(), CliError> {
        if rows.is_empty() {
            return Ok(());
        }
        self.write(&format!("{}\n", self.table_text(headers, rows)))
    }

    /// The text of a table, without the end of its last line.
    pub fn table_text(&self, headers: &[&str], rows: &[Vec<String>]) -> String {
        let mut table = Table::new();
        table.load_style(comfy_table::presets::NOTHING);
        if self.stdout_is_terminal {
            table.set_content_arrangement(ContentArrangement::Dynamic);
        } else {
            // Cut to no width: programs and files take lines of any length.
            table.set_content_arrangement(ContentArrangement::Disabled);
        }
        table.set_header(headers.iter().map(|header| header.to_uppercase()));
        for row in rows {
            table.add_row(row.iter().map(|cell| Cell::new(plain(cell))));
        }
        // what names a row stays in one piece; others give way
        if let Some(column) = table.column_mut(0) {
            column.set_constraint(ColumnConstraint::ContentWidth);
        }
        let text = table.to_string();
        // The library pads each cell by a blank at both sides.
        let flush = |line: &str| line.strip_prefix(' ').unwrap_or(line).trim_end().to_owned();
        let lines: Vec<_> = text.lines().map(flush).collect();
        lines.join("\n")
    }

    /// A text set in lines, each this far in; on a terminal none is wider than it.
    ///
    /// # Errors
    /// As [`line`](Self::line).
    pub(super) fn indented(&self, text: &str, blanks: usize) -> Result<(), CliError> {
        let mut table = Table::new();
        table.load_style(comfy_table::presets::NOTHING);
        table.set_content_arrangement(match self.stdout_is_terminal {
            true => ContentArrangement::Dynamic,
            false => ContentArrangement::Disabled,
        });
        table.add_row([Cell::new(" ".repeat(blanks)), Cell::new(plain(text))]);
        let text = table.to_string();
        let lines: Vec<_> = text.lines().map(str::trim_end).collect();
        self.write(&format!("{}\n", lines.join("\n")))
    }

    /// Names and values, aligned, one pair a line. An empty value is left out.
    ///
    /// # Errors
    /// As [`line`](Self::line).
    pub fn pairs(&self, pairs: &[(&str, String)]) -> Result<(), CliError> {
        self.write(&pairs_text(pairs))
    }

    /// Text of somebody else's: on a terminal its control characters are shown escaped, but for those that
    /// end lines and tabs; to a file or a pipe it goes as it is.
    ///
    /// # Errors
    /// As [`line`](Self::line).
    pub(super) fn text(&self, text: &str) -> Result<(), CliError> {
        match self.stdout_is_terminal {
            true => self.write(&escape(text, |c| {
                c.is_control() && !matches!(c, '\n' | '\t')
            })),
            false => self.write(text),
        }
    }

    /// Text as it is, for screens that are redrawn: the caller has made it plain.
    ///
    /// # Errors
    /// As [`line`](Self::line).
    pub fn write(&self, text: &str) -> Result<(), CliError> {
        let mut stdout = io::stdout().lock();
        let written = stdout
            .write_all(text.as_bytes())
            .and_then(|()| stdout.flush());
        written.map_err(|source| match source.kind() {
            io::ErrorKind::BrokenPipe => CliError::OutputClosed,
            _ => CliError::Io {
                doing: "write to stdout".to_owned(),
                source,
            },
        })
    }

    /// A line of talk. What is not data goes this way.
    pub fn say(&self, line: impl Display) {
        self.talk(&plain(&line.to_string()));
    }

    /// A line of talk that somebody should act on.
    pub fn warn(&self, line: impl Display) {
        self.talk(&format!("warning: {}", plain_lines(&line.to_string())));
    }

    /// What went wrong, and what to do next. A closed stdout is nothing to talk about.
    pub fn error(&self, error: &CliError) {
        if !matches!(error, CliError::OutputClosed) {
            self.talk(&format!("error: {}", plain_lines(&error.to_string())));
        }
    }

    /// The way that talk goes, for logs to go the same.
    pub(super) fn way(&self) -> Talk {
        self.talk.clone()
    }

    fn talk(&self, text: &str) {
        self.talk.say(format!("{text}\n").into_bytes());
    }
}

/// The text of [`Printer::pairs`].
pub(super) fn pairs_text(pairs: &[(&str, String)]) -> String {
    let width = pairs.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let shown = pairs.iter().filter(|(_, value)| !value.is_empty());
    shown
        .map(|(name, value)| format!("{name:width$}  {}\n", plain(value)))
        .collect()
}

/// One line without control characters: those that end lines or move cursors are shown escaped.
pub(super) fn plain(text: &str) -> String {
    escape(text, |c| c.is_control())
}

/// The same for a text of several lines.
fn plain_lines(text: &str) -> String {
    escape(text, |c| c.is_control() && c != '\n')
}

fn escape(text: &str, unwanted: impl Fn(char) -> bool) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if unwanted(c) {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

/// One line of JSON. Controls below 0x20 are white space between its parts, since strings hold them
/// escaped; those above may stand in strings only.
pub(super) fn ascii_controls(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if matches!(c, '\n' | '\r' | '\t') {
            out.push(' ');
        } else if c.is_control() {
            out.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_control_character_reaches_a_terminal() {
        assert_eq!(plain("a\u{1b}[2Jb\n\u{9b}"), "a\\u{1b}[2Jb\\n\\u{9b}");
        assert_eq!(ascii_controls("{\"a\":\"\u{9b}\"}"), "{\"a\":\"\\u009b\"}");
        assert_eq!(ascii_controls("{\n\t\"a\": 1.0\r\n}"), "{  \"a\": 1.0  }");
        assert_eq!(plain_lines("a\n  help: b"), "a\n  help: b");
    }
}
