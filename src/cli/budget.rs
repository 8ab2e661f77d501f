//! Money that may be spent: read from the command line, checked against what is known, told.

use super::{CliError, Printer};
use crate::config::{micro_dollars, usd};
use crate::store::budget::{Basis, Budget};

/// Dollars above none, as micro-dollars.
pub(super) fn amount(text: &str) -> Result<i64, String> {
    match micro_dollars(text) {
        Ok(0) => Err("a budget of 0 asks nothing; `tidegate runs pause` does that".to_owned()),
        Ok(micro) => Ok(micro),
        Err("it is beyond a million dollars") => Err("write up to 1000000".to_owned()),
        Err(why) => Err(format!("{why}; write USD with at most 6 decimals, as 2.50")),
    }
}

/// Whether a budget can hold. Models without a price are warned of: under a budget they are not asked.
///
/// # Errors
/// Where nothing could be asked, or an answer may be of any length: money is reserved at worst case.
pub(super) fn check(basis: &Basis, printer: &Printer) -> Result<(), CliError> {
    if basis.priced.is_empty() && basis.unpriced.is_empty() {
        return Err(CliError::input(
            "a budget makes no sense here: no model is asked",
            "leave it out",
        ));
    }
    if basis.priced.is_empty() {
        return Err(CliError::input(
            format!(
                "a budget cannot hold: no price is known of {}",
                basis.unpriced.join(", ")
            ),
            "write input_price_usd and output_price_usd to their [[models]] in tidegate.toml, or say `tidegate models set MODEL --input-price-usd X --output-price-usd Y`",
        ));
    }
    if basis.unbounded {
        return Err(CliError::input(
            "a budget cannot hold: max_output_tokens is not set, so an answer may cost any amount",
            "set it in worker.toml, [prompt] params = { max_output_tokens = 600 }, or for a new run: --set prompt.params.max_output_tokens=600",
        ));
    }
    for model in &basis.unpriced {
        printer.warn(format_args!(
            "no price is known of {model}: under a budget it is not asked"
        ));
    }
    Ok(())
}

/// A budget and what is left of it.
pub(super) fn words(it: &Budget) -> String {
    format!(
        "${}: ${} spent, ${} reserved for calls under way, ${} left",
        usd(it.budget_microusd),
        usd(it.spent_microusd),
        usd(it.reserved_microusd),
        usd(it.left_microusd)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_above_none_and_exact() {
        assert_eq!(amount("2.50"), Ok(2_500_000));
        assert_eq!(amount("0.000001"), Ok(1));
        for (text, words) in [
            ("0", "pause"),
            ("-1", "not negative"),
            ("1e12", "1000000"),
            ("lots", "no decimal number"),
            ("0.0000001", "6 decimals"),
        ] {
            assert!(amount(text).unwrap_err().contains(words), "{text}");
        }
    }
}
