//! Views of matrices with strides: what a product reads and what it writes.
//!
//! A shape is checked once, where a view is made; blocks of a view are checked to lie inside it. [`MatrixMut`] is the
//! one place that relies on blocks of C being disjoint, so that threads can write them at the same time.

use std::marker::PhantomData;
use std::ops::Range;

/// A matrix to read: element (i, j) is `data[i * row_stride + j * column_stride]`.
#[derive(Clone, Copy, Debug)]
pub struct Matrix<'a> {
    data: &'a [f32],
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
}

impl<'a> Matrix<'a> {
    /// `rows` x `columns`, row-major without gaps.
    ///
    /// # Panics
    ///
    /// `data` holds fewer than `rows * columns` floats.
    pub fn new(data: &'a [f32], rows: usize, columns: usize) -> Self {
        Self::strided(data, rows, columns, columns, 1)
    }

    /// `rows` x `columns` at the given distances, in floats, between neighbours of a column and of a row. Elements may
    /// overlap.
    ///
    /// # Panics
    ///
    /// The last element lies outside `data`.
    pub fn strided(data: &'a [f32], rows: usize, columns: usize, row_stride: usize, column_stride: usize) -> Self {
        assert!(
            extent(rows, columns, row_stride, column_stride).is_some_and(|extent| extent <= data.len()),
            "{rows} x {columns} at strides {row_stride} and {column_stride} in {} floats",
            data.len()
        );
        Self { data, rows, columns, row_stride, column_stride }
    }

    /// The transpose: `columns` x `rows` of the same floats.
    pub fn transposed(self) -> Self {
        let Self { data, rows, columns, row_stride, column_stride } = self;
        Self { data, rows: columns, columns: rows, row_stride: column_stride, column_stride: row_stride }
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of columns.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Distance, in floats, between neighbours of a column.
    pub(super) fn row_stride(&self) -> usize {
        self.row_stride
    }

    /// Distance, in floats, between neighbours of a row.
    pub(super) fn column_stride(&self) -> usize {
        self.column_stride
    }

    /// Rows `rows` and columns `columns` of this matrix.
    ///
    /// # Panics
    ///
    /// A range ends outside the matrix.
    pub fn block(&self, rows: Range<usize>, columns: Range<usize>) -> Self {
        assert!(rows.start <= rows.end && rows.end <= self.rows, "rows {rows:?} of {}", self.rows);
        assert!(columns.start <= columns.end && columns.end <= self.columns, "columns {columns:?} of {}", self.columns);
        let data = match rows.is_empty() || columns.is_empty() {
            true => &[],
            false => &self.data[rows.start * self.row_stride + columns.start * self.column_stride..],
        };
        Self { data, rows: rows.len(), columns: columns.len(), ..*self }
    }

    /// The floats from element (`row`, `column`) on.
    #[inline(always)]
    pub(super) fn from(&self, row: usize, column: usize) -> &'a [f32] {
        &self.data[row * self.row_stride + column * self.column_stride..]
    }
}

/// Floats from the first to the last element of a matrix, both included; `None` where that does not fit a `usize`.
fn extent(rows: usize, columns: usize, row_stride: usize, column_stride: usize) -> Option<usize> {
    if rows == 0 || columns == 0 {
        return Some(0);
    }
    let last_row = (rows - 1).checked_mul(row_stride)?;
    let last_column = (columns - 1).checked_mul(column_stride)?;
    last_row.checked_add(last_column)?.checked_add(1)
}

/// A matrix to write: element (i, j) is `data[i * row_stride + j]`, and no two rows overlap.
#[derive(Debug)]
pub struct MatrixMut<'a> {
    /// The first element; `rows` runs of `columns` floats, `row_stride` apart, are borrowed from here on.
    data: *mut f32,
    rows: usize,
    columns: usize,
    row_stride: usize,
    borrowed: PhantomData<&'a mut [f32]>,
}

// SAFETY: a view is an exclusive borrow of the floats of its rows, as `&mut [f32]` is, and floats may be sent.
unsafe impl Send for MatrixMut<'_> {}

impl<'a> MatrixMut<'a> {
    /// `rows` x `columns`, row-major without gaps.
    ///
    /// # Panics
    ///
    /// `data` holds fewer than `rows * columns` floats.
    pub fn new(data: &'a mut [f32], rows: usize, columns: usize) -> Self {
        Self::strided(data, rows, columns, columns)
    }

