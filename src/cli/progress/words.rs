//! Spans, money and counts as people read them in progress and reports.

use std::time::Duration;

/// Seconds as people read them.
pub(in crate::cli) fn span(seconds: f64) -> String {
    let whole = Duration::from_secs_f64(seconds.clamp(0.0, 1e9).ceil());
    humantime::format_duration(whole).to_string()
}

/// Micro-dollars as people read them. `None`: no price is known.
pub(in crate::cli) fn dollars(microusd: i64, unknown: bool) -> Option<String> {
    if unknown && microusd == 0 {
        return None;
    }
    let sign = if unknown { ">= " } else { "" };
    Some(format!(
        "{sign}${}.{:06}",
        microusd / 1_000_000,
        microusd % 1_000_000
    ))
}

/// `97.5 %`; all is 100 and only all is.
pub(in crate::cli) fn percent(rate: Option<f64>) -> String {
    match rate {
        None => "-".to_owned(),
        Some(rate) if rate >= 1.0 => "100 %".to_owned(),
        Some(rate) => format!("{:.1} %", (rate * 1000.0).floor() / 10.0),
    }
}

/// `1,234,567`.
pub(in crate::cli) fn thousands(number: i64) -> String {
    let sign = if number < 0 { "-" } else { "" };
    format!("{sign}{}", grouped(&number.unsigned_abs().to_string()))
}

/// `1.5 MiB`.
pub(in crate::cli) fn bytes(count: i64) -> String {
    let mut amount = count.max(0) as f64;
    for unit in ["B", "KiB", "MiB"] {
        if amount < 1024.0 {
            let digits = usize::from(unit != "B");
            return format!("{amount:.digits$} {unit}");
        }
        amount /= 1024.0;
    }
    format!("{amount:.1} GiB")
}

/// A rate in whole numbers: `12,345`.
pub(in crate::cli) fn whole(rate: f64) -> String {
    grouped(&format!("{:.0}", rate.clamp(0.0, 1e15)))
}

fn grouped(digits: &str) -> String {
    let mut out = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_told_in_thousands_and_only_all_is_a_hundred_percent() {
        assert_eq!(
            [0, 999, 1_000, -1_234_567].map(thousands),
            ["0", "999", "1,000", "-1,234,567"]
        );
        assert_eq!(
            [0, 1_023, 1_536, 4 << 30].map(bytes),
            ["0 B", "1023 B", "1.5 KiB", "4.0 GiB"]
        );
        assert_eq!([0.4, 1_234.5].map(whole), ["0", "1,234"]);
        assert_eq!(
            [Some(1.0), Some(0.9999), Some(0.5), None].map(percent),
            ["100 %", "99.9 %", "50.0 %", "-"]
        );
    }
}
