//! Training on a mini-batch: one gradient of a batch that will not come again.
//!
//! ```text
//! for each strip of the batch (in parallel)         Z = X W, epilogue; D of the whole batch stays in memory
//! for some column panels of dW (in parallel)        in buffers of the thread, which stay in L2
//!     for each part of the batch                    some strips
//!         for each strip, in order                  dW += X^T D, which the first one begins
//!     the parts' dW added up in their tree
//!     their columns of the weights                  peer term, decay, momentum, step, packing for the next batch
//! ```
//!
//! The cost of small batches is the traffic of weights. A weight and what the optimiser remembers of it are read and
//! written once for each batch, with dW in L2 beside them, and the packed weights are written once: no gradient of the
//! layer goes to memory, unless it is asked for by itself.
//!
//! Each column panel is one thread's, and the order of its summation follows from the batch's shape alone. Where other
//! ranks have the rest of the batch, the sums of this rank's parts go to memory and to them, and the step is taken with
//! what all add up to. Nothing is known from an earlier step and nothing noted for a later one. Every buffer outlives
//! the batch; one of the same shape allocates nothing.

use rayon::prelude::*;
use std::ops::Range;

use super::batch::PackedBatch;
use super::buffers::{Buffers, ThreadBuffers};
use super::dense::DenseProducts;
use super::epilogue::DenseSums;
use super::packing::{ColumnOrder, ColumnPanels, PanelsMut};
use super::part::{PackedLayer, is_on};
use super::strip::{Form, Strip};
use super::z_to_d::ZBlocks;
use crate::gemm::MatrixMut;
use crate::isa::Isa;
use crate::optimizer::{Step, WithStep, split_each};
use crate::parameters::Parameters;
use crate::peers::PeerTerm;
use crate::ranks::Sums;
use crate::recipe::LossOfRows;
use crate::simd::{Kernel, LINE, Simd};
use crate::update::{Begun, Terms};

/// Column panels of dW that one task computes at most: the transposed rows of a strip, half a megabyte, are then read
/// from L3 once for four of them, which take a megabyte of L2 in a layer of 1,000 inputs.
const MOST_PANELS: usize = 4;

/// Tasks for each thread, where there are as many column panels: a thread that ends early takes over another's.
const TASKS_PER_THREAD: usize = 2;

/// Rows of weights that are asked for before they are updated. Neighbours in a column lie some kilobytes apart, on
/// pages of their own, which no hardware prefetcher crosses; a pair of rows of four panels takes some 100 cycles, and
/// L3 several times that.
const AHEAD: usize = 8;

/// The buffers of a mini-batch on one layer.
pub struct OneStep<P: DenseProducts> {
    strips: Vec<StripResult<P>>,
    /// Column panels of dW that one task computes.
    group: usize,
    /// The sum of what the strips add besides.
    total: DenseSums,
    /// This rank's parts of the batch.
    parts: Range<usize>,
    /// Strips of a part.
    strips_of_part: usize,
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
    /// Without buffers, for a layer of `u` units in column panels of `nr`.
    pub fn new(u: usize, nr: usize) -> Self {
        let group = (u.div_ceil(nr) / (TASKS_PER_THREAD * rayon::current_num_threads())).clamp(1, MOST_PANELS);
        Self { strips: Vec::new(), group, total: DenseSums::zeros(0, u, nr), parts: 0..0, strips_of_part: 1 }
    }

