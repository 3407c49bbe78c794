//! The orders in which strips pack their inputs: those that are non-zero together belong together.

use std::cmp::Reverse;

use rayon::prelude::*;

use super::strip::{Dense, Strip};
use crate::simd::LINE;
use crate::similar;

/// An order of the inputs: packed input `i` is input `inputs[i]`, and input `i` is packed input `positions[i]`.
#[derive(Default)]
pub(super) struct Order {
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
pub(super) struct Orders {
    /// Of the rows of transposed panels, and of dense gradients.
    pub panels: Order,
    /// Of the lines of sparse strips, and of sparse gradients.
    pub lines: Order,
}

impl Orders {
    /// The orders for a batch of `k` inputs, all of whose strips are dense.
    ///
    /// Pixels keep their order in transposed panels: neighbours are inked together, and the epilogue adds the gradients of
    /// the label pixels in it. Units of the layer before are sorted by how often they are on: many are on or off for nearly
    /// all rows, and a panel of such units visits no more rows than they do.
    ///
    /// Lines hold inputs that are non-zero in the same parts of the batch to the same degree.
    pub fn new(parts: &[Vec<Strip>], k: usize) -> Self {
        let counts: Vec<Vec<u32>> = parts.par_iter().map(|strips| count_inputs(strips, k)).collect();
        let mut panels: Vec<u32> = (0..k as u32).collect();
        if !parts.iter().flatten().any(|strip| strip.rows.is_overlaid()) {
            let count = |input: u32| counts.iter().map(|part| u64::from(part[input as usize])).sum::<u64>();
            panels.sort_by_cached_key(|&input| Reverse(count(input)));
        }
        let features: Vec<u32> = (0..k).flat_map(|input| counts.iter().map(move |part| part[input])).collect();
        let lines = similar::order(&features, counts.len(), LINE);
        Self { panels: Order::new(panels), lines: Order::new(lines) }
    }
}

/// How many rows of some strips have each of `k` inputs non-zero.
fn count_inputs(strips: &[Strip], k: usize) -> Vec<u32> {
    let mut counts = vec![0; k];
    strips.iter().filter_map(Strip::dense).for_each(|dense: &Dense| dense.count_inputs(&mut counts));
    counts
}
