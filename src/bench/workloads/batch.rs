//! A pass over 60,000 digits in mini-batches, every layer of 784-1000-1000-1000 updated on each batch, beside one step of each
//! layer on all of them as one batch: what small batches cost beyond their arithmetic.
//!
//! Both count the same operations: forward and gradient products of positive and negative rows, as the algorithm is written.
//! Weights are random, so that about half of the units are on, and all strips of the one batch are dense.

use std::hint::black_box;

use super::{CLASSES, FLOAT, PIXELS, Run, SEED, SIDE, Work, Workload, count, random, shape};
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
    let whole = work("of all samples");
    let on = |&isa: &Isa| [small.on(isa, move || mini_batches(isa)), whole.on(isa, move || one_batch(isa))];
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

impl Samples {
    fn of(numbers: Vec<u32>, drawn: &[u8]) -> Self {
        let positive: Vec<u8> = numbers.iter().map(|&s| drawn[s as usize]).collect();
        let negative = positive.iter().zip(0..).map(|(label, i)| (label + 1 + i % 9) % CLASSES as u8).collect();
        Self { numbers, labels: [positive, negative] }
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
    let (pixels, drawn) = digits::draw(0..DIGITS);
    // Batches as a shuffled set has them: nothing is alike.
    let stride = 7_919 + SEED as usize;
    let shuffled: Vec<u32> = (0..DIGITS).map(|i| (i * stride % DIGITS) as u32).collect();
    let batches: Vec<Samples> = shuffled.chunks(BATCH).map(|batch| Samples::of(batch.to_vec(), &drawn)).collect();
    let (backend, recipe, optimizer) = (Fused::new(isa), super::step::recipe(), Optimizer::new(isa, RULE));
    let mut layers: Vec<Layer> = shapes().map(|shape| Layer::new(&backend, &recipe, shape, BATCH)).collect();
    Box::new(move || {
        for batch in &batches {
            train(&mut layers, batch.images(&pixels), optimizer);
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

/// Each layer keeps all samples as one batch, in the order of training.
fn one_batch(isa: Isa) -> Run {
    let (pixels, drawn) = digits::draw(0..DIGITS);
    let alike = kd_order::images(&pixels, SIDE, SIDE);
    let samples = Samples::of(alike, &drawn);
    let backend = Fused::new(isa).with_sparse_below(0.0);
    let (recipe, optimizer) = (super::step::recipe(), Optimizer::new(isa, RULE));
    let mut layers: Vec<Layer> = Vec::new();
    for shape in shapes() {
        let mut layer = Layer::new(&backend, &recipe, shape, DIGITS);
        let input = layers.last().map_or(samples.images(&pixels), |Layer { outputs: rows, .. }| {
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
