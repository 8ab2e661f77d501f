//! The vectors of texts: a function of text, task, model and seed. Pure.
//!
//! Texts that share words are near each other, so that a search through them finds something; what
//! the vector is for moves it a little; no two texts have the same.

use super::asked::Wanted;
use super::chance::{Chance, hash, mix};
use super::values::index;

/// The vector of a text: of length 1, and of the dimensions wanted.
pub(super) fn vector(wanted: &Wanted, model: &str, seed: u64) -> Vec<f32> {
    let salt = mix(seed ^ hash(model).rotate_left(17));
    let mut values = vec![0.0; wanted.dimensions];
    let words = wanted.text.split(|letter: char| !letter.is_alphanumeric());
    for word in words.filter(|word| !word.is_empty()) {
        let mut chance = Chance::of(&[salt, hash(&word.to_lowercase())]);
        for _ in 0..PLACES {
            let bits = chance.bits();
            let sign = if bits >> 63 == 0 { 1.0 } else { -1.0 };
            values[index(bits, wanted.dimensions)] += sign;
        }
    }
    to_unit(&mut values);
    let mut chance = Chance::of(&[salt, hash(&wanted.text), hash(&wanted.task)]);
    let mut own: Vec<f32> = (0..wanted.dimensions).map(|_| even(&mut chance)).collect();
    to_unit(&mut own);
    for (value, own) in values.iter_mut().zip(own) {
        *value += OWN * own;
    }
    to_unit(&mut values);
    values
}

/// Places that a word has in a vector.
const PLACES: usize = 12;
/// What is of this text and task alone, beside its words.
const OWN: f32 = 0.3;

/// A number between -1 and 1, evenly.
fn even(chance: &mut Chance) -> f32 {
    let drawn = i16::try_from(chance.bits() % 20_001).unwrap_or(0);
    f32::from(drawn - 10_000) / 10_000.0
}

fn to_unit(values: &mut [f32]) {
    let length = values.iter().map(|value| value * value).sum::<f32>().sqrt();
    if length > 0.0 {
        values.iter_mut().for_each(|value| *value /= length);
    } else if let Some(first) = values.first_mut() {
        *first = 1.0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str, task: &str, dimensions: usize) -> Vec<f32> {
        let wanted = Wanted {
            text: text.to_owned(),
            task: task.to_owned(),
            dimensions,
        };
        vector(&wanted, "m", 7)
    }

    fn likeness(one: &[f32], other: &[f32]) -> f32 {
        one.iter().zip(other).map(|(a, b)| a * b).sum()
    }

    #[test]
    fn vectors_have_the_length_1_and_the_dimensions_wanted() {
        for (text, dimensions) in [("", 1), ("?", 3), ("a b", 2), ("The sea is wide.", 768)] {
            let vector = of(text, "", dimensions);
            assert_eq!(vector.len(), dimensions);
            assert!((likeness(&vector, &vector) - 1.0).abs() < 1e-4, "{text}");
        }
    }

    #[test]
    fn a_text_is_near_itself_for_another_task_then_near_what_shares_its_words() {
        let text = of("the machine ate my card", "RETRIEVAL_DOCUMENT", 768);
        assert_eq!(
            text,
            of("the machine ate my card", "RETRIEVAL_DOCUMENT", 768)
        );
        let query = of("the machine ate my card", "RETRIEVAL_QUERY", 768);
        assert_ne!(text, query);
        let alike = of("my card is in the machine", "RETRIEVAL_QUERY", 768);
        let other = of("whales sing below icebergs", "RETRIEVAL_QUERY", 768);
        let near = [&query, &alike, &other].map(|it| likeness(&text, it));
        assert!(near[0] > 0.8 && near[0] < 0.999, "{near:?}");
        assert!(near[1] > 0.4 && near[1] < near[0], "{near:?}");
        assert!(near[2] < 0.3, "{near:?}");
    }
}
