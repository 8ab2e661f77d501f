//! What every command gets: the configuration, the printer, and the database when it asks.

use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use tokio::time::Instant;

use super::{CliError, Printer};
use crate::config::Config;
use crate::local::{self, Local};
use crate::store::{self, Store, StoreError, migrate};

/// What every command gets.
#[derive(Clone, Debug)]
pub struct Context {
    /// Everything that can be set.
    pub config: Config,
    /// Where data and talk go.
    pub printer: Printer,
}

/// How long connections may take to close.
const GOODBYE: Duration = Duration::from_secs(1);

/// A database in use. [`close`](Self::close) it: dropped, it leaves a private Postgres running.
#[must_use = "a private Postgres is stopped by close()"]
pub struct Opened {
    /// The verbs.
    pub store: Store,
    /// The private Postgres, if it is one.
    pub local: Option<Local>,
    /// How it was reached, for connections of one's own.
    pub settings: store::Settings,
}

/// What to do where this machine has no Postgres.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Missing {
    Refuse,
    Install,
}

impl Context {
    /// Opens the database and checks its schema. Without a URL it is the private Postgres, which is
    /// started and migrated; a user's own is migrated by `tidegate migrate` only.
    ///
    /// # Errors
    /// [`StoreError::NotMigrated`] among those of connecting.
    pub async fn open(&self) -> Result<Opened, CliError> {
        self.opened(Missing::Refuse).await
    }

    /// As [`open`](Self::open), and installs Postgres first where this machine has none and we may.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub async fn open_or_install(&self) -> Result<Opened, CliError> {
        self.opened(Missing::Install).await
    }

    /// The private Postgres, with a database of the demo's own: never the user's. Installs Postgres
    /// where this machine has none and we may. `keep`: it goes on after us. Its schema is as it was
    /// left.
    ///
    /// # Errors
    /// Those of starting it and connecting.
    pub(super) async fn open_demo(&self, database: &str, keep: bool) -> Result<Opened, CliError> {
        let mut settings = self.config.local_settings();
        settings.database = database.to_owned();
        settings.keep_running = keep;
        let say = |line: &str| self.printer.say(line);
        let local = local::start_or_install(&settings, &say).await?;
        self.printer.say(format_args!(
            "using the private Postgres in {}",
            local.folder().display()
        ));
        let url = SecretString::from(local.url());
        Ok(self.connect(&url, Some(local)).await?)
    }

    /// Opens the database, does the work, and closes it, however the work ended.
    ///
    /// # Errors
    /// Those of opening and of the work.
    pub async fn with_store<T>(
        &self,
        work: impl AsyncFnOnce(&Opened) -> Result<T, CliError>,
    ) -> Result<T, CliError> {
        let opened = Box::pin(self.open()).await?;
        let done = work(&opened).await;
        let closed = opened.close().await;
        let done = done?;
        closed?;
        Ok(done)
    }

    /// Opens the database as it is: whatever its schema, even without one.
    pub(super) async fn open_unchecked(&self) -> Result<Opened, CliError> {
        self.connected(Missing::Refuse).await
    }

    async fn opened(&self, missing: Missing) -> Result<Opened, CliError> {
        let opened = self.connected(missing).await?;
        let ready = match &opened.local {
            Some(_) => migrate::run(&opened.store).await.map(drop),
            None => {
                let check = async || migrate::check(&opened.store).await;
                self.patiently(StoreError::is_passing, check).await
            }
        };
        match ready {
            Ok(()) => Ok(opened),
            Err(error) => {
                // The first error is the one to tell.
                let _ = opened.close().await;
                Err(error.into())
            }
        }
    }

    async fn connected(&self, missing: Missing) -> Result<Opened, CliError> {
        if let Some(url) = self.config.database_url() {
            return Ok(self.connect(url, None).await?);
        }
        let settings = self.config.local_settings();
        let say = |line: &str| self.printer.say(line);
        let local = match missing {
            Missing::Refuse => local::start(&settings).await?,
            Missing::Install => local::start_or_install(&settings, &say).await?,
        };
        self.printer.say(format_args!(
            "using the private Postgres in {}",
            local.folder().display()
        ));
        let url = SecretString::from(local.url());
        Ok(self.connect(&url, Some(local)).await?)
    }

    /// Does it again for as long as `waits` says of its error that waiting helps: whoever starts many
    /// processes at once gets them all, without starting any again.
    pub(super) async fn patiently<T>(
        &self,
        waits: fn(&StoreError) -> bool,
        work: impl AsyncFn() -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let deadline = Instant::now() + ROOM_WITHIN;
        let mut told = false;
        loop {
            match work().await {
                Err(error) if waits(&error) && Instant::now() < deadline => {
                    if !told {
                        self.printer.say(format_args!("waiting: {error}"));
                        told = true;
                    }
                    tokio::time::sleep(ROOM_PAUSE.mul_f64(0.5 + rand::random::<f64>())).await;
                }
                other => return other,
            }
        }
    }

    async fn connect(
        &self,
        url: &SecretString,
        local: Option<Local>,
    ) -> Result<Opened, StoreError> {
        let mut settings = self.config.store_settings(url.expose_secret());
        // a mistake in the URL is told at once; a server that was there is waited for
        let began = Instant::now();
        self.patiently(StoreError::is_full, async || Store::probe(&settings).await)
            .await?;
        let store = self
            .patiently(StoreError::is_passing, async || {
                Store::connect(&settings).await
            })
            .await?;
        // where there was no room, none is held on to
        store.keep_none(began.elapsed() > ROOM_PAUSE);
        // found out once
        settings.pooler = store.pooler();
        Ok(Opened {
            store,
            local,
            settings,
        })
    }
}

/// How long a full server is waited for.
const ROOM_WITHIN: Duration = Duration::from_secs(120);
/// The pause between two looks.
const ROOM_PAUSE: Duration = Duration::from_millis(500);

impl std::fmt::Debug for Opened {
    /// Without the URL: it may hold a password.
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Opened")
            .field("local", &self.local)
            .finish_non_exhaustive()
    }
}

impl Opened {
    /// The database's URL. It may hold a password: never print it.
    pub fn url(&self) -> &str {
        self.settings.url.expose_secret()
    }

    /// Closes the connections, and stops the private Postgres unless others use it. One that waits
    /// for an answer on a dead link is dropped: it would wait for ever.
    ///
    /// # Errors
    /// Those of stopping it.
    pub async fn close(self) -> Result<(), CliError> {
        let closing = self.store.pool().close();
        // what did not close in time ends with the process
        let _ = tokio::time::timeout(GOODBYE, closing).await;
        if let Some(local) = self.local {
            local.close().await?;
        }
        Ok(())
    }
}
