//! Usage and prices to micro-dollars.
//!
//! Owns: the arithmetic of money, whole micro-dollars only. Never: a list of prices, I/O.

use crate::llm::Usage;

/// What a call cost, in micro-dollars, rounded up. Prices are micro-dollars per million tokens;
/// `None` where a price of what was used is not known: then the cost is not known either (vectors use no output). At most a billion dollars, so
/// that sums of what a provider got wrong still fit.
///
/// ```
/// # use tidegate::{cost::actual, llm::Usage};
/// let usage = Usage { input_tokens: 1_000, output_tokens: 10, thought_tokens: 90, ..Usage::default() };
/// // $0.30 and $2.50 per million tokens
/// assert_eq!(actual(&usage, Some(300_000), Some(2_500_000)), Some(300 + 250));
/// assert_eq!(actual(&usage, None, Some(2_500_000)), None);
/// let vectors = Usage { input_tokens: 1_000, ..Usage::default() };
/// assert_eq!(actual(&vectors, Some(150_000), None), Some(150));
/// ```
pub fn actual(usage: &Usage, input_price: Option<i64>, output_price: Option<i64>) -> Option<i64> {
    let priced = |tokens: u64, price: i64| i128::from(tokens) * i128::from(price.max(0));
    let output = usage.output_tokens.saturating_add(usage.thought_tokens);
    let output_price = match output {
        0 => 0,
        _ => output_price?,
    };
    let millionths = priced(usage.input_tokens, input_price?) + priced(output, output_price);
    let microusd = (millionths + 999_999) / 1_000_000;
    Some(i64::try_from(microusd).unwrap_or(COST_MAX).min(COST_MAX))
}

/// A billion dollars.
const COST_MAX: i64 = 1_000_000_000_000_000;

/// What a call that the provider did not count may have cost: its estimated input, and an answer of
/// that many tokens.
pub fn estimate(
    input_tokens: u64,
    output_tokens: u64,
    input_price: Option<i64>,
    output_price: Option<i64>,
) -> Option<i64> {
    let usage = Usage {
        input_tokens,
        output_tokens,
        ..Usage::default()
    };
    actual(&usage, input_price, output_price)
}
