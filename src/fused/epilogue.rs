//! What happens to a strip between its two products: bias, label, ReLU, goodness, loss, coefficient.
//!
//! Works row by row, so that a row's `u` activations stay in L1 from the first use to the last.

use super::part::{Partial, Workspace};
use super::strip::{BatchObjective, Rows};
use crate::simd::Simd;
use crate::slices::Slices;

/// `h[variant] = max(z, 0)` with `z = scale z[r] + value w[label] + b`, for the first `slices` slices; returns the sum of
/// the squares of `h` and notes each unit's largest `z`.
#[inline(always)]
fn activate<S: Simd>(
    simd: S,
    rows: &Rows,
    (r, variant): (usize, usize),
    (weights, bias): (&Slices, &Slices),
    slices: usize,
    Workspace { z, h, largest, .. }: &mut Workspace,
) -> f32 {
    let scale = simd.splat(rows.scale(r));
    let label = rows.label(r, variant);
    let zero = simd.splat(0.0);
    let mut squares = zero;
    for j in 0..slices {
        let mut row = simd.mul_add(scale, simd.load(z.row(j, r)), simd.load(bias.row(j, 0)));
        if let Some((label, value)) = label {
            row = simd.mul_add(simd.splat(value), simd.load(weights.row(j, label)), row);
        }
        let so_far = largest.row_mut(j, 0);
        simd.store(so_far, simd.max(row, simd.load(so_far)));
        let row = simd.max(row, zero);
        squares = simd.mul_add(row, row, squares);
        simd.store(h.row_mut(j, variant), row);
    }
    simd.sum(squares)
}

/// Rows of which one is looked at to tell how many activations of a strip are on: neighbours are alike, and an eighth of the
/// epilogue is 1% of a dense strip's time.
const SAMPLED: usize = 8;

/// The share of units that are on in some variant of a row, judged by one row in [`SAMPLED`].
#[inline(always)]
pub(super) fn share_on<S: Simd>(
    simd: S,
    rows: &Rows,
    layer: (&Slices, &Slices),
    (slices, units): (usize, usize),
    workspace: &mut Workspace,
) -> f64 {
    let (mut on, mut seen) = (0, 0);
    for r in (0..rows.count()).step_by(SAMPLED) {
        (0..rows.variants()).for_each(|variant| _ = activate(simd, rows, (r, variant), layer, slices, workspace));
        for j in 0..slices {
            let bits = (0..rows.variants()).map(|variant| simd.positive(simd.load(workspace.h.row(j, variant))));
            on += bits.fold(0, |any, bits| any | bits).count_ones() as usize;
        }
        seen += units;
    }
    on as f64 / seen as f64
}

/// Turns Z into D, the right operand of the gradient product, adds the strip's loss, bias and label gradients, and notes
/// each unit's largest `z` in the strip.
///
/// `D[r] = scale[r] * sum over variants: coef * h`, because the variants' input rows differ in the label pixels only;
/// those get `value * coef * h` here.
#[inline(always)]
pub(super) fn gradient<S: Simd>(
    simd: S,
    rows: &Rows,
    layer: (&Slices, &Slices),
    slices: usize,
    objective: &BatchObjective,
    workspace: &mut Workspace,
    partial: &mut Partial,
) {
    workspace.largest.fill(f32::NEG_INFINITY);
    for r in 0..rows.count() {
        let scale = simd.splat(rows.scale(r));
        for variant in 0..rows.variants() {
            let squares = activate(simd, rows, (r, variant), layer, slices, workspace);
            let row = objective.row(rows.batch_row(r, variant), squares);
            partial.loss += row.loss;
            let coefficient = simd.splat(row.coefficient);
            let label = rows.label(r, variant);
            let h = &mut workspace.h;
            for j in 0..slices {
                let dz = simd.mul(coefficient, simd.load(h.row(j, variant)));
                let db = partial.bias.row_mut(j, 0);
                simd.store(db, simd.add(simd.load(db), dz));
                if let Some((label, value)) = label {
                    // Pixels keep their order, so the label's packed row is its own.
                    let dw = partial.kernel.row_mut(j, label);
                    simd.store(dw, simd.mul_add(simd.splat(value), dz, simd.load(dw)));
                }
                simd.store(h.row_mut(j, variant), dz);
            }
        }
        let Workspace { z, h, .. } = &mut *workspace;
        for j in 0..slices {
            let mut sum = simd.load(h.row(j, 0));
            for variant in 1..rows.variants() {
                sum = simd.add(sum, simd.load(h.row(j, variant)));
            }
            simd.store(z.row_mut(j, r), simd.mul(scale, sum));
        }
    }
}

/// Writes the strip's activations (output rows x u, row-major, unit `units[i]` from packed column `i`) and goodness
/// where they are asked for; returns how many activations are above zero.
#[inline(always)]
pub(super) fn outputs<S: Simd>(
    simd: S,
    rows: &Rows,
    layer: (&Slices, &Slices),
    units: &[u32],
    workspace: &mut Workspace,
    mut outputs: Option<&mut [f32]>,
    mut goodness: Option<&mut [f32]>,
) -> u64 {
    let mut active = 0;
    for r in 0..rows.count() {
        for variant in 0..rows.variants() {
            let squares = activate(simd, rows, (r, variant), layer, workspace.h.count(), workspace);
            let row = rows.output(r, variant);
            if let Some(goodness) = &mut goodness {
                goodness[row] = squares / units.len() as f32;
            }
            if let Some(outputs) = &mut outputs {
                workspace.h.unpack_row(variant, units, &mut outputs[row * units.len()..][..units.len()]);
            }
            for j in 0..workspace.h.count() {
                let count: u32 = workspace.h.row(j, variant).iter().map(|&h| u32::from(h > 0.0)).sum();
                active += u64::from(count);
            }
        }
    }
    active
}
