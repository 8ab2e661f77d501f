//! The gauges of `tidegate.health`, and from where on each is a warning or a fault.

use super::check::{Check, of_error};
use crate::store::{Store, health::Gauge};

/// A transaction open for longer holds back vacuum, in seconds.
const TRANSACTION_WARN_S: f64 = 600.0;
/// Transactions that the oldest snapshot is behind.
const XMIN_WARN: f64 = 5_000_000.0;
/// Age of the database at which autovacuum should long have frozen it; at 2 billion the server stops.
const AGE_WARN: f64 = 1_000_000_000.0;
/// Dead rows of one table that autovacuum does not keep up with.
const DEAD_WARN: f64 = 500_000.0;
/// The queue of notifications, in percent.
const LAG_WARN: f64 = 10.0;
/// Due back-offs that nobody made ready, in seconds.
const PROMOTION_WARN_S: f64 = 60.0;
/// A step of a provider batch that is due and that nobody takes, in seconds.
const BATCH_LAG_WARN_S: f64 = 180.0;
/// A create of a batch whose outcome is not known, in seconds.
const BATCH_UNKNOWN_WARN_S: f64 = 900.0;
/// Steps of a batch that failed in a row.
const BATCH_FAILS_WARN: f64 = 5.0;
/// Providers end a batch within 24 to 48 hours, in seconds.
const BATCH_AGE_WARN_S: f64 = 50.0 * 3_600.0;
/// Day partitions made ahead.
const DAYS_WARN: f64 = 2.0;

/// All gauges, judged.
pub(super) async fn checks(store: &Store) -> Vec<Check> {
    match store.health().await {
        Ok(gauges) => dead_rows(&gauges)
            .into_iter()
            .chain(gauges.iter().filter_map(judged))
            .collect(),
        Err(error) => vec![of_error("health", &error)],
    }
}

/// The tables with dead rows as one line: the worst says the state.
fn dead_rows(gauges: &[Gauge]) -> Option<Check> {
    let dead: Vec<_> = gauges
        .iter()
        .filter(|it| it.gauge == "dead_tuples")
        .collect();
    let worst = dead
        .iter()
        .max_by(|a, b| a.value.unwrap_or(0.0).total_cmp(&b.value.unwrap_or(0.0)))?;
    let value = worst.value.unwrap_or(0.0);
    let table = worst.object.as_deref().unwrap_or_default();
    let detail = worst.detail.as_deref().unwrap_or_default();
    let says = format!("at most {value:.0} in {table} ({detail})");
    Some(if value > DEAD_WARN {
        let fix = format!(
            "see who holds the oldest snapshot below; then `vacuum tidegate.{table}`, and give autovacuum more room (autovacuum_vacuum_cost_limit)"
        );
        Check::warning("dead rows", says, fix)
    } else {
        Check::ok("dead rows", says)
    })
}

