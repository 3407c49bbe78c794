//! Normalisation: what a row is divided by, and the norm it then has at most.

use serde::{Deserialize, Serialize};

/// What is added to a row's Euclidean norm before [`Normalisation::UnitLength`] divides by it, as in the Keras example.
const NORM_OFFSET: f64 = 1e-4;

/// What is added to a row's root mean square before [`Normalisation::RootMeanSquare`] divides by it. It is lost in the
/// rounding of a root above 1e-4, and keeps a row of zeros zero.
const ROOT_OFFSET: f64 = 1e-20;

/// How a row of `k` inputs is normalised: the image with its label in layer 1, the activations of the layer before in
/// others. A layer is to see only the direction of a row, because its length would tell the goodness of the layer
/// before (section 2 of Hinton 2022).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Normalisation {
    /// `x / (||x|| + 1e-4)`: the Keras example. The norm is then at most 1.
    UnitLength,
    /// `x / sqrt(mean(x^2))`: Hinton's published code. The norm is then sqrt(k).
    RootMeanSquare,
}

impl Normalisation {
    /// The factor that normalises a row of `k` inputs, from its squared norm.
    pub fn scale(self, squared_norm: f64, k: usize) -> f32 {
        let divisor = match self {
            Self::UnitLength => squared_norm.sqrt() + NORM_OFFSET,
            Self::RootMeanSquare => (squared_norm / k as f64).sqrt() + ROOT_OFFSET,
        };
        (1.0 / divisor) as f32
    }

    /// No normalised row of `k` inputs has a Euclidean norm above this, but for the rounding of
    /// [`Normalisation::scale`].
    pub fn norm_bound(self, k: usize) -> f64 {
        match self {
            Self::UnitLength => 1.0,
            Self::RootMeanSquare => (k as f64).sqrt(),
        }
    }
}

/// The squared Euclidean norm of a row of activations.
#[inline(always)]
pub fn squared_norm(row: &[f32]) -> f64 {
    squared_norms([row])[0]
}

/// The squared Euclidean norms of rows, all as long as the first. Each is added up from its first element to its last,
/// so that it is what [`squared_norm`] gives, bit for bit.
#[inline(always)]
pub fn squared_norms<const ROWS: usize>(rows: [&[f32]; ROWS]) -> [f64; ROWS] {
    let mut sums = [0.0; ROWS];
    let length = rows[0].len();
    let rows = rows.map(|row| &row[..length]);
    for i in 0..length {
        sums.iter_mut().zip(rows).for_each(|(sum, row)| *sum += f64::from(row[i]) * f64::from(row[i]));
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Normalisation; 2] = [Normalisation::UnitLength, Normalisation::RootMeanSquare];

    #[test]
    fn norms_side_by_side_are_those_of_each_row() {
        let rows = [0.1_f32, 0.7, 1e-20, 3e4].map(|first| (0..500).map(|i| first + i as f32 / 7.0).collect::<Vec<_>>());
        let side_by_side = squared_norms([0, 1, 2, 3].map(|i| rows[i].as_slice()));
        for (norm, row) in side_by_side.into_iter().zip(&rows) {
            let in_order = row.iter().fold(0.0, |sum, &x| sum + f64::from(x) * f64::from(x));
            assert_eq!((norm, squared_norm(row)), (in_order, in_order));
        }
    }

    #[test]
    fn no_row_is_longer_than_the_bound() {
        for normalisation in ALL {
            for length in [0.0_f32, 1e-30, 1e-3, 1.0, 255.0, 1e15] {
                let row = [length, -length, 0.5 * length];
                let scale = normalisation.scale(squared_norm(&row), row.len());
                let normalised = row.map(|x| x * scale);
                assert!(normalised.iter().all(|x| x.is_finite()), "{normalisation:?} {length}");
                let norm = squared_norm(&normalised).sqrt();
                assert!(
                    norm <= normalisation.norm_bound(row.len()) * (1.0 + 1e-6),
                    "{normalisation:?} {length}: {norm}"
                );
            }
        }
    }

    #[test]
    fn the_root_mean_square_becomes_one() {
        let row = [3.0, 0.0, 4.0, 5.0];
        let scale = f64::from(Normalisation::RootMeanSquare.scale(squared_norm(&row), 4));
        assert!((scale - 1.0 / 12.5_f64.sqrt()).abs() < 1e-7);
    }
}
