//! `tidegate doctor`: looks at all that a fleet stands on, a line a check, each fault with its fix.

mod check;
mod database;
mod gauges;
mod providers;

use super::{CliError, Context, Exit, Opened, Printer};
use crate::local;

use check::{Check, Mark, of_error};

/// Check the database, its settings and load, processes, keys and providers; each fault with its fix
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Exit codes: 0 all is fine (warnings allowed), 1 something is to be mended.\n\
                  Examples:\n  tidegate doctor\n  tidegate --json doctor"
)]
pub(super) struct Args {
    /// Send nothing to the providers: only see whether their keys are set
    #[arg(long)]
    offline: bool,
}

pub(super) async fn run(args: Args, context: &Context) -> Result<Exit, CliError> {
    let mut shown = Shown::on(&context.printer);
    match Box::pin(context.open_unchecked()).await {
        Err(error) => shown.add(of_error("database", &error))?,
        Ok(opened) => {
            let looked = database(&opened, context, &mut shown).await;
            let closed = opened.close().await;
            looked?;
            closed?;
        }
    }
    shown.add(private(context).await)?;
    for check in providers::checks(context, args.offline).await {
        shown.add(check)?;
    }
    Ok(shown.end())
}

/// All that is asked of the database, as far as it can be asked.
async fn database(
    opened: &Opened,
    context: &Context,
    shown: &mut Shown<'_>,
) -> Result<(), CliError> {
    for check in database::server(&opened.store).await {
        shown.add(check)?;
    }
    let (checks, usable) = database::schema(opened).await;
    for check in checks {
        shown.add(check)?;
    }
    shown.add(database::listen(opened).await)?;
    if !usable {
        return Ok(());
    }
    for check in database::connections(opened).await {
        shown.add(check)?;
    }
    for check in gauges::checks(&opened.store).await {
        shown.add(check)?;
    }
    for check in database::processes(&opened.store).await {
        shown.add(check)?;
    }
    for check in providers::models(&opened.store, context).await {
        shown.add(check)?;
    }
    Ok(())
}

/// The private Postgres, whether it is used or not.
async fn private(context: &Context) -> Check {
    const NAME: &str = "private Postgres";
    if context.config.database_url().is_some() {
        return Check::ok(NAME, "not used: DATABASE_URL is set");
    }
    match local::status(&context.config.local_settings()).await {
        Err(error) => of_error(NAME, &error),
        Ok(status) if status.binaries.is_empty() => Check::fault(
            NAME,
            "this machine has no Postgres",
            "run `tidegate local install`, or set DATABASE_URL",
        ),
        Ok(status) => {
            let state = match (status.running, status.major) {
                (true, _) => "runs",
                (false, Some(_)) => "stopped; the next command starts it",
                (false, None) => "not made yet; the next command makes it",
            };
            let folder = status.folder.display();
            Check::ok(NAME, format!("{state}, in {folder}"))
        }
    }
}

/// Shows checks as they come, and counts what they found.
struct Shown<'a> {
    printer: &'a Printer,
    warnings: usize,
    faults: usize,
}

impl<'a> Shown<'a> {
    fn on(printer: &'a Printer) -> Self {
        Self {
            printer,
            warnings: 0,
            faults: 0,
        }
    }

    fn add(&mut self, check: Check) -> Result<(), CliError> {
        match check.state {
            Mark::Ok => {}
            Mark::Warning => self.warnings += 1,
            Mark::Fault => self.faults += 1,
        }
        if self.printer.is_json() {
            return self.printer.object(&check);
        }
        check
            .lines()
            .iter()
            .try_for_each(|line| self.printer.line(line))
    }

    fn end(self) -> Exit {
        if !self.printer.is_json() {
            let count = |n: usize, what: &str| match n {
                1 => format!("1 {what}"),
                n => format!("{n} {what}s"),
            };
            self.printer.say(format_args!(
                "{}, {}",
                count(self.faults, "fault"),
                count(self.warnings, "warning")
            ));
        }
        if self.faults > 0 {
            Exit::User
        } else {
            Exit::Ok
        }
    }
}
