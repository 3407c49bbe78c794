//! The fused f32 backend: a strip of rows goes through product, epilogue and gradient while it is in cache.
//!
//! ```text
//! for each part of the batch (in parallel)            parts depend on the batch alone, not on the threads
//!     for each strip of at most STRIP_ROWS rows
//!         dense: every unit for every row
//!             Z  = X W                                product.rs, zeros of X and units known to be off left out
//!             h  = max(scale Z + label W_label + b, 0)    epilogue.rs: goodness, loss, coefficient; Z becomes D
//!             dW += X^T D                             product.rs, zeros of X and slices that are off left out
//!         sparse, where few units are on
//!             the same for those that could be on     sparse.rs
//! gradient = sum of the parts, in their order
//! ```
//!
//! What is saved exactly:
//!
//! - the image product of layer 1 serves every label overlaid on the image, and one gradient product serves positive and
//!   negative; `1/255` and the norm are a row scale after the product;
//! - zeros of the input are left out of both products, dead pixels with them;
//! - slices of units that are off in a whole strip are left out of its gradient, and units that cannot be on in any dense
//!   strip out of everything (units.rs);
//! - in a strip in which few units are on, only those are computed that could be on, row by row (sparse.rs);
//! - no activation reaches memory; what does is, in sparse strips, half a float for each panel and unit.
//!
//! Relies on [`crate::panels`], [`crate::slices`] and [`crate::line_panels`] for packing, on [`crate::similar`] for the order
//! of inputs in lines and on [`crate::simd`] for the vectors.

mod drift;
mod epilogue;
mod orders;
mod part;
mod product;
mod sparse;
#[cfg(feature = "cli")]
mod stages;
mod strip;
mod units;

use std::sync::Mutex;

use rayon::prelude::*;

use crate::isa::Isa;
use crate::objective::{Objective, TRAINING_VARIANTS};
use crate::simd::{LINE, MR};
use crate::slices::Slices;
use crate::step::{Backend, Input, LayerStep, Parameters};
use drift::Drift;
use orders::Orders;
use part::{LayerView, PartForward, PartGradient, Partial, Workspace};
use sparse::{Scratch, SparseLayer, SparseSums, UnitLines};
#[cfg(feature = "cli")]
pub(crate) use stages::{Stage, stage};
use strip::{Dense, Strip};
use units::Units;

/// Partial gradient sums of a batch. A fixed number makes the sum independent of the threads; 32 keep 16 threads busy
/// with two parts each and cost 32 x 1.6 MB of traffic for a 784 x 500 layer, about 2% of its step on two cores.
const PARTS: usize = 32;
/// [`units::Units`] keeps a bit for each part.
const _: () = assert!(PARTS <= u32::BITS as usize);

/// Memory that the partial sums of a wide layer may take, one of its dense and one of its sparse strips for each part; it
/// gets fewer parts, but at least [`MIN_PARTS`].
const PARTIALS_BYTES: usize = 1 << 30;

/// The fewest parts a wide layer is cut into: the threads that can work on it.
const MIN_PARTS: usize = 4;

/// The fewest rows worth a partial sum of their own: clearing and adding up a k x u sum moves some 16 bytes for each weight,
/// which costs about as much time as 25 dense rows of 4 operations for each weight.
const MIN_PART_ROWS: usize = 64;

/// The most rows of a strip. 256 rows x 500 units are 512 KB of Z, inside an L2 of 1 MB with a slice of the weights beside
/// them; fewer rows would load and store each MR x NR tile of dW more often, and more share fewer units that are off. The
/// transposed panels number them with 16 bits.
const STRIP_ROWS: usize = 256;

/// The backend; holds the instruction set its kernels run on.
#[derive(Clone, Copy, Debug)]
pub struct Fused {
    isa: Isa,
    sparse_below: f64,
}

