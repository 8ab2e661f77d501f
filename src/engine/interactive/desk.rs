//! The process that asks: its life, its claims by name, and the way of what became of them.

use std::{sync::Arc, time::Duration};

use tokio::sync::{RwLock, mpsc};
use uuid::Uuid;

use crate::{
    engine::{Life, ProcessId, Shared, nonce, settle::Outcome},
    model::ModelId,
    store::{
        self, StoreError,
        claim::{ClaimRequest, Claimed},
    },
};

/// How soon it is looked again whether a call may start, at most.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// What every question needs of its process.
pub(super) struct Desk {
    pub(super) shared: Arc<Shared>,
    database: store::Settings,
    life: RwLock<Life>,
    outcomes: mpsc::Sender<Outcome>,
}

impl Desk {
    pub(super) async fn open(
        shared: Arc<Shared>,
        database: store::Settings,
        outcomes: mpsc::Sender<Outcome>,
    ) -> Result<Self, StoreError> {
        let life = RwLock::new(Life::begin(&shared, &database).await?);
        Ok(Self {
            shared,
            database,
            life,
            outcomes,
        })
    }

    /// The process that is alive now.
    pub(super) async fn process(&self) -> ProcessId {
        self.life.read().await.id
    }

    /// Of these tasks, those that may be called now, by one call. A life that was declared lost begins anew.
    pub(super) async fn claim(&self, tasks: Vec<Uuid>) -> Result<Vec<Claimed>, StoreError> {
        let request = ClaimRequest {
            process: self.process().await,
            slots: 1,
            nonce: nonce(),
            providers: self.shared.providers.keys().cloned().collect(),
            workers: None,
            tasks: Some(tasks),
        };
        match self.shared.store.claim(&request).await {
            Ok(claim) => Ok(claim.tasks),
            Err(StoreError::LeaseLost) => {
                self.begin_anew(request.process).await?;
                Ok(Vec::new())
            }
            Err(error) if error.is_passing() => {
                // they may have been taken, and the answer lost on the way
                self.shared
                    .store
                    .release_unheard(request.process, request.nonce)
                    .await?;
                Ok(Vec::new())
            }
            Err(error) => Err(error),
        }
    }

    /// A life that was declared lost is followed by another, whoever notices first.
    pub(super) async fn begin_anew(&self, lost: ProcessId) -> Result<(), StoreError> {
        let mut life = self.life.write().await;
        if life.id == lost {
            let next = Life::begin(&self.shared, &self.database).await?;
            std::mem::replace(&mut *life, next)
                .end(&self.shared, false)
                .await;
        }
        Ok(())
    }

    /// Waits until limits may let a call through.
    pub(super) async fn rest(&self) {
        let providers: Vec<String> = self.shared.providers.keys().cloned().collect();
        let opening = self.shared.store.next_opening(&providers, None).await;
        let pause = opening.ok().flatten().unwrap_or(LOOK_AGAIN);
        tokio::time::sleep(pause.clamp(Duration::from_millis(5), LOOK_AGAIN)).await;
    }

    /// What closes these models.
    pub(super) async fn why(&self, models: &[ModelId]) -> String {
        let names: Vec<String> = models.iter().map(ToString::to_string).collect();
        match self.shared.store.closed_by(&names).await {
            Ok(reasons) if !reasons.is_empty() => reasons.join("; "),
            _ => "their limits are used up, or no key for their provider is here".to_owned(),
        }
    }

    /// Hands on what became of a task, to be written down.
    pub(super) async fn hand_on(&self, outcome: Outcome) -> Result<(), StoreError> {
        let sent = self.outcomes.send(outcome).await;
        sent.map_err(|_| StoreError::Broken)
    }

    /// Asks nothing more. What is left is its life, which beats until all is written down.
    pub(super) fn close(self) -> Life {
        self.life.into_inner()
    }
}
