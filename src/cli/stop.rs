//! When a long-running command is to stop: SIGINT, SIGTERM, or the end of its standard input.

use tokio::io::AsyncReadExt;
use tokio_util::sync::CancellationToken;

use super::{CliError, Printer};

/// A token that is cancelled when the process is asked to stop. A second request ends it at once.
///
/// `with_stdin`: also when standard input ends, so that a process started by another one does not
/// outlive it, however that one died.
pub(super) fn on_request(
    printer: &Printer,
    with_stdin: bool,
) -> Result<CancellationToken, CliError> {
    use tokio::signal::unix::{SignalKind, signal};
    let listen = |kind| {
        signal(kind).map_err(|source| CliError::Io {
            doing: "listen to signals".to_owned(),
            source,
        })
    };
    let (mut interrupt, mut terminate) = (
        listen(SignalKind::interrupt())?,
        listen(SignalKind::terminate())?,
    );
    let token = CancellationToken::new();
    let stop = token.clone();
    let printer = printer.clone();
    // lives as long as the process
    tokio::spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => printer.say("stopping: calls under way may end (once more to stop at once)"),
            _ = terminate.recv() => {}
            () = input_ended(), if with_stdin => {}
        }
        stop.cancel();
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        printer.way().flush();
        std::process::exit(INTERRUPTED);
    });
    Ok(token)
}

/// What a shell expects of a process that was interrupted.
const INTERRUPTED: i32 = 130;

async fn input_ended() {
    let mut input = tokio::io::stdin();
    let mut buffer = [0; 64];
    while !matches!(input.read(&mut buffer).await, Ok(0) | Err(_)) {}
}