impl Fused {
    /// The backend on `isa`.
    pub fn new(isa: Isa) -> Self {
        Self { isa, sparse_below: sparse::SPARSE_SHARE }
    }

    /// The same, but a strip becomes sparse where less than `share` of its units are on: 0 keeps all strips dense, and
    /// above 1 all become sparse in a batch's first step. For tests and measurements.
    #[cfg(any(feature = "cli", feature = "internals"))]
    pub fn with_sparse_below(self, share: f64) -> Self {
        Self { sparse_below: share, ..self }
    }
}

impl Backend for Fused {
    fn name(&self) -> &'static str {
        "fused"
    }

    fn precision(&self) -> &'static str {
        "f32"
    }

    fn isa(&self) -> Isa {
        self.isa
    }

    fn prepare<'a>(&self, input: Input<'a>, units: usize) -> Box<dyn LayerStep + 'a> {
        Box::new(FusedStep::new(*self, input, units))
    }
}

/// A batch packed for one layer, with the buffers its steps need.
struct FusedStep {
    isa: Isa,
    /// A strip becomes sparse where less than this share of its units are on.
    sparse_below: f64,
    k: usize,
    u: usize,
    samples: usize,
    variants: usize,
    /// Each part's strips.
    parts: Vec<Vec<Strip>>,
    /// Each part's gradient; empty until the first gradient is asked for.
    partials: Vec<Partial>,
    weights: Slices,
    bias: Slices,
    orders: Orders,
    /// The packed columns of weights, Z and gradients of dense strips.
    units: Units,
    drift: Drift,
    /// What sparse strips need of the layer; empty before the first gradient, when there are none.
    sparse: SparseLayer,
    /// The sum of the sparse strips' partial sums.
    sparse_total: UnitLines,
    /// Label pixels among the inputs.
    classes: usize,
    /// The sum of the partial sums.
    total: Slices,
    /// One for each thread; never contended, because a thread runs one part at a time.
    workspaces: Vec<Mutex<Workspace>>,
}

impl FusedStep {
    fn new(Fused { isa, sparse_below }: Fused, input: Input<'_>, u: usize) -> Self {
        input.assert_shapes();
        let (k, samples, variants) = (input.k(), input.samples(), input.variants());
        let nr = isa.nr();
        let parts: Vec<Vec<Strip>> = partition(strip::base_rows(&input), k * u)
            .into_par_iter()
            .map(|strips| strips.into_iter().map(|rows| Strip::pack(&input, rows)).collect())
            .collect();
        let nonnegative = dense_strips(&parts).all(Dense::is_nonnegative);
        let strip_rows = parts.iter().flatten().map(|strip| strip.rows.count()).max().unwrap_or(0).next_multiple_of(MR);
        let per_row = parts.iter().flatten().map(|strip| strip.rows.variants()).max().unwrap_or(1);
        let classes = match &input {
            Input::Images(images) => images.classes,
            Input::Activations(_) => 0,
        };
        let workspace = || Workspace {
            z: Slices::zeros(strip_rows, u, nr),
            h: Slices::zeros(per_row, u, nr),
            largest: Slices::zeros(1, u, nr),
            sparse: Scratch::new(u, per_row),
        };
        Self {
            isa,
            sparse_below,
            k,
            u,
            samples,
            variants,
            parts,
            partials: Vec::new(),
            weights: Slices::zeros(k, u, nr),
            bias: Slices::zeros(1, u, nr),
            orders: Orders::default(),
            units: Units::new(u),
            drift: Drift::new(k, u, classes, nonnegative),
            sparse: SparseLayer::new(0, 0, 0),
            sparse_total: UnitLines::zeros(0, 0),
            classes,
            total: Slices::zeros(0, u, nr),
            workspaces: (0..rayon::current_num_threads()).map(|_| Mutex::new(workspace())).collect(),
        }
    }

