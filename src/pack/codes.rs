//! Short words that no text holds: the ids of a pack's items, and the mark between them. Pure: all
//! chance is the seed.

use std::collections::BTreeSet;

/// Letters and digits that are not taken for one another, without vowels so that no words come out.
/// Their number is prime, which the check letter needs.
pub(super) const ALPHABET: &[u8; BASE] = b"CFHJKMNPRTWXY3479";
const BASE: usize = 17;

/// A word of at least eight letters that stands in none of the texts, in whatever case.
pub(super) fn mark(texts: &[&str], seed: u64) -> String {
    let texts: Vec<String> = texts.iter().map(|text| text.to_ascii_lowercase()).collect();
    let mut draws = Draws::new(seed, 1);
    let mut length = MARK_LENGTH;
    loop {
        let word: String = (0..length)
            .map(|_| char::from(ALPHABET[draws.below(BASE)]).to_ascii_lowercase())
            .collect();
        if !texts.iter().any(|text| text.contains(&word)) {
            return word;
        }
        // ends: texts of n letters hold at most n words of a length, and 17 times as many exist of the next
        length += 1;
    }
}

const MARK_LENGTH: usize = 8;

/// As many ids, all of one length, none of which stands in a text or in the mark, in whatever case.
///
/// Any two differ in at least two letters (the last is a check letter), and in the first as long as
/// there are letters: one slip of the pen makes no other item's id. None is a number.
pub(super) fn ids(count: usize, texts: &[&str], mark: &str, seed: u64) -> Vec<String> {
    let mut length = if count <= BASE { 3 } else { 4 };
    loop {
        let mut taken = BTreeSet::new();
        for text in texts.iter().copied().chain([mark]) {
            windows(text, length, &mut taken);
        }
        if let Some(ids) = drawn(count, length, taken, seed) {
            return ids;
        }
        // ends: there are 17 times as many words, and no more of them in the texts
        length += 1;
    }
}

/// Ids of this length, if enough are free.
fn drawn(
    count: usize,
    length: usize,
    mut taken: BTreeSet<Vec<u8>>,
    seed: u64,
) -> Option<Vec<String>> {
    let mut draws = Draws::new(seed, 2 + length as u64);
    let firsts = shuffled(&mut draws);
    let mut ids = Vec::with_capacity(count);
    for place in 0..count {
        let id = (0..DRAWS_MAX).find_map(|_| {
            let middle = (1..length - 1).map(|_| draws.below(BASE));
            let mut digits: Vec<usize> = [firsts[place % BASE]].into_iter().chain(middle).collect();
            digits.push(check_digit(&digits));
            let word: Vec<u8> = digits.iter().map(|digit| ALPHABET[*digit]).collect();
            let is_number = word.iter().all(u8::is_ascii_digit);
            (!is_number && taken.insert(word.clone())).then_some(word)
        })?;
        ids.push(id.into_iter().map(char::from).collect());
    }
    Some(ids)
}

/// Draws before a longer id is tried.
const DRAWS_MAX: usize = 200;

/// Makes the sum of digits, each times its place, a multiple of the base: a change of one digit
/// never does.
fn check_digit(digits: &[usize]) -> usize {
    let weigh = |(at, digit): (usize, &usize)| (at % (BASE - 1) + 1) * digit;
    let sum: usize = digits.iter().enumerate().map(weigh).sum();
    let last = digits.len() % (BASE - 1) + 1;
    (0..BASE)
        .find(|digit| (sum + last * digit).is_multiple_of(BASE))
        .unwrap_or_default()
}

/// All words of this length in a text that could be ids.
fn windows(text: &str, length: usize, found: &mut BTreeSet<Vec<u8>>) {
    let upper = text.to_ascii_uppercase();
    for run in upper.as_bytes().split(|byte| !ALPHABET.contains(byte)) {
        found.extend(run.windows(length).map(<[u8]>::to_vec));
    }
}

fn shuffled(draws: &mut Draws) -> [usize; BASE] {
    let mut places = std::array::from_fn(|at| at);
    for at in (1..BASE).rev() {
        places.swap(at, draws.below(at + 1));
    }
    places
}

/// A splitmix64 generator: the same numbers on every machine and in every version.
struct Draws(u64);

impl Draws {
    /// `use_of` keeps the draws of two purposes apart.
    fn new(seed: u64, use_of: u64) -> Self {
        Self(mixed(seed ^ mixed(use_of)))
    }

    /// A number below `most`.
    fn below(&mut self, most: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let most = most.max(1) as u64;
        usize::try_from(mixed(self.0) % most).unwrap_or_default()
    }
}

fn mixed(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn ids_are_far_apart_and_in_no_text(
            count in 2_usize..80,
            texts in prop::collection::vec("[cfhjkmnprtwxyCFHJKMNPRTWXY3479 é]{0,60}", 1..6),
            seed: u64,
        ) {
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            let mark = mark(&texts, seed);
            let ids = ids(count, &texts, &mark, seed);
            prop_assert_eq!(ids.len(), count);
            for text in &texts {
                let lower = text.to_lowercase();
                prop_assert!(!lower.contains(&mark));
                let told = ids.iter().find(|id| lower.contains(&id.to_lowercase()));
                prop_assert!(told.is_none(), "{told:?}");
            }
            for (at, one) in ids.iter().enumerate() {
                prop_assert!(one.parse::<f64>().is_err());
                for other in &ids[at + 1..] {
                    prop_assert!(strsim::levenshtein(one, other) >= 2, "{one} {other}");
                }
            }
            let firsts: BTreeSet<_> = ids.iter().take(BASE).map(|id| id.as_bytes()[0]).collect();
            prop_assert_eq!(firsts.len(), count.min(BASE));
        }
    }

    #[test]
    fn a_thousand_ids_come_out_beside_a_text_that_holds_every_short_word() {
        let mut all = String::new();
        for one in ALPHABET {
            for two in ALPHABET {
                for three in ALPHABET {
                    all.extend([*one, *two, *three].map(char::from));
                }
            }
        }
        let few = ids(5, &[&all], "x", 1);
        assert!(few[0].len() > 3, "{few:?}");
        let many: BTreeSet<_> = ids(1_000, &[&all], "x", 1).into_iter().collect();
        assert_eq!(many.len(), 1_000);
    }

    #[test]
    fn the_seed_alone_decides() {
        assert_eq!(ids(5, &["a"], "m", 3), ids(5, &["a"], "m", 3));
        assert_ne!(ids(5, &["a"], "m", 3), ids(5, &["a"], "m", 4));
        assert_ne!(mark(&["a"], 3), mark(&["a"], 4));
    }
}
