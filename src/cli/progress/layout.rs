//! Fitting text to a terminal: no line is wider than it, nothing is higher. Pure.

use unicode_width::UnicodeWidthChar;

use super::screen::Group;
use super::words::{percent, thousands};
use crate::cli::printer::plain;
use crate::store::report::Stand;

/// A column of the table: its head, and its cell.
type Column = (&'static str, fn(&Stand) -> String);

const COLUMNS: [Column; 6] = [
    ("DONE", |it| thousands(it.done)),
    ("FAILED", |it| thousands(it.failed)),
    ("WAITING", |it| thousands(it.waiting)),
    ("RUNNING", |it| thousands(it.running - it.in_batch)),
    (IN_BATCH, |it| thousands(it.in_batch)),
    ("SUCCESS", |it| percent(it.success_rate)),
];

/// Shown where something is.
const IN_BATCH: &str = "IN BATCH";

/// So many rows at most: what there is no room for stands in the last of them, added up.
pub(super) fn fitting(mut groups: Vec<Group>, rows: usize) -> Vec<Group> {
    if groups.len() <= rows {
        return groups;
    }
    let Some(shown) = rows.checked_sub(1) else {
        return Vec::new();
    };
    let rest = groups.split_off(shown);
    groups.push((format!("{} more", rest.len()), Stand::default()));
    groups
}

/// The rows, numbers to the right; a narrow terminal loses columns before it loses rows.
pub(super) fn table(groups: &[Group], columns: usize) -> Vec<String> {
    let has_batches = groups.iter().any(|(_, stand)| stand.in_batch > 0);
    let dropped: &[&str] = match columns {
        0..40 => &["WAITING", "RUNNING", IN_BATCH],
        40..56 => &["RUNNING", IN_BATCH],
        56..66 => &[IN_BATCH],
        _ if !has_batches => &[IN_BATCH],
        _ => &[],
    };
    let shown: Vec<_> = COLUMNS
        .into_iter()
        .filter(|(name, _)| !dropped.contains(name))
        .collect();
    let numbers: Vec<Vec<String>> = groups
        .iter()
        .map(|(_, stand)| shown.iter().map(|(_, cell)| cell(stand)).collect())
        .collect();
    let widths: Vec<usize> = shown
        .iter()
        .enumerate()
        .map(|(place, (name, _))| {
            let cells = numbers.iter().map(|row| row[place].len());
            cells.chain([name.len()]).max().unwrap_or_default()
        })
        .collect();
    let taken: usize = widths.iter().map(|width| width + 2).sum();
    let names: Vec<String> = groups
        .iter()
        .map(|(name, _)| shortened(&plain(name), columns.saturating_sub(taken).max(8)))
        .collect();
    let name_width = names
        .iter()
        .map(|name| width(name))
        .max()
        .unwrap_or_default();
    let row = |name: &str, cells: Vec<&str>| {
        let mut out = format!("{name}{}", " ".repeat(name_width - width(name)));
        for (cell, width) in cells.iter().zip(&widths) {
            out.push_str(&format!("  {cell:>width$}"));
        }
        cut(&out, columns)
    };
    let mut lines = vec![row("", shown.iter().map(|(name, _)| *name).collect())];
    for ((name, cells), (_, stand)) in names.iter().zip(&numbers).zip(groups) {
        let empty = stand.total == 0;
        let cells = cells
            .iter()
            .map(|cell| if empty { "" } else { cell.as_str() })
            .collect();
        lines.push(row(name, cells).trim_end().to_owned());
    }
    lines
}

/// A name in so many cells: where it does not fit, what sort of group it is goes first.
fn shortened(name: &str, columns: usize) -> String {
    let bare = ["category ", "component "]
        .iter()
        .find_map(|sort| name.strip_prefix(sort));
    match bare {
        Some(bare) if width(name) > columns => cut(bare, columns),
        _ => cut(name, columns),
    }
}

/// Words set in lines of this width, three blanks between them; what is wider than a line is cut.
pub(super) fn flow(words: &[String], columns: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in words {
        let word = plain(word);
        match lines.last_mut() {
            Some(line) if width(line) + 3 + width(&word) <= columns => {
                line.push_str(&format!("   {word}"))
            }
            _ => lines.push(cut(&word, columns)),
        }
    }
    lines
}

fn width(text: &str) -> usize {
    text.chars().map(|c| c.width().unwrap_or(0)).sum()
}

/// The most of a text that so many cells of a terminal hold.
pub(super) fn cut(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let (mut out, mut used) = (String::new(), 1);
    for c in text.chars() {
        used += c.width().unwrap_or(0);
        if used > columns {
            break;
        }
        out.push(c);
    }
    if columns > 0 {
        out.push('…');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn groups(count: usize) -> Vec<Group> {
        let stand = Stand {
            total: 1_234_567,
            done: 1_234_000,
            failed: 500,
            waiting: 67,
            success_rate: Some(0.9996),
            ..Stand::default()
        };
        (0..count)
            .map(|n| {
                (
                    format!("category 分类 of a name that is long {n}"),
                    stand.clone(),
                )
            })
            .collect()
    }

    #[test]
    fn no_line_of_a_table_is_wider_than_the_terminal() {
        for columns in 10..140 {
            for line in table(&groups(3), columns) {
                assert!(width(&line) <= columns, "{columns}: {line}");
                assert_eq!(line, line.trim_end());
            }
            let words = [
                "calls 1 good".to_owned(),
                "x".repeat(columns),
                "分类".repeat(20),
            ];
            for line in flow(&words, columns) {
                assert!(width(&line) <= columns, "{columns}: {line}");
            }
        }
    }

    #[test]
    fn what_there_is_no_room_for_is_counted_in_the_last_row() {
        assert_eq!(fitting(groups(5), 5).len(), 5);
        let four = fitting(groups(9), 4);
        assert_eq!((four.len(), four[3].0.as_str()), (4, "6 more"));
        assert!(fitting(groups(2), 0).is_empty());
    }

    #[test]
    fn a_narrow_terminal_loses_columns_before_rows() {
        let wide = table(&groups(2), 100);
        assert!(
            wide[0].ends_with("DONE  FAILED  WAITING  RUNNING  SUCCESS"),
            "{wide:?}"
        );
        let narrow = table(&groups(2), 50);
        assert!(
            !narrow[0].contains("RUNNING") && narrow[0].contains("WAITING"),
            "{narrow:?}"
        );
        assert_eq!(table(&groups(2), 30).len(), 3);
    }
}
