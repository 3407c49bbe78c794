//! Column panels: the packed right operand of the dense f32 products, and the form of every product's result.
//!
//! A matrix of `rows` x `columns` is cut into panels of `nr` columns, each stored as `rows` consecutive rows of `nr`
//! floats. A panel of 784 rows x 64 columns is 200 KB and stays in L2 while all row panels of a strip pass over it. The
//! last panel is filled up to `nr`; in weights, Z and gradients the filling is zero and stays so.

use std::ops::Range;

use rayon::prelude::*;

use crate::memory;
use crate::ranks::tree;
use crate::simd::{LINE, first_line};

/// Which column of a matrix each packed column is.
#[derive(Clone, Copy)]
pub enum ColumnOrder<'a> {
    /// Packed column `i` is column `i`, of so many.
    Natural(usize),
    /// Packed column `i` is column `order[i]`.
    Permuted(&'a [u32]),
}

impl ColumnOrder<'_> {
    /// Number of columns.
    #[inline(always)]
    pub fn count(self) -> usize {
        match self {
            Self::Natural(count) => count,
            Self::Permuted(order) => order.len(),
        }
    }
}

/// A matrix stored panel by panel.
pub struct ColumnPanels {
    /// The floats, from `start` on, where a cache line begins.
    buffer: Vec<f32>,
    start: usize,
    rows: usize,
    columns: usize,
    nr: usize,
}

impl Clone for ColumnPanels {
    fn clone(&self) -> Self {
        let mut clone = Self::zeros(self.rows, self.columns, self.nr);
        clone.copy_from(self);
        clone
    }
}

impl ColumnPanels {
    /// `rows` x `columns` zeros in panels of `nr` columns.
    pub fn zeros(rows: usize, columns: usize, nr: usize) -> Self {
        let buffer = vec![0.0; columns.div_ceil(nr) * rows * nr + LINE];
        memory::use_large_pages(&buffer);
        let start = first_line(&buffer);
        Self { buffer, start, rows, columns, nr }
    }

    /// All floats, panel by panel.
    #[inline(always)]
    pub fn data(&self) -> &[f32] {
        &self.buffer[self.start..][..self.count() * self.rows * self.nr]
    }

    /// All floats, panel by panel.
    #[inline(always)]
    pub fn data_mut(&mut self) -> &mut [f32] {
        let length = self.count() * self.rows * self.nr;
        &mut self.buffer[self.start..][..length]
    }

    /// Number of panels.
    pub fn count(&self) -> usize {
        self.columns.div_ceil(self.nr)
    }

    /// Rows of the matrix.
    #[inline(always)]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Columns of one panel.
    pub fn nr(&self) -> usize {
        self.nr
    }

    /// Panel `j`: `rows` x `nr`, row-major.
    #[inline(always)]
    pub fn panel(&self, j: usize) -> &[f32] {
        &self.data()[j * self.rows * self.nr..][..self.rows * self.nr]
    }

    /// Panel `j`: `rows` x `nr`, row-major.
    #[inline(always)]
    pub fn panel_mut(&mut self, j: usize) -> &mut [f32] {
        let (rows, nr) = (self.rows, self.nr);
        &mut self.data_mut()[j * rows * nr..][..rows * nr]
    }

    /// Row `r` of panel `j`: `nr` floats.
    #[inline(always)]
    pub fn row(&self, j: usize, r: usize) -> &[f32] {
        &self.data()[(j * self.rows + r) * self.nr..][..self.nr]
    }

    /// Row `r` of panel `j`: `nr` floats.
    #[inline(always)]
    pub fn row_mut(&mut self, j: usize, r: usize) -> &mut [f32] {
        let (first, nr) = ((j * self.rows + r) * self.nr, self.nr);
        &mut self.data_mut()[first..][..nr]
    }