    /// `rows` x `columns`, rows being `row_stride` floats apart. What lies between the rows is never touched.
    ///
    /// # Panics
    ///
    /// The last element lies outside `data`, or `row_stride` is less than `columns`.
    pub fn strided(data: &'a mut [f32], rows: usize, columns: usize, row_stride: usize) -> Self {
        assert!(
            row_stride >= columns && extent(rows, columns, row_stride, 1).is_some_and(|extent| extent <= data.len()),
            "{rows} x {columns} with rows {row_stride} apart in {} floats",
            data.len()
        );
        Self { data: data.as_mut_ptr(), rows, columns, row_stride, borrowed: PhantomData }
    }

    /// Number of rows.
    #[inline(always)]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of columns.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Row `i`: `columns` floats.
    #[inline(always)]
    pub(crate) fn row(&mut self, i: usize) -> &mut [f32] {
        assert!(i < self.rows);
        if self.columns == 0 {
            // Without columns the rows need not lie inside the floats.
            return &mut [];
        }
        // SAFETY: row `i` is one of the rows that this view borrows exclusively, and so does the result.
        unsafe { std::slice::from_raw_parts_mut(self.data.add(i * self.row_stride), self.columns) }
    }

    /// Rows `rows` and columns `columns`, borrowed from this view.
    pub(super) fn block(&mut self, rows: Range<usize>, columns: Range<usize>) -> MatrixMut<'_> {
        assert!(rows.start <= rows.end && rows.end <= self.rows);
        assert!(columns.start <= columns.end && columns.end <= self.columns);
        let whole = MatrixMut { borrowed: PhantomData, ..*self };
        let (_, below) = whole.split_rows(rows.start);
        let (wanted, _) = below.split_rows(rows.len());
        let (_, right) = wanted.split_columns(columns.start);
        right.split_columns(columns.len()).0
    }

    /// The first `at` rows, and the rest.
    pub(super) fn split_rows(self, at: usize) -> (Self, Self) {
        assert!(at <= self.rows);
        // `wrapping_add`: below the last row there may be no float left to point at.
        let below = self.data.wrapping_add(at * self.row_stride);
        (Self { rows: at, ..self }, Self { data: below, rows: self.rows - at, ..self })
    }

    /// The first `at` columns, and the rest.
    pub(crate) fn split_columns(self, at: usize) -> (Self, Self) {
        assert!(at <= self.columns);
        let right = self.data.wrapping_add(at);
        (Self { columns: at, ..self }, Self { data: right, columns: self.columns - at, ..self })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_view_must_lie_inside_its_floats() {
        let floats = [0.0; 11];
        let fits = |rows, columns, row_stride, column_stride| {
            std::panic::catch_unwind(|| Matrix::strided(&floats, rows, columns, row_stride, column_stride)).is_ok()
        };
        assert!(fits(3, 3, 4, 1) && fits(2, 11, 0, 1) && fits(0, 5, 100, 100) && fits(5, 0, 100, 100));
        assert!(!fits(3, 4, 4, 1) && !fits(3, 2, 2, 7) && !fits(2, 2, usize::MAX, 1) && !fits(3, 2, usize::MAX / 2, 2));
    }

    #[test]
    fn rows_that_are_written_must_not_overlap() {
        let fits = |rows, columns, row_stride| {
            let mut floats = [0.0; 11];
            std::panic::catch_unwind(move || MatrixMut::strided(&mut floats, rows, columns, row_stride).rows()).is_ok()
        };
        assert!(fits(3, 3, 4) && fits(0, 3, 3));
        assert!(!fits(3, 3, 2) && !fits(3, 4, 4) && !fits(2, 2, usize::MAX));
    }

    #[test]
    fn blocks_hold_what_the_matrix_holds_there() {
        let mut floats: Vec<f32> = (0..20).map(|i| i as f32).collect();
        let matrix = Matrix::strided(&floats, 3, 4, 6, 1).block(1..3, 2..4);
        assert_eq!((matrix.rows(), matrix.columns(), matrix.from(1, 1)[0]), (2, 2, 15.0));
        assert_eq!(matrix.transposed().from(1, 0)[0], 9.0);
        let mut written = MatrixMut::strided(&mut floats, 3, 4, 6);
        assert_eq!(written.block(1..3, 2..4).row(1), [14.0, 15.0]);
        let (_, mut right) = written.split_columns(3);
        assert_eq!(right.row(2), [15.0]);
    }
}
