//! When a long-running command is to stop: SIGINT, SIGTERM, or the end of its standard input.

use std::io::Read;

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

/// Reads in a thread of its own: the runtime would wait at its end for a read that it began, and a
/// process that was told to stop by a signal would stay until its input ends.
async fn input_ended() {
    let (ended, end) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let mut input = std::io::stdin().lock();
        let mut buffer = [0; 64];
        loop {
            match input.read(&mut buffer) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Ok(0) | Err(_) => break,
                Ok(_) => {}
            }
        }
        // nobody waits any more when the process is stopping already
        let _ = ended.send(());
    });
    // the thread tells it, or is gone
    let _ = end.await;
}
