//! Steps on digits at the weights of trained networks: which form of a strip is faster at which share of units on.
//!
//! The networks are those of the preset after some outer epochs on the first of the digits. After 6, 12 and 24 epochs
//! 53, 27 and 14% of the activations of layer 1 are on, and 15, 7 and 6% of layer 2.

use std::sync::OnceLock;

use super::digits::Digits;
use super::step::{self, Batch, Rows, in_both_forms};
use super::{CLASSES, PIXELS, SIDE, Size, Targets, UNITS, Workload};
use crate::config::{Config, Preset};
use crate::fused::Fused;
use crate::isa::Isa;
use crate::network::Network;
use crate::train::{Trainer, TrainingSet, TrainingState};

/// Outer epochs after which the weights are taken.
const EPOCHS: [usize; 3] = [6, 12, 24];

/// Digits that the networks are trained on: a tenth of those that the steps are taken on.
const TRAINED_ON: usize = 1_000;

/// One step of each layer after some outer epochs, with all strips dense and with all of them sparse. Not part of
/// [`all`](super::all), because the first of them to be prepared trains a network.
pub fn trained(targets: &Targets) -> Vec<Workload> {
    let backends = &targets.backends();
    let size = Size::Full;
    let after = |(at, epochs)| {
        let name = move |input| format!("{input}, units on after {epochs} epochs");
        let layer_1 = in_both_forms(&name("images"), PIXELS, size, backends, move |_| images(at));
        let layer_2 = in_both_forms(&name("activations"), UNITS, size, backends, move |isa| activations(isa, at));
        layer_1.into_iter().chain(layer_2)
    };
    EPOCHS.into_iter().enumerate().flat_map(after).collect()
}

fn images(at: usize) -> Batch {
    Batch { rows: Rows::Images(Digits::of(Size::Full).images()), parameters: networks()[at].layers[0].clone() }
}

/// What layer 1 puts out.
fn activations(isa: Isa, at: usize) -> Batch {
    let rows = Rows::Activations(step::outputs(isa, &images(at), Size::Full));
    Batch { rows, parameters: networks()[at].layers[1].clone() }
}

/// The network after each of [`EPOCHS`], trained at the first call.
fn networks() -> &'static [Network] {
    static NETWORKS: OnceLock<Vec<Network>> = OnceLock::new();
    NETWORKS.get_or_init(|| {
        let config = Config::of_preset(&Preset::KERAS);
        let network = Network::new(SIDE, SIDE, CLASSES, &[UNITS, UNITS], config.initial(), config.seed);
        let backend = Fused::new(Isa::best());
        let digits = Digits::of(Size::Full);
        let set =
            TrainingSet { pixels: (&digits.pixels[..TRAINED_ON * PIXELS]).into(), labels: &digits.drawn[..TRAINED_ON] };
        let mut trainer = Trainer::new(TrainingState::new(network, &config), &config, &backend, set);
        let mut trained = 0;
        let mut after = |epochs| {
            (trained..epochs).for_each(|_| _ = trainer.epoch(&false.into()));
            trained = epochs;
            trainer.network().clone()
        };
        EPOCHS.into_iter().map(&mut after).collect()
    })
}
