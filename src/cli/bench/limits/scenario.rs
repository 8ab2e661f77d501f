//! What a case consists of: tasks and prompts, models and their limits as the provider keeps them,
//! and the least that it can take. Pure.

use std::{fmt, time::Duration};

use super::optimum::{Quota, last_start, last_start_with_slots};
/// How the provider counts its minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Window {
    /// A burst of 10 s at once, the rest evenly
    Bucket,
    /// The last 60 s
    Sliding,
    /// From one minute of the clock to the next
    Fixed,
}

/// What the fleet is told of the limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Known {
    /// Size and way of counting
    All,
    /// The size
    Size,
    /// Nothing
    None,
}

/// As they are written on the command line.
fn word(value: &impl clap::ValueEnum, out: &mut fmt::Formatter<'_>) -> fmt::Result {
    let value = value.to_possible_value();
    out.write_str(value.as_ref().map_or("", |value| value.get_name()))
}

impl fmt::Display for Window {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        word(self, out)
    }
}

impl fmt::Display for Known {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        word(self, out)
    }
}

/// A model and its limits.
#[derive(Clone, Debug)]
pub(super) struct Model {
    /// Its wire name.
    pub(super) name: String,
    /// Requests per minute.
    pub(super) requests: Quota,
    /// Input tokens per minute.
    pub(super) tokens: Option<u64>,
}

/// One scene, whatever the fleet.
#[derive(Clone, Debug)]
pub(super) struct Scene {
    pub(super) tasks: u32,
    pub(super) window: Window,
    pub(super) models: Vec<Model>,
    /// The median of a call; one in a hundred takes three times as long.
    pub(super) latency: Duration,
    pub(super) count_refused: bool,
    /// Prompts are of varying length.
    varied: bool,
}

/// One in a hundred calls takes so many times the median.
pub(super) const P99: f64 = 3.0;
/// The mean of a log-normal distribution with such a 99th percentile, in medians.
const MEAN: f64 = 1.118;

impl Scene {
    pub(super) fn new(
        tasks: u32,
        rpm: &[u32],
        window: Window,
        latency: Duration,
        (count_refused, tokens): (bool, bool),
    ) -> Self {
        let mut scene = Self {
            tasks,
            window,
            models: Vec::new(),
            latency,
            count_refused,
            varied: tokens,
        };
        // tokens bind: half of the calls' worth
        let mean = scene.tokens().checked_div(u64::from(tasks)).unwrap_or(1);
        let model = |(place, rpm): (usize, &u32)| Model {
            name: format!("model-{}", place + 1),
            requests: Quota {
                size: (*rpm).into(),
                burst: (window == Window::Bucket).then(|| rpm.div_ceil(6).into()),
            },
            tokens: tokens.then(|| (u64::from(*rpm) * mean / 2).max(TOKENS_MAX)),
        };
        scene.models = rpm.iter().enumerate().map(model).collect();
        scene
    }

    /// The least seconds from the first call's start to the last answer, for any client: exact for
    /// requests; a bound where tokens bind, since prompts cannot be cut.
    pub(super) fn optimum(&self) -> Option<Duration> {
        let by_requests = last_start(self.tasks.into(), &self.requests());
        let tokens: Option<Vec<Quota>> = self
            .models
            .iter()
            .map(|model| model.tokens.map(|size| Quota { size, burst: None }))
            .collect();
        let last = match tokens {
            Some(tokens) => by_requests?.max(last_start(self.tokens(), &tokens)?),
            None => by_requests?,
        };
        Some(last + self.latency)
    }

    /// The same for so many calls at once: a bound.
    pub(super) fn optimum_with(&self, slots: u64) -> Option<Duration> {
        let takes = self.latency.mul_f64(MEAN);
        let last = last_start_with_slots(self.tasks.into(), &self.requests(), slots, takes)?;
        Some(self.optimum()?.max(last + self.latency))
    }

    fn requests(&self) -> Vec<Quota> {
        self.models.iter().map(|model| model.requests).collect()
    }

    /// Input tokens of all prompts, as the simulator counts.
    fn tokens(&self) -> u64 {
        let prompts = (0..self.tasks).map(|number| self.prompt(number));
        prompts
            .map(|text| (text.len() as u64).div_ceil(CHARS_A_TOKEN))
            .sum()
    }

    /// The prompt of an item: some 15 tokens, or from 15 to [`TOKENS_MAX`] of them.
    pub(super) fn prompt(&self, number: u32) -> String {
        let mut text = format!("Say in one sentence what comes to your mind at {number}");
        if self.varied {
            // spread evenly, and the same each time: steps of the golden section of the most
            text += &" and then".repeat(number as usize * 247 % 400);
        }
        text
    }
}

/// As the simulator counts.
const CHARS_A_TOKEN: u64 = 4;
/// No prompt is larger.
const TOKENS_MAX: u64 = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn scene(tokens: bool) -> Scene {
        let latency = Duration::from_millis(300);
        let flags = (false, tokens);
        Scene::new(1_500, &[120, 240, 360, 480], Window::Bucket, latency, flags)
    }

    #[test]
    fn the_simulator_takes_every_scene() {
        for tokens in [false, true] {
            scene(tokens).simulator().check().expect("it makes sense");
        }
    }

    #[test]
    fn the_optimum_of_the_default_scene_is_that_of_the_peers() {
        assert_eq!(scene(false).optimum(), Some(Duration::from_millis(65_300)));
    }

    #[test]
    fn tokens_bind_where_they_are_to() {
        let (free, bound) = (scene(false).optimum(), scene(true).optimum());
        assert!(bound > free, "{bound:?} {free:?}");
        let scene = scene(true);
        let longest = (0..scene.tasks)
            .map(|it| scene.prompt(it).len() as u64)
            .max();
        assert!(longest <= Some(4 * TOKENS_MAX), "{longest:?}");
        assert!(longest > Some(3 * TOKENS_MAX), "{longest:?}");
    }
}