    /// Makes room for `batch`, each strip of which stands by itself, on a layer of `k` inputs and `u` units in column
    /// panels of `nr`.
    pub fn begin(&mut self, batch: &PackedBatch<P>, (k, u, nr): (usize, usize, usize), buffers: &mut Buffers<P>) {
        let (rows, label_pixels) = (batch.tile_rows(), batch.label_pixels);
        (self.parts, self.strips_of_part) = (batch.sums.own(), batch.strips_of_part);
        buffers.fit_gradient(k.next_multiple_of(P::TILE_ROWS), self.group, depth(self.parts.len()));
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

    /// Computes D of all strips and what they add besides. Where asked for, writes the rows of activations.
    pub fn differentiate(
        &mut self,
        batch: &mut PackedBatch<P>,
        layer: PackedLayer<'_, P>,
        loss: LossOfRows,
        buffers: &Buffers<P>,
        outputs: Option<&mut [f32]>,
    ) {
        let Self { strips: results, strips_of_part, .. } = self;
        let outputs_of_strip = batch.strip_rows * batch.variants_of_base_row() * layer.view.units.count();
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
        for part in results.chunks_mut(*strips_of_part) {
            let (first, rest) = part.split_first_mut().expect("chunks have elements");
            rest.iter().for_each(|strip| first.sums.add(&strip.sums));
        }
    }

    /// The loss of each part, not yet divided by the rows.
    pub fn losses(&self) -> impl Iterator<Item = f64> {
        self.strips.chunks(self.strips_of_part).map(|part| part[0].sums.loss)
    }

    /// Adds up what the strips of the parts `node` add besides.
    fn add_besides(&mut self, node: Range<usize>) {
        let Self { strips, total, parts, strips_of_part, .. } = self;
        total.sum_of(node, |part| Some(&strips[(part - parts.start) * *strips_of_part].sums));
    }

    /// The strips of some parts, by their numbers in this rank's share.
    fn strips_of(&self, node: &Range<usize>) -> Range<usize> {
        let first = |part: usize| ((part - self.parts.start) * self.strips_of_part).min(self.strips.len());
        first(node.start)..first(node.end)
    }

    /// Writes the sum of the gradients of the parts `node`, a node of the tree.
    pub fn write(
        &mut self,
        products: P,
        (batch, node): (&PackedBatch<P>, Range<usize>),
        buffers: &Buffers<P>,
        gradient: &mut Parameters,
    ) {
        self.add_besides(node.clone());
        let strips = self.strips_of(&node);
        let Self { strips: results, group, total, strips_of_part, .. } = self;
        let kernel = MatrixMut::new(&mut gradient.kernel, gradient.k, gradient.u);
        let panels = 0..total.bias.count();
        in_groups(kernel, panels, (*group, total.bias.nr()), &|panels, mut kernel| {
            let sums = &mut *buffers.of_this_thread().gradient;
            let (results, strips, of_part) = (&results[strips.clone()], &batch.parts[strips.clone()], *strips_of_part);
            products.run(PanelSums { products, strips, results, of_part, panels, sums });
            for input in 0..kernel.rows() {
                sums[0].unpack_first(input, kernel.row(input));
            }
        });
        total.write(ColumnOrder::Natural(gradient.u), gradient);
    }

    /// Takes the step that has begun, the batch being all this rank's, and packs the weights that it leaves. `gradient`
    /// is room for that of the bias.
    pub fn update(
        &mut self,
        products: P,
        batch: &PackedBatch<P>,
        buffers: &Buffers<P>,
        (parameters, gradient): (&mut Parameters, &mut Parameters),
        (begun, weights): (&mut Begun<'_>, &mut P::Weights),
    ) {
        self.add_besides(self.parts.clone());
        let Parameters { k, u, ref mut kernel, .. } = *parameters;
        let Begun { state, step, terms, .. } = &mut *begun;
        let weights = products.panels_of_weights(weights);
        let work = WeightsUpdate { one_step: self, products, batch, buffers, terms, kernel, shape: (k, u), weights };
        step.with_kernel(&mut state.kernel, work);
        if !gradient.bias.is_empty() {
            self.total.bias.unpack_first(0, &mut gradient.bias);
            begun.update_bias(parameters, gradient);
        }
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

/// What a task does with some column panels, and what can be cut between two of them.
trait Columns: Send + Sized {
    /// The first `panels` column panels, of `nr` columns each, and the rest.
    fn split(self, panels: usize, nr: usize) -> (Self, Self);
}

impl Columns for MatrixMut<'_> {
    fn split(self, panels: usize, nr: usize) -> (Self, Self) {
        self.split_columns(panels * nr)
    }
}

/// Cuts the column panels `panels` of `columns`, of `nr` columns each, into groups of at most `group` and has `work` do
/// each of them, on any thread. Any `work`, so that the halving is compiled once for each kind of columns.
fn in_groups<C: Columns>(
    columns: C,
    panels: Range<usize>,
    (group, nr): (usize, usize),
    work: &(dyn Fn(Range<usize>, C) + Sync),
) {
    if panels.len() <= group {
        return work(panels, columns);
    }
    let half = (panels.len() / 2).next_multiple_of(group);
    let middle = panels.start + half;
    let (left, right) = columns.split(half, nr);
    rayon::join(
        || in_groups(left, panels.start..middle, (group, nr), work),
        || in_groups(right, middle..panels.end, (group, nr), work),
    );
}

/// Buffers in which the sums of `parts` parts are added up as one after another comes: the depth of their tree.
fn depth(parts: usize) -> usize {
    parts.checked_ilog2().map_or(1, |log| log as usize + 1)
}

/// Computes some column panels of dW, from the strips of a node of the tree of parts.
struct PanelSums<'a, P: DenseProducts> {
    products: P,
    /// Each strip by itself.
    strips: &'a [Vec<Strip<P>>],
    results: &'a [StripResult<P>],
    /// Strips of a part.
    of_part: usize,
    panels: Range<usize>,
    /// Where to: the first, k (rounded up to whole tiles) x NR for each panel; the others are room.
    sums: &'a mut [ColumnPanels],
}

impl<P: DenseProducts> PanelSums<'_, P> {
    /// Adds the sum in buffer `number` to that before it.
    #[inline(always)]
    fn merge(sums: &mut [ColumnPanels], number: usize, panels: usize) {
        let (before, from) = sums.split_at_mut(number);
        before[number - 1].add_panels(&from[0], panels);
    }
}

impl<P: DenseProducts> Kernel for PanelSums<'_, P> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { products, strips, results, of_part, panels, sums } = self;
        // As a binary counter: the sums that are open are the ones of the number of parts so far.
        for (part, (strips, results)) in strips.chunks(of_part).zip(results.chunks(of_part)).enumerate() {
            let open = part.count_ones() as usize;
            let mut panel = sums[open].panels_of(panels.clone());
            for (number, (strip, StripResult { z, d, largest, .. })) in strips.iter().flatten().zip(results).enumerate()
            {
                let Some(inputs) = strip.dense() else { unreachable!("strips of a mini-batch are dense") };
                products.accumulate(simd, inputs, (&z.even, d), |j| is_on(largest, j), (&mut panel, number > 0));
            }
            for merged in 0..part.trailing_ones() as usize {
                Self::merge(sums, open - merged, panels.len());
            }
        }
        for number in (1..strips.len().div_ceil(of_part).count_ones() as usize).rev() {
            Self::merge(sums, number, panels.len());
        }
    }
}

