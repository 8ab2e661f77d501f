//! Values of the command line, read once for all commands.

use std::time::Duration;

use uuid::Uuid;

/// An id as it is shown.
pub(super) fn id(text: &str) -> Result<Uuid, String> {
    text.parse()
        .map_err(|_| "no id: write it in full, as 0198c7f0-1f6a-7d3e-9a51-0242ac120002".to_owned())
}

/// `KEY=VALUE`.
pub(super) fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("write KEY=VALUE, as in tier.0.model=gemini/gemini-3.5-flash".to_owned()),
    }
}

/// An age above none, as `30d`.
pub(super) fn age(text: &str) -> Result<Duration, String> {
    let age = humantime::parse_duration(text)
        .map_err(|error| format!("{error}; write 30m, 12h or 30d"))?;
    if age.is_zero() || age > OLDEST {
        return Err("write a time of 1s to 36500d".to_owned());
    }
    Ok(age)
}

/// A hundred years.
const OLDEST: Duration = Duration::from_secs(36_500 * 86_400);
