//! Column slices: the packed right operand of every product, and the form of every product's result.
//!
//! A matrix of `rows` x `columns` is cut into slices of `nr` columns, each stored as `rows` consecutive rows of `nr`
//! floats. A slice of 784 rows x 64 columns is 200 KB and stays in L2 while all panels of a strip pass over it; the last
//! slice is filled with zeros up to `nr`, which no kernel ever turns into anything else.

/// A matrix stored slice by slice.
pub struct Slices {
    data: Vec<f32>,
    rows: usize,
    columns: usize,
    nr: usize,
}

impl Slices {
    /// `rows` x `columns` zeros in slices of `nr` columns.
    pub fn zeros(rows: usize, columns: usize, nr: usize) -> Self {
        Self { data: vec![0.0; columns.div_ceil(nr) * rows * nr], rows, columns, nr }
    }

    /// Number of slices.
    pub fn count(&self) -> usize {
        self.columns.div_ceil(self.nr)
    }

    /// Slice `j`: `rows` x `nr`, row-major.
    #[inline]
    pub fn slice(&self, j: usize) -> &[f32] {
        &self.data[j * self.rows * self.nr..][..self.rows * self.nr]
    }

    /// Slice `j`: `rows` x `nr`, row-major.
    #[inline]
    pub fn slice_mut(&mut self, j: usize) -> &mut [f32] {
        &mut self.data[j * self.rows * self.nr..][..self.rows * self.nr]
    }

    /// Row `r` of slice `j`: `nr` floats.
    #[inline]
    pub fn row(&self, j: usize, r: usize) -> &[f32] {
        &self.data[(j * self.rows + r) * self.nr..][..self.nr]
    }

    /// Row `r` of slice `j`: `nr` floats.
    #[inline]
    pub fn row_mut(&mut self, j: usize, r: usize) -> &mut [f32] {
        &mut self.data[(j * self.rows + r) * self.nr..][..self.nr]
    }

    /// Sets everything to zero.
    pub fn clear(&mut self) {
        self.data.fill(0.0);
    }

    /// Copies a row-major matrix of as many columns and at most as many rows into the slices.
    pub fn pack(&mut self, dense: &[f32]) {
        assert!(dense.len().is_multiple_of(self.columns) && dense.len() <= self.rows * self.columns);
        for (r, row) in dense.chunks_exact(self.columns).enumerate() {
            for (j, part) in row.chunks(self.nr).enumerate() {
                self.row_mut(j, r)[..part.len()].copy_from_slice(part);
            }
        }
    }

    /// Copies row `r` into `row`, which holds as many floats as there are columns.
    #[inline]
    pub fn unpack_row(&self, r: usize, row: &mut [f32]) {
        assert_eq!(row.len(), self.columns);
        for (j, part) in row.chunks_mut(self.nr).enumerate() {
            part.copy_from_slice(&self.row(j, r)[..part.len()]);
        }
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
            slices.pack(&dense);
            let mut row = vec![0.0; columns];
            for (r, expected) in dense.chunks_exact(columns).enumerate() {
                slices.unpack_row(r, &mut row);
                assert_eq!(row, expected);
            }
            let sum: f32 = (0..slices.count()).flat_map(|j| slices.slice(j)).sum();
            assert_eq!(sum, dense.iter().sum::<f32>(), "padding is zero");
        }
    }
}
