//! One inner step of each layer, forward and gradient: rows x k x u, where positive and negative rows count apart.
//!
//! Images are digits. Activations are random: dense, as in the first outer epochs, or 95% zeros, as in the last. In
//! these three, half of the units are on, because weights are random. In those called `few on` each unit is on in 5% of
//! the rows; these are computed both ways, with all strips dense and with all of them sparse.

use std::hint::black_box;

use rand::RngExt;
use rayon::prelude::*;

use super::digits::Digits;
use super::{
    CLASSES, FLOAT, LIBRARY, PIXELS, PreparedKernel, SAMPLES, Size, THRESHOLD, UNITS, Work, Workload, count, generator,
    random, shape,
};
use crate::backend::{Backend, LayerBackend, Use};
use crate::batch::{Activations, Images, Input, TRAINING_VARIANTS};
use crate::fused::Fused;
use crate::isa::Isa;
use crate::parameters::Parameters;
use crate::recipe::{Recipe, squared_norm};
use crate::reference::Reference;

/// Names of the two forms of a strip, and below which share of units on a strip becomes sparse.
const FORMS: [(&str, f64); 2] = [("dense form", 0.0), ("sparse form", 2.0)];

/// The share of rows in which a unit is on, where few are.
const FEW: f64 = 0.05;

/// What a step is taken on.
pub(super) struct Batch {
    pub rows: Rows,
    pub parameters: Parameters,
}

/// The input rows of a layer.
pub(super) enum Rows {
    Images(Images<'static>),
    /// Row-major, of [`UNITS`] activations each.
    Activations(Vec<f32>),
}

impl Rows {
    /// The rows as a backend is given them.
    pub fn input(&self) -> Input<'_> {
        match self {
            Self::Images(images) => Input::Images(*images),
            Self::Activations(rows) => Input::Activations(Activations { rows, k: UNITS, variants: TRAINING_VARIANTS }),
        }
    }
}

/// The recipe of the reference problem.
pub(super) fn recipe() -> Recipe {
    Recipe::keras(THRESHOLD)
}

/// A layer on `backend` that has been given `batch`.
fn layer(backend: &dyn Backend, Batch { rows, parameters }: &Batch, wanted: Use) -> Box<dyn LayerBackend> {
    let mut layer = backend.layer(&recipe(), parameters.k, parameters.u);
    layer.begin(&rows.input(), wanted);
    layer
}

/// What a layer puts out for `batch`.
pub(super) fn outputs(isa: Isa, batch: &Batch, size: Size) -> Vec<f32> {
    let mut outputs = vec![0.0; rows(size) * UNITS];
    layer(&Fused::new(isa), batch, Use::Inference).forward(&batch.parameters, Some(&mut outputs), None);
    outputs
}

/// Makes a batch; what has to be computed for it is computed on the instruction set.
type Make = fn(Isa, Size) -> Batch;

pub(super) fn workloads(backends: &[Fused], size: Size) -> Vec<Workload> {
    let random: [(&str, usize, Make); 3] = [
        ("images", PIXELS, |_, size| images(size)),
        ("activations dense", UNITS, |_, size| activations(size, 1.0)),
        ("activations 5%", UNITS, |_, size| activations(size, 0.05)),
    ];
    let few_on: [(&str, usize, Make); 2] =
        [("images, few on", PIXELS, images_few_on), ("activations, few on", UNITS, activations_few_on)];
    let random = random.into_iter().flat_map(|(name, k, make)| as_it_comes(name, k, backends, size, make));
    let few_on = few_on
        .into_iter()
        .flat_map(|(name, k, make)| in_both_forms(name, k, size, backends, move |isa| make(isa, size)));
    random.chain(few_on).collect()
}

/// The fused backend, and the reference backend beside it.
fn as_it_comes(name: &str, k: usize, backends: &[Fused], size: Size, make: Make) -> Vec<Workload> {
    let ours = work(name, k, size);
    let on = |&backend: &Fused| ours.on_backend(backend, move |backend| prepare(&backend, make(backend.isa(), size)));
    let mut list: Vec<Workload> = backends.iter().map(on).collect();
    // No step depends on the reference backend's own instruction set, which is the optimiser's.
    let best = Isa::best();
    let reference = move || prepare(&Reference::new(best), make(best, size));
    list.push(work(&format!("{name} reference"), k, size).on(LIBRARY, reference));
    list
}

/// The fused backend with all strips dense, and with all of them sparse.
pub(super) fn in_both_forms(
    name: &str,
    k: usize,
    size: Size,
    backends: &[Fused],
    make: impl Fn(Isa) -> Batch + Copy + Send + Sync + 'static,
) -> Vec<Workload> {
    let in_form = |(form, share)| {
        let work = work(&format!("{name}, {form}"), k, size);
        let on = |&backend: &Fused| {
            let in_form = backend.with_sparse_below(share);
            work.on_backend(in_form, move |backend| prepare(&backend, make(backend.isa())))
        };
        backends.iter().map(on).collect::<Vec<_>>()
    };
    FORMS.into_iter().flat_map(in_form).collect()
}

