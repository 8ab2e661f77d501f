//! Prices: decimal text to whole micro-dollars, without a float in between.

/// The most a price may be: a million dollars per million tokens.
const MICRO_DOLLARS_MAX: i64 = 1_000_000_000_000;

/// Dollars as written (`0.75`, `1_000`, `7.5e-2`) in micro-dollars, exactly.
pub(crate) fn micro_dollars(written: &str) -> Result<i64, &'static str> {
    let text: String = written.trim().chars().filter(|&c| c != '_').collect();
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().map_err(|_| NO_NUMBER)?),
        None => (text.as_str(), 0),
    };
    if mantissa.starts_with('-') {
        return Err("a price is not negative");
    }
    let mantissa = mantissa.strip_prefix('+').unwrap_or(mantissa);
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    if whole.is_empty() || !digits.bytes().all(|c| c.is_ascii_digit()) || mantissa.ends_with('.') {
        return Err(NO_NUMBER);
    }
    let significant = digits.trim_start_matches('0').trim_end_matches('0');
    if significant.is_empty() {
        return Ok(0);
    }
    let trailing = digits.len() - digits.trim_end_matches('0').len();
    // value = significant x 10^power micro-dollars
    let fraction_len = i64::try_from(fraction.len()).map_err(|_| NO_NUMBER)?;
    let trailing = i64::try_from(trailing).map_err(|_| NO_NUMBER)?;
    let power = 6 + i64::from(exponent) - fraction_len + trailing;
    if power < 0 {
        return Err("it has more than 6 decimals");
    }
    let scaled = u32::try_from(power)
        .ok()
        .and_then(|power| 10_i64.checked_pow(power))
        .and_then(|scale| significant.parse::<i64>().ok()?.checked_mul(scale));
    match scaled {
        Some(value) if value <= MICRO_DOLLARS_MAX => Ok(value),
        _ => Err("it is beyond a million dollars"),
    }
}

/// Micro-dollars as dollars, to the last digit and without zeros that say nothing.
pub(crate) fn usd(micro: i64) -> String {
    let fraction = format!("{:06}", micro % 1_000_000);
    let fraction = fraction.trim_end_matches('0');
    format!("{}.{fraction:0<2}", micro / 1_000_000)
}

const NO_NUMBER: &str = "it is no decimal number";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_price_is_read_to_the_last_digit() {
        for (written, expected) in [
            ("0", 0),
            ("0.0", 0),
            ("0.000001", 1),
            ("0.1", 100_000),
            ("0.29", 290_000),
            ("1.005", 1_005_000),
            ("2.50", 2_500_000),
            ("+3", 3_000_000),
            ("1_000.5", 1_000_500_000),
            ("7.5e-2", 75_000),
            ("1E3", 1_000_000_000),
            ("0.1000000000", 100_000),
            ("1000000", 1_000_000_000_000),
        ] {
            assert_eq!(micro_dollars(written), Ok(expected), "{written}");
        }
    }

    #[test]
    fn dollars_come_back_as_written() {
        for (micro, expected) in [
            (750_000, "0.75"),
            (1, "0.000001"),
            (3_000_000, "3.00"),
            (0, "0.00"),
        ] {
            assert_eq!(usd(micro), expected);
        }
    }

    #[test]
    fn what_is_no_price_is_refused() {
        for written in [
            "",
            ".",
            "1.",
            ".5",
            "-1",
            "abc",
            "1.2.3",
            "0.0000001",
            "1e99",
            "1e999999999999",
            "inf",
            "nan",
            "1000001",
            "0x10",
            "1,5",
        ] {
            assert!(micro_dollars(written).is_err(), "{written}");
        }
    }

    proptest! {
        #[test]
        fn every_price_of_six_decimals_comes_back_as_written(micro in 0_i64..=MICRO_DOLLARS_MAX) {
            let written = format!("{}.{:06}", micro / 1_000_000, micro % 1_000_000);
            prop_assert_eq!(micro_dollars(&written), Ok(micro));
        }
    }
}
