//! The step of a strip in which few units are on: only activations that could be on are computed.
//!
//! For each panel of rows and each unit the strip keeps a *bound*: the largest `z` of the rows, without label and bias,
//! when it was last computed, less the unit's *drift* at that time. The drift of a unit is how far its `z` can have
//! risen because its weights have moved, so that `z <= bound + drift` in every later step (drift.rs). A unit is
//! computed for a panel only where the sum of bound, drift, label and bias is above zero; everywhere else its
//! activations are exactly 0.
//!
//! ```text
//! for each panel of MR rows
//!     candidates = units whose bound, drift, label and bias add up to more than zero
//!     z    = the rows times the weights of each candidate         zero lines of the panel left out
//!     h    = max(scale z + label W_label + b, 0)                  for each variant: goodness, loss, coefficient
//! for each panel
//!     dW  += the rows transposed times d of each candidate        zero lines of the panel left out
//! ```
//!
//! The rows are packed in line panels, and the arithmetic of the epilogue is that of epilogue.rs. Of the files of this
//! form, layer.rs holds weights and gradients unit by unit, candidates.rs finds the candidates and gathers what belongs
//! to them, and products.rs has the two products.

mod candidates;
mod layer;
mod products;

pub use layer::{SparseLayer, SparseSums};

use std::ops::Range;

use super::epilogue::{activation, add_label, add_label_gradient, differentiate};
use super::executed;
use super::packing::{ColumnPanels, LinePanel, LinePanels, MR};
use super::rows::Rows;
use crate::batch;
use crate::recipe::{Goodness, LossOfRows};
use crate::simd::{LINE, MAX_LANES, Simd, round_up_to_bf16};
use candidates::{Candidates, PanelRows, Variant, find, scatter_add};
use products::{Gradients, multiply};

/// Products of a step, as long as each other: the forward one and the gradient.
const PRODUCTS: usize = 2;

/// The inputs of a strip and what is known of its activations.
pub struct Sparse {
    inputs: LinePanels,
    /// Panels x u, filled up to whole lines. A bound is rounded up to bf16, which loosens it by at most 1/128 of itself
    /// and halves the memory that each step reads.
    bounds: Vec<u16>,
}

/// The buffers that the sparse strips of one thread share.
pub struct Scratch {
    candidates: Candidates,
    gradients: Gradients,
}

impl Scratch {
    /// Room for `units` units with `variants` variants.
    pub fn new(units: usize, variants: usize) -> Self {
        Self { candidates: Candidates::new(units, variants), gradients: Gradients::default() }
    }

    /// Makes room for at least `variants` variants of as many units.
    pub fn fit(&mut self, units: usize, variants: usize) {
        if self.candidates.variants.len() < variants {
            self.candidates = Candidates::new(units, variants);
        }
    }
}

/// What a strip is computed with in one step.
#[derive(Clone, Copy)]
pub struct SparseStep<'a> {
    pub rows: &'a Rows,
    pub layer: &'a SparseLayer,
}

impl Sparse {
    /// A strip of `rows` base rows whose bounds are not known, so that every unit will be computed for every row.
    pub fn new(inputs: LinePanels, rows: usize, units: usize) -> Self {
        let width = units.next_multiple_of(LINE);
        let mut bounds = vec![round_up_to_bf16(f32::NEG_INFINITY); rows.div_ceil(MR) * width];
        bounds.chunks_exact_mut(width).for_each(|panel| panel[..units].fill(round_up_to_bf16(f32::INFINITY)));
        Self { inputs, bounds }
    }