    /// The pieces of row `r`, panel by panel: each begins with its `nr` floats.
    #[inline(always)]
    pub fn pieces(&self, r: usize) -> std::slice::Chunks<'_, f32> {
        self.data()[r * self.nr..].chunks(self.rows * self.nr)
    }

    /// The pieces of row `r`, panel by panel: each begins with its `nr` floats.
    #[inline(always)]
    pub fn pieces_mut(&mut self, r: usize) -> std::slice::ChunksMut<'_, f32> {
        let (first, size) = (r * self.nr, self.rows * self.nr);
        self.data_mut()[first..].chunks_mut(size)
    }

    /// All panels, to be written.
    pub fn panels_mut(&mut self) -> PanelsMut<'_> {
        let size = self.rows * self.nr;
        PanelsMut::new(self.data_mut(), size)
    }

    /// The first panels, as those of another matrix that `numbers` names.
    #[inline(always)]
    pub fn panels_of(&mut self, numbers: std::ops::Range<usize>) -> PanelsMut<'_> {
        let size = self.rows * self.nr;
        PanelsMut { first: numbers.start, size, data: &mut self.data_mut()[..numbers.len() * size] }
    }

    /// Makes it `rows` rows of as many columns: zeros, unless it has that shape already.
    pub fn reshape(&mut self, rows: usize) {
        if rows != self.rows {
            *self = Self::zeros(rows, self.columns, self.nr);
        }
    }

    /// Takes over the elements of a matrix of its shape.
    pub fn copy_from(&mut self, other: &Self) {
        self.data_mut().copy_from_slice(other.data());
    }

    /// Sets everything to `value`.
    pub fn fill(&mut self, value: f32) {
        self.data_mut().fill(value);
    }

    /// Copies a row-major matrix of as many columns and at most as many rows into the panels.
    pub fn pack(&mut self, dense: &[f32], order: ColumnOrder<'_>) {
        assert!(order.count() == self.columns && dense.len().is_multiple_of(self.columns));
        let (width, nr) = (self.columns, self.nr);
        self.panels_mut().each().for_each(|mut panel| {
            let j = panel.numbers().start;
            for (from, to) in dense.chunks_exact(width).zip(panel.panel(j).chunks_exact_mut(nr)) {
                match order {
                    ColumnOrder::Natural(_) => {
                        let from = &from[j * nr..width.min((j + 1) * nr)];
                        to[..from.len()].copy_from_slice(from);
                    }
                    ColumnOrder::Permuted(order) => {
                        let columns = order[j * nr..].iter();
                        to.iter_mut().zip(columns).for_each(|(to, &column)| *to = from[column as usize]);
                    }
                }
            }
        });
    }

    /// Copies the first floats of row `r` into `row`.
    #[inline(always)]
    pub fn unpack_first(&self, r: usize, row: &mut [f32]) {
        assert!(row.len() <= self.columns);
        for (j, to) in row.chunks_mut(self.nr).enumerate() {
            let from = &self.row(j, r)[..to.len()];
            let ((to, to_rest), (from, rest)) = (to.as_chunks_mut::<LINE>(), from.as_chunks::<LINE>());
            // A copy of known length is no call.
            to.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
            to_rest.copy_from_slice(rest);
        }
    }

    /// Copies packed row `r` into `row`, which holds as many floats as there are columns; undoes the order of
    /// [`ColumnPanels::pack`].
    #[inline(always)]
    pub fn unpack_row(&self, r: usize, order: ColumnOrder<'_>, row: &mut [f32]) {
        assert!(row.len() == self.columns && order.count() == self.columns);
        match order {
            ColumnOrder::Natural(_) => self.unpack_first(r, row),
            ColumnOrder::Permuted(order) => {
                for (j, columns) in order.chunks(self.nr).enumerate() {
                    self.row(j, r).iter().zip(columns).for_each(|(&from, &column)| row[column as usize] = from);
                }
            }
        }
    }

    /// Raises each element to that of a matrix of its shape, where that is larger.
    pub fn raise_to(&mut self, other: &Self) {
        assert_eq!(self.data().len(), other.data().len(), "matrices of one shape");
        self.data_mut().iter_mut().zip(other.data()).for_each(|(to, &other)| *to = to.max(other));
    }

    /// Becomes the sum of matrices of its shape, of those that the parts `node` have.
    pub fn sum_of<'a>(&mut self, node: Range<usize>, term: impl Fn(usize) -> Option<&'a Self> + Sync) {
        tree::sum(node, |part| term(part).map(Self::data), self.data_mut());
    }

    /// Adds the first `panels` panels of a matrix of its shape.
    #[inline(always)]
    pub fn add_panels(&mut self, other: &Self, panels: usize) {
        let floats = panels * self.rows * self.nr;
        self.data_mut()[..floats].iter_mut().zip(&other.data()[..floats]).for_each(|(to, other)| *to += other);
    }

    /// Adds a matrix of its shape.
    #[inline(always)]
    pub fn add(&mut self, other: &Self) {
        self.data_mut().iter_mut().zip(other.data()).for_each(|(to, other)| *to += other);
    }
}

