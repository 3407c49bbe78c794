//! What happens to a strip between its two products: bias, label, ReLU, goodness, loss and derivative.
//!
//! The first three functions are the arithmetic of one vector of units. [`Epilogue`] applies them to all units of the
//! rows of a dense strip, and the sparse form (sparse.rs) applies them to its candidates. The `u` activations of a row
//! stay in L1 from their first use to their last.
//!
//! Each method of [`Epilogue`] that others call is a kernel of its own, compiled once for each instruction set and width
//! of vectors. Inlined into the kernels that call them, of all number formats, they would be two thirds of the machine
//! code of all kernels (docs/experiments.md).

use std::ops::Range;

use super::packing::{ColumnOrder, ColumnPanels};
use super::rows::Rows;
use crate::batch::{self, TRAINING_VARIANTS};
use crate::dropout::Dropout;
use crate::parameters::Parameters;
use crate::recipe::{Goodness, LossOfRows, RowLoss};
use crate::simd::{Kernel, MAX_LANES, Simd};

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

/// `dz = coefficient * h`, which is 0 where ReLU is off, and `bias`, the gradient of the bias, with `dz` added.
#[inline(always)]
pub fn differentiate<S: Simd>(simd: S, coefficient: f32, h: S::Vector, bias: S::Vector) -> (S::Vector, S::Vector) {
    let dz = simd.mul(simd.splat(coefficient), h);
    (dz, simd.add(bias, dz))
}

/// Adds `value * dz` to the gradient of the label pixel's weights.
#[inline(always)]
pub fn add_label_gradient<S: Simd>(simd: S, value: f32, dz: S::Vector, weights: &mut [f32]) {
    let sum = simd.mul_add(simd.splat(value), dz, simd.load(weights));
    simd.store(weights, sum);
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

    /// Becomes the sum of the gradients of those of the parts `node` that have some; the loss stays as it is.
    pub fn sum_of<'a>(&mut self, node: Range<usize>, term: impl Fn(usize) -> Option<&'a Self> + Sync) {
        self.bias.sum_of(node.clone(), |part| term(part).map(|sums| &sums.bias));
        self.labels.sum_of(node, |part| term(part).map(|sums| &sums.labels));
    }

    /// Adds the loss and the gradients of others.
    pub fn add(&mut self, other: &Self) {
        self.loss += other.loss;
        self.bias.add(&other.bias);
        self.labels.add(&other.labels);
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
    /// Activations, of [`rows_of_h`] rows.
    pub h: &'a mut ColumnPanels,
    /// Each unit's largest `z` so far: 1 x u.
    pub largest: &'a mut ColumnPanels,
}

/// Output rows that go through the gradient's epilogue side by side. The bias of a unit, its gradient and its largest
/// `z` are then loaded and stored once for four rows, and four sums of squares of NR floats take half of the registers.
const SIDE_BY_SIDE: usize = 4;

/// Base rows of a strip with `variants` variants that go through the gradient's epilogue side by side.
pub fn side_by_side(variants: usize) -> usize {
    SIDE_BY_SIDE / variants
}

/// Rows of the epilogue's activations, for strips with `variants` variants.
pub fn rows_of_h(variants: usize) -> usize {
    variants.max(SIDE_BY_SIDE)
}

/// One row in so many is looked at to tell how many units of a strip are on: neighbours are alike, and an eighth of the
/// epilogue takes 1% of the time of a dense strip.
const SAMPLED: usize = 8;

