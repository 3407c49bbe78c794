//! What happens to a strip between its two products: bias, label, ReLU, goodness, loss and derivative.
//!
//! The first three functions are the arithmetic of one vector of units. [`Epilogue`] applies them to all units of the
//! rows of a dense strip, and the sparse form (sparse.rs) applies them to its candidates. The `u` activations of a row
//! stay in L1 from their first use to their last.

use std::ops::Range;

use super::packing::{ColumnOrder, ColumnPanels};
use super::rows::Rows;
use crate::batch;
use crate::parameters::Parameters;
use crate::recipe::{Goodness, LossOfRows};
use crate::simd::Simd;

/// `z + value * weights`: what the label pixel of a row adds.
#[inline(always)]
pub fn add_label<S: Simd>(simd: S, z: S::Vector, value: f32, weights: &[f32]) -> S::Vector {
    simd.mul_add(simd.splat(value), simd.load(weights), z)
}

/// `h = max(z, 0)`, and `squares` with the squares of `h` added.
#[inline(always)]
pub fn activation<S: Simd>(simd: S, z: S::Vector, squares: S::Vector) -> (S::Vector, S::Vector) {
    let h = simd.max(z, simd.splat(0.0));
    (h, simd.mul_add(h, h, squares))
}

/// [`activation`] with what it writes: the largest `z` so far, and `h`. Returns the sums of squares.
#[inline(always)]
fn activate_vector<S: Simd>(
    simd: S,
    z: S::Vector,
    squares: S::Vector,
    (largest, h): (&mut [f32], &mut [f32]),
) -> S::Vector {
    simd.store(largest, simd.max(z, simd.load(largest)));
    let (activations, squares) = activation(simd, z, squares);
    simd.store(h, activations);
    squares
}

/// `dz = coefficient * h`, which is 0 where ReLU is off. It is added to the gradient of the bias and, times the value
/// of the label pixel, to the gradient of that pixel's weights.
#[inline(always)]
pub fn differentiate<S: Simd>(
    simd: S,
    coefficient: f32,
    h: S::Vector,
    bias: &mut [f32],
    label: Option<(f32, &mut [f32])>,
) -> S::Vector {
    let dz = simd.mul(simd.splat(coefficient), h);
    let sum = simd.add(simd.load(bias), dz);
    simd.store(bias, sum);
    if let Some((value, weights)) = label {
        let sum = simd.mul_add(simd.splat(value), dz, simd.load(weights));
        simd.store(weights, sum);
    }
    dz
}

/// What the epilogue needs of a layer besides its product, in column panels.
#[derive(Clone, Copy)]
pub struct LayerView<'a> {
    /// Weights of the label pixels: classes x u.
    pub labels: &'a ColumnPanels,
    /// 1 x u.
    pub bias: &'a ColumnPanels,
    /// Which unit each packed column is.
    pub units: ColumnOrder<'a>,
    /// Column panels that are computed; the units of the rest are off in every row.
    pub panels: usize,
}

/// What the dense strips of a part add to the gradient, besides their product, and to the loss.
pub struct DenseSums {
    pub loss: f64,
    /// Gradient of the bias: 1 x u.
    pub bias: ColumnPanels,
    /// Gradient of the label pixels' weights: classes x u.
    pub labels: ColumnPanels,
}

impl DenseSums {
    /// Sums for `classes` label pixels and `u` units, in column panels of `nr`.
    pub fn zeros(classes: usize, u: usize, nr: usize) -> Self {
        Self { loss: 0.0, bias: ColumnPanels::zeros(1, u, nr), labels: ColumnPanels::zeros(classes, u, nr) }
    }

    /// Makes them sums for `classes` label pixels. The label gradients become zero, unless they have this shape
    /// already.
    pub fn reshape(&mut self, classes: usize) {
        self.labels.reshape(classes);
    }

