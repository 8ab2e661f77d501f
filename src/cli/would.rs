//! What a dry run tells: tasks, calls, tokens, money and time, before anything is sent or stored.

use serde::Serialize;

use super::progress::{dollars, span, thousands};
use super::{CliError, Printer, expect};
use crate::client::Would;
use crate::store::run::Asking;
use crate::task::{Purpose, Strategy};

/// The object of a dry run: what the act tells besides, and what it would come to.
#[derive(Serialize)]
pub(super) struct Dry<'a, T: Serialize> {
    dry_run: bool,
    #[serde(flatten)]
    act: T,
    #[serde(flatten)]
    would: &'a Would,
}

/// How a run's tasks are asked: `auto, interactive, within 10 m`.
pub(super) fn asked(asking: &Asking) -> String {
    let mut words = asking.strategy.to_string();
    // neither counts where each is asked for itself
    if asking.strategy == Strategy::Individual {
        return words;
    }
    if asking.purpose == Purpose::Interactive {
        words.push_str(", interactive");
    }
    if let Some(seconds) = asking.within_s {
        words.push_str(&format!(", within {}", span(f64::from(seconds))));
    }
    words
}

/// Tells it; `head`: what would be done, for people.
pub(super) fn tell(
    printer: &Printer,
    act: impl Serialize,
    head: &str,
    would: &Would,
) -> Result<(), CliError> {
    if printer.is_json() {
        return printer.object(&Dry {
            dry_run: true,
            act,
            would,
        });
    }
    printer.line(head)?;
    let unknown = || "unknown".to_owned();
    let cost = match would.cost_microusd_expected {
        _ if would.calls == 0 => String::new(),
        Some(cost) => format!("about {}", dollars(cost, false).unwrap_or_default()),
        None => "unknown (a price is not set)".to_owned(),
    };
    let time = match would.eta_seconds {
        Some(seconds) => format!("about {} under present limits", span(seconds)),
        None if would.calls == 0 => String::new(),
        None => "no end under present limits: somebody must act".to_owned(),
    };
    printer.pairs(&[
        ("tasks", thousands(would.tasks)),
        (
            "from the cache",
            would.cache_hits_expected.map_or_else(unknown, thousands),
        ),
        ("asked once", would.equal.map(equal).unwrap_or_default()),
        ("calls", calls(would.calls, would.packs)),
        (
            "tokens",
            format!(
                "about {} in, {} out",
                thousands(would.input_tokens),
                would.output_tokens_expected.map_or_else(unknown, thousands)
            ),
        ),
        ("cost", cost),
        ("time", time),
        (
            "held back",
            would
                .binding
                .as_ref()
                .map(expect::held_back)
                .unwrap_or_default(),
        ),
    ])?;
    printer.say("nothing was stored or sent");
    Ok(())
}

/// `12 tasks that ask what another does`; nothing where there are none.
pub(super) fn equal(tasks: i64) -> String {
    match tasks {
        0 => String::new(),
        1 => "1 task that asks what another of them does".to_owned(),
        _ => format!("{} tasks that ask what others of them do", thousands(tasks)),
    }
}

/// `40, of them 38 packs`.
pub(super) fn calls(calls: i64, packs: i64) -> String {
    match packs {
        0 => thousands(calls),
        _ if packs == calls => format!("{}, in packs", thousands(calls)),
        _ => format!("{}, of them {} packs", thousands(calls), thousands(packs)),
    }
}
