//! Row panels, with their zeros left out: the packed left operand of the dense f32 products.
//!
//! A matrix of `rows` x `depth` is cut into panels of [`MR`] rows. A panel lists the depth indices at which any of its
//! rows is non-zero, and for each the `MR` values; the product over a panel visits just these. A dense matrix lists
//! every index, at the price of one index load for `MR` x NR multiply-adds, so one kernel serves every density.

use super::{ColumnOrder, MR};

/// The number type of depth indices; they are a tenth to a fifth of a packed matrix.
pub trait Index: Copy {
    /// `index` as this type; panics where it does not fit.
    fn new(index: usize) -> Self;

    /// The index.
    fn get(self) -> usize;
}

impl Index for u16 {
    #[inline(always)]
    fn new(index: usize) -> Self {
        index.try_into().expect("an index below 2^16")
    }

    #[inline(always)]
    fn get(self) -> usize {
        self.into()
    }
}

impl Index for u32 {
    #[inline(always)]
    fn new(index: usize) -> Self {
        index.try_into().expect("an index below 2^32")
    }

    #[inline(always)]
    fn get(self) -> usize {
        self as usize
    }
}

/// A matrix packed into micro-panels.
pub struct RowPanels<I> {
    rows: usize,
    depth: usize,
    /// Where each panel's entries begin; one more than there are panels.
    starts: Vec<usize>,
    /// Entries.
    count: usize,
    /// The depth index of each entry, below `depth`, ascending within a panel; there may be room for more behind them.
    indices: Vec<I>,
    /// The values of each entry; rows beyond the matrix are zero.
    values: Vec<[f32; MR]>,
}

/// One panel: `MR` rows, zeros left out.
#[derive(Clone, Copy)]
pub struct RowPanel<'a, I> {
    /// Depth indices, ascending.
    pub indices: &'a [I],
    /// The panel's `MR` values at each index.
    pub values: &'a [[f32; MR]],
}

impl<I> Default for RowPanels<I> {
    /// No rows.
    fn default() -> Self {
        Self { rows: 0, depth: 0, starts: vec![0], count: 0, indices: Vec::new(), values: Vec::new() }
    }
}

impl<I: Index> RowPanels<I> {
    /// Packs the row-major `rows` x `depth` matrix `dense` in place of what was packed, in the same memory where that
    /// suffices.
    pub fn pack(&mut self, dense: &[f32], depth: usize) {
        assert!(depth > 0 && dense.len().is_multiple_of(depth), "whole rows of {depth}");
        self.clear(dense.len() / depth, depth);
        for block in dense.chunks(MR * depth) {
            let rows: [&[f32]; MR] = std::array::from_fn(|i| block.chunks(depth).nth(i).unwrap_or(&[]));
            for index in 0..depth {
                self.push(index, rows.map(|row| row.get(index).copied().unwrap_or(0.0)));
            }
            self.close();
        }
    }

    /// Packs the transpose of the row-major matrix `dense`, whose columns `order` counts: packed row `i` is its `i`-th
    /// column.
    pub fn pack_transposed(&mut self, dense: &[f32], order: ColumnOrder<'_>) {
        let rows = order.count();
        assert!(rows > 0 && dense.len().is_multiple_of(rows), "whole rows of {rows}");
        self.clear(rows, dense.len() / rows);
        for first in (0..rows).step_by(MR) {
            let lanes = MR.min(rows - first);
            for (index, row) in dense.chunks_exact(rows).enumerate() {
                let mut values = [0.0; MR];
                match order {
                    ColumnOrder::Natural(_) => values[..lanes].copy_from_slice(&row[first..][..lanes]),
                    ColumnOrder::Permuted(order) => {
                        let columns = &order[first..][..lanes];
                        values.iter_mut().zip(columns).for_each(|(value, &column)| *value = row[column as usize]);
                    }
                }
                self.push(index, values);
            }
            self.close();
        }
    }

    /// Makes room for a dense matrix, and forgets what was packed.
    fn clear(&mut self, rows: usize, depth: usize) {
        (self.rows, self.depth, self.count) = (rows, depth, 0);
        self.starts.clear();
        self.starts.push(0);
        let most = rows.div_ceil(MR) * depth;
        if self.indices.len() < most {
            self.indices = vec![I::new(0); most];
            self.values = vec![[0.0; MR]; most];
        }
    }

