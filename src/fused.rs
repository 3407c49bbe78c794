//! The fused f32 backend: a strip of rows goes through product, epilogue and gradient while it is in cache.
//!
//! ```text
//! for each part of the batch (in parallel)            parts depend on the batch alone, not on the threads
//!     for each strip of at most STRIP_ROWS rows
//!         Z  = X W                                    product.rs, zeros of X and units known to be off left out
//!         h  = max(scale Z + label W_label + b, 0)    epilogue.rs: goodness, loss, coefficient; Z becomes D
//!         dW += X^T D                                 product.rs, zeros of X and slices that are off left out
//! gradient = sum of the parts, in their order
//! ```
//!
//! What is saved exactly:
//!
//! - the image product of layer 1 serves every label overlaid on the image, and one gradient product serves positive and
//!   negative; `1/255` and the norm are a row scale after the product;
//! - zeros of the input are left out of both products, dead pixels with them;
//! - slices of units that are off in a whole strip are left out of its gradient, and units that cannot be on at all, which
//!   can be told where no input is negative, out of everything (units.rs);
//! - a step writes nothing of size n x u to memory.
//!
//! Relies on [`crate::panels`] and [`crate::slices`] for packing and on [`crate::simd`] for the vectors.

mod epilogue;
mod product;
mod strip;
mod units;

use std::sync::Mutex;

use rayon::prelude::*;

use crate::isa::Isa;
use crate::objective::{Objective, TRAINING_VARIANTS};
use crate::simd::{Kernel, MR, Simd};
use crate::slices::Slices;
use crate::step::{Backend, Input, LayerStep, Parameters};
use strip::Strip;
use units::Units;

/// Partial gradient sums of a batch. A fixed number makes the sum independent of the threads; 32 keep 16 threads busy
/// with two parts each and cost 32 x 1.6 MB of traffic for a 784 x 500 layer, about 2% of its step on two cores.
const PARTS: usize = 32;
/// [`units::Units`] keeps a bit for each part.
const _: () = assert!(PARTS <= u32::BITS as usize);

/// Memory that the partial sums of a wide layer may take; it gets fewer of them, but at least [`MIN_PARTS`].
const PARTIALS_BYTES: usize = 1 << 30;

/// The fewest parts a wide layer is cut into: the threads that can work on it.
const MIN_PARTS: usize = 4;

/// The fewest rows worth a partial sum of their own: clearing and adding up a k x u sum moves some 16 bytes for each weight,
/// which costs about as much time as 25 dense rows of 4 operations for each weight.
const MIN_PART_ROWS: usize = 64;

/// The most rows of a strip. 256 rows x 500 units are 512 KB of Z, inside an L2 of 1 MB with a slice of the weights beside
/// them; fewer rows would load and store each MR x NR tile of dW more often, and more share fewer units that are off.
const STRIP_ROWS: usize = 256;

/// The backend; holds the instruction set its kernels run on.
#[derive(Clone, Copy, Debug)]
pub struct Fused {
    isa: Isa,
}

impl Fused {
    /// The backend on `isa`.
    pub fn new(isa: Isa) -> Self {
        Self { isa }
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
        Box::new(FusedStep::new(self.isa, input, units))
    }
}

/// A batch packed for one layer, with the buffers its steps need.
struct FusedStep {
    isa: Isa,
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
    /// Input `i` is packed row `positions[i]` of the transposed panels and of the partial sums.
    positions: Vec<usize>,
    /// The packed columns of weights, Z and gradients.
    units: Units,
    /// The sum of the partial sums.
    total: Slices,
    /// One for each thread; never contended, because a thread runs one part at a time.
    workspaces: Vec<Mutex<Workspace>>,
}

/// A part's share of the batch's loss and gradient.
struct Partial {
    loss: f64,
    /// k (rounded up to MR) x u.
    kernel: Slices,
    /// 1 x u.
    bias: Slices,
    /// Each unit's largest `z` in the part, minus infinity where it was not computed: 1 x u.
    largest: Slices,
}

/// What one strip needs between its products.
struct Workspace {
    /// Z, then D: strip rows x u.
    z: Slices,
    /// The activations of one row's variants: v x u.
    h: Slices,
    /// Each unit's largest `z` in the strip, minus infinity where it was not computed: 1 x u.
    largest: Slices,
}

