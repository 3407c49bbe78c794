//! Goodness: what a layer makes high for positive rows and low for negative ones.

use serde::{Deserialize, Serialize};

/// The goodness of a row of activations `h` of `u` units. Every choice is the sum of squares divided by a constant, so
/// that the derivative after an activation is `2 h / divisor`: 0 wherever ReLU is off, without a mask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Goodness {
    /// `sum(h^2) / u`: the Keras example.
    MeanOfSquares,
    /// `sum(h^2)`: section 2 of Hinton 2022.
    SumOfSquares,
}

impl Goodness {
    /// What the sum of squares of `units` activations is divided by.
    pub fn divisor(self, units: usize) -> f64 {
        match self {
            Self::MeanOfSquares => units as f64,
            Self::SumOfSquares => 1.0,
        }
    }

    /// The goodness of a row from the sum of squares of its `units` activations.
    #[inline]
    pub fn of(self, sum_of_squares: f32, units: usize) -> f32 {
        (f64::from(sum_of_squares) / self.divisor(units)) as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_is_the_sum_by_the_units() {
        assert_eq!(Goodness::MeanOfSquares.of(6.0, 4), 1.5);
        assert_eq!(Goodness::SumOfSquares.of(6.0, 4), 6.0);
    }
}
