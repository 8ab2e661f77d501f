//! Lists of one to five texts against as many texts that are asked one after the other.

use super::{beside::question, client::Client};
use crate::cli::{
    CliError,
    bench::figures::{Bar, Figure, percentile},
};

/// Texts of the longest list.
const MOST: u32 = 5;

/// So many rounds: of each length a list, and right after it as many single texts.
pub(super) async fn measured(
    client: &Client,
    first: u32,
    rounds: u32,
) -> Result<Vec<Figure>, CliError> {
    let mut number = first;
    let mut next = |count: u32| -> Vec<String> {
        number += count;
        (number - count..number).map(question).collect()
    };
    let mut ratios: Vec<Vec<f64>> = vec![Vec::new(); MOST as usize];
    for _ in 0..rounds {
        for (length, ratios) in (1..=MOST).zip(&mut ratios) {
            let list = client.embed(next(length)).await?;
            let mut slowest: f64 = 0.0;
            for text in next(length) {
                slowest = slowest.max(client.embed(vec![text]).await?.own_ms());
            }
            ratios.push(list.own_ms() / slowest.max(1e-3));
        }
    }
    let figures = (1..=MOST).zip(&mut ratios).map(|(length, ratios)| {
        Figure::new(
            "beside",
            format!("list_{length}"),
            format!("a list of {length} by the slowest of {length} single texts, p50"),
            percentile(ratios, 50),
            "",
        )
        .bar(Bar::AtMost(1.3))
    });
    Ok(figures.collect())
}
