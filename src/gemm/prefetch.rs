//! Reading the next block of A ahead, a few cache lines before every tile of the present one.

use super::matrix::Matrix;
use crate::simd::{LINE, Simd};

/// The cache lines of a matrix, in shares of equal size.
pub(super) struct Prefetch<'a> {
    /// The matrix, or its transpose, so that neighbours of a row are neighbours in memory.
    matrix: Option<Matrix<'a>>,
    /// The line to fetch next: its row and its first column.
    next: (usize, usize),
    /// Lines of a share.
    share: usize,
}

impl<'a> Prefetch<'a> {
    /// `matrix` in at most `shares` shares; nothing where neither rows nor columns are contiguous, because every element
    /// may have a line of its own then.
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

    /// Fetches one share.
    #[inline(always)]
    pub fn advance<S: Simd>(&mut self, simd: S) {
        let Some(matrix) = self.matrix else { return };
        for _ in 0..self.share {
            let (row, column) = self.next;
            if row == matrix.rows() {
                return;
            }
            simd.prefetch(matrix.from(row, column));
            self.next = if column + LINE < matrix.columns() { (row, column + LINE) } else { (row + 1, 0) };
        }
    }
}