impl Epilogue<'_> {
    /// Activates `V` variants, from `variant` on, of each of `ROWS` base rows from `r` on: `h = max(z, 0)` with
    /// `z = scale z[r] + value w[label] + b`, in rows `at` and on of `h`, base row by base row. Returns the sums of the
    /// squares of `h`, and notes each unit's largest `z`.
    #[inline(always)]
    fn activate<S: Simd, const ROWS: usize, const V: usize>(
        &mut self,
        simd: S,
        (r, variant): (usize, usize),
        at: usize,
    ) -> [[f32; V]; ROWS] {
        match self.rows.label(r, variant) {
            Some(_) => self.activate_rows::<S, ROWS, V, true>(simd, (r, variant), at),
            None => self.activate_rows::<S, ROWS, V, false>(simd, (r, variant), at),
        }
    }

    /// [`Epilogue::activate`] with or without labels.
    #[inline(always)]
    fn activate_rows<S: Simd, const ROWS: usize, const V: usize, const LABELLED: bool>(
        &mut self,
        simd: S,
        (r, variant): (usize, usize),
        at: usize,
    ) -> [[f32; V]; ROWS] {
        let Self { rows, ref block, layer, ref z, ref mut h, ref mut largest } = *self;
        let labels = labels::<ROWS, V>(rows, r, variant);
        let mut squares = [[simd.splat(0.0); V]; ROWS];
        let z = z.pieces(r - block.start).zip(layer.bias.pieces(0));
        let units = z.zip(h.pieces_mut(at).zip(largest.pieces_mut(0))).take(layer.panels);
        for (j, ((z, bias), (h, largest))) in units.enumerate() {
            let bias = simd.load(bias);
            let mut most = simd.load(largest);
            let (z, h) = (&z[..ROWS * S::LANES], &mut h[..ROWS * V * S::LANES]);
            for i in 0..ROWS {
                let product = simd.mul_add(simd.splat(rows.scale(r + i)), simd.load(&z[i * S::LANES..]), bias);
                for v in 0..V {
                    let mut z = product;
                    if LABELLED {
                        let (label, value) = labels[i][v];
                        z = add_label(simd, z, value, layer.labels.row(j, label));
                    }
                    most = simd.max(z, most);
                    let activations;
                    (activations, squares[i][v]) = activation(simd, z, squares[i][v]);
                    simd.store(&mut h[(i * V + v) * S::LANES..], activations);
                }
            }
            simd.store(largest, most);
        }
        let mut sums = [[0.0; V]; ROWS];
        for i in 0..ROWS {
            for v in 0..V {
                sums[i][v] = simd.sum(squares[i][v]);
            }
        }
        sums
    }

    /// The share of the layer's units that are on in some variant of a row, the mean over one row in [`SAMPLED`].
    pub fn share_on<S: Simd>(self, simd: S) -> f64 {
        simd.run(ShareOn { epilogue: self })
    }

    /// Turns Z of `rows`, some of the block, into D, the right operand of the gradient product, adds their loss, bias
    /// and label gradients to `sums`, and notes each unit's largest `z` in the strip, whose first row comes first.
    /// Where asked for, writes the activations (output rows x u).
    ///
    /// `D[r]` is `scale[r]` times the sum of `dz` over the variants, because the input rows of the variants differ in
    /// their label pixels only. The gradient of the label pixels, `value * dz`, is added here.
    pub fn gradient<S: Simd>(
        self,
        simd: S,
        rows: Range<usize>,
        loss: &LossOfRows,
        sums: &mut DenseSums,
        outputs: Option<&mut [f32]>,
    ) {
        simd.run(Gradient { epilogue: self, rows, loss, sums, outputs });
    }

    /// [`Epilogue::gradient`] of `V` variants, `ROWS` base rows at a time.
    #[inline(always)]
    fn gradient_of_rows<S: Simd, const ROWS: usize, const V: usize>(
        &mut self,
        simd: S,
        Range { mut start, end }: Range<usize>,
        loss: &LossOfRows,
        sums: &mut DenseSums,
        mut outputs: Option<&mut [f32]>,
    ) {
        while start + ROWS <= end {
            self.gradient_side_by_side::<S, ROWS, V>(simd, start, loss, sums, outputs.as_deref_mut());
            start += ROWS;
        }
        // The rows of a pair stand side by side to the last.
        if loss.is_of_pairs() && V == 1 {
            while start + TRAINING_VARIANTS <= end {
                let outputs = outputs.as_deref_mut();
                self.gradient_side_by_side::<S, TRAINING_VARIANTS, V>(simd, start, loss, sums, outputs);
                start += TRAINING_VARIANTS;
            }
        }
        for r in start..end {
            self.gradient_side_by_side::<S, 1, V>(simd, r, loss, sums, outputs.as_deref_mut());
        }
    }

    /// [`Epilogue::gradient`] of `V` variants of `ROWS` base rows from `r` on.
    #[inline(always)]
    fn gradient_side_by_side<S: Simd, const ROWS: usize, const V: usize>(
        &mut self,
        simd: S,
        r: usize,
        loss: &LossOfRows,
        sums: &mut DenseSums,
        mut outputs: Option<&mut [f32]>,
    ) {
        let mut squares = self.activate::<S, ROWS, V>(simd, (r, 0), 0);
        if let Some(dropout) = loss.dropout() {
            squares = self.leave_out::<S, ROWS, V>(simd, r, dropout);
        }
        let mut losses = [[RowLoss::default(); V]; ROWS];
        if loss.is_of_pairs() {
            let (pairs, []) = losses.as_flattened_mut().as_chunks_mut() else { unreachable!("rows are whole pairs") };
            for (losses, squares) in pairs.iter_mut().zip(squares.as_flattened().as_chunks().0) {
                *losses = loss.pair(*squares);
            }
        }
        let mut coefficients = [[0.0; V]; ROWS];
        for i in 0..ROWS {
            for v in 0..V {
                if let Some(outputs) = &mut outputs {
                    self.write_row((r + i, v), i * V + v, outputs);
                }
                if !loss.is_of_pairs() {
                    losses[i][v] = loss.row(squares[i][v], batch::polarity(self.rows.batch_row(r + i, v)));
                }
                sums.loss += losses[i][v].loss;
                coefficients[i][v] = losses[i][v].coefficient;
            }
        }
        match self.rows.label(r, 0) {
            Some(_) => self.differentiate_rows::<S, ROWS, V, true>(simd, r, coefficients, sums),
            None => self.differentiate_rows::<S, ROWS, V, false>(simd, r, coefficients, sums),
        }
    }

    /// Leaves activations out of the first rows of `h`, which are `V` variants of `ROWS` base rows from `r` on. Returns
    /// the sums of the squares of what is left. A unit's largest `z` stays: it is an upper bound.
    #[inline(always)]
    fn leave_out<S: Simd, const ROWS: usize, const V: usize>(
        &mut self,
        simd: S,
        r: usize,
        dropout: &Dropout,
    ) -> [[f32; V]; ROWS] {
        debug_assert!(matches!(self.layer.units, ColumnOrder::Natural(_)), "columns are units");
        let mut sums = [[0.0; V]; ROWS];
        for (i, sums) in sums.iter_mut().enumerate() {
            for (v, sum) in sums.iter_mut().enumerate() {
                let mask = dropout.of_sample(self.rows.batch_row(r + i, v) / TRAINING_VARIANTS);
                let mut squares = simd.splat(0.0);
                for j in 0..self.layer.panels {
                    let mut factors = [0.0; MAX_LANES];
                    for (lane, factor) in factors[..S::LANES].iter_mut().enumerate() {
                        *factor = mask.of(j * S::LANES + lane);
                    }
                    let h = self.h.row_mut(j, i * V + v);
                    let left = simd.mul(simd.load(&factors), simd.load(h));
                    simd.store(h, left);
                    squares = simd.mul_add(left, left, squares);
                }
                *sum = simd.sum(squares);
            }
        }
        sums
    }

    /// D of `V` variants of `ROWS` base rows from `r` on, whose activations are the first rows of `h`; `dz` is added to
    /// the gradients of bias and label pixels.
    #[inline(always)]
    fn differentiate_rows<S: Simd, const ROWS: usize, const V: usize, const LABELLED: bool>(
        &mut self,
        simd: S,
        r: usize,
        coefficients: [[f32; V]; ROWS],
        sums: &mut DenseSums,
    ) {
        let Self { rows, ref block, layer, ref mut z, ref h, .. } = *self;
        let labels = labels::<ROWS, V>(rows, r, 0);
        let d = z.pieces_mut(r - block.start).zip(h.pieces(0));
        let units = d.zip(sums.bias.pieces_mut(0)).take(layer.panels);
        for (j, ((d, h), bias)) in units.enumerate() {
            let (d, h) = (&mut d[..ROWS * S::LANES], &h[..ROWS * V * S::LANES]);
            let mut bias_gradient = simd.load(bias);
            for i in 0..ROWS {
                let mut sum = simd.splat(0.0);
                for v in 0..V {
                    let dz;
                    let h = simd.load(&h[(i * V + v) * S::LANES..]);
                    (dz, bias_gradient) = differentiate(simd, coefficients[i][v], h, bias_gradient);
                    if LABELLED {
                        let (label, value) = labels[i][v];
                        add_label_gradient(simd, value, dz, sums.labels.row_mut(j, label));
                    }
                    sum = if v == 0 { dz } else { simd.add(sum, dz) };
                }
                simd.store(&mut d[i * S::LANES..], simd.mul(simd.splat(rows.scale(r + i)), sum));
            }
            simd.store(bias, bias_gradient);
        }
    }

    /// Writes the strip's activations (output rows x u, row-major) and goodness where they are asked for; returns how
    /// many activations are above zero.
    pub fn outputs<S: Simd>(
        self,
        simd: S,
        goodness: Goodness,
        outputs: Option<&mut [f32]>,
        goodness_of_rows: Option<&mut [f32]>,
    ) -> u64 {
        simd.run(Outputs { epilogue: self, goodness, outputs, goodness_of_rows })
    }

    /// Writes the activations of one row, which are row `at` of `h`, to its place in `outputs`.
    #[inline(always)]
    fn write_row(&self, (r, variant): (usize, usize), at: usize, outputs: &mut [f32]) {
        let u = self.layer.units.count();
        let row = &mut outputs[self.rows.output(r, variant) * u..][..u];
        self.h.unpack_row(at, self.layer.units, row);
    }
}

