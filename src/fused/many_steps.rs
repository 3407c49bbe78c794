//! Training on a batch that stays: what later steps know from earlier ones ([`Known`]), and each part's sums
//! ([`PartSums`]).
//!
//! The batch is cut into parts; each has gradient sums of its own, which are added in the order of the parts, so that
//! the result depends on the batch's shape alone and not on the threads.

use rayon::prelude::*;

use super::batch::PackedBatch;
use super::buffers::Buffers;
use super::dense::DenseProducts;
use super::drift::{Bounds, Drift};
use super::epilogue::DenseSums;
use super::input_orders::Orders;
use super::packing::{ColumnOrder, ColumnPanels};
use super::part::{PackedLayer, PartGradient, Partial, StepRule};
use super::sparse::{self, SparseLayer, SparseSums, UnitLines};
use super::units::Units;
use crate::parameters::Parameters;
use crate::simd::LINE;

/// The training life of a batch on one layer.
pub struct ManySteps {
    pub known: Known,
    pub sums: PartSums,
}

/// What is known of the layer's inputs and units on this batch.
pub struct Known {
    pub orders: Orders,
    /// The packed columns of weights, Z and gradients of dense strips.
    pub units: Units,
    /// What sparse strips need of the layer.
    pub sparse: SparseLayer,
    drift: Drift,
}

/// What the parts of the batch add up to.
pub struct PartSums {
    partials: Vec<Partial>,
    /// The sum of the products of dense strips.
    total: ColumnPanels,
    /// The sum of what dense strips add besides.
    dense_total: DenseSums,
    /// The sum of the products of sparse strips.
    sparse_total: UnitLines,
}

impl ManySteps {
    /// The first life of `batch`, packed in `orders`, on a layer of `k` inputs and `u` units in column panels of `nr`.
    pub fn new<P: DenseProducts>(
        batch: &PackedBatch<P>,
        orders: Orders,
        (k, u, nr): (usize, usize, usize),
        bounds: Bounds,
    ) -> Self {
        let label_pixels = batch.label_pixels;
        let known = Known {
            orders,
            units: Units::new(u),
            sparse: SparseLayer::new(k, u, label_pixels),
            drift: Drift::new((k, u), bounds),
        };
        let rows = k.next_multiple_of(P::TILE_ROWS);
        let partial = || Partial {
            loss: 0.0,
            has_dense: false,
            kernel: ColumnPanels::zeros(rows, u, nr),
            dense: DenseSums::zeros(label_pixels, u, nr),
            largest: ColumnPanels::zeros(1, u, nr),
            sparse: None,
        };
        let sums = PartSums {
            partials: batch.parts.iter().map(|_| partial()).collect(),
            total: ColumnPanels::zeros(rows, u, nr),
            dense_total: DenseSums::zeros(label_pixels, u, nr),
            sparse_total: UnitLines::zeros(u, k.div_ceil(LINE)),
        };
        Self { known, sums }
    }
}

impl Known {
    /// Moves on to a step under `parameters`; returns how many columns dense strips have to compute.
    pub fn advance(&mut self, parameters: &Parameters) -> usize {
        self.drift.advance(parameters);
        self.sparse.move_on(parameters, &self.drift);
        self.sparse.load(parameters, &self.orders.lines.inputs);
        self.units.sort_for(parameters, &self.drift)
    }
}

impl PartSums {
    /// Computes each part's loss and gradient.
    pub fn compute<P: DenseProducts>(
        &mut self,
        batch: &mut PackedBatch<P>,
        layer: PackedLayer<'_, P>,
        orders: &Orders,
        rule: StepRule,
        buffers: &Buffers<P>,
    ) {
        let label_pixels = batch.label_pixels;
        batch.parts.par_iter_mut().zip(&mut self.partials).for_each(|(strips, partial)| {
            let buffers = &mut *buffers.of_this_thread();
            layer.products.run(PartGradient { strips, layer, orders, label_pixels, rule, partial, buffers });
        });
    }

    /// Adds the parts up in their order; returns the loss, which is not yet divided by the rows. `units` tells which
    /// unit each packed column is.
    pub fn add_up(&mut self, units: ColumnOrder<'_>, orders: &Orders, gradient: &mut Parameters) -> f64 {
        let u = gradient.u;
        let dense: Vec<&Partial> = self.partials.iter().filter(|partial| partial.has_dense).collect();
        if dense.is_empty() {
            gradient.kernel.fill(0.0);
            gradient.bias.fill(0.0);
        } else {
            let total = &mut self.total;
            total.sum_of(dense.iter().map(|partial| &partial.kernel));
            let rows = gradient.kernel.par_chunks_mut(u).zip(&orders.panels.positions);
            rows.for_each(|(row, &packed)| total.unpack_row(packed, units, row));
            self.dense_total.sum_of(dense.iter().map(|partial| &partial.dense));
            self.dense_total.write(units, gradient);
        }
        let sparse: Vec<&SparseSums> = self.partials.iter().filter_map(|partial| partial.sparse.as_ref()).collect();
        sparse::add_sums(&sparse, &orders.lines.positions, &mut self.sparse_total, gradient);
        self.partials.iter().map(|partial| partial.loss).sum()
    }

    /// Each part's largest `z` of each packed column.
    pub fn largest(&self) -> impl Iterator<Item = &ColumnPanels> {
        self.partials.iter().map(|partial| &partial.largest)
    }
}
