//! One product of dense matrices, `C = A B`, in memory.
//!
//! A is m x k, B k x n, C m x n. In operation `NN` all are row-major; in `TN` A is stored transposed, k x m.

use anyhow::{Context, Result, bail};
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};

/// Operands in memory.
pub struct Product {
    pub m: usize,
    pub k: usize,
    pub n: usize,
    /// Whether A is stored as k x m.
    pub is_transposed: bool,
    pub a: Vec<f32>,
    pub b: Vec<f32>,
    pub c: Vec<f32>,
}

impl Product {
    /// Operands, uniform in +-1, of `OPERATION M K N`.
    pub fn parse(words: &str) -> Result<Self> {
        let words: Vec<_> = words.split_whitespace().collect();
        let [operation, sizes @ ..] = words.as_slice() else { bail!("expected OPERATION M K N") };
        let sizes: Vec<usize> = sizes.iter().map(|size| size.parse()).collect::<Result<_, _>>().context("M K N")?;
        let &[m, k, n] = sizes.as_slice() else { bail!("expected OPERATION M K N") };
        if m == 0 || k == 0 || n == 0 {
            bail!("found {m} x {k} x {n}, expected sizes above zero");
        }
        let is_transposed = match *operation {
            "NN" => false,
            "TN" => true,
            other => bail!("found operation {other:?}, expected NN or TN"),
        };
        let rng = &mut Xoshiro256PlusPlus::seed_from_u64(1);
        let mut random = |length| (0..length).map(|_| rng.random_range(-1.0..1.0)).collect();
        Ok(Self { m, k, n, is_transposed, a: random(m * k), b: random(k * n), c: vec![0.0; m * n] })
    }

    /// Distances in A between neighbours of a column and of a row.
    pub fn strides(&self) -> (usize, usize) {
        if self.is_transposed { (1, self.m) } else { (self.k, 1) }
    }

    /// How far three elements of C are from the exact sums, as a share of the sums of the terms' magnitudes. The
    /// largest of the three.
    pub fn deviation(&self) -> f64 {
        let Self { m, k, n, .. } = *self;
        let (row_stride, column_stride) = self.strides();
        let at = |i: usize, j: usize| {
            let term = |p| f64::from(self.a[i * row_stride + p * column_stride]) * f64::from(self.b[p * n + j]);
            let exact: f64 = (0..k).map(term).sum();
            let magnitude: f64 = (0..k).map(|p| term(p).abs()).sum();
            (f64::from(self.c[i * n + j]) - exact).abs() / magnitude
        };
        [(0, 0), (m / 2, n / 3), (m - 1, n - 1)].into_iter().map(|(i, j)| at(i, j)).fold(0.0, f64::max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_are_no_product_are_errors() {
        for words in ["", "NN", "NN 1 2", "NN 1 2 3 4", "NT 1 2 3", "NN 1 0 3", "NN 1 x 3"] {
            assert!(Product::parse(words).is_err(), "{words:?}");
        }
    }
}
