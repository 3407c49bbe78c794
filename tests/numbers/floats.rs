//! Samples of floats: of either sign, sparse, tiny and huge, all zeros, with the label in front of them. Every backend
//! learns from them what the reference backend does, on any number of threads, and images of floats are those of bytes.

use crate::bf16;
use crate::common;
use ffwd::backend::Backend;
use ffwd::checkpoint::weights_sha256;
use ffwd::labels::{Label, LabelStyle};
use ffwd::network::Network;
use ffwd::pixels::{Floats, Image, Pixels};
use ffwd::predict::{self, By};
use ffwd::train::{EpochReport, Trainer, TrainingSet, TrainingState};
use rand::RngExt;

const CLASSES: usize = 4;
const OF_SAMPLE: usize = 37;

/// Steps on one batch, steps on mini-batches of all layers, and back-propagation.
const RECIPES: [&str; 3] = [
    "preset = \"keras\"\ninner_steps = 8",
    "preset = \"quick\"\nbatch = 50",
    "preset = \"backprop\"\nbatch = 50\ninput_dropout = 0.0",
];

/// 230 samples, some of them all zeros, of which a third of the floats are not zero, times `factor`.
fn samples(factor: f32) -> (Vec<f32>, Vec<u8>) {
    let rng = &mut common::rng(3);
    let count = 230;
    let mut value = |index: usize| match rng.random_range(0..3) {
        0 if !(index / OF_SAMPLE).is_multiple_of(50) => factor * rng.random_range(-2.0_f32..3.0),
        _ => 0.0,
    };
    ((0..count * OF_SAMPLE).map(&mut value).collect(), common::labels(count, CLASSES, rng))
}

/// What two epochs come to.
struct Outcome {
    reports: Vec<EpochReport>,
    network: Network,
    goodness: Vec<f32>,
    predicted: Vec<u8>,
}

fn train(backend: &dyn Backend, recipe: &str, factor: f32, threads: usize) -> Outcome {
    let config = common::config(&format!("{recipe}\nlayers = [45, 30]\nclasses = {CLASSES}\nepochs = 2"));
    let (values, labels) = samples(factor);
    let (floats, unit) = (Floats { values: &values, of_sample: OF_SAMPLE, unit: 1.5 * factor }, 1.5 * factor);
    let network = Network::of_floats((OF_SAMPLE, unit), CLASSES, &config.layers, config.initial(), 5);
    let set = TrainingSet { pixels: Pixels::Floats(floats), labels: &labels };
    common::on_threads(threads, || {
        let mut trainer = Trainer::new(TrainingState::new(network, &config), &config, backend, set);
        let reports = (0..2).map(|_| trainer.epoch(&false.into()).unwrap()).collect();
        let network = trainer.into_state().into_result();
        let goodness = predict::goodness(&network, &config.recipe(), backend, Pixels::Floats(floats));
        let by = By::default_of(&network);
        let predicted = predict::predict(&network, &config.recipe(), backend, Pixels::Floats(floats), by);
        Outcome { reports, network, goodness, predicted }
    })
}

/// The first losses, before small differences grow.
fn check_close(found: &Outcome, expected: &Outcome, tolerance: f64, what: &str) {
    let first = |outcome: &Outcome| -> Vec<f64> { outcome.reports[0].step_loss.iter().map(|steps| steps[0]).collect() };
    for (found, expected) in first(found).iter().zip(first(expected)) {
        assert!((found - expected).abs() <= tolerance * expected.abs().max(1.0), "{what}: {found} {expected}");
    }
    let finite = found.goodness.iter().all(|goodness| goodness.is_finite());
    assert!(finite && found.predicted.iter().all(|&label| usize::from(label) < CLASSES), "{what}");
}

#[test]
fn every_backend_learns_what_the_reference_does() {
    let backends = common::backends();
    for recipe in RECIPES {
        for factor in [1.0, 1e-30, 1e25] {
            let reference = train(&*backends.last().expect("a backend").1, recipe, factor, 2);
            for (name, backend) in &backends {
                let what = format!("{name}, {factor:e}, {recipe:?}");
                check_close(&train(&**backend, recipe, factor, 2), &reference, 1e-3, &what);
            }
            for (name, isa, unit) in bf16::units() {
                for fused in bf16::backends(isa, unit) {
                    let what = format!("{name} in bf16, {factor:e}, {recipe:?}");
                    check_close(&train(&fused, recipe, factor, 2), &reference, 3e-2, &what);
                }
            }
        }
    }
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    for recipe in RECIPES {
        for (name, backend) in common::backends() {
            let alone = train(&*backend, recipe, 1.0, 1);
            for threads in [2, 3, 7] {
                let found = train(&*backend, recipe, 1.0, threads);
                assert_eq!(weights_sha256(&found.network), weights_sha256(&alone.network), "{name}, {threads}");
                assert_eq!(found.goodness, alone.goodness, "{name}, {threads}");
            }
        }
    }
}

/// With as many zeros in front as there are classes, bytes have inputs of their own for the label as well.
#[test]
fn images_of_floats_are_those_of_bytes() {
    let rng = &mut common::rng(4);
    let bytes = common::images(60, OF_SAMPLE, rng);
    let floats: Vec<f32> = bytes.iter().map(|&byte| f32::from(byte)).collect();
    let behind_zeros: Vec<u8> =
        bytes.chunks_exact(OF_SAMPLE).flat_map(|image| [&[0; CLASSES][..], image].concat()).collect();
    let k = CLASSES + OF_SAMPLE;
    let (mut of_bytes, mut of_floats) = (vec![0.0; k], vec![0.0; k]);
    for style in [LabelStyle::ONE, LabelStyle::LARGEST_PIXEL] {
        for (image, floats) in behind_zeros.chunks_exact(k).zip(floats.chunks_exact(OF_SAMPLE)) {
            for label in [Label::Class(2), Label::Neutral] {
                style.overlay(Image::Bytes(image), label, CLASSES, &mut of_bytes);
                style.overlay(Image::Floats(floats, 255.0), label, CLASSES, &mut of_floats);
                assert!(common::gap(&of_bytes, &of_floats) < 1e-7);
            }
        }
    }

    let config = common::config("preset = \"quick\"\nlayers = [30, 20]\nclasses = 4\nbatch = 20\nprecision = \"f32\"");
    let labels = common::labels(60, CLASSES, rng);
    for (name, backend) in common::backends() {
        let train = |network: Network, pixels: Pixels<'_>| {
            let set = TrainingSet { pixels, labels: &labels };
            let mut trainer = Trainer::new(TrainingState::new(network, &config), &config, &*backend, set);
            trainer.epoch(&false.into()).unwrap().step_loss
        };
        let network = |unit| Network { unit, ..Network::new(1, k, CLASSES, &config.layers, config.initial(), 5) };
        let expected = train(network(None), (&behind_zeros).into());
        let floats = Floats { values: &floats, of_sample: OF_SAMPLE, unit: 255.0 };
        let found = train(network(Some(255.0)), Pixels::Floats(floats));
        for (found, expected) in found.iter().flatten().zip(expected.iter().flatten()) {
            assert!((found - expected).abs() < 1e-3 * expected.abs().max(1.0), "{name}: {found} {expected}");
        }
    }
}
