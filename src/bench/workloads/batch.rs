//! A pass over 60,000 digits in mini-batches, which updates every layer of 784-1000-1000-1000 on each of them, beside
//! one step of each layer on all digits as one batch. The difference is what small batches cost beyond their
//! arithmetic.
//!
//! All count the same operations: the forward and gradient products of positive and negative rows, as the algorithm is
//! written. Weights are random. The bias of a unit turns it on in half of the rows, because the one batch would leave
//! out a unit that is off everywhere, and all strips of the one batch are dense. The one batch is measured in two
//! orders. In the order of the mini-batches both leave out the same zeros. In the order in which training takes a whole
//! set, neighbours share more zeros.

use std::hint::black_box;

use rand::seq::SliceRandom;
use rayon::prelude::*;

use super::{CLASSES, FLOAT, PIXELS, PreparedKernel, SIDE, Work, Workload, count, generator, random, shape};
use crate::backend::{Backend, LayerBackend, Use};
use crate::batch::{Activations, Images, Input, Overlay, TRAINING_VARIANTS};
use crate::data::digits;
use crate::fused::Fused;
use crate::isa::Isa;
use crate::kd_order;
use crate::optimizer::{Optimizer, OptimizerState, Rule};
use crate::parameters::Parameters;
use crate::update::{L2, Update};

/// Digits of a pass.
const DIGITS: usize = 60_000;

/// Samples of a mini-batch.
const BATCH: usize = 500;

/// Units of each layer.
const UNITS: [usize; 3] = [1_000; 3];

/// A rate at which the weights of many passes stay what they are.
const RULE: Rule = Rule::Sgd { lr: 1e-9, momentum: 0.9 };

/// The pass in mini-batches, and the step on one batch. Not part of [`all`](super::all): each takes seconds.
pub fn batches(isas: &[Isa]) -> Vec<Workload> {
    let weights: usize = shapes().map(|(k, u)| k * u).sum();
    let work = |what: &str| Work {
        op: format!("batch/{what}"),
        shape: shape(&[DIGITS, PIXELS, UNITS[0], UNITS[1], UNITS[2]]),
        flops: count(&[2, 2, TRAINING_VARIANTS, DIGITS, weights]),
        bytes: count(&[DIGITS, PIXELS]) + FLOAT * count(&[2, weights]),
    };
    let small = work(&format!("of {BATCH} samples"));
    let (same, whole) = (work("of all samples, order of mini-batches"), work("of all samples"));
    let on = |&isa: &Isa| {
        [
            small.on(isa, move || mini_batches(isa)),
            same.on(isa, move || one_batch(isa, &shuffled())),
            whole.on(isa, move || one_batch(isa, &[(0..DIGITS as u32).collect()])),
        ]
    };
    isas.iter().flat_map(on).collect()
}

/// k and u of each layer.
fn shapes() -> impl Iterator<Item = (usize, usize)> {
    std::iter::once(PIXELS).chain(UNITS).zip(UNITS)
}

/// A layer in training.
struct Layer {
    backend: Box<dyn LayerBackend>,
    parameters: Parameters,
    gradient: Parameters,
    state: OptimizerState,
    /// Rows x u.
    outputs: Vec<f32>,
}

impl Layer {
    fn new(backend: &dyn Backend, (k, u): (usize, usize)) -> Self {
        let parameters = Parameters { k, u, kernel: random(k * u, -0.07..0.07), bias: vec![0.0; u] };
        Self {
            backend: backend.layer(&super::step::recipe(), k, u),
            gradient: parameters.clone(),
            state: OptimizerState::new(RULE, &parameters),
            parameters,
            outputs: Vec::new(),
        }
    }

    /// The input of the next layer.
    fn outputs_as_input(&self) -> Input<'_> {
        Input::Activations(Activations { rows: &self.outputs, k: self.parameters.u, variants: TRAINING_VARIANTS })
    }
}

/// Samples in the order of a batch, and their labels.
#[derive(Clone)]
struct Samples {
    numbers: Vec<u32>,
    labels: [Vec<u8>; TRAINING_VARIANTS],
}

/// The digits, and their order.
struct Digits {
    pixels: Vec<u8>,
    drawn: Vec<u8>,
    /// Each digit's place in an order in which neighbours look alike.
    places: Vec<u32>,
}

impl Digits {
    fn draw() -> Self {
        let (pixels, drawn) = digits::draw(0..DIGITS);
        let places = kd_order::places(pixels.chunks_exact(PIXELS), SIDE, SIDE);
        Self { pixels, drawn, places }
    }

    /// The digits `numbers` in the order of training: those of one label pair together, and among these those alike.
    fn samples(&self, mut numbers: Vec<u32>) -> Samples {
        let positive = |s: u32| self.drawn[s as usize];
        let negative = |s: u32| (positive(s) + 1 + (s % 9) as u8) % CLASSES as u8;
        numbers.sort_by_key(|&s| (positive(s), negative(s), self.places[s as usize]));
        let labels = [numbers.iter().map(|&s| positive(s)).collect(), numbers.iter().map(|&s| negative(s)).collect()];
        Samples { numbers, labels }
    }
}