/// The update of all weights of a layer.
struct WeightsUpdate<'a, P: DenseProducts> {
    one_step: &'a OneStep<P>,
    products: P,
    batch: &'a PackedBatch<P>,
    buffers: &'a Buffers<P>,
    terms: &'a Terms,
    /// k x u.
    kernel: &'a mut [f32],
    shape: (usize, usize),
    /// The weights as they are packed.
    weights: PanelsMut<'a, P::Element>,
}

impl<P: DenseProducts> WithStep for WeightsUpdate<'_, P> {
    fn run<const N: usize>(self, _: Isa, step: impl Step<N>, moments: [&mut [f32]; N]) {
        let Self { one_step, products, batch, buffers, terms, kernel, shape: (k, u), weights } = self;
        let OneStep { strips: results, group, total, strips_of_part, .. } = one_step;
        let matrix = |floats| MatrixMut::new(floats, k, u);
        let columns = UpdatedColumns::<P, N> { kernel: matrix(kernel), moments: moments.map(matrix), weights };
        in_groups(columns, 0..total.bias.count(), (*group, total.bias.nr()), &|panels, columns| {
            let sums = &mut *buffers.of_this_thread().gradient;
            let (strips, of_part) = (&*batch.parts, *strips_of_part);
            products.run(PanelSums { products, strips, results, of_part, panels: panels.clone(), sums });
            products.run(PanelUpdate { products, panels, sums: &sums[0], labels: &total.labels, terms, step, columns });
        });
    }
}

/// Some columns of the weights, and of what is updated with them.
struct UpdatedColumns<'a, P: DenseProducts, const N: usize> {
    kernel: MatrixMut<'a>,
    moments: [MatrixMut<'a>; N],
    /// The weights as they are packed.
    weights: PanelsMut<'a, P::Element>,
}

impl<P: DenseProducts, const N: usize> Columns for UpdatedColumns<'_, P, N> {
    fn split(self, panels: usize, nr: usize) -> (Self, Self) {
        let Self { kernel, moments, weights } = self;
        let (kernel, right_kernel) = kernel.split(panels, nr);
        let (moments, right_moments) = split_each(moments, |moment| moment.split(panels, nr));
        let (weights, right_weights) = weights.split(panels);
        let right = Self { kernel: right_kernel, moments: right_moments, weights: right_weights };
        (Self { kernel, moments, weights }, right)
    }
}

