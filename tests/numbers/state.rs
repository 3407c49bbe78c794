//! The training state taken out between two epochs and put back: training goes on bit for bit.

use crate::common;
use ffwd::network::Network;
use ffwd::train::{Trainer, TrainingSet, TrainingState};

/// The state after `epochs` epochs, with a new trainer for each of `lives`.
fn check(fields: &str) {
    let rng = &mut common::rng(8);
    let (n, rows, cols) = (300, 7, 9);
    let pixels = common::images(n, rows * cols, rng);
    let labels = common::labels(n, 10, rng);
    let set = TrainingSet { pixels: (&pixels).into(), labels: &labels };
    let config = common::config(fields);
    for (name, backend) in common::backends() {
        let network = Network::new(rows, cols, 10, &config.layers, config.initial(), config.seed);
        let start = TrainingState::new(network, &config);
        let train = |state: TrainingState, epochs: usize| {
            let mut trainer = Trainer::new(state, &config, &*backend, set);
            let reports = (0..epochs).map(|_| trainer.epoch(&false.into()).expect("nobody stops it"));
            let losses: Vec<f64> = reports.map(|report| report.final_loss).collect();
            (trainer.into_state(), losses)
        };
        let (whole, losses) = train(start.clone(), 5);
        let (state, first) = train(start, 2);
        assert_eq!(state.epoch, 2);
        let (state, second) = train(state.clone(), 3);
        assert_eq!(state, whole, "{name}");
        assert_eq!([first, second].concat(), losses, "{name}");
    }
}

#[test]
fn the_whole_set_as_one_batch() {
    check("layers = [40, 23]\ninner_steps = 4\nepochs = 5");
}

#[test]
fn mini_batches_under_a_schedule() {
    check(
        "layers = [40, 23]\ninner_steps = 1\nbatch = 70\nepochs = 5\n\
         optimizer = \"sgd\"\nlr = 0.1\nschedule = \"linear\"",
    );
    check("layers = [20]\ninner_steps = 2\nbatch = 70\nepochs = 5\nschedule = \"cosine\"");
}

#[test]
fn all_layers_together() {
    check("preset = \"paper\"\nlayers = [40, 23, 17]\nbatch = 70\nepochs = 5");
    check("preset = \"paper\"\nlayers = [40, 23]\nbatch = 70\nepochs = 5\ndropout = 0.2\nweight_average = 0.9");
}
