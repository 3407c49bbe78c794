//! Schedules: how the learning rate changes over a run.

use serde::{Deserialize, Serialize};

/// How the learning rate falls at the end of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Schedule {
    /// Not at all.
    Constant,
    /// Linearly to 0: Hinton's published code, in the second half.
    Linear,
    /// As `(1 + cos(pi t)) / 2` (Loshchilov & Hutter 2017, without restarts).
    Cosine,
}

/// What the learning rate is multiplied with in the course of a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RateFactor {
    /// How it falls.
    pub schedule: Schedule,
    /// The first share of the run, in which it rises linearly from 0.
    pub warmup: f64,
    /// The last share of the run, in which it falls.
    pub cooldown: f64,
}

impl RateFactor {
    /// The factor after the share `progress` of the run, 0 at its start and 1 at its end.
    pub fn at(&self, progress: f64) -> f64 {
        let Self { schedule, warmup, cooldown } = *self;
        let risen = if progress < warmup { progress / warmup } else { 1.0 };
        let fallen = if progress > 1.0 - cooldown { (1.0 - (1.0 - progress) / cooldown).min(1.0) } else { 0.0 };
        let left = match schedule {
            Schedule::Constant => 1.0,
            Schedule::Linear => 1.0 - fallen,
            Schedule::Cosine => (1.0 + (std::f64::consts::PI * fallen).cos()) / 2.0,
        };
        risen * left
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn course(schedule: Schedule, warmup: f64, cooldown: f64) -> [f64; 5] {
        let factor = RateFactor { schedule, warmup, cooldown };
        [0.0, 0.25, 0.5, 0.75, 1.0].map(|progress| factor.at(progress))
    }

    #[test]
    fn rates_rise_and_fall_where_they_should() {
        assert_eq!(course(Schedule::Constant, 0.0, 0.5), [1.0; 5]);
        assert_eq!(course(Schedule::Linear, 0.0, 0.5), [1.0, 1.0, 1.0, 0.5, 0.0]);
        assert_eq!(course(Schedule::Linear, 0.5, 0.25), [0.0, 0.5, 1.0, 1.0, 0.0]);
        assert_eq!(course(Schedule::Linear, 0.0, 0.0), [1.0; 5]);
        let half = std::f64::consts::FRAC_1_SQRT_2 / 2.0;
        let expected = [1.0, 0.5 + half, 0.5, 0.5 - half, 0.0];
        for (found, expected) in course(Schedule::Cosine, 0.0, 1.0).into_iter().zip(expected) {
            assert!((found - expected).abs() < 1e-12);
        }
    }
}
