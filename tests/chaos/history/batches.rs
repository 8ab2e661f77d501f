//! I8: each batch once, and nothing of any left at the provider.

use super::{History, Violation};

/// By the provider's own account: every batch there is known here, of none there are two that nobody
/// cancelled, nothing is under way, every row is over, and no file is left.
pub(super) fn each_batch_once(history: &History) -> Vec<Violation> {
    let mut broken = Vec::new();
    let mut say = |token: &str, what: String| {
        broken.push(Violation::plain("I8", format!("batch {token}: {what}")));
    };
    for batch in &history.batches {
        match batch.known.as_deref() {
            None => say(
                &batch.token,
                "the provider has it, and nobody knows it".into(),
            ),
            Some("over") => {}
            Some(state) => say(&batch.token, format!("is stuck in {state}")),
        }
        if batch.kept > 1 {
            say(&batch.token, format!("there are {}", batch.kept));
        }
        if batch.under_way > 0 {
            say(&batch.token, "is under way still".into());
        }
    }
    let files = history.files_left.iter();
    broken.extend(files.map(|file| Violation::plain("I8", format!("a file is left: {file}"))));
    broken
}
