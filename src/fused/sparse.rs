//! The step of a strip in which few units are on: only activations that could be on are computed.
//!
//! For each panel of rows and each unit the strip remembers a *bound*: the rows' largest `z` (label and bias apart) when it
//! was last computed, less the unit's *drift* at that time. The drift of a unit is the length of the path its
//! weights have moved, so by Cauchy and Schwarz, a normalised row having norm <= 1, `z <= bound + drift` in every later step
//! (drift.rs). A unit is computed for a panel only where bound + drift + label + bias is above zero; everywhere else its
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
//! Relies on [`crate::line_panels`] for the rows; layer.rs holds weights and gradients, unit by unit, candidates.rs finds and
//! gathers the candidates, products.rs has the two products, and the epilogue is here.

mod candidates;
mod layer;
mod products;

pub(super) use layer::{SparseLayer, SparseSums, UnitLines, add_sums};

use super::strip::{BatchObjective, Rows};
use crate::line_panels::{LinePanel, LinePanels};
use crate::simd::{LINE, MAX_NR, MR, Simd};
use crate::slices::Slices;
use candidates::{Candidates, Variant, find, panel_rows, scatter_add};
use products::{Gradients, multiply};

/// The share of a strip's units that may be on, below which the strip is computed this way: what is left out has to make up
/// for sums over lines instead of vectors of units, in which each tile of 4 x 4 products ends in 16 sums across a vector.
/// Measured for AVX-512 and AVX2 (docs/performance.md).
pub(super) const SPARSE_SHARE: f64 = 0.3;

/// The inputs of a strip and what is known of its activations.
pub(super) struct Sparse {
    inputs: LinePanels,
    /// panels x u, filled up to whole lines; the upper halves of floats ([`raised`]), which loosen a bound by at most 1/128 of
    /// itself and are half the memory to stream in each step.
    bounds: Vec<u16>,
}

/// The upper half of the least float with an empty lower half that is not below `bound`.
#[inline(always)]
fn raised(bound: f32) -> u16 {
    let bits = bound.to_bits();
    // Of a negative number, what is cut off lowers the magnitude.
    let up = if bound.is_sign_negative() { 0 } else { 0xffff };
    ((bits + up) >> 16) as u16
}

/// Buffers of the sparse strips of one thread.
pub(super) struct Scratch {
    candidates: Candidates,
    gradients: Gradients,
}

impl Scratch {
    /// Room for `units` units with `variants` variants.
    pub fn new(units: usize, variants: usize) -> Self {
        Self { candidates: Candidates::new(units, variants), gradients: Gradients::default() }
    }
}

impl Sparse {
    /// A strip of `rows` base rows whose bounds are not known: every unit will be computed for every row.
    pub fn new(inputs: LinePanels, rows: usize, units: usize) -> Self {
        let width = units.next_multiple_of(LINE);
        let mut bounds = vec![raised(f32::NEG_INFINITY); rows.div_ceil(MR) * width];
        bounds.chunks_exact_mut(width).for_each(|panel| panel[..units].fill(raised(f32::INFINITY)));
        Self { inputs, bounds }
    }

    /// Takes in what the dense step computed: `z(r, c)` is row `r`'s product with unit `units[c]`, for the first `computed`
    /// columns.
    #[inline(always)]
    pub fn learn<S: Simd>(
        &mut self,
        simd: S,
        rows: &Rows,
        z: &Slices,
        (units, computed): (&[u32], usize),
        layer: &SparseLayer,
    ) {
        for (p, bounds) in self.bounds.chunks_exact_mut(layer.width()).enumerate() {
            for (j, units) in units[..computed].chunks(S::NR).enumerate() {
                let mut largest = simd.splat(f32::MIN);
                for r in panel_rows(rows, p) {
                    largest = simd.max(simd.mul(simd.splat(rows.scale(r)), simd.load(z.row(j, r))), largest);
                }
                let mut floats = [0.0; MAX_NR];
                simd.store(&mut floats, largest);
                for (largest, &unit) in floats.iter().zip(units) {
                    bounds[unit as usize] = raised(largest - layer.drift[unit as usize]);
                }
            }
        }
    }

    /// Adds the gradient of the strip to `sums`; returns the loss.
    #[inline(always)]
    pub fn gradient<S: Simd>(
        &mut self,
        simd: S,
        rows: &Rows,
        layer: &SparseLayer,
        objective: &BatchObjective,
        Scratch { candidates, gradients }: &mut Scratch,
        sums: &mut SparseSums,
    ) -> f64 {
        let simd = simd.one();
        let mut loss = 0.0;
        gradients.clear();
        for (p, panel) in self.inputs.iter().enumerate() {
            let bounds = &mut self.bounds[p * layer.width()..][..layer.width()];
            compute(simd, panel, bounds, rows, p, layer, candidates);
            gradients.add_panel(candidates);
            for r in panel_rows(rows, p) {
                loss += differentiate(simd, rows, r, layer, objective, candidates, sums);
                gradients.note(r % MR, rows.scale(r), candidates);
            }
            (0..rows.variants()).for_each(|variant| candidates.flush_label(variant, None, sums));
            scatter_add(&candidates.bias_gradient, &candidates.units[..candidates.count], &mut sums.bias);
        }
        gradients.accumulate(simd, &self.inputs, sums);
        loss
    }

