//! Carrying the bytes of each connection both ways, and what happens to them on the way.

use std::{
    io,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::{io::AsyncReadExt, sync::watch, task::JoinSet, time::Instant};

use super::{
    Hub, Link, Rules, Way, lock,
    stream::{self, Door, Reader, Writer},
    wire::{Replies, Statements},
};

/// Longest wait for the server to take a connection.
const CONNECT_MAX: Duration = Duration::from_secs(5);

pub(super) async fn accept(door: Arc<Door>, hub: Arc<Hub>) {
    let mut serving = JoinSet::new();
    for number in 0.. {
        tokio::select! {
            accepted = door.accept() => match accepted {
                Ok((reader, writer)) => {
                    serving.spawn(serve(hub.clone(), number, reader, writer));
                }
                // no descriptors left: some come back
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            },
            Some(_) = serving.join_next() => {}
        }
    }
}

async fn serve(hub: Arc<Hub>, number: u64, reader: Reader, mut client: Writer) {
    let (all, server) = {
        let rules = hub.rules.borrow();
        (rules.all, rules.server.clone())
    };
    let connecting = tokio::time::timeout(CONNECT_MAX, stream::connect(&server));
    let Ok(Ok((answers, mut beyond))) = connecting.await else {
        return client.reset();
    };
    if all.refuse {
        return client.reset();
    }
    let link = Arc::new(Link::default());
    lock(&hub.links).insert(number, link.clone());
    let doomed = watch::Sender::new(None);
    let up = carry_up(&hub, &link, &doomed, reader, &mut beyond);
    let down = carry_down(&hub, &link, &doomed, answers, &mut client);
    let is_reset = tokio::select! {
        carried = async { tokio::try_join!(up, down) } => carried.is_err(),
        () = link.reset.notified() => true,
    };
    lock(&hub.links).remove(&number);
    if is_reset {
        client.reset();
        beyond.reset();
    }
}

/// Which answer, counted from the first, is the last of a statement whose answer is to be lost.
type Doomed = watch::Sender<Option<u64>>;

async fn carry_up(
    hub: &Hub,
    link: &Link,
    doomed: &Doomed,
    mut from: Reader,
    to: &mut Writer,
) -> io::Result<()> {
    let mut statements = Statements::default();
    let mut lane = Lane::new(hub, link, Way::ToServer);
    while let Some(bytes) = lane.next(&mut from).await? {
        for statement in statements.feed(&bytes) {
            link.note(&statement.text);
            if hub.takes_reply_of(&statement.text) {
                doomed.send_replace(Some(statement.answer));
            }
        }
        if lane.passes().await {
            to.write(&bytes).await?;
        }
    }
    to.end().await
}

async fn carry_down(
    hub: &Hub,
    link: &Link,
    doomed: &Doomed,
    mut from: Reader,
    to: &mut Writer,
) -> io::Result<()> {
    let mut replies = Replies::default();
    let mut lane = Lane::new(hub, link, Way::ToClient);
    while let Some(bytes) = lane.next(&mut from).await? {
        let answered = replies.feed(&bytes);
        let lost_from = *doomed.borrow();
        match lost_from {
            Some(answer) if answered >= answer => {
                hub.dropped.fetch_add(1, Ordering::Relaxed);
                link.reset.notify_one();
            }
            Some(_) => {}
            None if lane.passes().await => to.write(&bytes).await?,
            None => {}
        }
    }
    to.end().await
}

/// One direction of a connection.
struct Lane<'a> {
    hub: &'a Hub,
    link: &'a Link,
    way: Way,
    rules: watch::Receiver<Rules>,
    arrived: Instant,
    /// Bytes were lost: what follows means nothing any more.
    dead: bool,
}

impl<'a> Lane<'a> {
    fn new(hub: &'a Hub, link: &'a Link, way: Way) -> Self {
        Self {
            hub,
            link,
            way,
            rules: hub.rules.subscribe(),
            arrived: Instant::now(),
            dead: false,
        }
    }

    /// The next bytes; none when this direction has ended.
    async fn next(&mut self, from: &mut Reader) -> io::Result<Option<Vec<u8>>> {
        const CHUNK: usize = 64 * 1024;
        let mut bytes = Vec::with_capacity(CHUNK);
        tokio::select! {
            read = from.read_buf(&mut bytes) => { read?; }
            () = self.link.ending(self.way).notified() => return Ok(None),
        }
        self.arrived = Instant::now();
        Ok((!bytes.is_empty()).then_some(bytes))
    }

    /// Waits as long as these bytes are late; whether they arrive at all.
    async fn passes(&mut self) -> bool {
        loop {
            let faults = self.link.faults(&self.rules.borrow_and_update());
            if !self.dead && faults.swallows(self.way) {
                self.dead = true;
                self.hub.lost.fetch_add(1, Ordering::Relaxed);
            }
            if self.dead {
                return false;
            }
            let due = self.arrived + faults.late_by(self.way);
            tokio::select! {
                () = tokio::time::sleep_until(due) => return true,
                changed = self.rules.changed() => if changed.is_err() { return true },
            }
        }
    }
}