    /// Becomes the sum of `terms`, added up in their order.
    pub fn sum_of<'a>(&mut self, terms: impl Iterator<Item = &'a Self> + Clone + Send + Sync) {
        self.bias.sum_of(terms.clone().map(|term| &term.bias));
        self.labels.sum_of(terms.clone().map(|term| &term.labels));
        self.loss = terms.map(|term| term.loss).sum();
    }

    /// Writes the gradients of bias and label pixels to their places in `gradient`.
    pub fn write(&self, units: ColumnOrder<'_>, gradient: &mut Parameters) {
        if !gradient.bias.is_empty() {
            self.bias.unpack_row(0, units, &mut gradient.bias);
        }
        for (label, row) in gradient.kernel.chunks_exact_mut(gradient.u).take(self.labels.rows()).enumerate() {
            self.labels.unpack_row(label, units, row);
        }
    }

    /// Sets the sums to zero.
    pub fn clear(&mut self) {
        self.loss = 0.0;
        self.bias.fill(0.0);
        self.labels.fill(0.0);
    }
}

/// Rows of a dense strip between their products.
pub struct Epilogue<'a> {
    pub rows: &'a Rows,
    /// The base rows whose Z is at hand: all of the strip, or one block after another.
    pub block: Range<usize>,
    pub layer: LayerView<'a>,
    /// Z of the block, then D: block rows x u.
    pub z: &'a mut ColumnPanels,
    /// The activations of one row's variants: v x u.
    pub h: &'a mut ColumnPanels,
    /// Each unit's largest `z` so far: 1 x u.
    pub largest: &'a mut ColumnPanels,
}

/// One row in so many is looked at to tell how many units of a strip are on: neighbours are alike, and an eighth of the
/// epilogue takes 1% of the time of a dense strip.
const SAMPLED: usize = 8;

