//! Prediction: every label tried on every image, images x k x u of layer 1, both layers counted.

use std::hint::black_box;

use super::digits::Digits;
use super::{CLASSES, FLOAT, PIXELS, PreparedKernel, SEED, SIDE, Size, THRESHOLD, UNITS, Work, Workload, count, shape};
use crate::fused::Fused;
use crate::isa::Isa;
use crate::network::{Initial, Initializer, Network};
use crate::predict::goodness;
use crate::recipe::Recipe;

/// Images of one run.
const IMAGES: usize = 1_000;

pub(super) fn workloads(isas: &[Isa], size: Size) -> Vec<Workload> {
    let images = size.rows(IMAGES);
    let weights = (PIXELS + UNITS) * UNITS;
    let work = Work {
        op: "predict/ten labels".to_owned(),
        shape: shape(&[images, PIXELS, UNITS, UNITS]),
        flops: count(&[2, images, CLASSES, weights]),
        bytes: count(&[images, PIXELS]) + FLOAT * count(&[weights]),
    };
    isas.iter().map(|&isa| work.on(isa, move || prepare(isa, size))).collect()
}

/// The reference network before training, on digits.
fn prepare(isa: Isa, size: Size) -> PreparedKernel {
    let initial = Initial { use_bias: true, kernel: Initializer::GlorotUniform, bias: Initializer::Zeros };
    let network = Network::new(SIDE, SIDE, CLASSES, &[UNITS, UNITS], initial, SEED);
    let pixels = &Digits::of(size).pixels[..size.rows(IMAGES) * PIXELS];
    let (recipe, backend) = (Recipe::keras(THRESHOLD), Fused::new(isa));
    Box::new(move || _ = black_box(goodness(&network, &recipe, &backend, pixels)))
}