/// Some consecutive panels of a matrix, to be written: what one task of several may work on.
pub struct PanelsMut<'a, T = f32> {
    /// The number of the first.
    first: usize,
    /// Elements of one panel.
    size: usize,
    data: &'a mut [T],
}

impl<'a, T: Send> PanelsMut<'a, T> {
    /// All panels of a matrix, of `size` elements each.
    pub fn new(data: &'a mut [T], size: usize) -> Self {
        Self { first: 0, size, data }
    }

    /// The first `panels` panels, and the rest.
    pub fn split(self, panels: usize) -> (Self, Self) {
        let Self { first, size, data } = self;
        let (left, right) = data.split_at_mut(panels * size);
        (Self { first, size, data: left }, Self { first: first + panels, size, data: right })
    }

    /// The panels one by one, which different threads may write.
    pub fn each(self) -> impl IndexedParallelIterator<Item = Self> {
        let Self { first, size, data } = self;
        data.par_chunks_mut(size.max(1)).enumerate().map(move |(j, data)| PanelsMut { first: first + j, size, data })
    }

    /// The numbers of the panels.
    #[inline(always)]
    pub fn numbers(&self) -> std::ops::Range<usize> {
        self.first..self.first + self.data.len() / self.size.max(1)
    }

    /// Panel `j` of the matrix: `rows` x `nr`, row-major.
    #[inline(always)]
    pub fn panel(&mut self, j: usize) -> &mut [T] {
        &mut self.data[(j - self.first) * self.size..][..self.size]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packing_and_unpacking_give_the_matrix_back_with_zeros_behind_it() {
        for columns in [1, 7, 8, 9, 20] {
            let dense: Vec<f32> = (1..=3 * columns).map(|i| i as f32).collect();
            let mut matrix = ColumnPanels::zeros(4, columns, 8);
            let order: Vec<u32> = (0..columns as u32).rev().collect();
            matrix.pack(&dense, ColumnOrder::Permuted(&order));
            assert_eq!(matrix.row(0, 1)[0], dense[2 * columns - 1], "the last column comes first");
            let mut row = vec![0.0; columns];
            for (r, expected) in dense.chunks_exact(columns).enumerate() {
                matrix.unpack_row(r, ColumnOrder::Permuted(&order), &mut row);
                assert_eq!(row, expected);
            }
            matrix.pack(&dense, ColumnOrder::Natural(columns));
            matrix.unpack_row(2, ColumnOrder::Natural(columns), &mut row);
            assert_eq!(row, dense[2 * columns..]);
            let sum: f32 = (0..matrix.count()).flat_map(|j| matrix.panel(j)).sum();
            assert_eq!(sum, dense.iter().sum::<f32>(), "padding is zero");
        }
    }

    #[test]
    fn terms_are_added_up_element_by_element() {
        let terms: Vec<ColumnPanels> = (1..5)
            .map(|value| {
                let mut term = ColumnPanels::zeros(700, 9, 8);
                (0..2).for_each(|j| term.panel_mut(j).fill(value as f32));
                term
            })
            .collect();
        let mut total = ColumnPanels::zeros(700, 9, 8);
        total.panel_mut(0).fill(9.0);
        total.sum_of(0..4, |part| (part != 3).then(|| &terms[part]));
        assert!((0..2).all(|j| total.panel(j).iter().all(|&sum| sum == 6.0)));
        total.add(&terms[3]);
        assert!((0..2).all(|j| total.panel(j).iter().all(|&sum| sum == 10.0)));
    }
}