    /// Takes in the bounds that follow from a dense step: row `r` of `z` is the product of row `r` of `block`, which
    /// begins a panel, and its column `c` is unit `units[c]`, for the first `computed` columns. The bounds of the other
    /// units stay as they are.
    #[inline(always)]
    pub fn learn<S: Simd>(
        &mut self,
        simd: S,
        SparseStep { rows, layer }: SparseStep<'_>,
        block: Range<usize>,
        z: &ColumnPanels,
        (units, computed): (&[u32], usize),
    ) {
        let panels = block.start / MR..block.end.div_ceil(MR);
        for panel in panels {
            let bounds = &mut self.bounds[panel * layer.width()..][..layer.width()];
            for (j, units) in units[..computed].chunks(S::LANES).enumerate() {
                let mut largest = simd.splat(f32::MIN);
                for r in (PanelRows { rows, panel }).numbers() {
                    largest =
                        simd.max(simd.mul(simd.splat(rows.scale(r)), simd.load(z.row(j, r - block.start))), largest);
                }
                let mut floats = [0.0; MAX_LANES];
                simd.store(&mut floats, largest);
                for (largest, &unit) in floats.iter().zip(units) {
                    let unit = unit as usize;
                    bounds[unit] = round_up_to_bf16(largest + layer.dense_excess[unit] - layer.drift[unit]);
                }
            }
        }
    }

    /// Adds the gradient of the strip to `sums`; returns the loss.
    #[inline(always)]
    pub fn gradient<S: Simd>(
        &mut self,
        simd: S,
        step: SparseStep<'_>,
        loss_of_rows: &LossOfRows,
        Scratch { candidates, gradients }: &mut Scratch,
        sums: &mut SparseSums,
    ) -> f64 {
        let (simd, SparseStep { rows, layer }) = (simd.one(), step);
        let (mut loss, mut multiply_adds) = (0.0, 0);
        gradients.clear();
        for (panel, inputs) in self.inputs.iter().enumerate() {
            let bounds = &mut self.bounds[panel * layer.width()..][..layer.width()];
            let panel = PanelRows { rows, panel };
            compute(simd, inputs, bounds, panel, layer, candidates);
            multiply_adds += inputs.multiply_adds(candidates.count);
            gradients.add_panel(candidates);
            for r in panel.numbers() {
                loss += differentiate_row(simd, step, r, loss_of_rows, candidates, sums);
                gradients.note(r % MR, rows.scale(r), candidates);
            }
            (0..rows.variants()).for_each(|variant| candidates.flush_label(variant, None, sums));
            scatter_add(&candidates.bias_gradient, &candidates.units[..candidates.count], &mut sums.bias);
        }
        gradients.accumulate(simd, &self.inputs, sums);
        executed::count(PRODUCTS * multiply_adds);
        loss
    }

    /// Writes the strip's activations (output rows x u) and goodness where they are asked for; returns how many
    /// activations are above zero.
    #[inline(always)]
    pub fn outputs<S: Simd>(
        &mut self,
        simd: S,
        step: SparseStep<'_>,
        (goodness, units): (Goodness, usize),
        Scratch { candidates, .. }: &mut Scratch,
        (mut outputs, mut goodness_of_rows): (Option<&mut [f32]>, Option<&mut [f32]>),
    ) -> u64 {
        let (simd, SparseStep { rows, layer }) = (simd.one(), step);
        let (mut active, mut multiply_adds) = (0, 0);
        for (panel, inputs) in self.inputs.iter().enumerate() {
            let bounds = &mut self.bounds[panel * layer.width()..][..layer.width()];
            let panel = PanelRows { rows, panel };
            compute(simd, inputs, bounds, panel, layer, candidates);
            multiply_adds += inputs.multiply_adds(candidates.count);
            for (r, variant) in panel.variants() {
                let squares = activate(simd, step, r, variant, candidates);
                let row = rows.output(r, variant);
                if let Some(goodness_of_rows) = &mut goodness_of_rows {
                    goodness_of_rows[row] = goodness.of(squares, units);
                }
                let h = &candidates.variants[variant].h[..candidates.count];
                if let Some(outputs) = &mut outputs {
                    let outputs = &mut outputs[row * units..][..units];
                    outputs.fill(0.0);
                    candidates.units.iter().zip(h).for_each(|(&unit, &h)| outputs[unit as usize] = h);
                }
                active += h.iter().map(|&h| u64::from(h > 0.0)).sum::<u64>();
            }
        }
        executed::count(multiply_adds);
        active
    }
}

