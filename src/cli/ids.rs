//! Ids of runs as people write them: in full, or as much of the beginning as names one.

use uuid::Uuid;

use super::{CliError, Opened};

/// Least digits of a beginning: fewer would name a stretch of hours.
const DIGITS_MIN: usize = 8;
const DIGITS: usize = 32;

/// The run that this text names.
///
/// # Errors
/// When it names none, or several.
pub(super) async fn run(opened: &Opened, text: &str) -> Result<Uuid, CliError> {
    let Some((from, to)) = span(text) else {
        return Err(CliError::input(
            format!("{text:?} is no id of a run"),
            format!(
                "write it as `tidegate runs list` shows it, or at least its first {DIGITS_MIN} digits"
            ),
        ));
    };
    let found = opened.store.runs_between(from, to).await?;
    match found.as_slice() {
        [one] => Ok(*one),
        [] => Err(CliError::input(
            format!("no run has the id {text}"),
            "see `tidegate runs list`",
        )),
        several => {
            let some: Vec<_> = several.iter().map(Uuid::to_string).collect();
            Err(CliError::input(
                format!(
                    "several runs have ids that begin with {text}: {}",
                    some.join(", ")
                ),
                "write more of it",
            ))
        }
    }
}

/// Whether the run has this component.
///
/// # Errors
/// When it has none of this name.
pub(super) async fn component(opened: &Opened, run: Uuid, name: &str) -> Result<(), CliError> {
    let known = opened.store.components_of(run).await?;
    if known.iter().any(|it| it == name) {
        return Ok(());
    }
    let named: Vec<&str> = known
        .iter()
        .map(String::as_str)
        .filter(|it| !it.is_empty())
        .collect();
    let help = match named.as_slice() {
        [] => "its worker is one step: leave out --component".to_owned(),
        some => format!("its components are: {}", some.join(", ")),
    };
    Err(CliError::input(
        format!("run {run} has no component {name:?}"),
        help,
    ))
}

/// The first and the last id that begin with this. `None`: no id does.
fn span(text: &str) -> Option<(Uuid, Uuid)> {
    let digits: String = text.chars().filter(|c| *c != '-').collect();
    let fits = (DIGITS_MIN..=DIGITS).contains(&digits.len())
        && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !fits {
        return None;
    }
    let fill = |with: char| {
        let filled: String = digits
            .chars()
            .chain(std::iter::repeat(with))
            .take(DIGITS)
            .collect();
        filled.parse().ok()
    };
    Some((fill('0')?, fill('f')?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_beginning_names_a_span_and_an_id_itself() {
        let id = "0198c7f0-1f6a-7d3e-9a51-0242ac120002";
        let whole: Uuid = id.parse().unwrap();
        assert_eq!(span(id), Some((whole, whole)));
        for beginning in ["0198c7f0", "0198C7F0-1f6a", "0198c7f01f6a7d3e"] {
            let (from, to) = span(beginning).unwrap();
            assert!(from < whole && whole < to, "{beginning}");
        }
        for text in ["", "0198c7f", "0198c7fx", "%", &format!("{id}0")] {
            assert_eq!(span(text), None, "{text}");
        }
    }
}
