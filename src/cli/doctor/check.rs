//! What a check found.

use std::fmt::Display;

use serde::Serialize;

/// How it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Mark {
    /// As it should be.
    Ok,
    /// Works, and may not for long, or not as well as it could.
    Warning,
    /// To be mended by the user.
    Fault,
}

/// One line of the doctor's, and with `--json` one object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Check {
    /// A fixed word or two.
    pub(super) check: &'static str,
    pub(super) state: Mark,
    /// What was found.
    pub(super) says: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) fix: Option<String>,
}

impl Check {
    pub(super) fn ok(check: &'static str, says: impl Into<String>) -> Self {
        Self {
            check,
            state: Mark::Ok,
            says: says.into(),
            fix: None,
        }
    }

    pub(super) fn warning(
        check: &'static str,
        says: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self {
            state: Mark::Warning,
            fix: Some(fix.into()),
            ..Self::ok(check, says)
        }
    }

    pub(super) fn fault(
        check: &'static str,
        says: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self {
            state: Mark::Fault,
            fix: Some(fix.into()),
            ..Self::ok(check, says)
        }
    }

    /// For people.
    pub(super) fn lines(&self) -> Vec<String> {
        let mark = match self.state {
            Mark::Ok => "ok",
            Mark::Warning => "warning",
            Mark::Fault => "FAULT",
        };
        let mut lines = vec![format!("{mark:8} {:18} {}", self.check, self.says)];
        lines.extend(
            self.fix
                .iter()
                .map(|fix| format!("{:8} {:18} fix: {fix}", "", "")),
        );
        lines
    }
}

/// A fault with an error's own words: what it says to do stands behind `help:`.
pub(super) fn of_error(check: &'static str, error: &impl Display) -> Check {
    let words = error.to_string();
    let (says, fix) = words
        .split_once("\n  help: ")
        .unwrap_or((&words, "see the words above, and run the doctor again"));
    Check::fault(check, says, fix)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_errors_help_is_the_fix() {
        let check = of_error(
            "database",
            &"cannot connect: no\n  help: check host and port",
        );
        assert_eq!(
            check,
            Check::fault("database", "cannot connect: no", "check host and port")
        );
        assert_eq!(check.lines()[1].trim_start(), "fix: check host and port");
    }
}
