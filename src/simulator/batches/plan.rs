//! Which lines a batch's results have, in which order, and what is wrong with them. Pure.

use super::course::Ended;
use super::job::{Job, Vendor, item, shuffle};
use super::settings::{BatchEnd, Damage};
use crate::simulator::chance::hash;

/// Which results.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::simulator) enum Part {
    /// All, in the order of the input: so Gemini.
    All,
    /// OpenAI's answers.
    Answers,
    /// OpenAI's errors.
    Errors,
}

/// What a line tells of its item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::simulator) enum Fate {
    /// Its answer.
    Answered,
    /// It asks wrongly, or failed by itself.
    Failed,
    /// Its turn did not come before the end.
    Unfinished(BatchEnd),
}

/// One line of results.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::simulator) struct Row {
    /// Which item.
    pub(in crate::simulator) at: usize,
    pub(in crate::simulator) fate: Fate,
    /// Under an id that nobody gave.
    pub(in crate::simulator) stranger: bool,
    /// Ends in its middle.
    pub(in crate::simulator) half: bool,
}

/// The lines of results that can be read, before anything is damaged.
pub(super) fn sound(job: &Job, ended: &Ended, part: Part) -> Vec<Row> {
    let row = |at, fate| Row {
        at,
        fate,
        stranger: false,
        half: false,
    };
    let done = |at| {
        row(
            at,
            if job.fails(at) {
                Fate::Failed
            } else {
                Fate::Answered
            },
        )
    };
    if !is_readable(job, ended) {
        return Vec::new();
    }
    if part == Part::All {
        return (0..job.count()).map(done).collect();
    }
    let order = job.order();
    let (done_now, rest) = order.split_at(ended.done.min(order.len()));
    let rows = done_now.iter().map(|at| done(*at));
    if part == Part::Answers {
        return rows.filter(|row| row.fate == Fate::Answered).collect();
    }
    let unfinished = rest.iter().map(|at| row(*at, Fate::Unfinished(ended.end)));
    rows.filter(|row| row.fate == Fate::Failed)
        .chain(unfinished)
        .collect()
}

/// The lines as they are handed out.
pub(super) fn rows(job: &Job, ended: &Ended, part: Part) -> Vec<Row> {
    let rows = sound(job, ended, part);
    job.damage()
        .iter()
        .fold(rows, |rows, damage| hurt(job, rows, *damage))
}

/// Whether there are results at all: Gemini has them only where all went well, OpenAI unless the
/// batch was refused.
pub(super) fn is_readable(job: &Job, ended: &Ended) -> bool {
    match job.draft.vendor {
        Vendor::Gemini => ended.end == BatchEnd::Succeeded,
        Vendor::OpenAi => ended.end != BatchEnd::Failed,
    }
}

fn hurt(job: &Job, mut rows: Vec<Row>, damage: Damage) -> Vec<Row> {
    // the first is always hit, so that a damage asked for is one
    let first = rows.first().map(|row| row.at);
    let hit = |row: &Row| {
        let drawn = job.chance(hash("line") ^ item(row.at)).unit();
        first == Some(row.at) || drawn < job.settings.damaged_lines
    };
    match damage {
        Damage::Reordered => shuffle(&mut rows, &mut job.chance(hash("reordered"))),
        Damage::Missing => rows.retain(|row| !hit(row)),
        Damage::Duplicate => {
            let again: Vec<Row> = rows.iter().filter(|row| hit(row)).copied().collect();
            rows.extend(again);
        }
        Damage::UnknownId => rows.iter_mut().for_each(|row| row.stranger |= hit(row)),
        Damage::Cut => {
            rows.truncate(rows.len() / 2 + 1);
            if let Some(last) = rows.last_mut() {
                last.half = true;
            }
        }
        Damage::Empty => rows.clear(),
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::super::BatchSettings;
    use super::super::testing::{draft, job};
    use super::*;

    fn ended(end: BatchEnd, done: usize) -> Ended {
        Ended {
            at_ms: 0,
            end,
            done,
        }
    }

    fn places(rows: &[Row]) -> Vec<usize> {
        rows.iter().map(|row| row.at).collect()
    }

    #[test]
    fn each_item_has_one_line_in_one_of_openais_files() {
        let settings = BatchSettings {
            item_errors: 0.3,
            ..BatchSettings::default()
        };
        let job = job(draft(Vendor::OpenAi, 100), settings);
        for end in [BatchEnd::Expired, BatchEnd::Cancelled] {
            let ended = ended(end, 40);
            let (good, bad) = (
                sound(&job, &ended, Part::Answers),
                sound(&job, &ended, Part::Errors),
            );
            let unfinished = bad.iter().filter(|row| row.fate == Fate::Unfinished(end));
            assert_eq!(unfinished.count(), 60);
            let mut all = places(&[good, bad].concat());
            all.sort_unstable();
            assert_eq!(all, (0..100).collect::<Vec<_>>());
        }
    }

    #[test]
    fn gemini_hands_out_nothing_of_what_did_not_succeed() {
        let job = job(draft(Vendor::Gemini, 10), BatchSettings::default());
        for end in [BatchEnd::Failed, BatchEnd::Expired, BatchEnd::Cancelled] {
            assert!(sound(&job, &ended(end, 4), Part::All).is_empty());
        }
        let rows = sound(&job, &ended(BatchEnd::Succeeded, 10), Part::All);
        assert_eq!(places(&rows), (0..10).collect::<Vec<_>>());
    }

    #[test]
    fn each_damage_is_seen() {
        let of = |damage: &[Damage]| {
            let settings = BatchSettings {
                damage: damage.to_vec(),
                ..BatchSettings::default()
            };
            let job = job(draft(Vendor::Gemini, 50), settings);
            rows(&job, &ended(BatchEnd::Succeeded, 50), Part::All)
        };
        assert!((30..50).contains(&of(&[Damage::Missing]).len()));
        assert!((51..70).contains(&of(&[Damage::Duplicate]).len()));
        let strangers = of(&[Damage::UnknownId]);
        assert!(strangers.iter().any(|row| row.stranger) && strangers.len() == 50);
        let cut = of(&[Damage::Cut]);
        assert!(cut.len() == 26 && cut[25].half && !cut[24].half);
        assert!(of(&[Damage::Empty]).is_empty());
        let mut moved = places(&of(&[Damage::Reordered]));
        assert_ne!(moved, (0..50).collect::<Vec<_>>());
        moved.sort_unstable();
        assert_eq!(moved, (0..50).collect::<Vec<_>>());
        assert!(of(&[Damage::Missing, Damage::Cut]).len() < 26);
    }

    #[test]
    fn a_share_of_batches_is_left_whole() {
        let hurt = |number| {
            let settings = BatchSettings {
                damage: vec![Damage::Empty],
                damage_share: 0.5,
                ..BatchSettings::default()
            };
            let mut job = job(draft(Vendor::Gemini, 1), settings);
            job.id = format!("batch-{number}");
            job.damage().len()
        };
        let count: usize = (0..200).map(hurt).sum();
        assert!((70..130).contains(&count), "{count}");
    }
}
