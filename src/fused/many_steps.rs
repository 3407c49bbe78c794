//! Training on a batch that stays: what later steps know from earlier ones ([`Known`]), and each part's sums
//! ([`PartSums`]).
//!
//! The batch is cut into parts; each has gradient sums of its own, which are added in the tree of [`crate::ranks`], so
//! that the result depends on the batch's shape alone and not on threads or ranks. Each rank adds up its own parts;
//! what crosses the network are these sums, and what the ranks have to know alike: the losses, and which units were on.

use std::ops::Range;

use rayon::prelude::*;

use super::batch::PackedBatch;
use super::buffers::Buffers;
use super::dense::DenseProducts;
use super::drift::{Bounds, Drift};
use super::epilogue::DenseSums;
use super::input_orders::Orders;
use super::packing::{ColumnOrder, ColumnPanels};
use super::part::{PackedLayer, PartGradient, Partial, StepRule};
use super::sparse::{SparseLayer, SparseSums};
use super::units::{Seen, Units};
use crate::parameters::Parameters;
use crate::ranks::{Parts, Ranks, Sums};
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
    ranks: Ranks,
    parts: Parts,
    /// Those of this rank's parts.
    partials: Vec<Partial>,
    /// The sum of the products of dense strips.
    total: ColumnPanels,
    /// The sum of what dense strips add besides.
    dense_total: DenseSums,
    /// The sum of the sparse strips.
    sparse_total: SparseSums,
}

/// What all ranks know of a step.
struct Told {
    /// The forms of each rank's nodes of the tree.
    forms: Vec<Vec<Forms>>,
    /// The loss of each part of the batch.
    losses: Vec<f64>,
    seen: Seen,
}

/// Which forms of strips there were.
#[derive(Clone, Copy, Default)]
struct Forms {
    dense: bool,
    sparse: bool,
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
            ranks: batch.share.ranks().clone(),
            parts: batch.sums,
            partials: batch.parts.iter().map(|_| partial()).collect(),
            total: ColumnPanels::zeros(rows, u, nr),
            dense_total: DenseSums::zeros(label_pixels, u, nr),
            sparse_total: SparseSums::new(u, k.div_ceil(LINE), label_pixels),
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

    /// Adds up the parts of all ranks; returns the loss, which is not yet divided by the rows. Of the packed columns,
    /// `computed` have been computed.
    pub fn add_up(&mut self, known: &mut Known, computed: usize, gradient: &mut Parameters) -> f64 {
        let own = self.parts.own();
        let seen = known.units.look(self.parts.count, own.zip(self.partials.iter().map(|partial| &partial.largest)));
        let Told { forms, losses, seen } = self.tell(seen);
        let forms = self.add_up_nodes(&forms);
        self.write(forms, ColumnOrder::Permuted(known.units.order()), &known.orders, gradient);
        known.units.learn(computed, &seen);
        losses.iter().sum()
    }

    /// Writes the gradient that the sums are; `units` tells which unit each packed column is.
    fn write(&self, forms: Forms, units: ColumnOrder<'_>, orders: &Orders, gradient: &mut Parameters) {
        let u = gradient.u;
        if forms.dense {
            let rows = gradient.kernel.par_chunks_mut(u).zip(&orders.panels.positions);
            rows.for_each(|(row, &packed)| self.total.unpack_row(packed, units, row));
            self.dense_total.write(units, gradient);
        } else {
            gradient.kernel.fill(0.0);
            gradient.bias.fill(0.0);
        }
        if forms.sparse {
            self.sparse_total.add_to(&orders.lines.positions, gradient);
        }
    }

    /// The forms of the strips of some of this rank's parts.
    fn forms(&self, node: &Range<usize>) -> Forms {
        let first = self.parts.own().start;
        let partials = &self.partials[node.start - first..node.end - first];
        Forms {
            dense: partials.iter().any(|partial| partial.has_dense),
            sparse: partials.iter().any(|partial| partial.sparse.is_some()),
        }
    }

