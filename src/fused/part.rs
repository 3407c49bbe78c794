//! One part of a batch: its strips one after another, each through product, epilogue and gradient, dense or sparse.

use super::buffers::ThreadBuffers;
use super::dense::DenseProducts;
use super::epilogue::{DenseSums, Epilogue, LayerView};
use super::input_orders::Orders;
use super::packing::{ColumnOrder, ColumnPanels};
use super::sparse::{Sparse, SparseLayer, SparseStep, SparseSums};
use super::strip::{Form, Rows, Strip};
use crate::recipe::{Goodness, LossOfRows};
use crate::simd::{Kernel, LINE, Simd};

/// A part's share of the batch's loss and gradient.
pub struct Partial {
    /// The loss of the part's rows, dense and sparse.
    pub loss: f64,
    /// Whether the part had dense strips in this step; without, `kernel` and `dense` are stale.
    pub has_dense: bool,
    /// k (rounded up to whole tiles) x u.
    pub kernel: ColumnPanels,
    /// What the dense strips add besides.
    pub dense: DenseSums,
    /// Each unit's largest `z` in the part, minus infinity where it was not computed: 1 x u.
    pub largest: ColumnPanels,
    /// What the part's sparse strips add; `None` before there is one.
    pub sparse: Option<SparseSums>,
}

/// A layer's parameters as the strips need them.
pub struct PackedLayer<'a, P: DenseProducts> {
    pub products: P,
    pub weights: &'a P::Weights,
    pub view: LayerView<'a>,
    /// Columns that dense strips compute; the units of the rest are off.
    pub columns: usize,
    /// What sparse strips need; `None` where there can be none.
    pub sparse: Option<&'a SparseLayer>,
}

impl<P: DenseProducts> Clone for PackedLayer<'_, P> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<P: DenseProducts> Copy for PackedLayer<'_, P> {}

impl<'a, P: DenseProducts> PackedLayer<'a, P> {
    fn sparse(&self, rows: &'a Rows) -> SparseStep<'a> {
        SparseStep { rows, layer: self.sparse.expect("strips become sparse in training only") }
    }
}

/// Whether a unit of column panel `j` is on, as `largest` (1 x u, the units' largest `z`) tells.
#[inline(always)]
pub fn is_on(largest: &ColumnPanels, j: usize) -> bool {
    largest.panel(j).iter().any(|&z| z > 0.0)
}

/// How the strips of a step are computed.
#[derive(Clone, Copy)]
pub struct StepRule {
    pub loss: LossOfRows,
    /// A strip becomes sparse where less than this share of its units are on.
    pub sparse_below: f64,
}

/// One part's loss and gradient.
pub struct PartGradient<'a, P: DenseProducts> {
    pub strips: &'a mut [Strip<P>],
    pub layer: PackedLayer<'a, P>,
    pub orders: &'a Orders,
    /// Label pixels among the inputs.
    pub label_pixels: usize,
    pub rule: StepRule,
    pub partial: &'a mut Partial,
    pub buffers: &'a mut ThreadBuffers,
}