    fn assert_shape(&self, parameters: &Parameters) {
        let Parameters { k, u, ref kernel, ref bias } = *parameters;
        assert_eq!((k, u), (self.k, self.u), "parameters of the prepared shape");
        assert!(
            kernel.len() == k * u && (bias.is_empty() || bias.len() == u),
            "a kernel of k x u, a bias of u or none"
        );
    }

    /// Takes in the parameters of a step, in the forms that the strips need.
    fn load(&mut self, parameters: &Parameters) {
        if !self.partials.is_empty() {
            self.sparse.move_on(parameters, &self.drift);
            self.sparse.load(parameters, &self.orders.lines.inputs);
        }
        if dense_strips(&self.parts).next().is_none() {
            return;
        }
        self.weights.pack(&parameters.kernel, self.units.order());
        if parameters.bias.is_empty() {
            self.bias.fill(0.0);
        } else {
            self.bias.pack(&parameters.bias, self.units.order());
        }
    }

    /// Orders the inputs and allocates the partial sums, once.
    fn ready_for_gradients(&mut self) {
        if !self.partials.is_empty() {
            return;
        }
        self.orders = Orders::new(&self.parts, self.k);
        let (u, nr) = (self.u, self.isa.nr());
        let rows = self.k.next_multiple_of(MR);
        self.total = Slices::zeros(rows, u, nr);
        self.sparse = SparseLayer::new(self.k, u, self.classes);
        self.sparse_total = UnitLines::zeros(u, self.k.div_ceil(LINE));
        self.partials = (0..self.parts.len())
            .map(|_| Partial {
                loss: 0.0,
                dense: false,
                kernel: Slices::zeros(rows, u, nr),
                bias: Slices::zeros(1, u, nr),
                largest: Slices::zeros(1, u, nr),
                sparse: None,
            })
            .collect();
    }

    /// Adds the partial sums up in their order; returns the loss, which is not yet divided by the rows.
    fn sum_partials(&mut self, gradient: &mut Parameters) -> f64 {
        let Self { u, ref partials, ref mut total, ref orders, ref units, .. } = *self;
        let units = units.order();
        let dense: Vec<&Partial> = partials.iter().filter(|partial| partial.dense).collect();
        if !dense.is_empty() {
            total.sum_of(dense.iter().map(|partial| &partial.kernel));
            gradient
                .kernel
                .par_chunks_mut(u)
                .zip(&orders.panels.positions)
                .for_each(|(row, &packed)| total.unpack_row(packed, units, row));
            if !gradient.bias.is_empty() {
                let mut total = Slices::zeros(1, u, self.isa.nr());
                total.sum_of(dense.iter().map(|partial| &partial.bias));
                total.unpack_row(0, units, &mut gradient.bias);
            }
        } else {
            gradient.kernel.fill(0.0);
            gradient.bias.fill(0.0);
        }
        let sparse: Vec<&SparseSums> = partials.iter().filter_map(|partial| partial.sparse.as_ref()).collect();
        sparse::add_sums(&sparse, &self.orders.lines.positions, &mut self.sparse_total, gradient);
        partials.iter().map(|partial| partial.loss).sum()
    }
}

/// The inputs of the strips that are dense.
fn dense_strips(parts: &[Vec<Strip>]) -> impl Iterator<Item = &Dense> {
    parts.iter().flatten().filter_map(Strip::dense)
}

/// Cuts `rows` rows into parts and each part into strips of nearly equal size, all of them whole panels but the last.
/// `weights` is the number of weights of the layer.
fn partition(rows: usize, weights: usize) -> Vec<Vec<std::ops::Range<usize>>> {
    let parts = (PARTIALS_BYTES / (2 * weights * size_of::<f32>())).clamp(MIN_PARTS, PARTS);
    let part_rows = rows.div_ceil(parts).max(MIN_PART_ROWS).next_multiple_of(MR);
    let strips = part_rows.div_ceil(STRIP_ROWS);
    let strip_rows = part_rows.div_ceil(strips).next_multiple_of(MR);
    let cut = |range: std::ops::Range<usize>, size: usize| {
        range.clone().step_by(size).map(move |start| start..range.end.min(start + size))
    };
    cut(0..rows, part_rows).map(|part| cut(part, strip_rows).collect()).collect()
}

