//! Training on a mini-batch: one gradient of a batch that will not come again.
//!
//! ```text
//! for each strip of the batch (in parallel)         Z = X W, epilogue; D of the whole batch stays in memory
//! for some column panels of dW (in parallel)        in a buffer of the thread, which stays in L2
//!     for each strip, in order                      dW += X^T D, which the first one begins
//!     the panels are written to their columns of the gradient
//! ```
//!
//! There are no partial sums of dW: each column panel is one thread's, and its order of summation that of the strips,
//! so the result depends on the batch's shape alone. Nothing is known from an earlier step and nothing noted for a
//! later one. Every buffer outlives the batch; one of the same shape allocates nothing.

use rayon::prelude::*;
use std::ops::Range;

use super::batch::PackedBatch;
use super::buffers::{Buffers, ThreadBuffers};
use super::dense::DenseProducts;
use super::epilogue::DenseSums;
use super::packing::{ColumnOrder, ColumnPanels};
use super::part::{PackedLayer, is_on};
use super::strip::{Form, Strip};
use super::z_to_d::ZBlocks;
use crate::gemm::MatrixMut;
use crate::parameters::Parameters;
use crate::recipe::LossOfRows;
use crate::simd::{Kernel, Simd};

/// Column panels of dW that one task computes at most: the transposed rows of a strip, half a megabyte, are then read
/// from L3 once for four of them, which take a megabyte of L2 in a layer of 1,000 inputs.
const MOST_PANELS: usize = 4;

/// Tasks for each thread, where there are as many column panels: a thread that ends early takes over another's.
const TASKS_PER_THREAD: usize = 2;

/// The buffers of a mini-batch on one layer.
pub struct OneStep<P: DenseProducts> {
    strips: Vec<StripResult<P>>,
    /// Column panels of dW that one task computes.
    group: usize,
    /// The sum of what the strips add besides.
    total: DenseSums,
}

/// What one strip leaves for the gradient.
struct StripResult<P: DenseProducts> {
    /// Room for Z and D.
    z: ZBlocks,
    /// D, where that is not the memory of Z.
    d: P::D,
    /// Each unit's largest `z`: 1 x u.
    largest: ColumnPanels,
    sums: DenseSums,
}

impl<P: DenseProducts> OneStep<P> {
    /// Without buffers, for a layer of `k` inputs and `u` units in column panels of `nr`.
    pub fn new((k, u, nr): (usize, usize, usize), buffers: &mut Buffers<P>) -> Self {
        let group = (u.div_ceil(nr) / (TASKS_PER_THREAD * rayon::current_num_threads())).clamp(1, MOST_PANELS);
        buffers.fit_gradient(k.next_multiple_of(P::TILE_ROWS), group);
        Self { strips: Vec::new(), group, total: DenseSums::zeros(0, u, nr) }
    }

    /// Makes room for `batch`, which has one strip for each part, on a layer of `u` units in column panels of `nr`.
    pub fn begin(&mut self, batch: &PackedBatch<P>, (u, nr): (usize, usize)) {
        let (rows, label_pixels) = (batch.tile_rows(), batch.label_pixels);
        self.strips.resize_with(batch.parts.len(), || StripResult {
            z: ZBlocks::new(u, nr),
            d: P::D::default(),
            largest: ColumnPanels::zeros(1, u, nr),
            sums: DenseSums::zeros(0, u, nr),
        });
        for StripResult { z, sums, .. } in &mut self.strips {
            z.fit::<P>(rows);
            sums.reshape(label_pixels);
        }
        self.total.reshape(label_pixels);
    }