/// [`Epilogue::share_on`].
struct ShareOn<'a> {
    epilogue: Epilogue<'a>,
}

impl Kernel for ShareOn<'_> {
    type Output = f64;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> f64 {
        let mut epilogue = self.epilogue;
        let (variants, units, panels) = (epilogue.rows.variants(), epilogue.layer.units.count(), epilogue.layer.panels);
        let (mut on, mut seen) = (0, 0);
        for r in epilogue.block.clone().step_by(SAMPLED) {
            // Loops, not closures: a closure that is not inlined is compiled without the instruction set.
            for variant in 0..variants {
                epilogue.activate::<S, 1, 1>(simd, (r, variant), variant);
            }
            for j in 0..panels {
                let mut any = 0;
                for variant in 0..variants {
                    any |= simd.positive(simd.load(epilogue.h.row(j, variant)));
                }
                on += any.count_ones() as usize;
            }
            seen += units;
        }
        on as f64 / seen as f64
    }
}

/// [`Epilogue::gradient`].
struct Gradient<'a, 'e> {
    epilogue: Epilogue<'a>,
    rows: Range<usize>,
    loss: &'e LossOfRows,
    sums: &'e mut DenseSums,
    outputs: Option<&'e mut [f32]>,
}

impl Kernel for Gradient<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { mut epilogue, rows, loss, sums, outputs } = self;
        if rows.start == 0 {
            epilogue.largest.fill(f32::NEG_INFINITY);
        }
        match epilogue.rows.variants() {
            1 => epilogue.gradient_of_rows::<S, SIDE_BY_SIDE, 1>(simd, rows, loss, sums, outputs),
            TRAINING_VARIANTS => {
                const ROWS: usize = SIDE_BY_SIDE / TRAINING_VARIANTS;
                epilogue.gradient_of_rows::<S, ROWS, TRAINING_VARIANTS>(simd, rows, loss, sums, outputs);
            }
            _ => unreachable!("training has a positive and a negative variant"),
        }
    }
}

