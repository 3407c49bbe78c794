//! What a layer optimises: how its input is normalised, what its goodness is, and the loss of a positive or negative row.
//!
//! These are the choices of the Keras example (section 2 of Hinton 2022 describes the general form). Kernels take them
//! from here, so that another recipe changes this file and not the kernels.

/// What is added to a row's Euclidean norm before dividing by it.
pub const NORM_OFFSET: f64 = 1e-4;

/// The factor that normalises a row: `1 / (||x|| + 1e-4)`, from the squared norm.
pub fn row_scale(squared_norm: f64) -> f32 {
    (1.0 / (squared_norm.sqrt() + NORM_OFFSET)) as f32
}

/// The squared Euclidean norm of a row of activations.
pub fn squared_norm(row: &[f32]) -> f64 {
    row.iter().map(|&x| f64::from(x) * f64::from(x)).sum()
}

/// Whether a row should have high goodness or low.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Polarity {
    /// A row of true data.
    Positive,
    /// A row of false data.
    Negative,
}

/// The polarity of each variant of a training sample, in the order their rows stand.
pub const TRAINING_VARIANTS: [Polarity; 2] = [Polarity::Positive, Polarity::Negative];

/// The loss of a batch: the mean over its rows of `softplus(threshold - g)` for positive and `softplus(g - threshold)`
/// for negative rows, where the goodness `g` is the mean square of a row's `u` activations.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Objective {
    /// The goodness that separates positive from negative.
    pub threshold: f32,
}

/// One row's part in the loss and the gradient.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RowLoss {
    /// The row's loss, not yet divided by the number of rows.
    pub loss: f64,
    /// `coef` of `dL/dz = coef * h`: `dloss/dg * 2/u / rows`.
    pub coefficient: f32,
}

impl Objective {
    /// Loss and coefficient of one row, from the sum of squares of its `units` activations; `rows` is the number of
    /// rows over which the batch's loss is the mean.
    pub fn row(&self, sum_of_squares: f32, units: usize, rows: usize, polarity: Polarity) -> RowLoss {
        let goodness = f64::from(sum_of_squares) / units as f64;
        let excess = goodness - f64::from(self.threshold);
        let (argument, sign) = match polarity {
            Polarity::Positive => (-excess, -1.0),
            Polarity::Negative => (excess, 1.0),
        };
        // Both forms below take the exponential of a negative number only, so neither overflows.
        let small = (-argument.abs()).exp();
        let sigmoid = if argument >= 0.0 { 1.0 / (1.0 + small) } else { small / (1.0 + small) };
        RowLoss {
            loss: argument.max(0.0) + small.ln_1p(),
            coefficient: (sign * sigmoid * 2.0 / (units as f64 * rows as f64)) as f32,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OBJECTIVE: Objective = Objective { threshold: 1.5 };

    #[test]
    fn at_the_threshold_both_losses_are_ln_two() {
        for polarity in TRAINING_VARIANTS {
            assert!((OBJECTIVE.row(3.0, 2, 1, polarity).loss - std::f64::consts::LN_2).abs() < 1e-12);
        }
    }

    #[test]
    fn the_coefficient_is_the_derivative_of_the_loss() {
        let (units, rows, step) = (7, 10, 1e-2_f32);
        for polarity in TRAINING_VARIANTS {
            for sum in [0.0_f32, 1.0, 10.5, 40.0] {
                let loss = |sum| OBJECTIVE.row(sum, units, rows, polarity).loss / rows as f64;
                // d(sum of squares)/dh = 2h, so coef = 2 dL/d(sum of squares).
                let slope = (loss(sum + step) - loss(sum)) / f64::from(step);
                let coefficient = f64::from(OBJECTIVE.row(sum + step / 2.0, units, rows, polarity).coefficient);
                assert!((coefficient - 2.0 * slope).abs() < 1e-5 * (1.0 + slope.abs()), "{sum}: {coefficient} {slope}");
            }
        }
    }

    #[test]
    fn extreme_goodness_neither_overflows_nor_becomes_nan() {
        let far = OBJECTIVE.row(1e30, 1, 1, Polarity::Negative);
        assert!((far.loss / 1e30 - 1.0).abs() < 1e-6 && far.coefficient == 2.0);
        let near = OBJECTIVE.row(1e30, 1, 1, Polarity::Positive);
        assert!(near.loss == 0.0 && near.coefficient == 0.0);
    }
}
