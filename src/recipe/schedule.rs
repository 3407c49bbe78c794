//! Schedules: how the learning rate changes over a run.

use serde::{Deserialize, Serialize};

/// What the learning rate is multiplied with in the course of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Schedule {
    /// Always 1.
    Constant,
    /// 1 for the first half, then falling linearly to 0: Hinton's published code.
    Linear,
    /// `(1 + cos(pi t)) / 2` (Loshchilov & Hutter 2017, without restarts).
    Cosine,
}

impl Schedule {
    /// The factor after the share `progress` of the run, 0 at its start and 1 at its end.
    pub fn factor(self, progress: f64) -> f64 {
        match self {
            Self::Constant => 1.0,
            Self::Linear => (2.0 - 2.0 * progress).clamp(0.0, 1.0),
            Self::Cosine => (1.0 + (std::f64::consts::PI * progress.clamp(0.0, 1.0)).cos()) / 2.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules_begin_at_one_and_fall_where_they_should() {
        let at = |schedule: Schedule| [0.0, 0.25, 0.5, 0.75, 1.0].map(|progress| schedule.factor(progress));
        assert_eq!(at(Schedule::Constant), [1.0; 5]);
        assert_eq!(at(Schedule::Linear), [1.0, 1.0, 1.0, 0.5, 0.0]);
        let half = std::f64::consts::FRAC_1_SQRT_2 / 2.0;
        for (found, expected) in at(Schedule::Cosine).into_iter().zip([1.0, 0.5 + half, 0.5, 0.5 - half, 0.0]) {
            assert!((found - expected).abs() < 1e-12);
        }
    }
}
