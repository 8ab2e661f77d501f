//! Seeded chance: the same seed draws the same numbers on every machine and in every version.

/// A splitmix64 generator. Not `rand`'s: its generators may change between versions, and a seed
/// named in a bug report has to stay worth something.
#[derive(Clone, Debug)]
pub(super) struct Chance(u64);

impl Chance {
    /// The generator of one call: `parts` are the seed and what tells calls apart.
    pub(super) fn of(parts: &[u64]) -> Self {
        Self(
            parts
                .iter()
                .fold(0x5851_f42d_4c95_7f2d, |state, part| mix(state ^ mix(*part))),
        )
    }

    /// The next 64 bits.
    pub(super) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// A number in `[0, 1)`.
    #[expect(
        clippy::cast_precision_loss,
        reason = "53 bits are exactly what an f64 holds"
    )]
    pub(super) fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// Spreads text over 64 bits (FNV-1a, then mixed): stable over versions, no secret in it.
pub(super) fn hash(text: &str) -> u64 {
    let folded = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |state, byte| {
        (state ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    mix(folded)
}

/// The finalizer of splitmix64.
pub(super) fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_parts_draw_the_same_numbers() {
        let mut one = Chance::of(&[7, 1]);
        let mut same = Chance::of(&[7, 1]);
        let mut other = Chance::of(&[7, 2]);
        assert_eq!(one.bits(), same.bits());
        assert_ne!(one.bits(), other.bits());
    }

    #[test]
    fn units_are_spread_evenly_below_one() {
        let mut chance = Chance::of(&[1]);
        let drawn: Vec<f64> = (0..10_000).map(|_| chance.unit()).collect();
        let mean = drawn.iter().sum::<f64>() / 10_000.0;
        assert!(drawn.iter().all(|unit| (0.0..1.0).contains(unit)));
        assert!((mean - 0.5).abs() < 0.02, "mean {mean}");
    }
}
