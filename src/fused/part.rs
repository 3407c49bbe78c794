//! One part of a batch: its strips one after another, each through product, epilogue and gradient, dense or sparse.

use super::orders::Orders;
use super::sparse::{Scratch, Sparse, SparseLayer, SparseSums};
use super::strip::{BatchObjective, Dense, Form, Rows, Strip};
use super::{epilogue, product};
use crate::simd::{Kernel, LINE, Simd};
use crate::slices::Slices;

/// A part's share of the batch's loss and gradient.
pub(super) struct Partial {
    pub loss: f64,
    /// Whether the part had dense strips in this step; without, `kernel` and `bias` are stale.
    pub dense: bool,
    /// k (rounded up to MR) x u.
    pub kernel: Slices,
    /// 1 x u.
    pub bias: Slices,
    /// Each unit's largest `z` in the part, minus infinity where it was not computed: 1 x u.
    pub largest: Slices,
    /// What the part's sparse strips add; `None` before there is one.
    pub sparse: Option<SparseSums>,
}

/// What one strip needs between its products.
pub(super) struct Workspace {
    /// Z, then D: strip rows x u.
    pub z: Slices,
    /// The activations of one row's variants: v x u.
    pub h: Slices,
    /// Each unit's largest `z` in the strip, minus infinity where it was not computed: 1 x u.
    pub largest: Slices,
    pub sparse: Scratch,
}

/// A layer's parameters as the strips need them.
#[derive(Clone, Copy)]
pub(super) struct LayerView<'a> {
    pub weights: &'a Slices,
    pub bias: &'a Slices,
    /// Packed column `i` of these is unit `units[i]`.
    pub units: &'a [u32],
    /// Columns that dense strips compute; the units of the rest are off.
    pub columns: usize,
    pub sparse: &'a SparseLayer,
}

impl LayerView<'_> {
    fn slices(&self) -> usize {
        self.columns.div_ceil(self.weights.nr())
    }
}

/// One part's loss and gradient.
pub(super) struct PartGradient<'a> {
    pub strips: &'a mut [Strip],
    pub layer: LayerView<'a>,
    pub orders: &'a Orders,
    pub classes: usize,
    pub sparse_below: f64,
    pub objective: BatchObjective,
    pub partial: &'a mut Partial,
    pub workspace: &'a mut Workspace,
}

impl Kernel for PartGradient<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { strips, layer, orders, classes, sparse_below, objective, partial, workspace } = self;
        partial.loss = 0.0;
        partial.largest.fill(f32::NEG_INFINITY);
        partial.dense = strips.iter().any(|strip| strip.dense().is_some());
        if partial.dense {
            partial.kernel.fill(0.0);
            partial.bias.fill(0.0);
        }
        partial.sparse.iter_mut().for_each(SparseSums::clear);
        for Strip { rows, form } in strips {
            if let Form::Dense(dense) = form {
                product::forward(simd, &dense.forward, layer.weights, layer.slices(), &mut workspace.z);
                if let Some(sparse) = becomes_sparse(simd, rows, dense, layer, orders, sparse_below, workspace) {
                    *form = Form::Sparse(sparse);
                }
            }
            match form {
                Form::Dense(dense) => {
                    let weights = (layer.weights, layer.bias);
                    epilogue::gradient(simd, rows, weights, layer.slices(), &objective, workspace, partial);
                    let transposed = dense.transposed(&orders.panels.inputs);
                    product::accumulate(simd, transposed, &workspace.z, &workspace.largest, &mut partial.kernel);
                    partial.largest.raise_to(&workspace.largest);
                }
                Form::Sparse(sparse) => {
                    let lines = orders.lines.inputs.len().div_ceil(LINE);
                    let sums = partial.sparse.get_or_insert_with(|| SparseSums::new(layer.units.len(), lines, classes));
                    partial.loss += sparse.gradient(simd, rows, layer.sparse, &objective, &mut workspace.sparse, sums);
                }
            }
        }
    }
}

/// The sparse form of a dense strip whose product with the weights is in the workspace's Z, if so few of its units are on.
#[inline(always)]
fn becomes_sparse<S: Simd>(
    simd: S,
    rows: &Rows,
    dense: &Dense,
    layer: LayerView<'_>,
    orders: &Orders,
    sparse_below: f64,
    workspace: &mut Workspace,
) -> Option<Sparse> {
    let (slices, units) = (layer.slices(), layer.units.len());
    let share = epilogue::share_on(simd, rows, (layer.weights, layer.bias), (slices, units), workspace);
    (share < sparse_below).then(|| {
        let mut sparse = Sparse::new(dense.lines(&orders.lines.positions), rows.count(), units);
        sparse.learn(simd, rows, &workspace.z, (layer.units, layer.columns), layer.sparse);
        sparse
    })
}

/// One part's activations and goodness; the result counts the activations above zero.
pub(super) struct PartForward<'a> {
    pub strips: &'a mut [Strip],
    pub layer: LayerView<'a>,
    pub outputs: Option<&'a mut [f32]>,
    pub goodness: Option<&'a mut [f32]>,
    pub workspace: &'a mut Workspace,
}

impl Kernel for PartForward<'_> {
    type Output = u64;

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) -> u64 {
        let mut active = 0;
        let units = self.layer.units.len();
        for Strip { rows, form } in self.strips {
            let count = rows.outputs();
            let outputs = self.outputs.as_mut().and_then(|rest| rest.split_off_mut(..count * units));
            let goodness = self.goodness.as_mut().and_then(|rest| rest.split_off_mut(..count));
            active += match form {
                Form::Sparse(sparse) => {
                    let scratch = &mut self.workspace.sparse;
                    sparse.outputs(simd, rows, self.layer.sparse, units, scratch, (outputs, goodness))
                }
                Form::Dense(dense) => {
                    let weights = (self.layer.weights, self.layer.bias);
                    product::forward(
                        simd,
                        &dense.forward,
                        self.layer.weights,
                        self.layer.slices(),
                        &mut self.workspace.z,
                    );
                    epilogue::outputs(simd, rows, weights, self.layer.units, self.workspace, outputs, goodness)
                }
            };
        }
        active
    }
}