    /// The loss of the batch, not yet divided by its rows, and its gradient. Where asked for, writes the rows of
    /// activations.
    pub fn gradient(
        &mut self,
        batch: &mut PackedBatch<P>,
        layer: PackedLayer<'_, P>,
        loss: LossOfRows,
        buffers: &Buffers<P>,
        (gradient, outputs): (&mut Parameters, Option<&mut [f32]>),
    ) -> f64 {
        let Self { strips: results, group, total } = self;
        let u = gradient.u;
        let outputs_of_strip = batch.strip_rows * batch.variants_of_base_row() * u;
        let strips = batch.parts.par_iter_mut().zip(&mut *results);
        let compute = |(parts, result): (&mut Vec<Strip<P>>, &mut StripResult<P>), outputs: Option<&mut [f32]>| {
            let [strip] = parts.as_mut_slice() else { unreachable!("a part of a mini-batch is one strip") };
            let buffers = &mut *buffers.of_this_thread();
            layer.products.run(StripGradient { strip, layer, loss, result, buffers, outputs });
        };
        match outputs {
            Some(outputs) => {
                let outputs = outputs.par_chunks_mut(outputs_of_strip);
                strips.zip(outputs).for_each(|(strip, outputs)| compute(strip, Some(outputs)));
            }
            None => strips.for_each(|strip| compute(strip, None)),
        }
        let (products, parts, results) = (layer.products, &batch.parts, &*results);
        let (panels, nr) = (layer.view.panels, layer.view.bias.nr());
        let kernel = MatrixMut::new(&mut gradient.kernel, gradient.k, u);
        in_groups(kernel, 0..panels, (*group, nr), &|panels, kernel| {
            let sums = &mut buffers.of_this_thread().gradient;
            products.run(PanelGradient { products, parts, results, panels, sums, kernel });
        });
        total.sum_of(results.iter().map(|result| &result.sums));
        total.write(ColumnOrder::Natural(u), gradient);
        total.loss
    }
}

/// One strip's D, and what it adds to the gradient besides its product.
struct StripGradient<'a, P: DenseProducts> {
    strip: &'a mut Strip<P>,
    layer: PackedLayer<'a, P>,
    loss: LossOfRows,
    result: &'a mut StripResult<P>,
    buffers: &'a mut ThreadBuffers<P>,
    /// Output rows x u.
    outputs: Option<&'a mut [f32]>,
}

impl<P: DenseProducts> Kernel for StripGradient<'_, P> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { strip, layer, loss, result, buffers, outputs } = self;
        let StripResult { z, d, largest, sums } = result;
        let Strip { rows, form: Form::Dense(inputs) } = strip else { unreachable!("strips of a mini-batch are dense") };
        sums.clear();
        let mut strip = layer.z_to_d((rows, inputs), z, (&mut buffers.h, largest));
        strip.forward(simd, strip.first_block());
        strip.gradient(simd, &loss, sums, outputs, d);
    }
}

/// Cuts the column panels `panels` of `kernel`, of `nr` columns each, into groups of at most `group` and has `work` do
/// each of them, on any thread.
fn in_groups(
    kernel: MatrixMut<'_>,
    panels: Range<usize>,
    (group, nr): (usize, usize),
    work: &(impl Fn(Range<usize>, MatrixMut<'_>) + Sync),
) {
    if panels.len() <= group {
        return work(panels, kernel);
    }
    let half = (panels.len() / 2).next_multiple_of(group);
    let middle = panels.start + half;
    let (left, right) = kernel.split_columns(half * nr);
    rayon::join(
        || in_groups(left, panels.start..middle, (group, nr), work),
        || in_groups(right, middle..panels.end, (group, nr), work),
    );
}

/// Some column panels of dW, from all strips.
struct PanelGradient<'a, P: DenseProducts> {
    products: P,
    parts: &'a [Vec<Strip<P>>],
    results: &'a [StripResult<P>],
    panels: Range<usize>,
    /// Room for them: k (rounded up to whole tiles) x NR each.
    sums: &'a mut ColumnPanels,
    /// Their columns of the gradient.
    kernel: MatrixMut<'a>,
}

impl<P: DenseProducts> Kernel for PanelGradient<'_, P> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { products, parts, results, panels, sums, mut kernel } = self;
        let mut panel = sums.panels_of(panels);
        for (number, (strip, StripResult { z, d, largest, .. })) in parts.iter().flatten().zip(results).enumerate() {
            let Some(inputs) = strip.dense() else { unreachable!("strips of a mini-batch are dense") };
            products.accumulate(simd, inputs, (&z.even, d), |j| is_on(largest, j), (&mut panel, number > 0));
        }
        for input in 0..kernel.rows() {
            sums.unpack_first(input, kernel.row(input));
        }
    }
}
