//! The public trait for work that asks no model: plain durable tasks beside those that call one.

use std::{future::Future, marker::PhantomData, sync::Arc};

use async_trait::async_trait;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::value::RawValue;

use super::Item;

/// Why a local task brought no answer. The words are kept with the task: no secrets in them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LocalError {
    /// Trying again may help: after a back-off, as long as attempts are left.
    #[error("{0}")]
    Again(String),
    /// Trying again cannot help: the task fails at once.
    #[error("{0}")]
    Fail(String),
}

/// Does a local task. May run twice for one task, if its process dies in between: what it does
/// outside must bear that. Its answer is kept once.
///
/// # Cancel safety
/// The future is dropped when the attempt's time is up, or at the end of a graceful stop.
#[async_trait]
pub trait LocalHandler: Send + Sync {
    /// Does the task; the answer is any JSON value, kept byte for byte.
    ///
    /// # Errors
    /// [`LocalError`] says whether to try again.
    async fn run(&self, item: &Item) -> Result<Box<RawValue>, LocalError>;
}

/// A handler from a function over a typed payload.
///
/// A payload that does not fit the type fails its task at once, with the place in the JSON.
///
/// ```
/// # use tidegate::task::{LocalError, typed};
/// #[derive(serde::Deserialize)]
/// struct Image { width: u32, height: u32 }
///
/// let handler = typed(|image: Image| async move {
///     if image.height == 0 {
///         return Err(LocalError::Fail("an image without height".to_owned()));
///     }
///     Ok(f64::from(image.width) / f64::from(image.height))
/// });
/// # let _ = handler;
/// ```
pub fn typed<P, A, F, Fut>(work: F) -> Arc<dyn LocalHandler>
where
    P: DeserializeOwned + Send + 'static,
    A: Serialize + Send + 'static,
    F: Fn(P) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<A, LocalError>> + Send + 'static,
{
    Arc::new(Typed {
        work,
        types: PhantomData,
    })
}

struct Typed<P, A, F> {
    work: F,
    types: PhantomData<fn(P) -> A>,
}

#[async_trait]
impl<P, A, F, Fut> LocalHandler for Typed<P, A, F>
where
    P: DeserializeOwned + Send + 'static,
    A: Serialize + Send + 'static,
    F: Fn(P) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<A, LocalError>> + Send + 'static,
{
    async fn run(&self, item: &Item) -> Result<Box<RawValue>, LocalError> {
        let payload = serde_json::from_str(item.body.get()).map_err(|error| {
            // serde's words may quote the payload: only the place is kept
            let place = format!("line {}, column {}", error.line(), error.column());
            LocalError::Fail(format!(
                "the payload does not fit the handler's type ({place})"
            ))
        })?;
        let answer = (self.work)(payload).await?;
        serde_json::value::to_raw_value(&answer)
            .map_err(|error| LocalError::Fail(format!("the answer is not JSON: {error}")))
    }
}
