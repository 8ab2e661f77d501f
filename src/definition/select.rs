//! Which steps of a worker a run does, and in what order. Pure.

use super::{Component, Definition, DefinitionError, error::nearest};

/// The steps that a run does, each after those that it needs.
#[derive(Clone, Debug, PartialEq)]
pub struct Selection {
    /// In an order in which each comes after its needs; among those that could come next the one of
    /// lower priority, then the one that is written first.
    pub steps: Vec<SelectedStep>,
    /// What was asked for where it was not the enabled ones, for people: `all`, `a,b`.
    pub asked: Option<String>,
}

/// One step that a run does.
#[derive(Clone, Debug, PartialEq)]
pub struct SelectedStep {
    /// The step.
    pub component: Component,
    /// Its needs that the run does too.
    pub needs: Vec<String>,
    /// Its needs that the run leaves out: their earlier results are used.
    pub earlier: Vec<String>,
}

impl Definition {
    /// The steps of a run: those that are enabled, or `all`, or `only` these.
    ///
    /// # Errors
    /// [`DefinitionError::Selection`] for names that are no components and for a selection of
    /// nothing; [`DefinitionError::BadValue`] where an enabled component needs a disabled one and
    /// nothing was said of which to do.
    pub fn selected(&self, all: bool, only: &[String]) -> Result<Selection, DefinitionError> {
        let steps = self.steps();
        for name in only {
            self.check_name(name)?;
        }
        let takes = |step: &Component| match only {
            [] => all || step.enabled,
            only => only.contains(&step.name),
        };
        let chosen: Vec<&Component> = steps.iter().filter(|step| takes(step)).collect();
        if chosen.is_empty() {
            return Err(refused(
                format!("no component of {} is enabled", self.name),
                "say --all, pick some with --only, or enable one in worker.toml",
            ));
        }
        let is_chosen = |name: &String| chosen.iter().any(|step| step.name == *name);
        if let Some((step, need)) = chosen
            .iter()
            .flat_map(|step| step.needs.iter().map(move |need| (step, need)))
            .find(|(_, need)| only.is_empty() && !is_chosen(need))
        {
            return Err(DefinitionError::BadValue {
                place: step.place.clone(),
                key: "needs".to_owned(),
                message: format!(
                    "of {} names {need}, which is not enabled: it would have no result",
                    step.name
                ),
                advice: Some(format!(
                    "enable {need}, or say --all, or --only with what is to be done"
                )),
            });
        }
        let selected = in_order(&steps)
            .into_iter()
            .map(|at| &steps[at])
            .filter(|step| takes(step))
            .map(|step| {
                let (needs, earlier) = step.needs.iter().cloned().partition(is_chosen);
                SelectedStep {
                    component: step.clone(),
                    needs,
                    earlier,
                }
            });
        Ok(Selection {
            steps: selected.collect(),
            asked: match only {
                _ if self.components.is_empty() => None,
                [] => all.then(|| "all".to_owned()),
                only => Some(only.join(",")),
            },
        })
    }

    fn check_name(&self, name: &str) -> Result<(), DefinitionError> {
        if self.components.is_empty() {
            return Err(refused(
                format!("{} has no components: there is nothing to pick", self.name),
                "leave --only out",
            ));
        }
        let names = || self.components.iter().map(|step| step.name.as_str());
        if names().any(|known| known == name) {
            return Ok(());
        }
        let help = match nearest(name, names()) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => format!("there are {}", names().collect::<Vec<_>>().join(", ")),
        };
        Err(refused(
            format!("\"{name}\" is no component of {}", self.name),
            &help,
        ))
    }
}

fn refused(message: String, advice: &str) -> DefinitionError {
    DefinitionError::Selection {
        message,
        advice: Some(advice.to_owned()),
    }
}

/// Places in an order in which each comes after its needs; what is in a circle is left out.
fn in_order(steps: &[Component]) -> Vec<usize> {
    let mut order: Vec<usize> = Vec::with_capacity(steps.len());
    loop {
        let comes = |name: &String| order.iter().any(|&at| steps[at].name == *name);
        let next = (0..steps.len())
            .filter(|at| !order.contains(at) && steps[*at].needs.iter().all(comes))
            .min_by_key(|&at| (steps[at].priority, at));
        match next {
            Some(at) => order.push(at),
            None => return order,
        }
    }
}

/// A circle of needs, if there is one: each needs the next, the last the first. It begins with the
/// one that is written first.
pub(super) fn circle(steps: &[Component]) -> Option<Vec<usize>> {
    let ordered = in_order(steps);
    let stuck = |at: &usize| !ordered.contains(at);
    let mut path: Vec<usize> = vec![(0..steps.len()).find(stuck)?];
    loop {
        // whoever is stuck needs one that is stuck
        let last = &steps[*path.last()?];
        let next =
            (0..steps.len()).find(|at| stuck(at) && last.needs.contains(&steps[*at].name))?;
        if let Some(begins) = path.iter().position(|&at| at == next) {
            let mut circle = path.split_off(begins);
            let first = (0..circle.len()).min_by_key(|&it| circle[it])?;
            circle.rotate_left(first);
            return Some(circle);
        }
        path.push(next);
    }
}