impl<P: DenseProducts> Kernel for PartGradient<'_, P> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { strips, layer, orders, label_pixels, rule, partial, buffers } = self;
        let StepRule { loss, sparse_below } = rule;
        partial.loss = 0.0;
        partial.largest.fill(f32::NEG_INFINITY);
        partial.has_dense = strips.iter().any(|strip| strip.dense().is_some());
        if partial.has_dense {
            partial.kernel.fill(0.0);
            partial.dense.clear();
        }
        partial.sparse.iter_mut().for_each(SparseSums::clear);
        for Strip { rows, form } in strips {
            if let Form::Dense(inputs) = form {
                layer.products.forward(simd, inputs, layer.weights, layer.view.panels, &mut buffers.z);
                if let Some(sparse) = becomes_sparse(simd, rows, inputs, layer, orders, sparse_below, buffers) {
                    *form = Form::Sparse(sparse);
                }
            }
            match form {
                Form::Dense(inputs) => {
                    let ThreadBuffers { z, h, largest, room, .. } = buffers;
                    partial.dense.loss = partial.loss;
                    Epilogue { rows, layer: layer.view, z, h, largest }.gradient(simd, &loss, &mut partial.dense, None);
                    partial.loss = partial.dense.loss;
                    if !layer.products.is_transposed(inputs) {
                        layer.products.unpack(inputs, room);
                        layer.products.transpose(inputs, room, ColumnOrder::Permuted(&orders.panels.inputs));
                    }
                    let gradient = &mut partial.kernel.panels_mut();
                    layer.products.accumulate(simd, inputs, z, |j| is_on(largest, j), gradient);
                    partial.largest.raise_to(largest);
                }
                Form::Sparse(sparse) => {
                    let lines = orders.lines.inputs.len().div_ceil(LINE);
                    let new_sums = || SparseSums::new(layer.view.units.count(), lines, label_pixels);
                    let sums = partial.sparse.get_or_insert_with(new_sums);
                    partial.loss += sparse.gradient(simd, layer.sparse(rows), &loss, &mut buffers.sparse, sums);
                }
            }
        }
    }
}

/// The sparse form of a dense strip whose product with the weights is in Z, if so few of its units are on.
#[inline(always)]
fn becomes_sparse<S: Simd, P: DenseProducts>(
    simd: S,
    rows: &Rows,
    inputs: &P::Inputs,
    layer: PackedLayer<'_, P>,
    orders: &Orders,
    sparse_below: f64,
    ThreadBuffers { z, h, largest, .. }: &mut ThreadBuffers,
) -> Option<Sparse> {
    let ColumnOrder::Permuted(units) = layer.view.units else { unreachable!("training sorts the units") };
    let share = Epilogue { rows, layer: layer.view, z, h, largest }.share_on(simd, units.len());
    (share < sparse_below).then(|| {
        let lines = layer.products.lines(inputs, &orders.lines.positions);
        let mut sparse = Sparse::new(lines, rows.count(), units.len());
        sparse.learn(simd, layer.sparse(rows), z, (units, layer.columns));
        sparse
    })
}

/// One part's activations and goodness; the result counts the activations above zero.
pub struct PartForward<'a, P: DenseProducts> {
    pub strips: &'a mut [Strip<P>],
    pub layer: PackedLayer<'a, P>,
    pub goodness: Goodness,
    /// Output rows x u.
    pub outputs: Option<&'a mut [f32]>,
    /// One for each output row.
    pub goodness_of_rows: Option<&'a mut [f32]>,
    pub buffers: &'a mut ThreadBuffers,
}

impl<P: DenseProducts> Kernel for PartForward<'_, P> {
    type Output = u64;

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) -> u64 {
        let mut active = 0;
        let (layer, goodness, units) = (self.layer, self.goodness, self.layer.view.units.count());
        let ThreadBuffers { z, h, largest, sparse: scratch, .. } = self.buffers;
        for Strip { rows, form } in self.strips {
            let count = rows.outputs();
            let outputs = self.outputs.as_mut().and_then(|rest| rest.split_off_mut(..count * units));
            let goodness_of_rows = self.goodness_of_rows.as_mut().and_then(|rest| rest.split_off_mut(..count));
            active += match form {
                Form::Sparse(sparse) => {
                    let wanted = (outputs, goodness_of_rows);
                    sparse.outputs(simd, layer.sparse(rows), (goodness, units), scratch, wanted)
                }
                Form::Dense(inputs) => {
                    layer.products.forward(simd, inputs, layer.weights, layer.view.panels, z);
                    let mut epilogue = Epilogue { rows, layer: layer.view, z, h, largest };
                    epilogue.outputs(simd, goodness, outputs, goodness_of_rows)
                }
            };
        }
        active
    }
}
