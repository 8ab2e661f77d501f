//! What benches of several cases share: where the cases happen, and how they are run and told, one by one.

use super::{
    CliError, Context, Exit,
    figures::{Figure, show},
    world::Place,
};
use crate::cli::{Printer, stop};

/// Where cases happen, and who is told.
pub(super) struct Stage<'a, A> {
    pub(super) args: &'a A,
    pub(super) place: Place<'a>,
    pub(super) printer: &'a Printer,
}

/// Case by case: objects as they are there, or a table at the end, of what there is even if it ends
/// by an error.
pub(super) async fn run<A, C: Copy>(
    args: &A,
    cases: &[C],
    context: &Context,
    act: impl AsyncFn(&Stage<'_, A>, C) -> Result<Vec<Figure>, CliError>,
) -> Result<Exit, CliError> {
    let stop = stop::on_request(&context.printer, false)?;
    let opened = Box::pin(context.open_unchecked()).await?;
    let stage = Stage {
        args,
        place: Place {
            server: &opened.settings,
            stop: &stop,
        },
        printer: &context.printer,
    };
    let ran = Box::pin(all(&stage, cases, act)).await;
    let closed = opened.close().await;
    let exit = ran?;
    closed?;
    Ok(exit)
}

async fn all<A, C: Copy>(
    stage: &Stage<'_, A>,
    cases: &[C],
    act: impl AsyncFn(&Stage<'_, A>, C) -> Result<Vec<Figure>, CliError>,
) -> Result<Exit, CliError> {
    let mut figures: Vec<Figure> = Vec::new();
    let mut ran = Ok(());
    for case in cases {
        match act(stage, *case).await {
            Ok(told) => {
                if stage.printer.is_json() {
                    told.iter().try_for_each(|it| stage.printer.object(it))?;
                }
                figures.extend(told);
            }
            Err(error) => {
                ran = Err(error);
                break;
            }
        }
    }
    if !stage.printer.is_json() && !figures.is_empty() {
        show(&figures, stage.printer)?;
    }
    ran?;
    let whole = figures.iter().all(Figure::holds);
    Ok(if whole { Exit::Ok } else { Exit::Partial })
}
