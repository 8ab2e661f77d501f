//! What the demo came to, and what to try next.

use serde::Serialize;

use super::super::{CliError, Opened, Printer, report::Report};
use crate::simulator::Counters;

/// Everything at its end, as one object.
#[derive(Debug, Serialize)]
pub(super) struct Summary {
    /// Articles put through.
    articles: usize,
    /// Articles that wait for their entities.
    articles_waiting: i64,
    /// Entities written.
    entities: i64,
    #[serde(flatten)]
    report: Report,
    /// The provider's own counters since its start, by model.
    provider: Option<Counters>,
    /// The most memory a worker process held, in MB.
    worker_memory_mb: Option<f64>,
    /// Statements to try.
    sql: Vec<&'static str>,
    /// Where to try them.
    database_url: String,
}

const STATEMENTS: [&str; 3] = [
    "select tier, model_used, count(*), round(avg(extract(epoch from finished_at - created_at))) as seconds from tidegate.tasks group by 1, 2 order by 1, 3 desc",
    "select name, kind, count(*) from article_entities group by 1, 2 order by 3 desc limit 10",
    "select model, calls, calls_429, input_tokens, output_tokens, cost_microusd from tidegate.spend order by 1",
];

impl Summary {
    pub(super) async fn gather(
        opened: &Opened,
        report: Report,
        provider: Option<Counters>,
        worker_memory_mb: Option<f64>,
        articles: usize,
    ) -> Result<Self, CliError> {
        let store = &opened.store;
        Ok(Self {
            articles,
            articles_waiting: store.count(super::scene::WAITING).await?,
            entities: store.count(super::scene::ENTITIES).await?,
            report,
            provider,
            worker_memory_mb,
            sql: STATEMENTS.to_vec(),
            database_url: opened.url().to_owned(),
        })
    }

    /// Whether every article has its entities.
    pub(super) fn is_whole(&self) -> bool {
        self.articles_waiting == 0 && self.report.figures.groups.sum.failed == 0
    }

    pub(super) fn tell(
        &self,
        printer: &Printer,
        opened: &Opened,
        kept: bool,
    ) -> Result<(), CliError> {
        if printer.is_json() {
            return printer.object(self);
        }
        printer.line("")?;
        self.report.print(printer)?;
        printer.line(format_args!(
            "{} entities of {} articles written; {} articles wait",
            self.entities, self.articles, self.articles_waiting
        ))?;
        if let Some(mb) = self.worker_memory_mb {
            printer.line(format_args!("a worker process held at most {mb:.0} MB"))?;
        }
        self.tell_provider(printer)?;
        printer.line("")?;
        printer.line("Try it in SQL:")?;
        if !kept && opened.local.is_some() {
            printer.line(format_args!("  {} local start", program()))?;
        }
        for statement in STATEMENTS {
            printer.line(format_args!(
                "  psql '{}' -c \"{statement}\"",
                self.database_url
            ))?;
        }
        Ok(())
    }

    fn tell_provider(&self, printer: &Printer) -> Result<(), CliError> {
        let Some(counters) = &self.provider else {
            return Ok(());
        };
        let rows: Vec<Vec<String>> = counters
            .models
            .iter()
            .map(|(name, model)| {
                vec![
                    name.clone(),
                    model.calls.to_string(),
                    model.refused_429.to_string(),
                    model.max_requests_in_any_60s.to_string(),
                    super::scene::requests_per_minute(name)
                        .map_or_else(|| "-".to_owned(), |rpm| rpm.to_string()),
                ]
            })
            .collect();
        printer.line("")?;
        printer.table(
            &[
                "by the provider's own log",
                "calls",
                "429s",
                "most in any 60 s",
                "limit",
            ],
            &rows,
        )
    }
}

/// How this program was called.
fn program() -> String {
    std::env::args()
        .next()
        .unwrap_or_else(|| "tidegate".to_owned())
}