    /// Writes the strip's activations (output rows x u) and goodness where they are asked for; returns how many
    /// activations are above zero.
    #[inline(always)]
    pub fn outputs<S: Simd>(
        &mut self,
        simd: S,
        rows: &Rows,
        layer: &SparseLayer,
        units: usize,
        Scratch { candidates, .. }: &mut Scratch,
        (mut outputs, mut goodness): (Option<&mut [f32]>, Option<&mut [f32]>),
    ) -> u64 {
        let simd = simd.one();
        let mut active = 0;
        for (p, panel) in self.inputs.iter().enumerate() {
            let bounds = &mut self.bounds[p * layer.width()..][..layer.width()];
            compute(simd, panel, bounds, rows, p, layer, candidates);
            for (r, variant) in panel_rows(rows, p).flat_map(|r| (0..rows.variants()).map(move |v| (r, v))) {
                let squares = activate(simd, rows, r, variant, layer, candidates);
                let row = rows.output(r, variant);
                if let Some(goodness) = &mut goodness {
                    goodness[row] = squares / units as f32;
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
        active
    }
}

/// Finds the candidates of panel `p`, and computes their `z` and bounds.
#[inline(always)]
fn compute<S: Simd>(
    simd: S,
    panel: LinePanel<'_>,
    bounds: &mut [u16],
    rows: &Rows,
    p: usize,
    layer: &SparseLayer,
    candidates: &mut Candidates,
) {
    find(simd, bounds, rows, p, layer, candidates);
    // The sums, the inputs and one vector of weights fit 32 registers, or 16; the portable vectors spill.
    if S::REGISTERS >= 32 {
        multiply::<S, 4>(simd, panel, layer, candidates);
    } else {
        multiply::<S, 2>(simd, panel, layer, candidates);
    }
    candidates.scale(simd, rows, p);
    candidates.bound(layer, bounds);
    candidates.begin(layer);
}

/// `h = max(z + value * label + bias, 0)` of the candidates; returns the sum of the squares.
#[inline(always)]
fn activate<S: Simd>(
    simd: S,
    rows: &Rows,
    r: usize,
    variant: usize,
    layer: &SparseLayer,
    candidates: &mut Candidates,
) -> f32 {
    let label = rows.label(r, variant);
    if let Some((pixel, _)) = label {
        candidates.set_label(variant, pixel, layer);
    }
    let Candidates { count, ref z, ref bias, ref mut variants, .. } = *candidates;
    let Variant { h, weights, .. } = &mut variants[variant];
    let zero = simd.splat(0.0);
    let mut squares = zero;
    for at in (0..count).step_by(S::NR) {
        let mut z = simd.add(simd.load(&z[r % MR][at..]), simd.load(&bias[at..]));
        if let Some((_, value)) = label {
            z = simd.mul_add(simd.splat(value), simd.load(&weights[at..]), z);
        }
        let activation = simd.max(z, zero);
        squares = simd.mul_add(activation, activation, squares);
        simd.store(&mut h[at..], activation);
    }
    simd.sum(squares)
}

/// Loss of base row `r`, all its variants; the gradient of `z` is left in the first variant's `h`, and added to those of
/// the bias and of the label pixels.
#[inline(always)]
fn differentiate<S: Simd>(
    simd: S,
    rows: &Rows,
    r: usize,
    layer: &SparseLayer,
    objective: &BatchObjective,
    candidates: &mut Candidates,
    sums: &mut SparseSums,
) -> f64 {
    let mut loss = 0.0;
    for variant in 0..rows.variants() {
        let label = rows.label(r, variant);
        candidates.flush_label(variant, label.map(|(pixel, _)| pixel), sums);
        let squares = activate(simd, rows, r, variant, layer, candidates);
        let row = objective.row(rows.batch_row(r, variant), squares);
        loss += row.loss;
        let Candidates { count, ref mut bias_gradient, ref mut variants, .. } = *candidates;
        let (earlier, variants) = variants.split_at_mut(variant);
        let Variant { h, gradient, .. } = &mut variants[0];
        for at in (0..count).step_by(S::NR) {
            let dz = simd.mul(simd.splat(row.coefficient), simd.load(&h[at..]));
            if let Some((_, value)) = label {
                let sum = simd.mul_add(simd.splat(value), dz, simd.load(&gradient[at..]));
                simd.store(&mut gradient[at..], sum);
            }
            let sum = simd.add(simd.load(&bias_gradient[at..]), dz);
            simd.store(&mut bias_gradient[at..], sum);
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
mod tests {
    use super::*;

    #[test]
    fn half_a_bound_is_never_below_it_and_hardly_above() {
        let edges =
            [0.0, -0.0, f32::MIN_POSITIVE / 8.0, 1.0, -1.0, f32::MAX, f32::MIN, f32::INFINITY, f32::NEG_INFINITY];
        let others =
            (0..100_000_u32).map(|i| f32::from_bits(i.wrapping_mul(0x9e37_79b9))).filter(|bound| !bound.is_nan());
        for bound in edges.into_iter().chain(others) {
            let half = f32::from_bits(u32::from(raised(bound)) << 16);
            assert!(half >= bound, "{bound} became {half}");
            if bound.is_normal() && half.is_finite() {
                assert!(half - bound <= bound.abs() / 128.0, "{bound} became {half}");
            }
        }
    }
}
