//! The tables that rank and route: score, tiers and the fallback.

use super::{
    DefinitionError, Tier, WeightTable,
    table::{Table, number},
    toml_tree::Node,
};
use crate::model::ModelId;

const TIER_KEYS: &[&str] = &["share", "mix", "model", "fallbacks"];

pub(super) fn weights(top: &Table<'_>) -> Result<WeightTable, DefinitionError> {
    let Some(node) = top.node("score") else {
        return Ok(WeightTable::new());
    };
    let score = Table::open(node, "[score]", &["weights"])?;
    let Some(node) = score.node("weights") else {
        return Ok(WeightTable::new());
    };
    Table::any_keys(node, "[score.weights]")?
        .entries()
        .iter()
        .map(|entry| Ok((entry.key.clone(), number(&entry.key, &entry.node)?)))
        .collect()
}

/// The tiers; of a worker that asks no model they need not be named: then there is one.
pub(super) fn tiers(top: &Table<'_>, local: bool) -> Result<Vec<Tier>, DefinitionError> {
    let nodes = top.list("tier")?;
    if nodes.is_empty() && local {
        return Ok(vec![Tier {
            share_bp: 10_000,
            mix: 1,
            model: None,
            fallbacks: Vec::new(),
        }]);
    }
    if nodes.is_empty() {
        return Err(match top.node("tier") {
            Some(_) => top.bad("tier", "is empty: a worker has at least one [[tier]]"),
            None => top.missing("tier"),
        });
    }
    let tiers = nodes
        .iter()
        .map(|node| tier(node, local))
        .collect::<Result<Vec<_>, _>>()?;
    let sum: u64 = tiers.iter().map(|tier| u64::from(tier.share_bp)).sum();
    if sum == 10_000 {
        return Ok(tiers);
    }
    let last = Table::open(&nodes[nodes.len() - 1], "[[tier]]", TIER_KEYS)?;
    let (whole, rest) = (sum / 10_000, sum % 10_000);
    Err(last.bad(
        "share",
        format!("makes the shares of all tiers sum to {whole}.{rest:04}, not to 1"),
    ))
}

fn tier(node: &Node, local: bool) -> Result<Tier, DefinitionError> {
    let table = Table::open(node, "[[tier]]", TIER_KEYS)?;
    let share = table
        .number("share")?
        .ok_or_else(|| table.missing("share"))?;
    let model = table.model("model")?;
    if model.is_none() && !local {
        return Err(table.missing("model"));
    }
    let tier = Tier {
        share_bp: basis_points(share).ok_or_else(|| {
            table.bad(
                "share",
                format!("is {share}: it must be 0 to 1, in steps of 0.0001"),
            )
        })?,
        mix: table
            .integer("mix", 1, 1_000_000)?
            .ok_or_else(|| table.missing("mix"))?,
        model,
        fallbacks: table.models("fallbacks")?,
    };
    let twice = |at: usize| {
        tier.fallbacks[..at].contains(&tier.fallbacks[at])
            || Some(&tier.fallbacks[at]) == tier.model.as_ref()
    };
    match (0..tier.fallbacks.len()).find(|&at| twice(at)) {
        Some(at) => Err(table.bad(
            "fallbacks",
            format!("names {} a second time in this tier", tier.fallbacks[at]),
        )),
        None => Ok(tier),
    }
}

/// A share in basis points, if it is a whole number of them.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "within 0 to 10,000"
)]
fn basis_points(share: f64) -> Option<u32> {
    let points = (share * 10_000.0).round();
    ((0.0..=1.0).contains(&share) && (share * 10_000.0 - points).abs() < 1e-6)
        .then_some(points as u32)
}

pub(super) fn fallback(top: &Table<'_>) -> Result<Option<ModelId>, DefinitionError> {
    let Some(node) = top.node("fallback") else {
        return Ok(None);
    };
    let table = Table::open(node, "[fallback]", &["model"])?;
    table
        .model("model")?
        .map(Some)
        .ok_or_else(|| table.missing("model"))
}
