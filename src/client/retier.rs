//! Retiering a run: what waits of it gets tiers and ladders anew by its definition, with overrides.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::{Asked, Expected, Outlook, Planned, StepOutlook, expected_instead, lanes};
use crate::{
    definition::{Definition, DefinitionError, StoredDefinition},
    priority::{PriorityError, Shares},
    store::{
        Store, StoreError,
        dry_run::LaneOutlook,
        load::NewLane,
        model::ModelRow,
        retier::{Moved, RankEnds},
    },
};

/// Tasks moved by one transaction at most.
const CHUNK: usize = 1_000;
/// Ids read at once.
const PAGE: i64 = 50_000;

/// What a retiering came to, or would.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Retiered {
    /// How many moved from which tier to which, in order; from a tier to itself: the ladder changed.
    pub moves: Vec<Move>,
    /// Tasks that waited and stay where they are.
    pub stay: i64,
}

/// Tasks that moved alike.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Move {
    /// From this tier.
    pub from: i16,
    /// To this tier.
    pub to: i16,
    /// So many.
    pub tasks: i64,
}

impl Retiered {
    /// How many moved in all.
    pub fn moved(&self) -> i64 {
        self.moves.iter().map(|it| it.tasks).sum()
    }
}

/// Why a run could not be retiered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RetierError {
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The definition with its overrides does not hold.
    #[error(transparent)]
    Definition(#[from] DefinitionError),
    /// The shares.
    #[error("worker.toml: {0}")]
    Shares(#[from] PriorityError),
    /// A key that has nothing to do with tiers, ladders and how they are taken.
    #[error(
        "`{0}` cannot be set here: only keys under tier, fallback, routing, pacing and strategy\n  help: write it as tier.0.model=ENTRY/MODEL, fallback.model=ENTRY/MODEL or routing.policy=spread; the rest holds for a new run (`tidegate run`)"
    )]
    Key(String),
    /// A run that is not open.
    #[error("run {run} is {state}: only a run that is loaded and has not ended can be retiered{}", ended(.state))]
    State {
        /// The run.
        run: Uuid,
        /// Where it stands.
        state: String,
    },
    /// The standing run of a worker.
    #[error(
        "tasks enqueued one by one for {0} have the tier that they were given\n  help: change the folder and say `tidegate workers add FOLDER`: it holds for what is enqueued from then on"
    )]
    Standing(String),
    /// Work of a program.
    #[error(
        "{0} is worked by a program, not by a folder: it has no ladders\n  help: change the program"
    )]
    Program(String),
    /// No such run.
    #[error("no run has the id {0}\n  help: see `tidegate runs list`")]
    NoRun(Uuid),
}

fn ended(state: &str) -> &'static str {
    match state {
        "loading" => "\n  help: wait until it is loaded",
        _ => "\n  help: what is put back (`tidegate tasks retry`) opens it again",
    }
}

/// Gives what waits of a run tier, ladder and lane anew: ranked by priority over all tasks of the run,
/// cut by the shares of its definition with these overrides laid over it. What runs or has ended
/// keeps what it had. The run goes on under that definition: how fallbacks are taken (`routing`), how
/// its claims are spread over time (`pacing`) and how its tasks are asked (`strategy`) hold at once for all
/// that waits.
///
/// It goes in chunks, each a short transaction; cut off half-way, it is safe to say it again.
/// `dry_run`: nothing is changed.
///
/// # Errors
/// [`RetierError`]; bad input changes nothing.
pub async fn retier(
    store: &Store,
    run: Uuid,
    set: &[(String, String)],
    dry_run: bool,
) -> Result<Retiered, RetierError> {
    let (definition, ends) = wanted(store, run, set).await?;
    if dry_run {
        outlook(store, run, &definition, &ends).await
    } else {
        act(store, run, &definition, &ends).await
    }
}

