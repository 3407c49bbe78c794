//! The fused f32 backend: a strip of rows goes through product, epilogue and gradient while it is in cache.
//!
//! ```text
//! for each part of the batch (in parallel)            parts depend on the batch alone, not on the threads
//!     for each strip of at most STRIP_ROWS rows
//!         Z  = X W                                    product.rs, zeros of X left out
//!         h  = max(scale Z + label W_label + b, 0)    epilogue.rs: goodness, loss, coefficient; Z becomes D
//!         dW += X^T D                                 product.rs, zeros of X left out
//! gradient = sum of the parts, in their order
//! ```
//!
//! What is saved exactly (all of it holds for any data): the image product of layer 1 serves every label overlaid on the
//! image, and one gradient product serves positive and negative; `1/255` and the norm are a row scale after the product;
//! zeros of the input are left out of both products, dead pixels with them; nothing of size n x u reaches memory.
//!
//! Relies on [`crate::panels`] and [`crate::slices`] for packing and on [`crate::simd`] for the vectors.

mod epilogue;
mod product;
mod strip;

use std::sync::Mutex;

use rayon::prelude::*;

use crate::isa::Isa;
use crate::objective::{Objective, TRAINING_VARIANTS};
use crate::simd::{Kernel, MR, Simd};
use crate::slices::Slices;
use crate::step::{Backend, Input, LayerStep, Parameters};
use strip::Strip;

/// Partial gradient sums of a batch. A fixed number makes the sum independent of the threads; 32 keep 16 threads busy
/// with two parts each and cost 32 x 1.6 MB of traffic for a 784 x 500 layer, about 2% of its step on two cores.
const PARTS: usize = 32;

/// The fewest rows worth a partial sum of their own: clearing and adding a k x u sum costs about as much as the products
/// of a few rows.
const MIN_PART_ROWS: usize = 64;

/// The most rows of a strip. 512 rows x 500 units are 1 MB of Z, read twice from L2 or L3 and never from memory; the
/// gradient loads and stores each MR x NR tile of dW once for this many rows.
const STRIP_ROWS: usize = 512;

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
}

/// What one strip needs between its products.
struct Workspace {
    /// Z, then D: strip rows x u.
    z: Slices,
    /// The activations of one row's variants: v x u.
    h: Slices,
}

impl FusedStep {
    fn new(isa: Isa, input: Input<'_>, u: usize) -> Self {
        input.assert_shapes();
        let (k, samples, variants) = (input.k(), input.samples(), input.variants());
        let nr = isa.nr();
        let parts: Vec<Vec<Strip>> = partition(strip::base_rows(&input))
            .into_par_iter()
            .map(|strips| strips.into_iter().map(|rows| Strip::pack(&input, rows)).collect())
            .collect();
        let strip_rows = parts.iter().flatten().map(Strip::rows).max().unwrap_or(0).next_multiple_of(MR);
        let per_row = parts.iter().flatten().map(Strip::variants_per_row).max().unwrap_or(1);
        let workspace = || Workspace { z: Slices::zeros(strip_rows, u, nr), h: Slices::zeros(per_row, u, nr) };
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
            workspaces: (0..rayon::current_num_threads()).map(|_| Mutex::new(workspace())).collect(),
        }
    }

    fn load(&mut self, parameters: &Parameters) {
        assert_eq!((parameters.k, parameters.u), (self.k, self.u), "parameters of the prepared shape");
        self.weights.pack(&parameters.kernel);
        self.bias.pack(&parameters.bias);
    }

    /// Packs the transposes and allocates the partial sums, once.
    fn ready_for_gradients(&mut self) {
        if !self.partials.is_empty() {
            return;
        }
        let (k, u, nr) = (self.k, self.u, self.isa.nr());
        self.parts.par_iter_mut().flatten().for_each(Strip::pack_transposed);
        self.partials = (0..self.parts.len())
            .map(|_| Partial {
                loss: 0.0,
                kernel: Slices::zeros(k.next_multiple_of(MR), u, nr),
                bias: Slices::zeros(1, u, nr),
            })
            .collect();
    }

    /// Adds the partial sums up in their order; returns the loss, which is not yet divided by the rows.
    fn sum_partials(&self, gradient: &mut Parameters) -> f64 {
        assert_eq!((gradient.k, gradient.u), (self.k, self.u), "a gradient of the prepared shape");
        let partials = &self.partials;
        // Blocks of rows, so that a thread reads whole pages of each partial sum.
        const BLOCK: usize = 16;
        gradient.kernel.par_chunks_mut(BLOCK * self.u).enumerate().for_each(|(block, rows)| {
            let (first, count, nr) = (block * BLOCK, rows.len() / self.u, self.isa.nr());
            let mut total = vec![0.0; count * nr];
            for j in 0..self.weights.count() {
                total.fill(0.0);
                for partial in partials {
                    let part = &partial.kernel.slice(j)[first * nr..][..count * nr];
                    total.iter_mut().zip(part).for_each(|(total, part)| *total += part);
                }
                for (row, total) in rows.chunks_exact_mut(self.u).zip(total.chunks_exact(nr)) {
                    let width = nr.min(self.u - j * nr);
                    row[j * nr..][..width].copy_from_slice(&total[..width]);
                }
            }
        });
        let mut row = vec![0.0; self.u];
        let mut total = vec![0.0; self.u];
        for partial in partials {
            partial.bias.unpack_row(0, &mut row);
            total.iter_mut().zip(&row).for_each(|(total, part)| *total += part);
        }
        let bias_units = gradient.bias.len();
        gradient.bias.copy_from_slice(&total[..bias_units]);
        partials.iter().map(|partial| partial.loss).sum()
    }
}