/// Two products of all rows, each with two operations for a multiply-add; inputs and weights are read, the gradient is
/// written.
fn work(name: &str, k: usize, size: Size) -> Work {
    let rows = rows(size);
    Work {
        op: format!("step/{name}"),
        shape: shape(&[rows, k, UNITS]),
        flops: count(&[2, 2, rows, k, UNITS]),
        bytes: input_bytes(k, size) + FLOAT * count(&[2, k, UNITS]),
    }
}

/// Rows of a batch, positive and negative.
pub(super) fn rows(size: Size) -> usize {
    TRAINING_VARIANTS * size.rows(SAMPLES)
}

/// Bytes of a batch as it is given: a byte for each pixel of a sample, a float for each activation of a row.
pub(super) fn input_bytes(k: usize, size: Size) -> u64 {
    if k == PIXELS { count(&[size.rows(SAMPLES), k]) } else { FLOAT * count(&[rows(size), k]) }
}

/// Steps on one batch, the first already taken: it decides on the form of the strips, and packs them.
fn prepare(backend: &dyn Backend, batch: Batch) -> PreparedKernel {
    let mut layer = layer(backend, &batch, Use::ManySteps);
    let parameters = batch.parameters;
    let mut gradient = Parameters::zeros(parameters.k, parameters.u, true);
    let mut step = move || _ = black_box(layer.gradient(&parameters, &mut gradient, None));
    step();
    Box::new(step)
}

/// Layer 1 with random weights.
pub(super) fn images(size: Size) -> Batch {
    Batch { rows: Rows::Images(Digits::of(size).images()), parameters: random_parameters(PIXELS) }
}

/// Layer 2 with random weights and activations, of which `share` are not zero.
pub(super) fn activations(size: Size, share: f64) -> Batch {
    let rng = &mut generator();
    let value = |_| if rng.random_bool(share) { rng.random_range(0.1..1.0) } else { 0.0 };
    let rows = (0..rows(size) * UNITS).map(value).collect();
    Batch { rows: Rows::Activations(rows), parameters: random_parameters(UNITS) }
}

fn random_parameters(k: usize) -> Parameters {
    Parameters { k, u: UNITS, kernel: random(k * UNITS, -0.07..0.07), bias: random(UNITS, -0.07..0.07) }
}

fn images_few_on(isa: Isa, size: Size) -> Batch {
    let images = Digits::of(size).images();
    let overlaid: Vec<f32> = (0..UNITS).flat_map(|unit| positive_row(&images, unit)).collect();
    few_on(isa, &overlaid, Rows::Images(images), size)
}

/// What a layer 1 with few units on puts out.
fn activations_few_on(isa: Isa, size: Size) -> Batch {
    let hidden = outputs(isa, &images_few_on(isa, size), size);
    let first_rows: Vec<f32> =
        (0..UNITS).flat_map(|unit| &hidden[spread(unit, rows(size)) * UNITS..][..UNITS]).copied().collect();
    few_on(isa, &first_rows, Rows::Activations(hidden), size)
}

/// One of `count` things for each unit, spread evenly.
fn spread(unit: usize, count: usize) -> usize {
    unit * count / UNITS
}

/// The positive row of one sample for each unit.
fn positive_row(images: &Images<'_>, unit: usize) -> Vec<f32> {
    let s = spread(unit, images.samples.len());
    let mut row = vec![0.0; PIXELS];
    recipe().labels.overlay(images.image(s), images.label(s, 0), CLASSES, &mut row);
    row
}

/// A layer each of whose units is on in the [`FEW`] rows of the input most like its own of `prototypes` (u x k, none
/// negative): its weights are the prototype, normalised, and its bias takes off what the other rows reach.
fn few_on(isa: Isa, prototypes: &[f32], rows: Rows, size: Size) -> Batch {
    let k = prototypes.len() / UNITS;
    let mut parameters = Parameters::zeros(k, UNITS, true);
    for (unit, prototype) in prototypes.chunks_exact(k).enumerate() {
        let scale = recipe().normalisation.scale(squared_norm(prototype), k);
        (0..k).for_each(|i| parameters.kernel[i * UNITS + unit] = scale * prototype[i]);
    }
    let mut batch = Batch { rows, parameters };
    let z = outputs(isa, &batch, size);
    batch.parameters.bias.par_iter_mut().enumerate().for_each(|(unit, bias)| {
        let mut column: Vec<f32> = z.iter().skip(unit).step_by(UNITS).copied().collect();
        let few = (FEW * column.len() as f64) as usize;
        *bias = -*column.select_nth_unstable_by(few, |a, b| b.total_cmp(a)).1;
    });
    batch
}