/// What would be expected of what waits, if the run were retiered so; `models`: those of tidegate.toml.
/// The run is the last, and has no id.
///
/// # Errors
/// As [`retier`].
pub async fn retiered_expected(
    store: &Store,
    run: Uuid,
    set: &[(String, String)],
    models: &[ModelRow],
) -> Result<Expected, RetierError> {
    let (definition, ends) = wanted(store, run, set).await?;
    let mut outlook = Outlook {
        tiers: vec![0; definition.tiers.len()],
        ..Outlook::default()
    };
    for standing in store.retier_outlook(run, &ends).await? {
        let tasks = standing.tasks.unsigned_abs();
        outlook.items += tasks;
        let tier = outlook
            .tiers
            .get_mut(usize::try_from(standing.to).unwrap_or_default());
        if let Some(tier) = tier {
            *tier += tasks;
        }
    }
    let lanes = store.waiting_outlook(run).await?.lanes.unwrap_or_default();
    outlook.input_tokens = lanes.iter().map(|it| it.input_tokens.unsigned_abs()).sum();
    outlook.steps = steps_of(&lanes, &outlook.tiers);
    let planned = Planned {
        definition: &definition,
        outlook: &outlook,
        models,
    };
    Ok(expected_instead(store, Some(run), &planned).await?)
}