/// Finds the candidates of a panel, and computes their `z` and bounds.
#[inline(always)]
fn compute<S: Simd>(
    simd: S,
    inputs: LinePanel<'_>,
    bounds: &mut [u16],
    panel: PanelRows<'_>,
    layer: &SparseLayer,
    candidates: &mut Candidates,
) {
    find(simd, bounds, panel, layer, candidates);
    // The sums, the inputs and one vector of weights fit into 32 registers with four units, and into 16 with two. With
    // the portable vectors some are spilled.
    if S::REGISTERS >= 32 {
        multiply::<S, 4>(simd, inputs, layer, candidates);
    } else {
        multiply::<S, 2>(simd, inputs, layer, candidates);
    }
    candidates.scale(simd, panel);
    candidates.bound(layer, bounds);
    candidates.begin(layer);
}

/// `h = max(z + value * label + bias, 0)` of the candidates; returns the sum of the squares.
#[inline(always)]
fn activate<S: Simd>(
    simd: S,
    SparseStep { rows, layer }: SparseStep<'_>,
    r: usize,
    variant: usize,
    candidates: &mut Candidates,
) -> f32 {
    let label = rows.label(r, variant);
    if let Some((pixel, _)) = label {
        candidates.set_label(variant, pixel, layer);
    }
    let Candidates { count, ref z, ref bias, ref mut variants, .. } = *candidates;
    let Variant { h: activations, weights, .. } = &mut variants[variant];
    let mut squares = simd.splat(0.0);
    for at in (0..count).step_by(S::LANES) {
        let mut z = simd.add(simd.load(&z[r % MR][at..]), simd.load(&bias[at..]));
        if let Some((_, value)) = label {
            z = add_label(simd, z, value, &weights[at..]);
        }
        let h;
        (h, squares) = activation(simd, z, squares);
        simd.store(&mut activations[at..], h);
    }
    simd.sum(squares)
}

/// Computes the loss of all variants of base row `r`. The gradient of `z` is left in the first variant's `h`, and is
/// added to the gradients of the bias and of the label pixels.
#[inline(always)]
fn differentiate_row<S: Simd>(
    simd: S,
    step: SparseStep<'_>,
    r: usize,
    loss_of_rows: &LossOfRows,
    candidates: &mut Candidates,
    sums: &mut SparseSums,
) -> f64 {
    let rows = step.rows;
    let mut loss = 0.0;
    for variant in 0..rows.variants() {
        let label = rows.label(r, variant);
        candidates.flush_label(variant, label.map(|(pixel, _)| pixel), sums);
        let squares = activate(simd, step, r, variant, candidates);
        let row = loss_of_rows.row(squares, batch::polarity(rows.batch_row(r, variant)));
        loss += row.loss;
        let Candidates { count, ref mut bias_gradient, ref mut variants, .. } = *candidates;
        let (earlier, variants) = variants.split_at_mut(variant);
        let Variant { h, gradient, .. } = &mut variants[0];
        for at in (0..count).step_by(S::LANES) {
            let bias = &mut bias_gradient[at..];
            let (dz, sum) = differentiate(simd, row.coefficient, simd.load(&h[at..]), simd.load(bias));
            simd.store(bias, sum);
            if let Some((_, value)) = label {
                add_label_gradient(simd, value, dz, &mut gradient[at..]);
            }
            match earlier.first_mut() {
                Some(Variant { h: total, .. }) => {
                    let sum = simd.add(simd.load(&total[at..]), dz);
                    simd.store(&mut total[at..], sum);
                }
                None => simd.store(&mut h[at..], dz),
            }
        }
    }
    loss
}

#[cfg(test)]
mod tests;
