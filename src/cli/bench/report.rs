//! What a bench measured, as a table or as one object.

use super::latency::Latency;
use crate::cli::{CliError, Printer};

/// Tasks a second: the median of several turns.
pub(super) struct Rate;

impl Rate {
    pub(super) fn median(rates: impl IntoIterator<Item = f64>) -> f64 {
        let mut rates: Vec<f64> = rates.into_iter().collect();
        rates.sort_by(f64::total_cmp);
        rates.get(rates.len() / 2).copied().unwrap_or(f64::NAN)
    }
}

/// One drain.
#[derive(Clone, Debug, serde::Serialize)]
pub(super) struct Drain {
    pub(super) processes: u32,
    pub(super) per_second: f64,
    pub(super) wal_bytes_per_task: f64,
    pub(super) insert_wal_bytes_per_task: f64,
    pub(super) memory_mb: Option<f64>,
}

impl Drain {
    /// The one in the middle by speed; memory is the most of all.
    pub(super) fn median(mut drains: Vec<Self>) -> Self {
        drains.sort_by(|a, b| a.per_second.total_cmp(&b.per_second));
        let most = drains
            .iter()
            .filter_map(|drain| drain.memory_mb)
            .max_by(f64::total_cmp);
        let mut middle = drains.swap_remove(drains.len() / 2);
        middle.memory_mb = most;
        middle
    }
}

/// All of it.
#[derive(Debug, serde::Serialize)]
pub(super) struct Measured {
    pub(super) tasks: u32,
    pub(super) payload_bytes: u32,
    pub(super) server: Vec<(String, String)>,
    pub(super) raw_insert: f64,
    pub(super) raw_drain: f64,
    pub(super) insert: f64,
    pub(super) drains: Vec<Drain>,
    pub(super) latency: Latency,
    pub(super) latency_rate: u32,
}

impl Measured {
    pub(super) fn show(&self, printer: &Printer) -> Result<(), CliError> {
        if printer.is_json() {
            return printer.object(self);
        }
        let rate = |per_second: f64| format!("{per_second:.0}/s");
        let times = |ours: f64, raw: f64| format!("{:.2} x raw", ours / raw);
        let mut rows = vec![
            vec![
                "raw insert (SQL, 1,000 a statement)".to_owned(),
                rate(self.raw_insert),
                String::new(),
                String::new(),
            ],
            vec![
                "raw drain (SQL, 4 connections, 100 a claim)".to_owned(),
                rate(self.raw_drain),
                String::new(),
                String::new(),
            ],
            vec![
                "insert, 1 process, 10,000 a call".to_owned(),
                rate(self.insert),
                times(self.insert, self.raw_insert),
                self.drains
                    .first()
                    .map(|d| format!("{:.0} B WAL/task", d.insert_wal_bytes_per_task))
                    .unwrap_or_default(),
            ],
        ];
        for drain in &self.drains {
            let memory = drain
                .memory_mb
                .map(|mb| format!(", {mb:.0} MB"))
                .unwrap_or_default();
            rows.push(vec![
                format!(
                    "drain, {} process{}",
                    drain.processes,
                    if drain.processes == 1 { "" } else { "es" }
                ),
                rate(drain.per_second),
                times(drain.per_second, self.raw_drain),
                format!("{:.0} B WAL/task{memory}", drain.wal_bytes_per_task),
            ]);
        }
        let Latency {
            p50_ms,
            p99_ms,
            max_ms,
            ..
        } = self.latency;
        rows.push(vec![
            format!("enqueue to start, {} tasks/s", self.latency_rate),
            format!("p50 {p50_ms:.1} ms"),
            format!("p99 {p99_ms:.1} ms"),
            format!("max {max_ms:.1} ms"),
        ]);
        printer.table(&["what", "speed", "compared", "besides"], &rows)?;
        let facts: Vec<String> = self
            .server
            .iter()
            .map(|(name, value)| format!("{name} {value}"))
            .collect();
        printer.say(format_args!(
            "{} tasks of {} bytes; {}",
            self.tasks,
            self.payload_bytes,
            facts.join(", ")
        ));
        Ok(())
    }
}
