//! The loss of a positive or negative row, and its derivative.

use serde::{Deserialize, Serialize};

use super::Goodness;
use crate::dropout::Dropout;

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

impl Threshold {
    /// The goodness in a layer of `units` units.
    pub fn of(self, units: usize) -> f64 {
        match self {
            Self::Value(value) => f64::from(value),
            Self::PerUnit(value) => f64::from(value) * units as f64,
        }
    }
}

/// How goodness becomes a loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LossName {
    /// Each row for itself: `softplus((threshold - g) / temperature)` for a positive row of goodness `g`,
    /// `softplus((g - threshold) / temperature)` for a negative one; section 2 of Hinton 2022, as the negative
    /// logarithm of the probability in its equation 1.
    Logistic,
    /// Each pair: `temperature softplus(x)` with `x = (g of the negative row - g of the positive one) / temperature`;
    /// SymBa (Lee & Song 2023), whose alpha is 1 / temperature. The factor leaves the slope of a pair that is far from
    /// being told apart at 1, whatever the temperature.
    Symba,
    /// Each pair: `temperature x sigmoid(x)` with the same `x`. Unlike SymBa's, its slope falls below zero, and then to
    /// zero, where a pair is told apart, so that such pairs do not make weights grow.
    Swish,
}

impl LossName {
    /// Whether it is a loss of pairs, each of a positive and a negative row.
    pub fn is_of_pairs(self) -> bool {
        self != Self::Logistic
    }
}

/// What a row's goodness costs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Loss {
    /// How.
    pub name: LossName,
    /// The goodness at which both logistic losses are ln 2; without meaning for pairs.
    pub threshold: Threshold,
    /// What the distance to the threshold, or of the pair, is divided by.
    pub temperature: f64,
}

/// The loss of the rows of one batch in one layer: the mean over all of them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LossOfRows {
    name: LossName,
    /// What a row's sum of squares is divided by.
    divisor: f64,
    threshold: f64,
    temperature: f64,
    /// The rows over which the batch's loss is the mean.
    rows: f64,
    /// The activations that the goodness is not of, if there are any.
    dropout: Option<Dropout>,
}

/// One row's part in the loss and the gradient.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RowLoss {
    /// The row's loss in nats, or for a loss of pairs in units of goodness; not yet divided by the number of rows.
    pub loss: f64,
    /// The factor of `dL/dz = coefficient * h`: the derivative after the goodness, times `2 / divisor`, by the rows.
    pub coefficient: f32,
}

impl Loss {
    /// The loss of a batch of `rows` rows in a layer of `units` units.
    pub fn of_rows(&self, goodness: Goodness, units: usize, rows: usize) -> LossOfRows {
        let (threshold, Self { name, temperature, .. }) = (self.threshold.of(units), *self);
        LossOfRows { name, divisor: goodness.divisor(units), threshold, temperature, rows: rows as f64, dropout: None }
    }
}

impl LossOfRows {
    /// The same loss of rows from which activations are left out.
    pub fn with_dropout(self, dropout: Option<Dropout>) -> Self {
        Self { dropout, ..self }
    }

    /// The activations that are left out of the rows before their loss is asked for, if there are any.
    #[inline(always)]
    pub fn dropout(&self) -> Option<&Dropout> {
        self.dropout.as_ref()
    }

    /// What the slope of every activation is multiplied with: that of its factor.
    #[inline(always)]
    fn slope_of_factor(&self) -> f64 {
        self.dropout.as_ref().map_or(1.0, |dropout| dropout.factor().into())
    }

    /// Whether the loss is one of pairs.
    #[inline(always)]
    pub fn is_of_pairs(&self) -> bool {
        self.name.is_of_pairs()
    }

    /// Loss and coefficient of one row, from the sum of squares of its activations; for [`LossName::Logistic`].
    #[inline]
    pub fn row(&self, sum_of_squares: f32, polarity: Polarity) -> RowLoss {
        let Self { name, divisor, threshold, temperature, rows, .. } = *self;
        debug_assert!(!name.is_of_pairs());
        let excess = (f64::from(sum_of_squares) / divisor - threshold) / temperature;
        let (argument, sign) = match polarity {
            Polarity::Positive => (-excess, -1.0),
            Polarity::Negative => (excess, 1.0),
        };
        let (loss, sigmoid) = softplus(argument);
        let coefficient = sign * sigmoid * 2.0 / (divisor * temperature * rows);
        RowLoss { loss, coefficient: (coefficient * self.slope_of_factor()) as f32 }
    }

