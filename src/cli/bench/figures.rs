//! Figures, each with its bar: as objects or as a table.

use crate::cli::{CliError, Printer};

/// What a figure is to be.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Bar {
    /// This or less.
    AtMost(f64),
    /// This or more.
    AtLeast(f64),
    /// Less than this.
    Below(f64),
    /// This: a count that must be so on every machine.
    Exactly(f64),
}

impl Bar {
    fn is_met(self, value: f64) -> bool {
        match self {
            Self::AtMost(bar) => value <= bar,
            Self::AtLeast(bar) => value >= bar,
            Self::Below(bar) => value < bar,
            Self::Exactly(bar) => (value - bar).abs() < 1e-9,
        }
    }

    fn words(self) -> String {
        match self {
            Self::AtMost(bar) => format!("at most {}", short(bar)),
            Self::AtLeast(bar) => format!("at least {}", short(bar)),
            Self::Below(bar) => format!("below {}", short(bar)),
            Self::Exactly(bar) => short(bar),
        }
    }
}

/// One figure of a case.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub(super) struct Figure {
    case: &'static str,
    /// For programs.
    name: String,
    /// For people.
    what: String,
    value: f64,
    unit: &'static str,
    bar: Option<Bar>,
    met: Option<bool>,
    /// It must be met on every machine: else the bench ends with exit 3.
    must: bool,
}

impl Figure {
    /// One without a bar.
    pub(super) fn new(
        case: &'static str,
        name: impl Into<String>,
        what: impl Into<String>,
        value: f64,
        unit: &'static str,
    ) -> Self {
        Self {
            case,
            name: name.into(),
            what: what.into(),
            value,
            unit,
            bar: None,
            met: None,
            must: false,
        }
    }

    /// With a bar of this machine's: a time, a rate.
    pub(super) fn bar(mut self, bar: Bar) -> Self {
        self.met = Some(bar.is_met(self.value));
        self.bar = Some(bar);
        self
    }

    /// With a bar that holds on every machine: a number of calls.
    pub(super) fn must(mut self, bar: Bar) -> Self {
        self.must = true;
        self.bar(bar)
    }

    /// Whether it is what it must be.
    pub(super) fn holds(&self) -> bool {
        !self.must || self.met != Some(false)
    }

    fn row(&self) -> Vec<String> {
        vec![
            self.case.to_owned(),
            self.what.clone(),
            format!("{} {}", short(self.value), self.unit)
                .trim_end()
                .to_owned(),
            self.bar.map(Bar::words).unwrap_or_default(),
            match self.met {
                None => String::new(),
                Some(true) => "met".to_owned(),
                Some(false) => "MISSED".to_owned(),
            },
        ]
    }
}

/// All figures as a table.
pub(super) fn show(figures: &[Figure], printer: &Printer) -> Result<(), CliError> {
    let rows: Vec<_> = figures.iter().map(Figure::row).collect();
    printer.table(&["case", "what", "is", "bar", ""], &rows)
}

/// With as many digits as say something.
fn short(value: f64) -> String {
    let digits = match value.abs() {
        it if it.fract() == 0.0 => 0,
        it if it >= 100.0 => 0,
        it if it >= 10.0 => 1,
        it if it >= 0.1 => 3,
        _ => 5,
    };
    format!("{value:.digits$}")
}

/// The value that so many in a hundred stay below.
pub(super) fn percentile(values: &mut [f64], percent: usize) -> f64 {
    values.sort_by(f64::total_cmp);
    let place = (values.len() * percent).div_ceil(100).saturating_sub(1);
    values.get(place).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_met_or_missed_and_only_what_must_be_ends_the_bench() {
        let of = |value| Figure::new("again", "calls", "calls", value, "");
        assert!(!of(3.0).must(Bar::Exactly(0.0)).holds());
        assert!(of(0.0).must(Bar::Exactly(0.0)).holds());
        let slow = of(4_999.0).bar(Bar::AtLeast(5_000.0));
        assert_eq!((slow.met, slow.holds()), (Some(false), true));
        assert_eq!(of(0.22).bar(Bar::AtMost(0.22)).met, Some(true));
        assert_eq!(of(0.02).bar(Bar::Below(0.02)).met, Some(false));
    }

    #[test]
    fn figures_are_short() {
        let said = [0.0, 0.20004, 4_321.6, 12.34, 0.00041].map(short);
        assert_eq!(said, ["0", "0.200", "4322", "12.3", "0.00041"]);
    }

    #[test]
    fn a_percentile_is_one_of_the_values() {
        let mut values: Vec<f64> = (1..=200).rev().map(f64::from).collect();
        assert_eq!(percentile(&mut values, 99), 198.0);
        assert_eq!(percentile(&mut values, 50), 100.0);
    }
}
