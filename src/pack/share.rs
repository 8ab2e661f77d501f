//! What each item of a pack used of the call: whole numbers that add up to the call's.

use std::cmp::Reverse;

use crate::llm::Usage;

/// Divides `total` by weight: the largest-remainder method, by which every share is the exact one
/// rounded down or up and the sum is `total`. Of equal remainders the first comes first. Weights
/// that are all 0 count as equal; without weights there are no shares.
///
/// ```
/// # use tidegate::pack::share;
/// assert_eq!(share(10, &[1, 1, 1]), [4, 3, 3]);
/// assert_eq!(share(10, &[0, 3, 1]), [0, 8, 2]);
/// assert_eq!(share(1, &[0, 0]), [1, 0]);
/// ```
pub fn share(total: u64, weights: &[u64]) -> Vec<u64> {
    let sum: u128 = weights.iter().copied().map(u128::from).sum();
    if sum == 0 {
        let even = vec![1; weights.len()];
        return if weights.is_empty() {
            even
        } else {
            share(total, &even)
        };
    }
    let product = |weight: &u64| u128::from(total) * u128::from(*weight);
    let floors = weights.iter().map(|weight| product(weight) / sum);
    // no floor is above the total, which is a u64
    let mut shares: Vec<u64> = floors
        .map(|floor| u64::try_from(floor).unwrap_or(total))
        .collect();
    let left = total - shares.iter().sum::<u64>();
    let mut order: Vec<usize> = (0..weights.len()).collect();
    order.sort_by_key(|at| Reverse(product(&weights[*at]) % sum));
    let left = usize::try_from(left).unwrap_or(usize::MAX); // below the number of weights
    for at in order.into_iter().take(left) {
        shares[at] += 1;
    }
    shares
}

/// What is known of one item's part in a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Part {
    /// Its request's input tokens, as they were estimated for it alone.
    pub input_tokens: u64,
    /// Length of its answer in bytes; 0 for an item whose answer was lost, which counts as 1.
    pub answer_bytes: u64,
}

/// Each item's use of the call: input and cached tokens by its input, output and thought tokens by
/// its answer. Every field adds up to the call's (if there are parts), and no item has more of its
/// input cached than it has, if that holds for the call.
pub fn shares(usage: &Usage, parts: &[Part]) -> Vec<Usage> {
    let inputs: Vec<u64> = parts.iter().map(|part| part.input_tokens).collect();
    let answers: Vec<u64> = parts.iter().map(|part| part.answer_bytes.max(1)).collect();
    let input = share(usage.input_tokens, &inputs);
    let cached = share(usage.cached_tokens, &input);
    let output = share(usage.output_tokens, &answers);
    let thought = share(usage.thought_tokens, &answers);
    let of = |at: usize| Usage {
        input_tokens: input[at],
        cached_tokens: cached[at],
        output_tokens: output[at],
        thought_tokens: thought[at],
    };
    (0..parts.len()).map(of).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn shares_add_up_and_are_the_exact_ones_rounded(
            total in prop_oneof![any::<u64>(), 0_u64..50],
            weights in prop::collection::vec(prop_oneof![any::<u64>(), 0_u64..4], 1..20),
        ) {
            let shares = share(total, &weights);
            prop_assert_eq!(shares.iter().map(|it| u128::from(*it)).sum::<u128>(), u128::from(total));
            let sum: u128 = weights.iter().map(|it| u128::from(*it)).sum();
            for (share, weight) in shares.iter().zip(&weights).filter(|_| sum > 0) {
                let exact = u128::from(total) * u128::from(*weight);
                prop_assert!(u128::from(*share) >= exact / sum);
                prop_assert!(u128::from(*share) <= exact.div_ceil(sum));
            }
        }

        #[test]
        fn every_field_of_a_call_is_divided_without_a_rest(
            usage in (any::<u32>(), any::<u32>(), any::<u32>(), any::<u32>()),
            parts in prop::collection::vec((0_u64..9_000, 0_u64..900), 1..12),
        ) {
            let (input, cached, output, thought) = usage;
            let usage = Usage {
                input_tokens: input.into(),
                cached_tokens: cached.min(input).into(),
                output_tokens: output.into(),
                thought_tokens: thought.into(),
            };
            let part = |(input_tokens, answer_bytes)| Part { input_tokens, answer_bytes };
            let parts: Vec<Part> = parts.into_iter().map(part).collect();
            let of_items = shares(&usage, &parts);
            prop_assert!(of_items.iter().all(|it| it.cached_tokens <= it.input_tokens));
            let sum = of_items.iter().fold(Usage::default(), |sum, it| Usage {
                input_tokens: sum.input_tokens + it.input_tokens,
                cached_tokens: sum.cached_tokens + it.cached_tokens,
                output_tokens: sum.output_tokens + it.output_tokens,
                thought_tokens: sum.thought_tokens + it.thought_tokens,
            });
            prop_assert_eq!(sum, usage);
        }
    }

    #[test]
    fn without_parts_there_is_nothing_to_share() {
        assert!(share(7, &[]).is_empty());
        assert!(shares(&Usage::default(), &[]).is_empty());
    }

    #[test]
    fn a_lost_item_bears_a_little_of_the_output() {
        let usage = Usage {
            output_tokens: 101,
            ..Usage::default()
        };
        let of = |answer_bytes| Part {
            input_tokens: 1,
            answer_bytes,
        };
        let outputs = shares(&usage, &[of(100), of(0)])
            .into_iter()
            .map(|it| it.output_tokens);
        assert_eq!(outputs.collect::<Vec<_>>(), [100, 1]);
    }
}
