//! The score of an item: the weighted sum of its named signals.

use std::collections::BTreeMap;

use super::PriorityError;

/// How much each signal counts. Weights need not sum to 1, and may be negative.
///
/// ```
/// # use std::collections::BTreeMap;
/// # use tidegate::priority::Weights;
/// let weights = Weights::new(BTreeMap::from([("hot".into(), 0.65), ("good".into(), 0.35)]))?;
/// let signals = BTreeMap::from([("hot".to_owned(), 1.0)]);
/// assert_eq!(weights.score(&signals)?, 0.65); // `good` is missing and counts 0
/// # Ok::<(), tidegate::priority::PriorityError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Weights(BTreeMap<String, f64>);

impl Weights {
    /// Weights by the name of their signal.
    ///
    /// # Errors
    /// [`PriorityError::Weight`] when one is NaN or infinite.
    pub fn new(weights: BTreeMap<String, f64>) -> Result<Self, PriorityError> {
        match weights.iter().find(|(_, weight)| !weight.is_finite()) {
            Some((signal, weight)) => Err(PriorityError::Weight {
                signal: signal.clone(),
                weight: *weight,
            }),
            None => Ok(Self(weights)),
        }
    }

    /// The weighted sum, added up in the order of the signals' names, so that it is the same bit
    /// for bit wherever it is made. A missing signal counts 0; a signal without a weight nothing.
    ///
    /// # Errors
    /// [`PriorityError::Signal`] when a signal that counts is NaN or infinite,
    /// [`PriorityError::Overflow`] when the sum is.
    pub fn score(&self, signals: &BTreeMap<String, f64>) -> Result<f64, PriorityError> {
        let mut sum = 0.0;
        for (signal, weight) in &self.0 {
            let value = signals.get(signal).copied().unwrap_or(0.0);
            if !value.is_finite() {
                return Err(PriorityError::Signal {
                    signal: signal.clone(),
                    value,
                });
            }
            sum += weight * value;
        }
        if sum.is_finite() {
            Ok(sum)
        } else {
            Err(PriorityError::Overflow)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn by_name(pairs: &[(&str, f64)]) -> BTreeMap<String, f64> {
        pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), *value))
            .collect()
    }

    #[test]
    fn a_missing_signal_counts_nothing_and_an_unweighted_one_neither() {
        let weights = Weights::new(by_name(&[("a", 2.0), ("b", -1.0)])).unwrap();
        assert_eq!(weights.score(&by_name(&[("a", 3.0)])), Ok(6.0));
        assert_eq!(
            weights.score(&by_name(&[("b", 3.0), ("z", f64::NAN)])),
            Ok(-3.0)
        );
        assert_eq!(weights.score(&by_name(&[])), Ok(0.0));
    }

    #[test]
    fn numbers_that_are_none_are_refused() {
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert!(matches!(
                Weights::new(by_name(&[("a", bad)])),
                Err(PriorityError::Weight { .. })
            ));
            let weights = Weights::new(by_name(&[("a", 1.0)])).unwrap();
            assert!(matches!(
                weights.score(&by_name(&[("a", bad)])),
                Err(PriorityError::Signal { .. })
            ));
        }
        let weights = Weights::new(by_name(&[("a", f64::MAX)])).unwrap();
        assert_eq!(
            weights.score(&by_name(&[("a", 2.0)])),
            Err(PriorityError::Overflow)
        );
    }
}