fn judged(gauge: &Gauge) -> Option<Check> {
    let value = gauge.value.unwrap_or(0.0);
    let detail = gauge.detail.as_deref().unwrap_or_default();
    let object = gauge.object.as_deref().unwrap_or_default();
    let above = |name, most: f64, says: String, fix: &str| {
        if value > most {
            Check::warning(name, says, fix)
        } else {
            Check::ok(name, says)
        }
    };
    Some(match gauge.gauge.as_str() {
        "oldest_transaction" => above(
            "oldest transaction",
            TRANSACTION_WARN_S,
            format!("{value:.0} s ({detail})"),
            "end it (select pg_terminate_backend(PID)): nothing that dies after its begin can be vacuumed",
        ),
        "oldest_xmin" => above(
            "oldest snapshot",
            XMIN_WARN,
            format!("{value:.0} transactions behind ({detail})"),
            "end that session, or drop the replication slot or prepared transaction that nobody needs",
        ),
        "database_age" => above(
            "transaction ids",
            AGE_WARN,
            format!("the oldest is {value:.0} transactions old"),
            "run `vacuum freeze` in this database, and see why autovacuum does not: at 2 billion the server takes no writes",
        ),
        "listener_lag" => above(
            "listener lag",
            LAG_WARN,
            format!("{value:.0} % of the notification queue is full"),
            "some session listens and does not read: find and end it (pg_stat_activity), before NOTIFY fails",
        ),
        "promotion_lag" => above(
            "back-offs",
            PROMOTION_WARN_S,
            format!("the oldest that is due waits for {value:.0} s"),
            "start a process: `tidegate work`",
        ),
        "partition_days_ahead" if value < DAYS_WARN => {
            let says = format!("{object} has {value:.0} days ahead");
            let fix = "run `tidegate migrate`, or start a process: each makes a week of them";
            if value < 0.0 {
                Check::fault("day partitions", says, fix)
            } else {
                Check::warning("day partitions", says, fix)
            }
        }
        "partition_days_ahead" => Check::ok(
            "day partitions",
            format!("{object} has {value:.0} days ahead"),
        ),
        "processes_lost" => Check::ok("lost processes", format!("{value:.0} {detail}")),
        "batch_lag" => above(
            "batch steps",
            BATCH_LAG_WARN_S,
            format!("the oldest that is due waits for {value:.0} s ({detail})"),
            "start a process that has that provider's key: `tidegate work`",
        ),
        "batch_unknown" => above(
            "unknown batches",
            BATCH_UNKNOWN_WARN_S,
            format!("for {value:.0} s it is not known whether one was created ({detail})"),
            "see `tidegate batches show`: its provider's list of batches cannot be read",
        ),
        "batch_fails" => above(
            "failing batches",
            BATCH_FAILS_WARN,
            format!("at most {value:.0} steps of one failed in a row ({detail})"),
            "see `tidegate batches show`, and its provider's status and key",
        ),
        "batch_age" => above(
            "oldest batch",
            BATCH_AGE_WARN_S,
            format!("under way for {:.1} h ({detail})", value / 3_600.0),
            "its provider should have ended it: `tidegate batches cancel`, or wait",
        ),
        "stuck_tasks" if value > 0.0 => Check::fault(
            "stuck tasks",
            format!("{value:.0} are held by a process that is gone (as {detail})"),
            "start a process (`tidegate work`): a living one gives them back within a lease",
        ),
        "stuck_tasks" => Check::ok("stuck tasks", "none"),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::check::Mark;

    fn a_gauge(name: &str, value: f64) -> Gauge {
        Gauge {
            gauge: name.to_owned(),
            object: Some("tasks".to_owned()),
            value: Some(value),
            unit: String::new(),
            detail: Some("pid 7".to_owned()),
        }
    }

    #[test]
    fn each_gauge_is_a_line_and_beyond_its_bound_more_than_that() {
        for (name, fine, bad, state) in [
            ("oldest_transaction", 600.0, 601.0, Mark::Warning),
            ("oldest_xmin", 5e6, 5e6 + 1.0, Mark::Warning),
            ("database_age", 1e9, 1.1e9, Mark::Warning),
            ("listener_lag", 10.0, 11.0, Mark::Warning),
            ("promotion_lag", 60.0, 61.0, Mark::Warning),
            ("partition_days_ahead", 2.0, 1.0, Mark::Warning),
            ("partition_days_ahead", 7.0, -1.0, Mark::Fault),
            ("stuck_tasks", 0.0, 1.0, Mark::Fault),
            ("batch_lag", 180.0, 181.0, Mark::Warning),
            ("batch_unknown", 900.0, 901.0, Mark::Warning),
            ("batch_fails", 5.0, 6.0, Mark::Warning),
            ("batch_age", 180_000.0, 180_001.0, Mark::Warning),
        ] {
            assert_eq!(
                judged(&a_gauge(name, fine)).unwrap().state,
                Mark::Ok,
                "{name}"
            );
            let check = judged(&a_gauge(name, bad)).unwrap();
            assert_eq!(check.state, state, "{name}");
            assert!(check.fix.is_some(), "{name}");
        }
        let dead = [
            a_gauge("dead_tuples", 3.0),
            a_gauge("dead_tuples", 500_001.0),
        ];
        assert_eq!(dead_rows(&dead[..1]).unwrap().state, Mark::Ok);
        assert_eq!(dead_rows(&dead).unwrap().state, Mark::Warning);
    }
}