impl LayerStep for FusedStep {
    fn gradient(&mut self, parameters: &Parameters, objective: &Objective, gradient: &mut Parameters) -> f64 {
        assert_eq!(self.variants, TRAINING_VARIANTS.len(), "a gradient needs positive and negative rows");
        assert!(self.samples > 0, "a gradient needs at least one sample");
        self.assert_shape(parameters);
        self.assert_shape(gradient);
        self.ready_for_gradients();
        self.drift.advance(parameters);
        let columns = self.units.sort_for(parameters, &self.drift);
        self.load(parameters);
        let objective =
            strip::BatchObjective { objective: *objective, units: self.u, rows: self.samples * self.variants };
        let Self { isa, ref mut parts, ref mut partials, ref weights, ref bias, ref units, ref sparse, .. } = *self;
        let layer = LayerView { weights, bias, units: units.order(), columns, sparse };
        let (workspaces, sparse_below) = (&self.workspaces, self.sparse_below);
        let orders = &self.orders;
        parts.par_iter_mut().zip(partials).for_each(|(strips, partial)| {
            let workspace = &mut *thread_workspace(workspaces);
            isa.run(PartGradient {
                strips,
                layer,
                orders,
                classes: self.classes,
                sparse_below,
                objective,
                partial,
                workspace,
            });
        });
        let loss = self.sum_partials(gradient) / objective.rows as f64;
        self.units.learn(columns, self.partials.iter().map(|partial| &partial.largest));
        loss
    }

    fn forward(&mut self, parameters: &Parameters, outputs: Option<&mut [f32]>, goodness: Option<&mut [f32]>) -> u64 {
        self.assert_shape(parameters);
        if !self.partials.is_empty() {
            // Nothing is known before the first gradient, so nothing needs to be kept up.
            self.drift.advance(parameters);
            self.units.sort_for(parameters, &self.drift);
        }
        let columns = self.u;
        self.load(parameters);
        let rows: Vec<usize> =
            self.parts.iter().map(|strips| strips.iter().map(|strip| strip.rows.outputs()).sum()).collect();
        let outputs = split_rows(outputs, &rows, self.u);
        let goodness = split_rows(goodness, &rows, 1);
        let Self { isa, ref mut parts, ref weights, ref bias, ref units, ref sparse, ref workspaces, .. } = *self;
        let layer = LayerView { weights, bias, units: units.order(), columns, sparse };
        let jobs: Vec<_> = parts.iter_mut().zip(outputs.into_iter().zip(goodness)).collect();
        jobs.into_par_iter()
            .map(|(strips, (outputs, goodness))| {
                let workspace = &mut *thread_workspace(workspaces);
                isa.run(PartForward { strips, layer, outputs, goodness, workspace })
            })
            .sum()
    }
}

/// The running thread's workspace.
fn thread_workspace(workspaces: &[Mutex<Workspace>]) -> std::sync::MutexGuard<'_, Workspace> {
    let thread = rayon::current_thread_index().unwrap_or(0);
    workspaces[thread % workspaces.len()].lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Cuts a matrix of `width` columns into consecutive blocks of `rows` rows each; `None` becomes empty blocks.
fn split_rows<'a>(matrix: Option<&'a mut [f32]>, rows: &[usize], width: usize) -> Vec<Option<&'a mut [f32]>> {
    let Some(mut rest) = matrix else { return rows.iter().map(|_| None).collect() };
    assert_eq!(rest.len(), rows.iter().sum::<usize>() * width, "a result of the prepared shape");
    rows.iter().map(|&rows| rest.split_off_mut(..rows * width)).collect()
}
