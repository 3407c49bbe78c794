//! A pass over 60,000 digits in mini-batches, every layer of 784-1000-1000-1000 updated on each batch, beside one step of each
//! layer on all of them as one batch: what small batches cost beyond their arithmetic.
//!
//! All count the same operations: forward and gradient products of positive and negative rows, as the algorithm is written.
//! Weights are random, so that about half of the units are on, and all strips of the one batch are dense. The one batch is
//! taken twice: in the order of the mini-batches, whose zeros are then the same and are left out alike, and in the order in
//! which training takes a whole set, where neighbours share more zeros.

use std::hint::black_box;

use rand::seq::SliceRandom;

use super::{CLASSES, FLOAT, PIXELS, Run, SIDE, Work, Workload, count, generator, random, shape};
use crate::backend::{Backend, LayerBackend, Use};
use crate::batch::{Activations, Images, Input, Overlay, TRAINING_VARIANTS};
use crate::data::digits;
use crate::fused::Fused;
use crate::isa::Isa;
use crate::kd_order;
use crate::optimizer::{Optimizer, OptimizerState, Rule};
use crate::parameters::Parameters;
use crate::recipe::Recipe;

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
    fn new(backend: &dyn Backend, recipe: &Recipe, (k, u): (usize, usize), samples: usize) -> Self {
        let parameters = Parameters { k, u, kernel: random(k * u, -0.07..0.07), bias: random(u, -0.07..0.07) };
        Self {
            backend: backend.layer(recipe, k, u),
            gradient: parameters.clone(),
            state: OptimizerState::new(RULE, &parameters),
            parameters,
            outputs: vec![0.0; TRAINING_VARIANTS * samples * u],
        }
    }
}

/// Samples in the order of a batch, and their labels.
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
        let places = kd_order::places(&pixels, SIDE, SIDE);
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
            pixels,
            k: PIXELS,
            samples: numbers,
            classes: CLASSES,
            overlay: Overlay::Labels(labels),
        })
    }
}

/// Every layer is updated on each batch, whose activations go on to the next layer.
fn mini_batches(isa: Isa) -> Run {
    let digits = Digits::draw();
    let batches: Vec<Samples> = shuffled().into_iter().map(|batch| digits.samples(batch)).collect();
    let (backend, recipe, optimizer) = (Fused::new(isa), super::step::recipe(), Optimizer::new(isa, RULE));
    let mut layers: Vec<Layer> = shapes().map(|shape| Layer::new(&backend, &recipe, shape, BATCH)).collect();
    Box::new(move || {
        for batch in &batches {
            train(&mut layers, batch.images(&digits.pixels), optimizer);
        }
        black_box(&layers.last().expect("three layers").parameters);
    })
}

/// One gradient and one update of each layer on a mini-batch.
fn train(layers: &mut [Layer], images: Input<'_>, optimizer: Optimizer) {
    for index in 0..layers.len() {
        let (before, rest) = layers.split_at_mut(index);
        let Layer { backend, parameters, gradient, state, outputs } = &mut rest[0];
        let input = before.last().map_or(images, |Layer { outputs: rows, .. }| {
            Input::Activations(Activations { rows, k: parameters.k, variants: TRAINING_VARIANTS })
        });
        backend.begin(&input, Use::OneStep);
        backend.gradient(parameters, gradient, Some(outputs));
        optimizer.update(state, parameters, gradient, 1.0);
    }
}

/// Each layer keeps the digits of all `batches` as one batch.
fn one_batch(isa: Isa, batches: &[Vec<u32>]) -> Run {
    let digits = Digits::draw();
    let samples = Samples::chain(batches.iter().map(|batch| digits.samples(batch.clone())));
    let backend = Fused::new(isa).with_sparse_below(0.0);
    let (recipe, optimizer) = (super::step::recipe(), Optimizer::new(isa, RULE));
    let mut layers: Vec<Layer> = Vec::new();
    for shape in shapes() {
        let mut layer = Layer::new(&backend, &recipe, shape, DIGITS);
        let input = layers.last().map_or(samples.images(&digits.pixels), |Layer { outputs: rows, .. }| {
            Input::Activations(Activations { rows, k: shape.0, variants: TRAINING_VARIANTS })
        });
        layer.backend.begin(&input, Use::ManySteps);
        layer.backend.forward(&layer.parameters, Some(&mut layer.outputs), None);
        layers.push(layer);
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