    /// Tells all ranks what this one's parts are like, and hears the same of theirs.
    fn tell(&self, mut seen: Seen) -> Told {
        let forms = self.parts.nodes().into_iter().map(|node| self.forms(&node));
        let forms = forms.flat_map(|Forms { dense, sparse }| [f64::from(u8::from(dense)), f64::from(u8::from(sparse))]);
        let losses = self.partials.iter().map(|partial| partial.loss);
        let of_units = seen.numbers();
        let units = of_units.len();
        let mine = forms.chain(losses).chain(of_units).collect();
        let (mut forms, mut losses) = (Vec::new(), Vec::new());
        let counts = |rank: usize| (self.parts.nodes_of(rank).len(), self.parts.of(rank).len());
        let length = |rank| 2 * counts(rank).0 + counts(rank).1 + units;
        for (rank, numbers) in self.ranks.gather_numbers(mine, length).into_iter().enumerate() {
            let (nodes, parts) = counts(rank);
            let (of_nodes, rest) = numbers.split_at(2 * nodes);
            let of_node = |[dense, sparse]: &[f64; 2]| Forms { dense: *dense != 0.0, sparse: *sparse != 0.0 };
            forms.push(of_nodes.as_chunks().0.iter().map(of_node).collect());
            losses.extend_from_slice(&rest[..parts]);
            seen.add(&rest[parts..]);
        }
        Told { forms, losses, seen }
    }

    /// Adds up the parts of all ranks, whose nodes have the given forms; returns the forms that there are.
    fn add_up_nodes(&mut self, forms: &[Vec<Forms>]) -> Forms {
        let with = |form: fn(&Forms) -> bool| -> Vec<Vec<Range<usize>>> {
            let of_rank = |(rank, forms): (usize, &Vec<Forms>)| {
                let nodes = self.parts.nodes_of(rank).into_iter().zip(forms);
                nodes.filter(|(_, forms)| form(forms)).map(|(node, _)| node).collect()
            };
            forms.iter().enumerate().map(of_rank).collect()
        };
        let (with_dense, with_sparse) = (with(|forms| forms.dense), with(|forms| forms.sparse));
        let is_any = |nodes: &[Vec<Range<usize>>]| nodes.iter().any(|nodes| !nodes.is_empty());
        let all = Forms { dense: is_any(&with_dense), sparse: is_any(&with_sparse) };
        let Self { ranks, parts, partials, total, dense_total, sparse_total } = self;
        let (count, first, partials) = (parts.count, parts.own().start, &partials[..]);
        let mut dense = DenseTotal { first, partials, kernel: total, besides: dense_total };
        let mut sparse = SparseTotal { first, partials, sums: sparse_total };
        // The one travels while the other is added up.
        let dense_sum = all.dense.then(|| ranks.begin_sum(count, &with_dense, &mut dense));
        let sparse_sum = all.sparse.then(|| ranks.begin_sum(count, &with_sparse, &mut sparse));
        dense_sum.into_iter().for_each(|sum| sum.finish(dense.pieces()));
        sparse_sum.into_iter().for_each(|sum| sum.finish(sparse.pieces()));
        all
    }
}

/// What dense strips add up to.
struct DenseTotal<'a> {
    /// The number of the first part.
    first: usize,
    partials: &'a [Partial],
    kernel: &'a mut ColumnPanels,
    besides: &'a mut DenseSums,
}

impl Sums for DenseTotal<'_> {
    fn add_up(&mut self, node: Range<usize>) {
        let Self { first, partials, kernel, besides } = self;
        let of = |part: usize| Some(&partials[part - *first]).filter(|partial| partial.has_dense);
        kernel.sum_of(node.clone(), |part| of(part).map(|partial| &partial.kernel));
        besides.sum_of(node, |part| of(part).map(|partial| &partial.dense));
    }

    fn pieces(&mut self) -> Vec<&mut [f32]> {
        let DenseSums { bias, labels, .. } = &mut *self.besides;
        vec![self.kernel.data_mut(), bias.data_mut(), labels.data_mut()]
    }
}

/// What sparse strips add up to.
struct SparseTotal<'a> {
    /// The number of the first part.
    first: usize,
    partials: &'a [Partial],
    sums: &'a mut SparseSums,
}

impl Sums for SparseTotal<'_> {
    fn add_up(&mut self, node: Range<usize>) {
        let Self { first, partials, sums } = self;
        sums.sum_of(node, |part| partials[part - *first].sparse.as_ref());
    }

    fn pieces(&mut self) -> Vec<&mut [f32]> {
        self.sums.pieces_mut().into()
    }
}
