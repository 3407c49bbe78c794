//! The orders in which strips pack their inputs: inputs that are non-zero in the same rows stand together.

use std::cmp::Reverse;

use super::packing::ColumnOrder;
use crate::kd_order;
use crate::simd::LINE;

/// An order of the inputs: packed input `i` is input `inputs[i]`, and input `i` is packed input `positions[i]`.
#[derive(Default)]
pub struct Order {
    pub inputs: Vec<u32>,
    pub positions: Vec<usize>,
}

impl Order {
    fn new(inputs: Vec<u32>) -> Self {
        let mut positions = vec![0; inputs.len()];
        inputs.iter().enumerate().for_each(|(position, &input)| positions[input as usize] = position);
        Self { inputs, positions }
    }
}

/// The orders of a batch that stays.
pub struct Orders {
    /// Whether the rows are packed in the order of `lines`, which then is that of `panels` as well.
    are_rows_ordered: bool,
    /// The order of the rows of transposed panels and of dense gradients.
    pub panels: Order,
    /// The order of the inputs in the lines of sparse strips and of sparse gradients.
    pub lines: Order,
}

impl Orders {
    /// The orders for a batch in which input `i` is non-zero in `counts[part][i]` rows of each part, for `k` inputs.
    ///
    /// In transposed panels, pixels keep their order, because neighbours are inked in the same images. Units of the
    /// layer before are sorted by the number of rows in which they are on: many units are on in nearly all rows or in
    /// nearly none, and a panel of units of one kind then visits hardly more rows than each of them needs.
    ///
    /// A line holds inputs that are non-zero about equally often in the same parts of the batch. Where
    /// `are_rows_ordered`, because tiles are as wide as lines, all is in this order.
    pub fn new(counts: &[Vec<u32>], k: usize, are_pixels: bool, are_rows_ordered: bool) -> Self {
        let mut panels: Vec<u32> = (0..k as u32).collect();
        if !are_pixels {
            let count = |input: u32| counts.iter().map(|part| u64::from(part[input as usize])).sum::<u64>();
            panels.sort_by_cached_key(|&input| Reverse(count(input)));
        }
        let features: Vec<u32> = (0..k).flat_map(|input| counts.iter().map(move |part| part[input])).collect();
        let lines = kd_order::order(&features, counts.len(), LINE);
        let panels = if are_rows_ordered { lines.clone() } else { panels };
        Self { are_rows_ordered, panels: Order::new(panels), lines: Order::new(lines) }
    }

    /// Which input each packed column of a row is.
    pub fn rows(&self) -> ColumnOrder<'_> {
        if self.are_rows_ordered {
            ColumnOrder::Permuted(&self.lines.inputs)
        } else {
            ColumnOrder::Natural(self.lines.inputs.len())
        }
    }

    /// Which packed column of a row each row of the transpose is.
    #[inline(always)]
    pub fn transposed(&self) -> ColumnOrder<'_> {
        if self.are_rows_ordered {
            ColumnOrder::Natural(self.lines.inputs.len())
        } else {
            ColumnOrder::Permuted(&self.panels.inputs)
        }
    }

    /// Where in the lines each packed column of a row is.
    pub fn places_in_lines(&self) -> Vec<usize> {
        match self.rows() {
            ColumnOrder::Natural(_) => self.lines.positions.clone(),
            ColumnOrder::Permuted(order) => (0..order.len()).collect(),
        }
    }
}

/// Adds to the count of each input the number of rows of `dense`, rows x k, in which it is not zero.
pub fn count_inputs(dense: &[f32], counts: &mut [u32]) {
    for row in dense.chunks_exact(counts.len()) {
        counts.iter_mut().zip(row).for_each(|(count, &value)| *count += u32::from(value != 0.0));
    }
}
