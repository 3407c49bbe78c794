//! The loss of a positive or negative row, and its derivative.

use super::Goodness;

/// Whether a row should have high goodness or low.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Polarity {
    /// A row of true data.
    Positive,
    /// A row of false data.
    Negative,
}

/// The goodness that separates positive from negative.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Threshold {
    /// The same in every layer.
    Value(f32),
    /// This times the number of the layer's units; 1 in Hinton's published code.
    PerUnit(f32),
}

/// `softplus((threshold - g) / temperature)` for a positive row of goodness `g`,
/// `softplus((g - threshold) / temperature)` for a negative one; section 2 of Hinton 2022, as the negative logarithm of
/// its probability.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Loss {
    /// The goodness at which both losses are ln 2.
    pub threshold: Threshold,
    /// What the distance to the threshold is divided by.
    pub temperature: f64,
}

/// The loss of the rows of one batch in one layer: the mean over all of them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LossOfRows {
    /// What a row's sum of squares is divided by.
    divisor: f64,
    threshold: f64,
    temperature: f64,
    /// The rows over which the batch's loss is the mean.
    rows: f64,
}

/// One row's part in the loss and the gradient.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RowLoss {
    /// The row's loss, not yet divided by the number of rows.
    pub loss: f64,
    /// The factor of `dL/dz = coefficient * h`: the derivative after the goodness, times `2 / divisor`, by the rows.
    pub coefficient: f32,
}

impl Loss {
    /// The loss of a batch of `rows` rows in a layer of `units` units.
    pub fn of_rows(&self, goodness: Goodness, units: usize, rows: usize) -> LossOfRows {
        let threshold = match self.threshold {
            Threshold::Value(value) => f64::from(value),
            Threshold::PerUnit(value) => f64::from(value) * units as f64,
        };
        let Self { temperature, .. } = *self;
        LossOfRows { divisor: goodness.divisor(units), threshold, temperature, rows: rows as f64 }
    }
}

impl LossOfRows {
    /// Loss and coefficient of one row, from the sum of squares of its activations.
    #[inline]
    pub fn row(&self, sum_of_squares: f32, polarity: Polarity) -> RowLoss {
        let Self { divisor, threshold, temperature, rows } = *self;
        let excess = (f64::from(sum_of_squares) / divisor - threshold) / temperature;
        let (argument, sign) = match polarity {
            Polarity::Positive => (-excess, -1.0),
            Polarity::Negative => (excess, 1.0),
        };
        // Both forms below take the exponential of a negative number only, so neither overflows.
        let small = (-argument.abs()).exp();
        let sigmoid = if argument >= 0.0 { 1.0 / (1.0 + small) } else { small / (1.0 + small) };
        RowLoss {
            loss: argument.max(0.0) + small.ln_1p(),
            coefficient: (sign * sigmoid * 2.0 / (divisor * temperature * rows)) as f32,
        }
    }

    /// Rows over which the batch's loss is the mean.
    pub fn rows(&self) -> f64 {
        self.rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLARITIES: [Polarity; 2] = [Polarity::Positive, Polarity::Negative];

    /// Losses of rows of `units` units, the mean over `rows`: the Keras example's, and Hinton's at a temperature.
    fn losses(units: usize, rows: usize) -> [LossOfRows; 2] {
        let value = Loss { threshold: Threshold::Value(1.5), temperature: 1.0 };
        let units_of_layer = Loss { threshold: Threshold::PerUnit(1.0), temperature: 3.0 };
        [
            value.of_rows(Goodness::MeanOfSquares, units, rows),
            units_of_layer.of_rows(Goodness::SumOfSquares, units, rows),
        ]
    }

    #[test]
    fn at_the_threshold_both_losses_are_ln_two() {
        for (loss, at_threshold) in losses(2, 1).into_iter().zip([3.0, 2.0]) {
            for polarity in POLARITIES {
                assert!((loss.row(at_threshold, polarity).loss - std::f64::consts::LN_2).abs() < 1e-12);
            }
        }
    }

    #[test]
    fn the_coefficient_is_the_derivative_of_the_loss() {
        let (rows, step) = (10, 1e-2_f32);
        for loss_of_rows in losses(7, rows) {
            for polarity in POLARITIES {
                for sum in [0.0_f32, 1.0, 10.5, 40.0] {
                    let loss = |sum| loss_of_rows.row(sum, polarity).loss / rows as f64;
                    // d(sum of squares)/dh = 2h, so the coefficient is 2 dL/d(sum of squares).
                    let slope = (loss(sum + step) - loss(sum)) / (f64::from(sum + step) - f64::from(sum));
                    let coefficient = f64::from(loss_of_rows.row(sum + step / 2.0, polarity).coefficient);
                    let gap = (coefficient - 2.0 * slope).abs();
                    assert!(gap < 1e-5 * (1.0 + slope.abs()), "{sum}: {coefficient} {slope}");
                }
            }
        }
    }

    #[test]
    fn extreme_goodness_neither_overflows_nor_becomes_nan() {
        let [loss, _] = losses(1, 1);
        let far = loss.row(1e30, Polarity::Negative);
        assert!((far.loss / 1e30 - 1.0).abs() < 1e-6 && far.coefficient == 2.0);
        let near = loss.row(1e30, Polarity::Positive);
        assert!(near.loss == 0.0 && near.coefficient == 0.0);
    }
}