impl FusedStep {
    fn new(isa: Isa, input: Input<'_>, u: usize) -> Self {
        input.assert_shapes();
        let (k, samples, variants) = (input.k(), input.samples(), input.variants());
        let nr = isa.nr();
        let parts: Vec<Vec<Strip>> = partition(strip::base_rows(&input), k * u)
            .into_par_iter()
            .map(|strips| strips.into_iter().map(|rows| Strip::pack(&input, rows)).collect())
            .collect();
        let nonnegative = parts.iter().flatten().all(Strip::is_nonnegative);
        let strip_rows = parts.iter().flatten().map(Strip::rows).max().unwrap_or(0).next_multiple_of(MR);
        let per_row = parts.iter().flatten().map(Strip::variants_per_row).max().unwrap_or(1);
        let workspace = || Workspace {
            z: Slices::zeros(strip_rows, u, nr),
            h: Slices::zeros(per_row, u, nr),
            largest: Slices::zeros(1, u, nr),
        };
        Self {
            isa,
            k,
            u,
            samples,
            variants,
            parts,
            partials: Vec::new(),
            weights: Slices::zeros(k, u, nr),
            bias: Slices::zeros(1, u, nr),
            positions: Vec::new(),
            units: Units::new(u, nonnegative),
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

    fn load(&mut self, parameters: &Parameters) {
        self.weights.pack(&parameters.kernel, self.units.order());
        if parameters.bias.is_empty() {
            self.bias.fill(0.0);
        } else {
            self.bias.pack(&parameters.bias, self.units.order());
        }
    }

    /// Packs the transposes and allocates the partial sums, once.
    fn ready_for_gradients(&mut self) {
        if !self.partials.is_empty() {
            return;
        }
        let inputs = self.input_order();
        self.positions = vec![0; self.k];
        inputs.iter().enumerate().for_each(|(packed, &input)| self.positions[input as usize] = packed);
        self.parts.par_iter_mut().flatten().for_each(|strip| strip.pack_transposed(&inputs));
        let (u, nr) = (self.u, self.isa.nr());
        let rows = self.k.next_multiple_of(MR);
        self.total = Slices::zeros(rows, u, nr);
        self.partials = (0..self.parts.len())
            .map(|_| Partial {
                loss: 0.0,
                kernel: Slices::zeros(rows, u, nr),
                bias: Slices::zeros(1, u, nr),
                largest: Slices::zeros(1, u, nr),
            })
            .collect();
    }

    /// The order in which inputs form panels of the transpose. Pixels keep theirs, in which neighbours are inked
    /// together, and in which the epilogue adds the gradients of the label pixels. Units of the layer before are sorted by
    /// how often they are on: many are on or off for nearly all rows, and a panel of such units visits no more rows than
    /// they do.
    fn input_order(&self) -> Vec<u32> {
        let mut order: Vec<u32> = (0..self.k as u32).collect();
        if self.parts.iter().flatten().any(Strip::is_overlaid) {
            return order;
        }
        let mut counts = vec![0; self.k];
        self.parts.iter().flatten().for_each(|strip| strip.count_inputs(&mut counts));
        order.sort_by_key(|&input| std::cmp::Reverse(counts[input as usize]));
        order
    }

    /// Adds the partial sums up in their order; returns the loss, which is not yet divided by the rows.
    fn sum_partials(&mut self, gradient: &mut Parameters) -> f64 {
        let Self { u, ref partials, ref mut total, ref positions, ref units, .. } = *self;
        let units = units.order();
        total.sum_of(partials.iter().map(|partial| &partial.kernel));
        gradient
            .kernel
            .par_chunks_mut(u)
            .zip(positions)
            .for_each(|(row, &packed)| total.unpack_row(packed, units, row));
        if !gradient.bias.is_empty() {
            let mut total = Slices::zeros(1, u, self.isa.nr());
            total.sum_of(partials.iter().map(|partial| &partial.bias));
            total.unpack_row(0, units, &mut gradient.bias);
        }
        partials.iter().map(|partial| partial.loss).sum()
    }
}

/// Cuts `rows` rows into parts and each part into strips of nearly equal size, all of them whole panels but the last.
/// `weights` is the number of weights of the layer.
fn partition(rows: usize, weights: usize) -> Vec<Vec<std::ops::Range<usize>>> {
    let parts = (PARTIALS_BYTES / (weights * size_of::<f32>())).clamp(MIN_PARTS, PARTS);
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
        let columns = self.units.sort_for(parameters);
        let slices = columns.div_ceil(self.isa.nr());
        self.load(parameters);
        let Self { isa, ref parts, ref mut partials, ref weights, ref bias, ref workspaces, .. } = *self;
        let objective =
            strip::BatchObjective { objective: *objective, units: self.u, rows: self.samples * self.variants };
        parts.par_iter().zip(partials).for_each(|(strips, partial)| {
            let workspace = &mut *thread_workspace(workspaces);
            isa.run(PartGradient { strips, weights, bias, slices, objective, partial, workspace });
        });
        let loss = self.sum_partials(gradient) / objective.rows as f64;
        self.units.learn(columns, self.partials.iter().map(|partial| &partial.largest));
        loss
    }

    fn forward(&mut self, parameters: &Parameters, outputs: Option<&mut [f32]>, goodness: Option<&mut [f32]>) -> u64 {
        self.assert_shape(parameters);
        self.load(parameters);
        let rows: Vec<usize> = self.parts.iter().map(|strips| strips.iter().map(Strip::output_rows).sum()).collect();
        let outputs = split_rows(outputs, &rows, self.u);
        let goodness = split_rows(goodness, &rows, 1);
        let Self { isa, ref parts, ref weights, ref bias, ref units, ref workspaces, .. } = *self;
        let units = units.order();
        let jobs: Vec<_> = parts.iter().zip(outputs.into_iter().zip(goodness)).collect();
        jobs.into_par_iter()
            .map(|(strips, (outputs, goodness))| {
                let workspace = &mut *thread_workspace(workspaces);
                isa.run(PartForward { strips, weights, bias, units, outputs, goodness, workspace })
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

/// One part's loss and gradient.
struct PartGradient<'a> {
    strips: &'a [Strip],
    weights: &'a Slices,
    bias: &'a Slices,
    /// Slices to compute; the units of the rest are off.
    slices: usize,
    objective: strip::BatchObjective,
    partial: &'a mut Partial,
    workspace: &'a mut Workspace,
}

impl Kernel for PartGradient<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { strips, weights, bias, slices, objective, partial, workspace } = self;
        partial.loss = 0.0;
        partial.kernel.fill(0.0);
        partial.bias.fill(0.0);
        partial.largest.fill(f32::NEG_INFINITY);
        for strip in strips {
            product::forward(simd, strip.forward(), weights, slices, &mut workspace.z);
            epilogue::gradient(simd, strip, (weights, bias), slices, &objective, workspace, partial);
            product::accumulate(simd, strip.transposed(), &workspace.z, &workspace.largest, &mut partial.kernel);
            partial.largest.raise_to(&workspace.largest);
        }
    }
}

/// One part's activations and goodness; the result counts the activations above zero.
struct PartForward<'a> {
    strips: &'a [Strip],
    weights: &'a Slices,
    bias: &'a Slices,
    units: &'a [u32],
    outputs: Option<&'a mut [f32]>,
    goodness: Option<&'a mut [f32]>,
    workspace: &'a mut Workspace,
}

impl Kernel for PartForward<'_> {
    type Output = u64;

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) -> u64 {
        let mut active = 0;
        for strip in self.strips {
            product::forward(simd, strip.forward(), self.weights, self.weights.count(), &mut self.workspace.z);
            let rows = strip.output_rows();
            let outputs = self.outputs.as_mut().and_then(|rest| rest.split_off_mut(..rows * self.units.len()));
            let goodness = self.goodness.as_mut().and_then(|rest| rest.split_off_mut(..rows));
            let layer = (self.weights, self.bias);
            active += epilogue::outputs(simd, strip, layer, self.units, self.workspace, outputs, goodness);
        }
        active
    }
}
