//! The rows of a source, one at a time: from JSON lines, from CSV, or from the user's query.
//!
//! Memory is flat: a line (or record) is at most 4 MiB and none is kept. A bad row is an error with
//! its line, and reading goes on after it, unless the input itself fails. Whether an id comes twice
//! is for the loader to see.

mod csv;
mod jsonl;
mod row;

pub use csv::csv;
pub use jsonl::jsonl;
pub use row::{Row, RowError, row_from_json};

/// Most bytes of one line, record or body.
pub const ROW_BYTES_MAX: usize = 4 << 20;

/// Most bytes of an item's id.
pub const ID_BYTES_MAX: usize = 1_000;
