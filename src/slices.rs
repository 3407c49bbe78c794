//! Column slices: the packed right operand of every product, and the form of every product's result.
//!
//! A matrix of `rows` x `columns` is cut into slices of `nr` columns, each stored as `rows` consecutive rows of `nr`
//! floats. A slice of 784 rows x 64 columns is 200 KB and stays in L2 while all panels of a strip pass over it. The last
//! slice is filled up to `nr`; in weights, Z and gradients the filling is zero and stays so.

use rayon::prelude::*;

use crate::simd::{LINE, first_line};

/// Floats that a thread adds up at a time: 16 KB of the total stay in L1 while the terms stream past.
const SUM_BLOCK: usize = 4096;

/// A matrix stored slice by slice.
pub struct Slices {
    /// The floats, from `start` on, where a cache line begins.
    buffer: Vec<f32>,
    start: usize,
    rows: usize,
    columns: usize,
    nr: usize,
}

impl Slices {
    /// `rows` x `columns` zeros in slices of `nr` columns.
    pub fn zeros(rows: usize, columns: usize, nr: usize) -> Self {
        let buffer = vec![0.0; columns.div_ceil(nr) * rows * nr + LINE];
        let start = first_line(&buffer);
        Self { buffer, start, rows, columns, nr }
    }

    #[inline(always)]
    fn data(&self) -> &[f32] {
        &self.buffer[self.start..][..self.count() * self.rows * self.nr]
    }

    #[inline(always)]
    fn data_mut(&mut self) -> &mut [f32] {
        let length = self.count() * self.rows * self.nr;
        &mut self.buffer[self.start..][..length]
    }

    /// Number of slices.
    pub fn count(&self) -> usize {
        self.columns.div_ceil(self.nr)
    }

    /// Columns of one slice.
    pub fn nr(&self) -> usize {
        self.nr
    }

    /// Slice `j`: `rows` x `nr`, row-major.
    #[inline]
    pub fn slice(&self, j: usize) -> &[f32] {
        &self.data()[j * self.rows * self.nr..][..self.rows * self.nr]
    }

    /// Slice `j`: `rows` x `nr`, row-major.
    #[inline]
    pub fn slice_mut(&mut self, j: usize) -> &mut [f32] {
        let (rows, nr) = (self.rows, self.nr);
        &mut self.data_mut()[j * rows * nr..][..rows * nr]
    }

    /// Row `r` of slice `j`: `nr` floats.
    #[inline]
    pub fn row(&self, j: usize, r: usize) -> &[f32] {
        &self.data()[(j * self.rows + r) * self.nr..][..self.nr]
    }

    /// Row `r` of slice `j`: `nr` floats.
    #[inline]
    pub fn row_mut(&mut self, j: usize, r: usize) -> &mut [f32] {
        let (rows, nr) = (self.rows, self.nr);
        &mut self.data_mut()[(j * rows + r) * nr..][..nr]
    }

    /// Sets everything to `value`.
    pub fn fill(&mut self, value: f32) {
        self.data_mut().fill(value);
    }

    /// Copies a row-major matrix of as many columns and at most as many rows into the slices; packed column `i` is
    /// column `order[i]` of the matrix.
    pub fn pack(&mut self, dense: &[f32], order: &[u32]) {
        assert!(order.len() == self.columns && dense.len().is_multiple_of(self.columns));
        let (width, nr) = (self.columns, self.nr);
        for (j, columns) in order.chunks(nr).enumerate() {
            for (from, to) in dense.chunks_exact(width).zip(self.slice_mut(j).chunks_exact_mut(nr)) {
                to.iter_mut().zip(columns).for_each(|(to, &column)| *to = from[column as usize]);
            }
        }
    }

    /// Copies packed row `r` into `row`, which holds as many floats as there are columns; undoes the `order` of
    /// [`Slices::pack`].
    #[inline]
    pub fn unpack_row(&self, r: usize, order: &[u32], row: &mut [f32]) {
        assert!(row.len() == self.columns && order.len() == self.columns);
        for (j, columns) in order.chunks(self.nr).enumerate() {
            self.row(j, r).iter().zip(columns).for_each(|(&from, &column)| row[column as usize] = from);
        }
    }

    /// Raises each element to that of a matrix of its shape, where that is larger.
    pub fn raise_to(&mut self, other: &Self) {
        assert_eq!(self.data().len(), other.data().len(), "matrices of one shape");
        self.data_mut().iter_mut().zip(other.data()).for_each(|(to, &other)| *to = to.max(other));
    }

    /// Becomes the sum of matrices of its shape, added up in their order.
    pub fn sum_of<'a>(&mut self, terms: impl Iterator<Item = &'a Self> + Clone + Sync + Send) {
        self.data_mut().par_chunks_mut(SUM_BLOCK).enumerate().for_each(|(block, total)| {
            total.fill(0.0);
            for term in terms.clone() {
                let term = &term.data()[block * SUM_BLOCK..][..total.len()];
                total.iter_mut().zip(term).for_each(|(total, term)| *total += term);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packing_and_unpacking_give_the_matrix_back_with_zeros_behind_it() {
        for columns in [1, 7, 8, 9, 20] {
            let dense: Vec<f32> = (1..=3 * columns).map(|i| i as f32).collect();
            let mut slices = Slices::zeros(4, columns, 8);
            let order: Vec<u32> = (0..columns as u32).rev().collect();
            slices.pack(&dense, &order);
            assert_eq!(slices.row(0, 1)[0], dense[2 * columns - 1], "the last column comes first");
            let mut row = vec![0.0; columns];
            for (r, expected) in dense.chunks_exact(columns).enumerate() {
                slices.unpack_row(r, &order, &mut row);
                assert_eq!(row, expected);
            }
            let sum: f32 = (0..slices.count()).flat_map(|j| slices.slice(j)).sum();
            assert_eq!(sum, dense.iter().sum::<f32>(), "padding is zero");
        }
    }

    #[test]
    fn terms_are_added_up_element_by_element() {
        let terms: Vec<Slices> = (1..4)
            .map(|value| {
                let mut term = Slices::zeros(700, 9, 8);
                (0..2).for_each(|j| term.slice_mut(j).fill(value as f32));
                term
            })
            .collect();
        let mut total = Slices::zeros(700, 9, 8);
        total.slice_mut(0).fill(9.0);
        total.sum_of(terms.iter());
        assert!((0..2).all(|j| total.slice(j).iter().all(|&sum| sum == 6.0)));
    }
}