    /// Losses and coefficients of a positive and a negative row of one sample, from their sums of squares; for losses
    /// of pairs ([`LossName::is_of_pairs`]). Both rows have the pair's loss, so that the mean over the rows is that
    /// over the pairs.
    #[inline]
    pub fn pair(&self, sums_of_squares: [f32; 2]) -> [RowLoss; 2] {
        let Self { name, divisor, temperature, rows, .. } = *self;
        debug_assert!(name.is_of_pairs());
        let [positive, negative] = sums_of_squares.map(f64::from);
        let x = (negative - positive) / (divisor * temperature);
        let (softplus, sigmoid) = softplus(x);
        let (loss, slope) = match name {
            LossName::Swish => (temperature * x * sigmoid, sigmoid * (1.0 + x * (1.0 - sigmoid))),
            LossName::Symba | LossName::Logistic => (temperature * softplus, sigmoid),
        };
        // A pair's loss counts twice among the rows.
        let coefficient = (slope * 2.0 * 2.0 / (divisor * rows) * self.slope_of_factor()) as f32;
        [RowLoss { loss, coefficient: -coefficient }, RowLoss { loss, coefficient }]
    }

    /// Rows over which the batch's loss is the mean.
    pub fn rows(&self) -> f64 {
        self.rows
    }
}

/// `ln(1 + e^x)` and its derivative, the sigmoid.
#[inline(always)]
fn softplus(x: f64) -> (f64, f64) {
    // Both forms below take the exponential of a negative number only, so neither overflows.
    let small = (-x.abs()).exp();
    let sigmoid = if x >= 0.0 { 1.0 / (1.0 + small) } else { small / (1.0 + small) };
    (x.max(0.0) + small.ln_1p(), sigmoid)
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLARITIES: [Polarity; 2] = [Polarity::Positive, Polarity::Negative];

    /// Losses of rows of `units` units, the mean over `rows`: the Keras example's, and Hinton's at a temperature.
    fn losses(units: usize, rows: usize) -> [LossOfRows; 2] {
        let name = LossName::Logistic;
        let value = Loss { name, threshold: Threshold::Value(1.5), temperature: 1.0 };
        let units_of_layer = Loss { name, threshold: Threshold::PerUnit(1.0), temperature: 3.0 };
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

    /// The losses of pairs of rows of `units` units.
    fn losses_of_pairs(units: usize, rows: usize) -> [LossOfRows; 2] {
        [(LossName::Symba, 0.25), (LossName::Swish, 3.0)].map(|(name, temperature)| {
            let loss = Loss { name, threshold: Threshold::Value(1.5), temperature };
            loss.of_rows(Goodness::SumOfSquares, units, rows)
        })
    }

    #[test]
    fn losses_of_pairs_are_their_equations() {
        let [symba, swish] = losses_of_pairs(5, 2).map(|loss| loss.pair([2.0, 1.25]).map(|row| row.loss));
        let x = -0.75_f64;
        let expected = [0.25 * (1.0 + (x / 0.25).exp()).ln(), x / (1.0 + (-x / 3.0).exp())];
        for ([positive, negative], expected) in [symba, swish].into_iter().zip(expected) {
            assert!(positive == negative && (positive - expected).abs() < 1e-12);
        }
    }

    #[test]
    fn the_coefficients_of_a_pair_are_the_derivative_of_the_mean_loss() {
        let (rows, step) = (10, 1e-2_f32);
        for loss_of_rows in losses_of_pairs(7, rows) {
            for sums in [[0.0_f32, 0.0], [1.0, 4.0], [10.5, 3.0], [3.0, 40.0]] {
                // Both rows of the pair are among the rows of the mean.
                let loss = |sums| loss_of_rows.pair(sums).iter().map(|row| row.loss).sum::<f64>() / rows as f64;
                for row in 0..2 {
                    let mut ends = [sums; 2];
                    ends[1][row] += step;
                    let mut middle = sums;
                    middle[row] += step / 2.0;
                    let slope = (loss(ends[1]) - loss(ends[0])) / f64::from(ends[1][row] - ends[0][row]);
                    let coefficient = f64::from(loss_of_rows.pair(middle)[row].coefficient);
                    let gap = (coefficient - 2.0 * slope).abs();
                    assert!(gap < 1e-4 * (1.0 + slope.abs()), "{sums:?} {row}: {coefficient} {slope}");
                }
            }
        }
    }

    #[test]
    fn a_pair_told_apart_by_far_is_left_alone() {
        for loss in losses_of_pairs(7, 2) {
            let [positive, negative] = loss.pair([1e30, 0.0]);
            assert!(positive.coefficient == 0.0 && negative.coefficient == 0.0 && positive.loss.abs() < 1e-12);
            assert!(loss.pair([0.0, 1e30])[0].loss.is_finite());
        }
    }
}
