//! A file on its way up: read from disk piece by piece, and watched while it moves.
//!
//! Owns: how much of it is in memory, when an upload stands still. Never: where it goes.

use std::{io, path::Path, time::Duration};

use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, stream};
use reqwest::Body;
use rustix::io::Errno;
use tokio::{
    fs::File,
    io::AsyncReadExt,
    sync::watch,
    time::{error::Elapsed, timeout},
};

use crate::llm::CallError;

/// So much of a streamed file is in memory at once.
const STREAM_PIECE: usize = 256 << 10;
/// Longest wait for the answer to a file that was sent to its end.
const ANSWER_WITHIN: Duration = Duration::from_secs(300);

/// A file that is open, and as long as it was when it was opened.
pub(super) struct Cargo {
    file: File,
    size: u64,
    left: u64,
}

impl Cargo {
    /// Fails with `Unreachable` (or `Exhausted`): nothing was sent.
    pub(super) async fn open(path: &Path) -> Result<Self, CallError> {
        let opened = async {
            let file = File::open(path).await?;
            let size = file.metadata().await?.len();
            io::Result::Ok((file, size))
        };
        let (file, size) = opened.await.map_err(|error| unread(&error))?;
        Ok(Self {
            file,
            size,
            left: size,
        })
    }

    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Bytes that are not read yet.
    pub(super) fn left(&self) -> u64 {
        self.left
    }

    /// The next piece: as long as asked for, but for the last.
    pub(super) async fn piece(&mut self, most: usize) -> Result<Bytes, CallError> {
        self.read(most).await.map_err(|error| unread(&error))
    }

    async fn read(&mut self, most: usize) -> io::Result<Bytes> {
        let length = usize::try_from(self.left).map_or(most, |left| left.min(most));
        let mut piece = BytesMut::zeroed(length);
        self.file.read_exact(&mut piece).await?;
        self.left -= length as u64;
        Ok(piece.freeze())
    }

    /// A body of `head`, the file and `tail`, and the watch over it.
    pub(super) fn into_body(self, head: String, tail: String) -> (Body, Motion) {
        let (moved, motion) = watch::channel(());
        let file = stream::try_unfold((self, moved), async |(mut cargo, moved)| {
            if cargo.left == 0 {
                return io::Result::Ok(None);
            }
            let piece = cargo.read(STREAM_PIECE).await?;
            moved.send_replace(());
            Ok(Some((piece, (cargo, moved))))
        });
        let around = |text| stream::iter([Ok(Bytes::from(text))]);
        let whole = around(head).chain(file).chain(around(tail));
        (Body::wrap_stream(whole), Motion(motion))
    }
}

/// Tells whether a body is still being taken.
pub(super) struct Motion(watch::Receiver<()>);

impl Motion {
    /// Waits for `sent`, as long as pieces are taken within `idle` of each other.
    pub(super) async fn watch<T>(
        mut self,
        idle: Duration,
        sent: impl Future<Output = Result<T, CallError>>,
    ) -> Result<T, CallError> {
        let mut sent = std::pin::pin!(sent);
        loop {
            let moved: Result<Result<(), _>, Elapsed> = tokio::select! {
                answer = &mut sent => return answer,
                moved = timeout(idle, self.0.changed()) => moved,
            };
            match moved {
                Ok(Ok(())) => {}
                // all of it is taken
                Ok(Err(_)) => {
                    let answer = timeout(ANSWER_WITHIN, sent).await;
                    return answer.unwrap_or_else(|_| Err(stood(ANSWER_WITHIN)));
                }
                Err(_) => return Err(stood(idle)),
            }
        }
    }
}

fn stood(idle: Duration) -> CallError {
    CallError::Unknown {
        message: format!("the upload stood still for more than {idle:?}"),
    }
}

/// The path stays out of it.
fn unread(error: &io::Error) -> CallError {
    let message = format!("the file to be uploaded cannot be read: {}", error.kind());
    match Errno::from_io_error(error) {
        Some(Errno::MFILE | Errno::NFILE) => CallError::Exhausted { message },
        _ => CallError::Unreachable { message },
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn file(bytes: &[u8]) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    #[tokio::test]
    async fn pieces_in_a_row_are_the_file() {
        let file = file(b"abcdefgh");
        let mut cargo = Cargo::open(file.path()).await.unwrap();
        assert_eq!((cargo.size(), cargo.left()), (8, 8));
        for piece in ["abc", "def", "gh", ""] {
            assert_eq!(cargo.piece(3).await.unwrap(), piece);
        }
        assert_eq!(cargo.left(), 0);
    }

    #[tokio::test]
    async fn a_file_that_is_gone_or_shrinks_sends_nothing_and_is_not_named() {
        let file = file(b"abcdefgh");
        let mut cargo = Cargo::open(file.path()).await.unwrap();
        file.as_file().set_len(2).unwrap();
        let shrunk = cargo.piece(3).await.unwrap_err();
        let gone = Cargo::open(Path::new("/nowhere/prompts")).await.err();
        for error in [Some(shrunk), gone] {
            let error = error.expect("it fails");
            assert!(matches!(error, CallError::Unreachable { .. }), "{error:?}");
            assert!(!error.to_string().contains("prompts"));
        }
    }

    #[tokio::test]
    async fn an_upload_that_stands_still_is_given_up() {
        let (_moved, seen) = watch::channel(());
        let sent = std::future::pending::<Result<(), _>>();
        let error = Motion(seen).watch(Duration::from_millis(5), sent).await;
        let error = error.unwrap_err();
        assert!(matches!(error, CallError::Unknown { .. }), "{error:?}");
    }

    #[tokio::test]
    async fn when_all_is_taken_the_answer_may_take_longer() {
        let (moved, seen) = watch::channel(());
        drop(moved);
        let sent = async {
            tokio::task::yield_now().await;
            Ok(7)
        };
        assert_eq!(Motion(seen).watch(Duration::ZERO, sent).await, Ok(7));
    }
}
