//! One part of a batch: its strips one after another, each through product, epilogue and gradient, dense or sparse.

use super::buffers::ThreadBuffers;
use super::dense::{self, DenseProducts};
use super::epilogue::{DenseSums, Epilogue, LayerView};
use super::input_orders::Orders;
use super::packing::{ColumnOrder, ColumnPanels};
use super::rows::Rows;
use super::sparse::{Sparse, SparseLayer, SparseStep, SparseSums};
use super::strip::{Form, Strip};
use super::z_to_d::{ZBlocks, ZToD};
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
    /// A dense strip on this layer, with room for its Z, its activations and its units' largest `z`.
    pub fn z_to_d(
        &self,
        (rows, inputs): (&'a Rows, &'a P::Inputs),
        z: &'a mut ZBlocks,
        (h, largest): (&'a mut ColumnPanels, &'a mut ColumnPanels),
    ) -> ZToD<'a, P> {
        let Self { products, weights, view, .. } = *self;
        ZToD { rows, inputs, products, weights, view, z, h, largest }
    }

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
    /// A strip becomes sparse where less than this share of its units are on; where the format says, if it is `None`.
    pub sparse_below: Option<f64>,
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
    pub buffers: &'a mut ThreadBuffers<P>,
}

impl<P: DenseProducts> Kernel for PartGradient<'_, P> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { strips, layer, orders, label_pixels, rule, partial, buffers } = self;
        let StepRule { loss, sparse_below } = rule;
        partial.loss = 0.0;
        partial.largest.fill(f32::NEG_INFINITY);
        partial.has_dense = false;
        partial.sparse.iter_mut().for_each(SparseSums::clear);
        for Strip { rows, form } in strips {
            if let Form::Dense(inputs) = form {
                let mut strip = DenseStrip { rows, inputs, layer, orders, buffers };
                strip.begin(simd);
                let sparse_below = sparse_below.unwrap_or_else(|| layer.products.sparse_share(strip.inputs));
                if strip.z_to_d().share_on(simd) < sparse_below {
                    *form = Form::Sparse(strip.sparse_form(simd));
                }
            }
            match form {
                Form::Dense(inputs) => {
                    DenseStrip { rows, inputs, layer, orders, buffers }.gradient(simd, &loss, partial);
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

/// A dense strip in training.
struct DenseStrip<'a, P: DenseProducts> {
    rows: &'a Rows,
    inputs: &'a mut P::Inputs,
    layer: PackedLayer<'a, P>,
    orders: &'a Orders,
    buffers: &'a mut ThreadBuffers<P>,
}

impl<P: DenseProducts> DenseStrip<'_, P> {
    /// The strip from Z to D.
    #[inline(always)]
    fn z_to_d(&mut self) -> ZToD<'_, P> {
        let ThreadBuffers { z, h, largest, .. } = &mut *self.buffers;
        self.layer.z_to_d((self.rows, self.inputs), z, (h, largest))
    }

    /// Computes Z of the first block: what is done with a strip, dense or sparse, begins with it.
    #[inline(always)]
    fn begin<S: Simd>(&mut self, simd: S) {
        let mut strip = self.z_to_d();
        strip.forward(simd, strip.first_block());
    }

    /// The same strip in sparse form, with the bounds that its Z gives.
    #[inline(always)]
    fn sparse_form<S: Simd>(&mut self, simd: S) -> Sparse {
        let PackedLayer { products, view, columns, .. } = self.layer;
        let ColumnOrder::Permuted(units) = view.units else { unreachable!("training sorts the units") };
        let lines = products.lines(self.inputs, &self.orders.places_in_lines());
        let mut sparse = Sparse::new(lines, self.rows.count(), units.len());
        for block in dense::blocks::<P>(self.rows.count()) {
            if block.start > 0 {
                self.z_to_d().forward(simd, block.clone());
            }
            sparse.learn(simd, self.layer.sparse(self.rows), block, &self.buffers.z.even, (units, columns));
        }
        sparse
    }

    /// Adds the strip's loss and gradient to `partial`.
    #[inline(always)]
    fn gradient<S: Simd>(&mut self, simd: S, loss: &LossOfRows, partial: &mut Partial) {
        let products = self.layer.products;
        if !partial.has_dense {
            partial.dense.clear();
        }
        partial.dense.loss = partial.loss;
        let ThreadBuffers { z, d, h, largest, room, .. } = &mut *self.buffers;
        let strip = self.layer.z_to_d((self.rows, self.inputs), z, (h, largest));
        strip.gradient(simd, loss, &mut partial.dense, None, d);
        partial.loss = partial.dense.loss;
        if !products.is_transposed(self.inputs) {
            products.unpack(self.inputs, room);
            products.transpose(self.inputs, room, self.orders.transposed());
        }
        let gradient = &mut partial.kernel.panels_mut();
        products.accumulate(simd, self.inputs, (&z.even, d), |j| is_on(largest, j), (gradient, partial.has_dense));
        partial.has_dense = true;
        partial.largest.raise_to(largest);
    }
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
    pub buffers: &'a mut ThreadBuffers<P>,
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
                    let mut wanted = (outputs, goodness_of_rows);
                    let mut active = 0;
                    for block in dense::blocks::<P>(rows.count()) {
                        let PackedLayer { products, weights, view, .. } = layer;
                        let z = &mut z.even;
                        products.forward(simd, inputs, block.clone(), weights, 0..view.panels, z);
                        let epilogue = Epilogue { rows, block, layer: view, z, h, largest };
                        active += epilogue.outputs(simd, goodness, wanted.0.as_deref_mut(), wanted.1.as_deref_mut());
                    }
                    active
                }
            };
        }
        active
    }
}
