//! Prefetching of the next block of A into L2: a few of its cache lines at a time, during every tile of the present
//! block.

use super::matrix::Matrix;
use crate::simd::{LINE, Simd};

/// The cache lines of a matrix, in shares of equal size.
pub(super) struct Prefetch<'a> {
    /// The matrix or its transpose, whichever has contiguous rows.
    matrix: Option<Matrix<'a>>,
    /// The row and the first column of the line to prefetch next.
    next: (usize, usize),
    /// The lines of one share.
    share: usize,
}

impl<'a> Prefetch<'a> {
    /// `matrix` in at most `shares` shares. Nothing is prefetched where neither rows nor columns are contiguous,
    /// because each element may then be in a line of its own.
    pub fn new(matrix: Option<Matrix<'a>>, shares: usize) -> Self {
        let along_rows = |matrix: Matrix<'a>| match (matrix.row_stride(), matrix.column_stride()) {
            (_, 1) => Some(matrix),
            (1, _) => Some(matrix.transposed()),
            _ => None,
        };
        let matrix = matrix.and_then(along_rows);
        let lines = matrix.map_or(0, |matrix| matrix.rows() * matrix.columns().div_ceil(LINE));
        Self { matrix, next: (0, 0), share: lines.div_ceil(shares) }
    }

    /// Prefetches one share.
    #[inline(always)]
    pub fn advance<S: Simd>(&mut self, simd: S) {
        let Some(matrix) = self.matrix else { return };
        for _ in 0..self.share {
            let (row, column) = self.next;
            if row == matrix.rows() {
                return;
            }
            simd.prefetch_for_later(matrix.from(row, column));
            self.next = if column + LINE < matrix.columns() { (row, column + LINE) } else { (row + 1, 0) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::Portable;

    #[test]
    fn all_lines_are_asked_for_in_as_many_shares() {
        let floats = vec![0.0; 40 * 50];
        let isa = Portable::new();
        for (rows, columns) in [(1, 1), (3, 16), (40, 17), (7, 50)] {
            let matrix = Matrix::strided(&floats, rows, columns, 50, 1);
            for (matrix, shares) in [1, 2, 5, 1_000].into_iter().flat_map(|n| [(matrix, n), (matrix.transposed(), n)]) {
                let mut prefetch = Prefetch::new(Some(matrix), shares);
                (0..shares).for_each(|_| prefetch.advance(isa));
                assert_eq!(prefetch.next, (rows, 0), "{rows} x {columns} in {shares} shares");
            }
        }
        let mut nothing = Prefetch::new(None, 3);
        nothing.advance(isa);
        assert_eq!((nothing.next, nothing.share), ((0, 0), 0));
    }
}