/// Cuts `rows` rows into parts and each part into strips of nearly equal size, all of them whole panels but the last.
fn partition(rows: usize) -> Vec<Vec<std::ops::Range<usize>>> {
    let part_rows = rows.div_ceil(PARTS).max(MIN_PART_ROWS).next_multiple_of(MR);
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
        self.ready_for_gradients();
        self.load(parameters);
        let Self { isa, ref parts, ref mut partials, ref weights, ref bias, ref workspaces, .. } = *self;
        let objective =
            strip::BatchObjective { objective: *objective, units: self.u, rows: self.samples * self.variants };
        parts.par_iter().zip(partials).for_each(|(strips, partial)| {
            let workspace = &mut *thread_workspace(workspaces);
            isa.run(PartGradient { strips, weights, bias, objective, partial, workspace });
        });
        self.sum_partials(gradient) / objective.rows as f64
    }

    fn forward(&mut self, parameters: &Parameters, outputs: Option<&mut [f32]>, goodness: Option<&mut [f32]>) -> u64 {
        self.load(parameters);
        let rows: Vec<usize> = self.parts.iter().map(|strips| strips.iter().map(Strip::output_rows).sum()).collect();
        let outputs = split_rows(outputs, &rows, self.u);
        let goodness = split_rows(goodness, &rows, 1);
        let Self { isa, ref parts, ref weights, ref bias, ref workspaces, .. } = *self;
        let jobs: Vec<_> = parts.iter().zip(outputs.into_iter().zip(goodness)).collect();
        jobs.into_par_iter()
            .map(|(strips, (outputs, goodness))| {
                let workspace = &mut *thread_workspace(workspaces);
                isa.run(PartForward { strips, weights, bias, units: self.u, outputs, goodness, workspace })
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
    objective: strip::BatchObjective,
    partial: &'a mut Partial,
    workspace: &'a mut Workspace,
}

impl Kernel for PartGradient<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { strips, weights, bias, objective, partial, workspace } = self;
        partial.loss = 0.0;
        partial.kernel.clear();
        partial.bias.clear();
        for strip in strips {
            product::forward(simd, strip.forward(), weights, &mut workspace.z);
            epilogue::gradient(simd, strip, weights, bias, &objective, workspace, partial);
            product::accumulate(simd, strip.transposed(), &workspace.z, &mut partial.kernel);
        }
    }
}

/// One part's activations and goodness; the result counts the activations above zero.
struct PartForward<'a> {
    strips: &'a [Strip],
    weights: &'a Slices,
    bias: &'a Slices,
    units: usize,
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
            product::forward(simd, strip.forward(), self.weights, &mut self.workspace.z);
            let rows = strip.output_rows();
            let outputs = self.outputs.as_mut().and_then(|rest| rest.split_off_mut(..rows * self.units));
            let goodness = self.goodness.as_mut().and_then(|rest| rest.split_off_mut(..rows));
            active +=
                epilogue::outputs(simd, strip, self.weights, self.bias, self.units, self.workspace, outputs, goodness);
        }
        active
    }
}
