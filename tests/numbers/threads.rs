//! The same seed, instruction set and precision give the same bits on any number of threads.

use crate::common;
use ffwd::backend::Backend;
use ffwd::checkpoint::weights_sha256;
use ffwd::network::Network;
use ffwd::predict;
use ffwd::train::{Trainer, TrainingSet, TrainingState};

/// Weights and predictions of a short run on `threads` threads, with `n` samples.
fn run(backend: &dyn Backend, threads: usize, n: usize, fields: &str) -> (String, Vec<f32>) {
    let rng = &mut common::rng(7);
    let (rows, cols) = (9, 11);
    let pixels = common::images(n, rows * cols, rng);
    let labels = common::labels(n, 10, rng);
    let config = common::config(fields);
    common::on_threads(threads, || {
        let network = Network::new(rows, cols, 10, &config.layers, config.initial(), config.seed);
        let set = TrainingSet { pixels: (&pixels).into(), labels: &labels };
        let mut trainer = Trainer::new(TrainingState::new(network, &config), &config, backend, set);
        for _ in 0..2 {
            trainer.epoch(&false.into()).unwrap();
        }
        (
            weights_sha256(trainer.network()),
            predict::goodness(trainer.network(), &config.recipe(), backend, &pixels[..rows * cols * 50]),
        )
    })
}

fn check(fields: &str) {
    check_samples(700, fields);
}

fn check_samples(n: usize, fields: &str) {
    for (name, backend) in common::backends() {
        let alone = run(&*backend, 1, n, fields);
        for threads in [2, 3, 4, 7] {
            assert_eq!(run(&*backend, threads, n, fields), alone, "{name} with {threads} threads");
        }
    }
}

#[test]
fn the_whole_set_as_one_batch() {
    check("layers = [70, 33]\ninner_steps = 3");
}

/// In f32, 8,192 samples are 32 parts of one strip each, and more than that parts of two.
#[test]
fn parts_of_several_strips() {
    check_samples(8_500, "layers = [5, 3]\ninner_steps = 2");
}

/// Large steps switch units off, so that later steps leave them out.
#[test]
fn units_that_go_off() {
    check("layers = [150, 40]\ninner_steps = 12\nlr = 0.3");
}

#[test]
fn small_batches_with_sgd() {
    check("layers = [20]\ninner_steps = 2\nbatch = 97\noptimizer = \"sgd\"\nlr = 0.1");
}

/// One inner step on each batch: no partial sums, and buffers that go from batch to batch.
#[test]
fn mini_batches_of_one_step() {
    check("layers = [90, 40]\ninner_steps = 1\nbatch = 170");
}

/// Read-out, hard negatives and peer normalisation on top.
#[test]
fn all_layers_together() {
    check("preset = \"paper\"\nlayers = [90, 70, 40]\nbatch = 170");
}
