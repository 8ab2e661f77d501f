//! Results, made while they are read: line by line, each answer by the function that answers a call.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use futures_util::stream;

use super::course::Ended;
use super::files::{Content, Output, Stored};
use super::job::{Job, Vendor, item};
use super::plan::{self, Fate, Part, Row};
use crate::simulator::asked::Asked;
use crate::simulator::chance::{Chance, hash, mix};
use crate::simulator::sent::half;
use crate::simulator::speech::{Lot, Speech, Voice};
use crate::simulator::state::Shared;
use crate::simulator::{faults, gemini, openai};

/// The body of a file, made as fast as it is read.
pub(in crate::simulator) fn stream(shared: Arc<Shared>, file: &Stored) -> Body {
    /// Lines made at once.
    const AT_ONCE: usize = 64;
    let output = match &file.content {
        Content::Uploaded { bytes, .. } => return Body::from(bytes.clone()),
        Content::Output(output) => output.clone(),
    };
    let rows = plan::rows(&output.job, &output.ended, output.part).into_iter();
    let pieces = stream::unfold((shared, output, rows), |(shared, output, mut rows)| async {
        let lines: String = rows
            .by_ref()
            .take(AT_ONCE)
            .map(|row| line(&shared, &output.job, row))
            .collect();
        // others may have their turn: results of 50,000 items are a while's work
        tokio::task::yield_now().await;
        (!lines.is_empty()).then(|| {
            (
                Ok::<_, Infallible>(Bytes::from(lines)),
                (shared, output, rows),
            )
        })
    });
    Body::from_stream(pieces)
}

/// How many bytes a file has. Of results, counted once, by making them.
pub(in crate::simulator) fn size(shared: &Shared, file: &Stored) -> u64 {
    let length = |bytes: usize| u64::try_from(bytes).unwrap_or(u64::MAX);
    let count = |output: &Arc<Output>| {
        let rows = plan::rows(&output.job, &output.ended, output.part).into_iter();
        rows.map(|row| length(line(shared, &output.job, row).len()))
            .sum()
    };
    match &file.content {
        Content::Uploaded { bytes, .. } => length(bytes.len()),
        Content::Output(output) => *output.bytes.get_or_init(|| count(output)),
    }
}

/// The results of a batch whose items were in its request, as Gemini's list.
pub(in crate::simulator) fn inline(shared: &Shared, job: &Job, ended: &Ended) -> String {
    let rows = plan::rows(job, ended, Part::All).into_iter();
    let whole = rows.filter(|row| !row.half);
    let members: Vec<String> = whole.map(|row| gemini::inline(shared, job, &row)).collect();
    format!("[{}]", members.join(","))
}

/// What is said to an item.
pub(in crate::simulator) fn spoken(
    shared: &Shared,
    job: &Job,
    at: usize,
    asked: &Asked,
    voice: &dyn Voice,
) -> String {
    speech(shared, job, at, asked).body(voice)
}

/// The output tokens of a batch's answers; counted once, by giving them.
pub(super) fn tokens(shared: &Shared, job: &Job, ended: &Ended) -> u64 {
    let part = match job.draft.vendor {
        Vendor::Gemini => Part::All,
        Vendor::OpenAi => Part::Answers,
    };
    let count = || {
        if job.is_of_vectors() {
            return 0;
        }
        let rows = plan::sound(job, ended, part).into_iter();
        let answered = rows.filter(|row| row.fate == Fate::Answered);
        let asked = answered.filter_map(|row| Some((row.at, asked(shared, job, row.at)?)));
        asked
            .map(|(at, asked)| speech(shared, job, at, &asked).ended().1)
            .sum()
    };
    *job.output_tokens.get_or_init(count)
}

fn asked(shared: &Shared, job: &Job, at: usize) -> Option<Asked> {
    match job.draft.vendor {
        Vendor::Gemini => gemini::asked(shared, job, at),
        Vendor::OpenAi => openai::asked(shared, job, at),
    }
}

fn line(shared: &Shared, job: &Job, row: Row) -> String {
    let mut line = match job.draft.vendor {
        Vendor::Gemini => gemini::line(shared, job, &row),
        Vendor::OpenAi => openai::line(shared, job, &row),
    };
    line.push('\n');
    if row.half {
        half(&line).to_owned()
    } else {
        line
    }
}

/// What the item's fault is depends on its prompt and its batch: another batch may fare better.
fn speech<'a>(shared: &Shared, job: &'a Job, at: usize, asked: &'a Asked) -> Speech<'a> {
    let seed = shared.settings.seed;
    let parts = [seed, hash(job.model()), hash(&job.id), hash(&asked.prompt)];
    let mut chance = Chance::of(&parts);
    let lot = Lot {
        fault: faults::of_content(&shared.settings.faults, chance.unit(), asked),
        draw: chance.bits(),
        id: mix(seed ^ hash(&job.id) ^ item(at)),
        at_s: job.created_ms / 1000,
    };
    Speech::new(asked, job.model(), seed, lot)
}