    /// Moves the panels into memory of their size, for a batch that stays: the room for a dense matrix, in which they
    /// were packed, can then be had again. Shrinking in place would leave a hole behind each.
    pub fn trim(&mut self) {
        self.indices = self.indices[..self.count].to_vec();
        self.values = self.values[..self.count].to_vec();
    }

    /// Writes an entry, and counts it where it is not all zero. There is no branch, because no CPU can predict which
    /// entries are zero.
    #[inline(always)]
    fn push(&mut self, index: usize, values: [f32; MR]) {
        self.indices[self.count] = I::new(index);
        self.values[self.count] = values;
        // All bits but the sign, so that -0 is zero too.
        let bits = values.iter().fold(0, |bits, value| bits | value.to_bits()) << 1;
        self.count += usize::from(bits != 0);
    }

    fn close(&mut self) {
        self.starts.push(self.count);
    }

    /// Writes the matrix back as `rows` x `depth`, row-major, over `dense`.
    pub fn unpack(&self, dense: &mut [f32]) {
        assert_eq!(dense.len(), self.rows * self.depth);
        dense.fill(0.0);
        for (block, panel) in dense.chunks_mut(MR * self.depth).zip(self.iter()) {
            for (&index, values) in panel.indices.iter().zip(panel.values) {
                for (row, &value) in block.chunks_exact_mut(self.depth).zip(values) {
                    row[index.get()] = value;
                }
            }
        }
    }

    /// Rows of the matrix.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Columns of the matrix: the length of the reduction.
    pub fn depth(&self) -> usize {
        self.depth
    }

    /// Entries of all panels.
    pub fn entries(&self) -> usize {
        self.count
    }

    /// The panels in the order of their rows.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = RowPanel<'_, I>> {
        self.starts
            .windows(2)
            .map(|w| RowPanel { indices: &self.indices[w[0]..w[1]], values: &self.values[w[0]..w[1]] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A rows x depth matrix whose entries are zero three times in four.
    fn sparse(rows: usize, depth: usize) -> Vec<f32> {
        (0..rows * depth).map(|i| if (i * 7 + i / 5) % 4 == 0 { i as f32 + 1.0 } else { 0.0 }).collect()
    }

    /// What was packed before must leave no trace, and trimming must lose nothing.
    fn packed<I: Index>(dense: &[f32], depth: usize) -> RowPanels<I> {
        let mut panels = RowPanels::default();
        panels.pack(&[7.0; 12 * MR], 3);
        panels.pack(dense, depth);
        panels.trim();
        panels
    }

    #[test]
    fn packing_loses_nothing_at_any_size() {
        for rows in 0..=2 * MR + 1 {
            for depth in 1..=9 {
                let dense = sparse(rows, depth);
                let panels = packed::<u32>(&dense, depth);
                assert_eq!(panels.iter().len(), rows.div_ceil(MR));
                let mut again = vec![9.0; dense.len()];
                panels.unpack(&mut again);
                assert_eq!(again, dense, "{rows} x {depth}");
            }
        }
    }

    #[test]
    fn the_transposed_packing_is_the_packing_of_the_transpose() {
        let (rows, depth) = (11, 6);
        let dense = sparse(depth, rows);
        let order: Vec<u32> = (0..rows as u32).map(|i| i * 4 % rows as u32).collect();
        let transposed: Vec<f32> =
            (0..rows * depth).map(|i| dense[i % depth * rows + order[i / depth] as usize]).collect();
        let mut unpacked = vec![0.0; rows * depth];
        let mut panels = RowPanels::<u16>::default();
        panels.pack_transposed(&dense, ColumnOrder::Permuted(&order));
        panels.unpack(&mut unpacked);
        assert_eq!(unpacked, transposed);
        let mut natural = RowPanels::<u16>::default();
        natural.pack_transposed(&transposed, ColumnOrder::Natural(depth));
        let mut again = vec![0.0; rows * depth];
        natural.unpack(&mut again);
        assert!((0..rows * depth).all(|i| again[i] == transposed[i % rows * depth + i / rows]));
    }

    #[test]
    fn an_index_is_kept_only_where_a_row_of_the_panel_is_not_zero() {
        let mut dense = vec![0.0; MR * 3];
        dense[1] = 5.0;
        dense[(MR - 1) * 3 + 1] = 6.0;
        let panels = packed::<u16>(&dense, 3);
        let panel = panels.iter().next().unwrap();
        assert_eq!(panel.indices, [1]);
        assert_eq!((panel.values[0][0], panel.values[0][MR - 1]), (5.0, 6.0));
    }
}
