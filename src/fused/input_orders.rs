//! The orders in which strips pack their inputs: those that are non-zero together belong together.

use std::cmp::Reverse;

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

/// The two orders of a batch; empty before the first gradient, which alone needs them.
#[derive(Default)]
pub struct Orders {
    /// Of the rows of transposed panels, and of dense gradients.
    pub panels: Order,
    /// Of the lines of sparse strips, and of sparse gradients.
    pub lines: Order,
}

impl Orders {
    /// The orders for a batch of which each part has each of `k` inputs non-zero in so many rows: `counts`, parts x k.
    ///
    /// Pixels keep their order in transposed panels: neighbours are inked together. Units of the layer before are sorted by how
    /// often they are on: many are on or off for nearly all rows, and a panel of such units visits no more rows than they do.
    ///
    /// Lines hold inputs that are non-zero in the same parts of the batch to the same degree.
    pub fn new(counts: &[Vec<u32>], k: usize, are_pixels: bool) -> Self {
        let mut panels: Vec<u32> = (0..k as u32).collect();
        if !are_pixels {
            let count = |input: u32| counts.iter().map(|part| u64::from(part[input as usize])).sum::<u64>();
            panels.sort_by_cached_key(|&input| Reverse(count(input)));
        }
        let features: Vec<u32> = (0..k).flat_map(|input| counts.iter().map(move |part| part[input])).collect();
        let lines = kd_order::order(&features, counts.len(), LINE);
        Self { panels: Order::new(panels), lines: Order::new(lines) }
    }
}

/// Adds to `counts` in how many of the rows `dense`, rows x k, each of the `k` inputs is not zero.
pub fn count_inputs(dense: &[f32], counts: &mut [u32]) {
    for row in dense.chunks_exact(counts.len()) {
        counts.iter_mut().zip(row).for_each(|(count, &value)| *count += u32::from(value != 0.0));
    }
}
