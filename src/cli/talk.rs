//! The way to stderr, for talk and logs: whoever writes never waits for whoever reads.
//!
//! Lines queue for a thread of their own. Where nobody takes them in time they are dropped and
//! counted, and the count is told with the next line that gets through. A terminal is written to at
//! once, so that what is drawn there keeps its order; while a bar is drawn, lines scroll above it.

use std::{
    io::{self, IsTerminal, Write},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    time::Duration,
};

use indicatif::ProgressBar;

/// Lines on their way at most.
const QUEUE: usize = 1_024;
/// How long the end of the process waits for the last lines to get through.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Talk {
    /// `None`: stderr is a terminal, or no thread was to be had.
    queue: Option<SyncSender<Word>>,
    dropped: Arc<AtomicU64>,
    /// What is drawn at the end of the terminal now.
    bar: Arc<Mutex<Option<ProgressBar>>>,
}

#[derive(Debug)]
enum Word {
    Line(Vec<u8>),
    /// Answered when all before it is written.
    Flush(SyncSender<()>),
}

impl Talk {
    /// To the stderr of this process.
    pub(super) fn of_process() -> Self {
        let dropped = Arc::new(AtomicU64::new(0));
        let queue = (!io::stderr().is_terminal())
            .then(|| start(io::stderr(), dropped.clone()))
            .flatten();
        Self {
            queue,
            dropped,
            bar: Arc::default(),
        }
    }

    /// Says a line, which ends in a newline.
    pub(super) fn say(&self, line: Vec<u8>) {
        let Some(queue) = &self.queue else {
            // where nobody listens, there is nobody to tell
            let write = || drop(io::stderr().lock().write_all(&line));
            match self.bar() {
                Some(bar) => bar.suspend(write),
                None => write(),
            }
            return;
        };
        if let Err(TrySendError::Full(_)) = queue.try_send(Word::Line(line)) {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// From now on lines go above this bar; `None`: it is gone.
    pub(super) fn above(&self, bar: Option<ProgressBar>) {
        *self.bar.lock().unwrap_or_else(PoisonError::into_inner) = bar;
    }

    /// The bar that is drawn now.
    pub(super) fn bar(&self) -> Option<ProgressBar> {
        let bar = self.bar.lock().unwrap_or_else(PoisonError::into_inner);
        bar.clone()
    }

    /// Waits a moment for all that was said to get through.
    pub(super) fn flush(&self) {
        let Some(queue) = &self.queue else { return };
        let (answer, written) = sync_channel(1);
        let mut word = Word::Flush(answer);
        for _ in 0..LAST_WORDS.as_millis() {
            match queue.try_send(word) {
                Ok(()) => {
                    // where nobody reads, it stays unsaid
                    let _ = written.recv_timeout(LAST_WORDS);
                    return;
                }
                // a full queue may be read on
                Err(TrySendError::Full(back)) => word = back,
                Err(TrySendError::Disconnected(_)) => return,
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

fn start(out: impl Write + Send + 'static, dropped: Arc<AtomicU64>) -> Option<SyncSender<Word>> {
    let (queue, words) = sync_channel(QUEUE);
    std::thread::Builder::new()
        .name("talk".to_owned())
        .spawn(move || write(out, &words, &dropped))
        .ok()
        .map(|_| queue)
}

/// Writes until the last speaker is gone. A reader that went away ends nothing.
fn write(mut out: impl Write, words: &Receiver<Word>, dropped: &AtomicU64) {
    for word in words {
        match word {
            Word::Line(line) => {
                let _ = out.write_all(&line);
            }
            Word::Flush(answer) => {
                let _ = answer.try_send(());
            }
        }
        let lost = dropped.swap(0, Ordering::Relaxed);
        if lost > 0 {
            let _ = writeln!(out, "({lost} lines were dropped: nobody read them in time)");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Condvar, Mutex};

    use super::*;

    /// A reader that takes nothing until it is told to.
    #[derive(Clone, Default)]
    struct Stalled(Arc<(Mutex<Taken>, Condvar)>);

    #[derive(Default)]
    struct Taken {
        reads_on: bool,
        bytes: Vec<u8>,
    }

    impl Write for Stalled {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let (lock, told) = &*self.0;
            let state = lock.lock().unwrap();
            let mut state = told.wait_while(state, |state| !state.reads_on).unwrap();
            state.bytes.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn nobody_waits_for_a_reader_that_stalls_and_what_was_dropped_is_counted() {
        let (reader, dropped) = (Stalled::default(), Arc::new(AtomicU64::new(0)));
        let talk = Talk {
            queue: start(reader.clone(), dropped.clone()),
            dropped,
            bar: Arc::default(),
        };
        let said = QUEUE + 500;
        for n in 0..said {
            talk.say(format!("line {n}\n").into_bytes());
        }
        let (lock, told) = &*reader.0;
        lock.lock().unwrap().reads_on = true;
        told.notify_all();
        talk.flush();
        // the queue was full when flush came: one more line finds room
        talk.say(b"end\n".to_vec());
        talk.flush();
        let text = String::from_utf8(lock.lock().unwrap().bytes.clone()).unwrap();
        let lost: usize = text
            .lines()
            .filter_map(|line| {
                line.strip_prefix('(')?
                    .split(' ')
                    .next()?
                    .parse::<usize>()
                    .ok()
            })
            .sum();
        let written = text
            .lines()
            .filter(|line| line.starts_with("line "))
            .count();
        assert_eq!(written + lost, said);
        assert!(lost > 0);
    }
}
