//! A claimed task made ready: what it is about and what it asks, or what becomes of it since it asks nothing.

use super::{
    inputs,
    member::Member,
    registry::{Compiled, guarded},
    settle::Outcome,
};
use crate::{llm::Request, task::Item};

/// A task that is asked for.
pub(super) struct Asked {
    pub(super) member: Member,
    pub(super) item: Item,
    pub(super) request: Request,
}

impl Asked {
    /// What this task asks.
    ///
    /// # Errors
    /// What becomes of a task whose item or definition is at fault.
    pub(super) fn of(compiled: &Compiled, mut member: Member) -> Result<Self, Box<Outcome>> {
        let Some(item) = member.item() else {
            let words = "its item is gone, or is not JSON";
            return Err(Box::new(member.refused("input", words)));
        };
        let results = inputs::by_component(std::mem::take(&mut member.needed));
        let component = &member.claimed.component;
        let item = match compiled.item(item.id, item.body, component, results) {
            Ok(item) => item,
            Err(words) => return Err(Box::new(member.refused("input", &words))),
        };
        match guarded(|| compiled.handler.request(&item)) {
            Ok(Ok(request)) => Ok(Self {
                member,
                item,
                request,
            }),
            Ok(Err(error)) => Err(Box::new(member.refused("input", &error.0))),
            Err(words) => Err(Box::new(member.refused("panic", &words))),
        }
    }
}