/// What of each step asks a model, spread over the new tiers as all that waits is.
fn steps_of(lanes: &[LaneOutlook], tiers: &[u64]) -> Vec<StepOutlook> {
    let all: u64 = lanes.iter().map(|it| it.tasks.unsigned_abs()).sum();
    let mut names: Vec<&str> = lanes.iter().map(|it| it.component.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    let of = |name: &str| {
        let asks = |it: &&LaneOutlook| it.component == name && !it.ladder.is_empty();
        let lanes: Vec<&LaneOutlook> = lanes.iter().filter(asks).collect();
        let sum = |part: fn(&LaneOutlook) -> i64| -> u64 {
            lanes.iter().map(|it| part(it).unsigned_abs()).sum()
        };
        let (tasks, tokens) = (sum(|it| it.tasks), sum(|it| it.input_tokens));
        let part = |whole: u64, of: &u64| whole * of / all.max(1);
        StepOutlook {
            component: name.to_owned(),
            pack: lanes.iter().map(|it| it.pack).min().unwrap_or(1),
            tasks,
            asked: tiers
                .iter()
                .map(|tier| Asked {
                    tasks: part(tasks, tier),
                    input_tokens: part(tokens, tier),
                })
                .collect(),
            ..StepOutlook::default()
        }
    };
    names.into_iter().map(of).collect()
}

/// The definition that the run would go on under, and where its tiers would end.
async fn wanted(
    store: &Store,
    run: Uuid,
    set: &[(String, String)],
) -> Result<(Definition, RankEnds), RetierError> {
    if let Some((key, _)) = set.iter().find(|(key, _)| !is_of_tiers(key)) {
        return Err(RetierError::Key(key.clone()));
    }
    let known = store
        .run_definition(run)
        .await?
        .ok_or(RetierError::NoRun(run))?;
    if known.state != "active" && known.state != "paused" {
        let state = known.state;
        return Err(RetierError::State { run, state });
    }
    if known.standing {
        return Err(RetierError::Standing(known.worker));
    }
    let definition = redefined(store, &known.worker, &known.hash, set).await?;
    let shares = Shares::new(definition.tiers.iter().map(|tier| tier.share_bp).collect())?;
    let mut ends = shares.ends(u64::try_from(known.tasks).unwrap_or_default());
    ends.pop();
    let ends: Vec<i64> = ends
        .into_iter()
        .map(|end| i64::try_from(end).unwrap_or(i64::MAX))
        .collect();
    let ends = store.rank_ends(run, &ends).await?;
    Ok((definition, ends))
}

fn is_of_tiers(key: &str) -> bool {
    ["tier.", "fallback.", "routing.", "pacing.", "strategy."]
        .iter()
        .any(|table| key.starts_with(table))
}

/// The definition kept under this hash with these overrides; a key that is set again takes the place
/// of its former value, so that the same words make the same definition.
async fn redefined(
    store: &Store,
    worker: &str,
    hash: &[u8],
    set: &[(String, String)],
) -> Result<Definition, RetierError> {
    let text = store.definition(hash).await?.unwrap_or_default();
    let kept =
        StoredDefinition::from_json(&text).map_err(|_| RetierError::Program(worker.to_owned()))?;
    let mut overrides = kept.overrides;
    for (key, value) in set {
        overrides.retain(|(known, _)| known != key);
        overrides.push((key.clone(), value.clone()));
    }
    Ok(Definition::check(&kept.folder, &overrides)?)
}

async fn act(
    store: &Store,
    run: Uuid,
    definition: &Definition,
    ends: &RankEnds,
) -> Result<Retiered, RetierError> {
    // models that nobody knows are told before anything is changed
    let lanes = lanes_of(store, definition).await?;
    let text = StoredDefinition::of(definition).to_json();
    let hash = definition.hash();
    store
        .put_definition(&hash, &definition.name, &definition.version, &text)
        .await?;
    if !store
        .redefine_run(
            run,
            &hash,
            &lanes::mix(definition),
            &lanes::pacing(definition),
            &lanes::asking(definition),
        )
        .await?
    {
        let state = "no longer open".to_owned();
        return Err(RetierError::State { run, state });
    }
    let (mut moves, mut seen) = (Moves::default(), 0);
    for (step, lanes) in &lanes {
        seen += act_on(store, run, step, lanes, ends, &mut moves).await?;
    }
    Ok(moves.told(seen))
}

/// The lanes of each step's tiers, by its name; none is made yet.
async fn lanes_of(
    store: &Store,
    definition: &Definition,
) -> Result<Vec<(String, Vec<NewLane>)>, StoreError> {
    let mut all = Vec::new();
    for step in definition.steps() {
        let ladders = lanes::ladders(store, definition, &step).await?;
        let lanes = (0..).zip(&ladders);
        let lanes = lanes.map(|(tier, ladder)| lanes::lane(definition, &step, tier, ladder));
        let lanes = lanes.collect();
        all.push((step.name, lanes));
    }
    Ok(all)
}

/// Moves what waits of one step. Returns how many tasks that were.
async fn act_on(
    store: &Store,
    run: Uuid,
    step: &str,
    lanes: &[NewLane],
    ends: &RankEnds,
    moves: &mut Moves,
) -> Result<i64, RetierError> {
    let (mut of_tiers, mut seen, mut after) = (Vec::new(), 0, Uuid::nil());
    loop {
        let page = store.waiting_of(run, step, after, PAGE).await?;
        let Some(last) = page.last() else {
            return Ok(seen);
        };
        after = *last;
        seen += i64::try_from(page.len()).unwrap_or(i64::MAX);
        if of_tiers.is_empty() {
            // only now: a step that the run does not do gets no lanes
            for lane in lanes {
                of_tiers.push(store.ensure_lane(run, lane).await?);
            }
        }
        for tasks in page.chunks(CHUNK) {
            moves.add(store.retier(run, tasks, &of_tiers, ends).await?);
        }
    }
}

async fn outlook(
    store: &Store,
    run: Uuid,
    definition: &Definition,
    ends: &RankEnds,
) -> Result<Retiered, RetierError> {
    // of each tier those of all steps: what waits does not say of which it is
    let mut ladders = vec![Vec::new(); definition.tiers.len()];
    for step in definition.steps() {
        for (tier, of_tier) in ladders.iter_mut().enumerate() {
            let names = definition.ladder_of(&step, tier).into_iter();
            let names: Vec<String> = names.map(String::from).collect();
            of_tier.push(store.known_models(&names).await?);
        }
    }
    let (mut moves, mut seen) = (Moves::default(), 0);
    for standing in store.retier_outlook(run, ends).await? {
        seen += standing.tasks;
        let wanted = ladders.get(usize::try_from(standing.to).unwrap_or_default());
        let ladder: Vec<_> = standing.ladder.iter().copied().map(Some).collect();
        let stays = wanted.is_some_and(|wanted| wanted.contains(&ladder));
        if standing.from != standing.to || !stays {
            moves.add(vec![Moved {
                from: standing.from,
                to: standing.to,
                tasks: standing.tasks,
            }]);
        }
    }
    Ok(moves.told(seen))
}

#[derive(Default)]
struct Moves(BTreeMap<(i16, i16), i64>);

impl Moves {
    fn add(&mut self, moved: Vec<Moved>) {
        for Moved { from, to, tasks } in moved {
            *self.0.entry((from, to)).or_default() += tasks;
        }
    }

    fn told(self, seen: i64) -> Retiered {
        let moves = self.0.into_iter();
        let moves: Vec<_> = moves
            .map(|((from, to), tasks)| Move { from, to, tasks })
            .collect();
        let moved: i64 = moves.iter().map(|it| it.tasks).sum();
        Retiered {
            moves,
            stay: (seen - moved).max(0),
        }
    }
}
