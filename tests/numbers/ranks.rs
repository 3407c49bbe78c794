//! Ranks that share a batch train the same bits as one process: here they are threads, which need no MPI.

use crate::common;
use ffwd::backend::Backend;
use ffwd::checkpoint::weights_sha256;
use ffwd::config::Config;
use ffwd::network::Network;
use ffwd::predict::Evaluation;
use ffwd::ranks::{Ranks, threads};
use ffwd::train::{EpochReport, Trainer, TrainingSet, TrainingState};

const SIZE: (usize, usize) = (9, 11);

/// Weights, reports and test errors of a short run.
type Outcome = (String, Vec<EpochReport>, usize);

/// One rank's run on `count` threads.
fn run(backend: &dyn Backend, ranks: &Ranks, count: usize, config: &Config, set: (&[u8], &[u8])) -> Outcome {
    let (pixels, labels) = set;
    let set = TrainingSet { pixels: pixels.into(), labels };
    common::on_threads(count, || {
        let network = Network::new(SIZE.0, SIZE.1, 10, &config.layers, config.initial(), config.seed);
        let state = TrainingState::new(network, config);
        let mut trainer = Trainer::new(state, config, backend, set).with_ranks(ranks.clone());
        let reports =
            (0..2).map(|_| EpochReport { seconds: 0.0, comm_seconds: None, ..trainer.epoch(&false.into()).unwrap() });
        let reports = reports.collect();
        let network = trainer.network();
        let test = (&pixels[..99 * 50], &labels[..50]);
        let errors = Evaluation::on(ranks, network, &config.recipe(), backend, test).errors;
        (weights_sha256(network), reports, errors)
    })
}

/// Holds runs of several ranks to that of one process.
fn check(samples: usize, fields: &str) {
    let rng = &mut common::rng(7);
    let pixels = common::images(samples, SIZE.0 * SIZE.1, rng);
    let labels = common::labels(samples, 10, rng);
    let set = (&pixels[..], &labels[..]);
    let config = common::config(fields);
    for (name, backend) in common::backends().into_iter().filter(|(_, backend)| backend.name() == "fused") {
        let alone = run(&*backend, &Ranks::alone(), 1, &config, set);
        for (count, threads_each) in [(1, 1), (2, 2), (3, 1), (4, 1), (7, 1)] {
            let ranks = threads::ranks(count);
            let outcomes: Vec<Outcome> = std::thread::scope(|scope| {
                let (backend, config) = (&*backend, &config);
                let rank = |ranks| scope.spawn(move || run(backend, ranks, threads_each, config, set));
                let running: Vec<_> = ranks.iter().map(rank).collect();
                running.into_iter().map(|rank| rank.join().unwrap()).collect()
            });
            for (rank, outcome) in outcomes.iter().enumerate() {
                assert!(*outcome == alone, "{name}: rank {rank} of {count}: {outcome:?} instead of {alone:?}");
            }
        }
    }
}

/// Dense strips, then sparse ones, then both, as the backend chooses.
#[test]
fn the_whole_set_as_one_batch() {
    check(700, "layers = [70, 33]\ninner_steps = 3");
}

/// Units go off, so that later steps leave them out and their order changes.
#[test]
fn units_that_go_off() {
    check(700, "layers = [150, 40]\ninner_steps = 12\nlr = 0.3");
}

/// Fewer parts than ranks, and a last batch that is smaller.
#[test]
fn batches_of_two_parts() {
    check(230, "layers = [20]\ninner_steps = 2\nbatch = 97\noptimizer = \"sgd\"\nlr = 0.1");
}

#[test]
fn mini_batches_of_one_step() {
    check(700, "layers = [90, 40]\ninner_steps = 1\nbatch = 450");
}

/// Read-out, hard negatives, peer normalisation, dropout and a mean of the weights on top.
#[test]
fn all_layers_together() {
    check(300, "preset = \"paper\"\nlayers = [90, 70, 40]\nbatch = 170\ndropout = 0.2\nweight_average = 0.9");
}

#[test]
fn all_layers_by_back_propagation() {
    check(600, "preset = \"backprop\"\nlayers = [50, 40]\nbatch = 400");
}