/// The numbers of all digits, shuffled, in mini-batches.
fn shuffled() -> Vec<Vec<u32>> {
    let mut numbers: Vec<u32> = (0..DIGITS as u32).collect();
    numbers.shuffle(&mut generator());
    numbers.chunks(BATCH).map(<[u32]>::to_vec).collect()
}

impl Samples {
    /// Batches one behind the other as one.
    fn chain(batches: impl Iterator<Item = Self>) -> Self {
        let mut all = Self { numbers: Vec::new(), labels: Default::default() };
        for Self { numbers, labels } in batches {
            all.numbers.extend(numbers);
            all.labels.iter_mut().zip(labels).for_each(|(all, labels)| all.extend(labels));
        }
        all
    }

    fn images<'a>(&'a self, pixels: &'a [u8]) -> Input<'a> {
        let Self { numbers, labels } = self;
        Input::Images(Images {
            pixels: pixels.into(),
            k: PIXELS,
            samples: numbers,
            classes: CLASSES,
            overlay: Overlay::Labels(labels),
        })
    }
}

/// Every layer is updated on each batch, whose activations go on to the next layer.
fn mini_batches(isa: Isa) -> PreparedKernel {
    let digits = Digits::draw();
    let batches: Vec<Samples> = shuffled().into_iter().map(|batch| digits.samples(batch)).collect();
    let (backend, optimizer) = (Fused::new(isa), Optimizer::new(isa, RULE));
    let mut layers: Vec<Layer> = shapes().map(|shape| Layer::new(&backend, shape)).collect();
    balance(&mut layers, Samples::chain(batches.iter().cloned()).images(&digits.pixels));
    layers.iter_mut().for_each(|layer| layer.outputs = vec![0.0; TRAINING_VARIANTS * BATCH * layer.parameters.u]);
    Box::new(move || {
        for batch in &batches {
            train(&mut layers, batch.images(&digits.pixels), optimizer);
        }
        black_box(&layers.last().expect("three layers").parameters);
    })
}

/// One step of each layer on a mini-batch.
fn train(layers: &mut [Layer], images: Input<'_>, optimizer: Optimizer) {
    for index in 0..layers.len() {
        let (before, rest) = layers.split_at_mut(index);
        let Layer { backend, parameters, gradient, state, outputs } = &mut rest[0];
        let input = before.last().map_or(images, |before| before.outputs_as_input());
        backend.begin(&input, Use::OneStep);
        let update = Update { optimizer, state, rate: 1.0, l2: L2::default(), peers: None };
        backend.step(parameters, gradient, Some(outputs), update);
        backend.keep_parameters();
    }
}

/// Gives each layer biases under which each unit is on in half of the rows of `images`. Afterwards each layer's outputs
/// are those of this batch.
fn balance(layers: &mut [Layer], images: Input<'_>) {
    /// Above any `z` of normalised rows under these weights, so that ReLU cuts nothing.
    const HIGH: f32 = 10.0;
    for index in 0..layers.len() {
        let (before, rest) = layers.split_at_mut(index);
        let Layer { backend, parameters, outputs, .. } = &mut rest[0];
        let input = before.last().map_or(images, |before| before.outputs_as_input());
        outputs.resize(input.rows() * parameters.u, 0.0);
        backend.begin(&input, Use::Inference);
        parameters.bias.fill(HIGH);
        backend.forward(parameters, Some(outputs), None);
        parameters.bias.par_iter_mut().enumerate().for_each(|(unit, bias)| {
            let mut column: Vec<f32> = outputs.iter().skip(unit).step_by(parameters.u).copied().collect();
            let middle = column.len() / 2;
            *bias = HIGH - *column.select_nth_unstable_by(middle, f32::total_cmp).1;
        });
        backend.forward(parameters, Some(outputs), None);
        backend.end();
    }
}

/// Each layer keeps the digits of all `batches` as one batch.
fn one_batch(isa: Isa, batches: &[Vec<u32>]) -> PreparedKernel {
    let digits = Digits::draw();
    let samples = Samples::chain(batches.iter().map(|batch| digits.samples(batch.clone())));
    let (backend, optimizer) = (Fused::new(isa).with_sparse_below(0.0), Optimizer::new(isa, RULE));
    let mut layers: Vec<Layer> = shapes().map(|shape| Layer::new(&backend, shape)).collect();
    balance(&mut layers, samples.images(&digits.pixels));
    for index in 0..layers.len() {
        let (before, rest) = layers.split_at_mut(index);
        let input = before.last().map_or(samples.images(&digits.pixels), |before| before.outputs_as_input());
        rest[0].backend.begin(&input, Use::ManySteps);
    }
    layers.iter_mut().for_each(|layer| layer.outputs = Vec::new());
    let mut run = move || {
        for Layer { backend, parameters, gradient, state, .. } in &mut layers {
            black_box(backend.gradient(parameters, gradient, None));
            optimizer.update(state, parameters, gradient, 1.0);
        }
    };
    // The first step packs what the others find packed.
    run();
    Box::new(run)
}