impl Epilogue<'_> {
    /// `h[variant] = max(z, 0)` with `z = scale z[r] + value w[label] + b`; returns the sum of the squares of `h` and
    /// notes each unit's largest `z`.
    #[inline(always)]
    fn activate<S: Simd>(&mut self, simd: S, r: usize, variant: usize) -> f32 {
        let scale = simd.splat(self.rows.scale(r));
        let z = self.z.pieces(r - self.block.start).zip(self.layer.bias.pieces(0));
        let written = self.largest.pieces_mut(0).zip(self.h.pieces_mut(variant));
        let units = z.zip(written).take(self.layer.panels);
        let mut squares = simd.splat(0.0);
        match self.rows.label(r, variant) {
            Some((label, value)) => {
                for (((z, bias), written), weights) in units.zip(self.layer.labels.pieces(label)) {
                    let z = simd.mul_add(scale, simd.load(z), simd.load(bias));
                    squares = activate_vector(simd, add_label(simd, z, value, weights), squares, written);
                }
            }
            None => {
                for ((z, bias), written) in units {
                    let z = simd.mul_add(scale, simd.load(z), simd.load(bias));
                    squares = activate_vector(simd, z, squares, written);
                }
            }
        }
        simd.sum(squares)
    }

    /// The share of the `units` units that are on in some variant of a row, the mean over one row in [`SAMPLED`].
    #[inline(always)]
    pub fn share_on<S: Simd>(&mut self, simd: S, units: usize) -> f64 {
        let (mut on, mut seen) = (0, 0);
        for r in self.block.clone().step_by(SAMPLED) {
            // Loops, not closures: a closure that is not inlined is compiled without the instruction set.
            for variant in 0..self.rows.variants() {
                self.activate(simd, r, variant);
            }
            for j in 0..self.layer.panels {
                let mut any = 0;
                for variant in 0..self.rows.variants() {
                    any |= simd.positive(simd.load(self.h.row(j, variant)));
                }
                on += any.count_ones() as usize;
            }
            seen += units;
        }
        on as f64 / seen as f64
    }

    /// Turns Z into D, the right operand of the gradient product, adds the strip's loss, bias and label gradients to
    /// `sums`, and notes each unit's largest `z` in the strip. Where asked for, writes the activations (output rows x
    /// u).
    ///
    /// `D[r]` is `scale[r]` times the sum of `dz` over the variants, because the input rows of the variants differ in
    /// their label pixels only. The gradient of the label pixels, `value * dz`, is added here.
    #[inline(always)]
    pub fn gradient<S: Simd>(
        &mut self,
        simd: S,
        loss: &LossOfRows,
        sums: &mut DenseSums,
        mut outputs: Option<&mut [f32]>,
    ) {
        if self.block.start == 0 {
            self.largest.fill(f32::NEG_INFINITY);
        }
        for r in self.block.clone() {
            for variant in 0..self.rows.variants() {
                let squares = self.activate(simd, r, variant);
                if let Some(outputs) = &mut outputs {
                    self.write_row(r, variant, outputs);
                }
                let row = loss.row(squares, batch::polarity(self.rows.batch_row(r, variant)));
                sums.loss += row.loss;
                self.differentiate(simd, (r, variant), row.coefficient, sums);
            }
            let scale = simd.splat(self.rows.scale(r));
            let d = self.z.pieces_mut(r - self.block.start).zip(self.h.pieces(0)).take(self.layer.panels);
            for (j, (d, first)) in d.enumerate() {
                let mut sum = simd.load(first);
                for variant in 1..self.rows.variants() {
                    sum = simd.add(sum, simd.load(self.h.row(j, variant)));
                }
                simd.store(d, simd.mul(scale, sum));
            }
        }
    }

    /// `h[variant]` becomes `dz`, which is added to the gradients of bias and label pixel.
    #[inline(always)]
    fn differentiate<S: Simd>(
        &mut self,
        simd: S,
        (r, variant): (usize, usize),
        coefficient: f32,
        sums: &mut DenseSums,
    ) {
        let units = self.h.pieces_mut(variant).zip(sums.bias.pieces_mut(0)).take(self.layer.panels);
        match self.rows.label(r, variant) {
            Some((label, value)) => {
                for ((h, bias), weights) in units.zip(sums.labels.pieces_mut(label)) {
                    let dz = differentiate(simd, coefficient, simd.load(h), bias, Some((value, weights)));
                    simd.store(h, dz);
                }
            }
            None => {
                for (h, bias) in units {
                    let dz = differentiate(simd, coefficient, simd.load(h), bias, None);
                    simd.store(h, dz);
                }
            }
        }
    }

    /// Writes the strip's activations (output rows x u, row-major) and goodness where they are asked for; returns how
    /// many activations are above zero.
    #[inline(always)]
    pub fn outputs<S: Simd>(
        &mut self,
        simd: S,
        goodness: Goodness,
        mut outputs: Option<&mut [f32]>,
        mut goodness_of_rows: Option<&mut [f32]>,
    ) -> u64 {
        let mut active = 0;
        let variants = self.rows.variants();
        for (r, variant) in self.block.clone().flat_map(|r| (0..variants).map(move |v| (r, v))) {
            let squares = self.activate(simd, r, variant);
            if let Some(goodness_of_rows) = &mut goodness_of_rows {
                goodness_of_rows[self.rows.output(r, variant)] = goodness.of(squares, self.layer.units.count());
            }
            if let Some(outputs) = &mut outputs {
                self.write_row(r, variant, outputs);
            }
            for h in self.h.pieces(variant).take(self.layer.panels) {
                active += u64::from(simd.positive(simd.load(h)).count_ones());
            }
        }
        active
    }

    /// Writes the activations of one row to its place in `outputs`.
    #[inline(always)]
    fn write_row(&self, r: usize, variant: usize, outputs: &mut [f32]) {
        let u = self.layer.units.count();
        let row = &mut outputs[self.rows.output(r, variant) * u..][..u];
        self.h.unpack_row(variant, self.layer.units, row);
    }
}

#[cfg(test)]
mod tests;