/// [`Epilogue::outputs`].
struct Outputs<'a, 'e> {
    epilogue: Epilogue<'a>,
    goodness: Goodness,
    outputs: Option<&'e mut [f32]>,
    goodness_of_rows: Option<&'e mut [f32]>,
}

impl Kernel for Outputs<'_, '_> {
    type Output = u64;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> u64 {
        let Self { mut epilogue, goodness, mut outputs, mut goodness_of_rows } = self;
        let (variants, units, panels) = (epilogue.rows.variants(), epilogue.layer.units.count(), epilogue.layer.panels);
        let mut active = 0;
        for (r, variant) in epilogue.block.clone().flat_map(|r| (0..variants).map(move |v| (r, v))) {
            let [[squares]] = epilogue.activate::<S, 1, 1>(simd, (r, variant), 0);
            if let Some(goodness_of_rows) = &mut goodness_of_rows {
                goodness_of_rows[epilogue.rows.output(r, variant)] = goodness.of(squares, units);
            }
            if let Some(outputs) = &mut outputs {
                epilogue.write_row((r, variant), 0, outputs);
            }
            for h in epilogue.h.pieces(0).take(panels) {
                active += u64::from(simd.positive(simd.load(h)).count_ones());
            }
        }
        active
    }
}

/// The label pixels of `V` variants, from `variant` on, of each of `ROWS` base rows from `r` on, and their values;
/// zeros in rows that carry none.
#[inline(always)]
fn labels<const ROWS: usize, const V: usize>(rows: &Rows, r: usize, variant: usize) -> [[(usize, f32); V]; ROWS] {
    std::array::from_fn(|i| std::array::from_fn(|v| rows.label(r + i, variant + v).unwrap_or_default()))
}

#[cfg(test)]
mod tests;