/// The one pass over some columns of the weights: what is added to their gradient, the optimiser's step, and packing.
struct PanelUpdate<'a, P: DenseProducts, T, const N: usize> {
    products: P,
    panels: Range<usize>,
    /// The gradient of the data loss, but for label pixels.
    sums: &'a ColumnPanels,
    /// That of the label pixels: classes x u.
    labels: &'a ColumnPanels,
    terms: &'a Terms,
    step: T,
    columns: UpdatedColumns<'a, P, N>,
}

impl<P: DenseProducts, T: Step<N>, const N: usize> Kernel for PanelUpdate<'_, P, T, N> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { products, panels, sums, labels, terms, step, columns } = self;
        let UpdatedColumns { mut kernel, mut moments, mut weights } = columns;
        let rows = kernel.rows();
        for first in (0..rows).step_by(2) {
            for input in first + AHEAD..rows.min(first + AHEAD + 2) {
                prefetch_row(simd, kernel.row(input));
                // A loop: a closure that is not inlined is compiled without the instruction set.
                for moment in &mut moments {
                    prefetch_row(simd, moment.row(input));
                }
            }
            for (place, j) in panels.clone().enumerate() {
                let mut updated = [simd.splat(0.0); 2];
                let inputs = first..rows.min(first + 2);
                for (updated, input) in updated.iter_mut().zip(inputs.clone()) {
                    let row = if input < labels.rows() { labels.row(j, input) } else { sums.row(place, input) };
                    let w = load_piece(simd, kernel.row(input), place);
                    let g = add_terms(simd, terms, (input, j), w, simd.load(row));
                    let mut old = [simd.splat(0.0); N];
                    for (old, moment) in old.iter_mut().zip(&mut moments) {
                        *old = load_piece(simd, moment.row(input), place);
                    }
                    let (new, learnt) = step.step(simd, w, g, old);
                    store_piece(simd, kernel.row(input), place, new);
                    for (learnt, moment) in learnt.into_iter().zip(&mut moments) {
                        store_piece(simd, moment.row(input), place, learnt);
                    }
                    *updated = new;
                }
                products.load_rows(simd, &mut weights, (j, first), &updated[..inputs.len()]);
            }
        }
    }
}

/// The gradient of the weights `w` of input `input` in column panel `j`: that of the data loss, and the terms.
#[inline(always)]
fn add_terms<S: Simd>(
    simd: S,
    terms: &Terms,
    (input, j): (usize, usize),
    w: S::Vector,
    mut gradient: S::Vector,
) -> S::Vector {
    if let Some(PeerTerm { inputs, slopes, .. }) = &terms.peers {
        let push = simd.mul(simd.splat(inputs[input]), load_piece(simd, slopes, j));
        gradient = simd.add(gradient, push);
    }
    if terms.kernel_slope != 0.0 {
        gradient = simd.add(gradient, simd.mul(simd.splat(terms.kernel_slope), w));
    }
    gradient
}

/// Asks for all cache lines of a row.
#[inline(always)]
fn prefetch_row<S: Simd>(simd: S, row: &[f32]) {
    for line in row.chunks(LINE) {
        simd.prefetch(line);
    }
}

/// Vector number `number` of a row, with zeros behind its end.
#[inline(always)]
fn load_piece<S: Simd>(simd: S, row: &[f32], number: usize) -> S::Vector {
    let piece = &row[number * S::LANES..];
    if piece.len() >= S::LANES { simd.load(piece) } else { simd.load_partial(piece) }
}

/// Writes vector number `number` of a row, as far as the row goes.
#[inline(always)]
fn store_piece<S: Simd>(simd: S, row: &mut [f32], number: usize, value: S::Vector) {
    let piece = &mut row[number * S::LANES..];
    if piece.len() >= S::LANES { simd.store(piece, value) } else { simd.store_partial(piece, value) }
}

/// The gradient of a mini-batch, added up by nodes of the tree of parts.
pub struct OneStepSums<'a, P: DenseProducts> {
    pub products: P,
    pub one_step: &'a mut OneStep<P>,
    pub batch: &'a PackedBatch<P>,
    pub buffers: &'a Buffers<P>,
    /// Where to.
    pub gradient: &'a mut Parameters,
}

impl<P: DenseProducts> Sums for OneStepSums<'_, P> {
    fn add_up(&mut self, node: Range<usize>) {
        self.one_step.write(self.products, (self.batch, node), self.buffers, self.gradient);
    }

    fn pieces(&mut self) -> Vec<&mut [f32]> {
        vec![&mut self.gradient.kernel, &mut self.gradient.bias]
    }
}
