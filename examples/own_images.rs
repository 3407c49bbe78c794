//! Training on images of one's own, from memory: bytes of pixels and of labels, any size and number of classes.
//!
//! `cargo run --release --example own_images`
//!
//! The images are bars that lie, stand or lean, drawn here with noise around them. Images stand one after another, row
//! by row. Their first pixels, as many as there are classes, are where the label is written: what they show is lost.

use std::sync::atomic::AtomicBool;

use ffwd::backends;
use ffwd::config::{Config, Preset};
use ffwd::network::Network;
use ffwd::predict::Evaluation;
use ffwd::tier::Tier;
use ffwd::train::{Trainer, TrainingSet, TrainingState};
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};

/// Rows of an image, and columns.
const SIDE: usize = 12;
/// The names of the classes; a label is a number of one of them, counted from 0.
const NAMES: [&str; 3] = ["horizontal", "vertical", "diagonal"];

fn main() -> ffwd::Result<()> {
    let rng = &mut Xoshiro256PlusPlus::seed_from_u64(1);
    let (pixels, labels) = draw(4_000, rng);
    let (test_pixels, test_labels) = draw(1_000, rng);

    let config = Config {
        classes: NAMES.len(),
        layers: vec![200, 200],
        epochs: 8,
        batch: 50,
        // A fifth of a layer's units, as the preset has it for layers of 500.
        temperature: 40.0,
        ..Config::of_preset(&Preset::QUICK)
    };
    let backend = backends::choose(config.backend, config.precision, Tier::from_environment()?)?;
    let network = Network::new(SIDE, SIDE, config.classes, &config.layers, config.initial(), config.seed);
    let set = TrainingSet { pixels: (&pixels).into(), labels: &labels };
    let mut trainer = Trainer::new(TrainingState::new(network, &config), &config, &*backend, set);

    println!("{} images of {SIDE} x {SIDE} pixels in {} classes", labels.len(), NAMES.len());
    let stop = AtomicBool::new(false);
    for _ in 0..config.epochs {
        let report = trainer.epoch(&stop).expect("nobody stops it");
        println!("epoch {}: loss {:.3} in {:.2} s", report.epoch, report.final_loss, report.seconds);
    }

    let evaluation = Evaluation::new(trainer.network(), &config.recipe(), &*backend, &test_pixels, &test_labels);
    let accuracy = evaluation.accuracy().expect("there are images to test on");
    println!("{:.1}% of {} other images are predicted right:", 100.0 * accuracy, evaluation.tested);
    for (name, predicted) in NAMES.iter().zip(&evaluation.confusion) {
        println!("{name:>10} predicted as {NAMES:?}: {predicted:?}");
    }
    Ok(())
}

/// Draws `count` images and their labels.
fn draw(count: usize, rng: &mut Xoshiro256PlusPlus) -> (Vec<u8>, Vec<u8>) {
    let labels: Vec<u8> = (0..count).map(|_| rng.random_range(0..NAMES.len()) as u8).collect();
    let mut pixels: Vec<u8> = (0..count * SIDE * SIDE).map(|_| rng.random_range(0..150_u8)).collect();
    for (image, &label) in pixels.chunks_exact_mut(SIDE * SIDE).zip(&labels) {
        let place = rng.random_range(0..SIDE);
        for step in 0..SIDE {
            let (row, column) = match label {
                0 => (place, step),
                1 => (step, place),
                _ => ((place + step) % SIDE, step),
            };
            image[row * SIDE + column] = rng.random_range(150..=255_u8);
        }
    }
    (pixels, labels)
}
