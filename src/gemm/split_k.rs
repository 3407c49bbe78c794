//! Split-k: a long reduction is split, the sums of the splits are computed in parallel, and then added two by two.
//!
//! Where C is small and k is long, as in a gradient, a block of kb steps would be too little work between two meetings
//! of all threads. A split is much work for a single thread. Unless all threads have many splits, and equally many
//! (`Blocking::is_one_task`), a split is cut into tasks, and a thread that has no split takes tasks of another's.

use std::ops::Range;

use super::matrix::{Matrix, MatrixMut};
use super::{Product, Scale};
use crate::simd::Simd;

/// The memory that each of some consecutive splits has for itself.
pub(super) struct Splits<'a> {
    /// The packed B of each split.
    b: &'a mut [Vec<f32>],
    /// The sums of all splits but the first, m x n or more each; the sum of the first is added to C itself.
    sums: &'a mut [Vec<f32>],
}

impl<'a> Splits<'a> {
    /// The memory of `count` splits, at least one, of a product whose C has `size` elements. Memory that is too short
    /// grows.
    pub fn new(b: &'a mut Vec<Vec<f32>>, sums: &'a mut Vec<Vec<f32>>, count: usize, size: usize) -> Self {
        if b.len() < count {
            b.resize_with(count, Vec::new);
            sums.resize_with(count - 1, Vec::new);
        }
        let sums = &mut sums[..count - 1];
        sums.iter_mut().filter(|sum| sum.len() < size).for_each(|sum| sum.resize(size, 0.0));
        Self { b: &mut b[..count], sums }
    }

    /// The first half of several splits, the memory for the sum of the second half, and the second half.
    fn halve(self) -> (Self, &'a mut [f32], Self) {
        let half = self.b.len() / 2;
        let (first_b, second_b) = self.b.split_at_mut(half);
        let (first_sums, rest) = self.sums.split_at_mut(half - 1);
        let (sum, second_sums) = rest.split_first_mut().expect("a sum for each split but the first");
        (Self { b: first_b, sums: first_sums }, sum, Self { b: second_b, sums: second_sums })
    }
}

impl<S: Simd, const MR: usize> Product<'_, S, MR> {
    /// `c = alpha a b + beta c`, split: loop 6.
    pub fn add_splits(&self, scale: Scale, a: Matrix<'_>, b: Matrix<'_>, mut c: MatrixMut<'_>, splits: Splits<'_>) {
        let count = splits.b.len();
        if count == 1 {
            return self.add_blocks(scale, a, b, c, &mut splits.b[0]);
        }
        let (m, k, n) = (a.rows(), a.columns(), b.columns());
        let (first, sum, second) = splits.halve();
        let middle = k.div_ceil(self.blocking.kc) * first.b.len() / count * self.blocking.kc;
        let half = |steps: Range<usize>| (a.block(0..m, steps.clone()), b.block(steps, 0..n));
        let ((a, b), (second_a, second_b)) = (half(0..middle), half(middle..k));
        rayon::join(
            || self.add_splits(scale, a, b, c.block(0..m, 0..n), first),
            || {
                let sum = MatrixMut::new(sum, m, n);
                self.add_splits(Scale { beta: 0.0, ..scale }, second_a, second_b, sum, second);
            },
        );
        for (i, sum) in (0..m).zip(sum.chunks_exact(n)) {
            c.row(i).iter_mut().zip(sum).for_each(|(c, sum)| *c += sum);
        }
    }
}
