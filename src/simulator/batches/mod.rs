//! Batches and the files they are made of, in no vendor's words.
//!
//! A batch is judged when it is created and never worked on: how far it is follows from the time that
//! passed ([`course`]), what ended is written down when somebody next looks ([`Desk::settle`]), and
//! results are made while they are read ([`output`]). Each item is answered by the function that
//! answers a call. Batches count against no limit of the minute or the day.

mod control;
mod course;
mod desk;
mod files;
mod job;
mod output;
mod plan;
mod records;
mod settings;
mod submit;
#[cfg(test)]
mod testing;
mod uploads;

pub(super) use control::{change, files as list_files, hasten, jobs as list_jobs};
pub(super) use course::Phase;
pub(super) use desk::{Desk, View};
pub(super) use files::{Content, NewFile, Stored};
pub(super) use job::{Draft, Flaw, Item, Job, Kind, Vendor};
pub(super) use output::{inline, size, spoken, stream};
pub(super) use plan::{Fate, Row};
pub use records::{BatchCounters, BatchRecord, FileRecord};
pub(super) use records::{fill, jobs as job_records};
pub use settings::{BatchEnd, BatchSettings, Damage};
pub(super) use submit::Refused;
pub(super) use uploads::{Sent, Took};
