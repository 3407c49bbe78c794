//! Training in which all layers take a step on each mini-batch: Hinton's published code for section 3.3 of his paper.
//!
//! ```text
//! for each batch
//!     neutral     the layers' activations under the neutral label        with a read-out
//!     read-out    probabilities of the classes, then a step of its own    with a read-out
//!     negatives   a label for each, by these probabilities or without them
//!     for each layer
//!         gradient of positive and negative rows, and the activations it is of, which the next layer gets
//!         peer term, then the optimiser's step
//! ```
//!
//! Relies on a [`Backend`] for products, on `crate::layer` for a layer's step, and on [`crate::readout`].

use rand::Rng;

use crate::backend::{Backend, Use};
use crate::batch::{Activations, Images, Input, Overlay, TRAINING_VARIANTS};
use crate::config::{Config, Negatives};
use crate::dropout::Dropout;
use crate::labels;
use crate::memory::fitted;
use crate::network::Network;
use crate::optimizer::{Optimizer, OptimizerState};
use crate::peers;
use crate::random::{self, Purpose};
use crate::ranks::Share;
use crate::readout::{self, Features};
use crate::recipe::Recipe;
use crate::update::Peers;

use super::{Layer, Place, Tally, TrainingState, in_order_of_likeness};

/// What trains the layers of a network together.
pub struct Together {
    recipe: Recipe,
    layers: Vec<Layer>,
    readout: Option<Readout>,
    negatives: Negatives,
    /// The power of the probabilities by which hard negatives are drawn.
    hardness: f64,
    peer: f32,
    /// The share of activations that is left out.
    dropout: f64,
    /// Memory for the activations that go from one layer to the next, 2n rows each.
    activations: [Vec<f32>; 2],
}

/// What trains the read-out.
struct Readout {
    trainer: readout::Trainer,
    features: Features,
    /// Memory for the activations under the neutral label, n rows each.
    activations: [Vec<f32>; 2],
}

impl Together {
    /// What trains the network of `state`.
    pub fn new(state: &TrainingState, config: &Config, backend: &dyn Backend) -> Self {
        let (recipe, isa, network) = (config.recipe(), backend.isa(), &state.network);
        let layers = network.layers.iter().map(|parameters| Layer::new(parameters, config, backend));
        let readout = network.readout.as_ref().map(|parameters| Readout {
            trainer: readout::Trainer::new(isa, Optimizer::new(isa, config.readout_rule()), parameters),
            features: Features::new(0, parameters.k),
            activations: Default::default(),
        });
        Self {
            recipe,
            layers: layers.collect(),
            readout,
            negatives: config.negatives,
            hardness: config.hardness,
            peer: config.peer as f32,
            dropout: config.dropout,
            activations: Default::default(),
        }
    }

    /// Takes a step of every layer, and of the read-out, on `images`, which carry the neutral label, and have the
    /// labels `truth` and the given places in an order of likeness; of the batch, `share` is this rank's. Returns the
    /// read-out's loss before it.
    pub fn train_batch(
        &mut self,
        state: &mut TrainingState,
        images: &Images<'_>,
        (truth, likeness, share): (&[u8], &[u32], &Share),
        place: Place,
        tallies: &mut [Tally],
    ) -> Option<f64> {
        let readout_loss = self.train_readout(state, images, (truth, share), place.rate);
        let negatives = self.negatives(truth, images.classes, place);
        // Rows that look alike share their zeros; a batch may stand in any order.
        let order = &in_order_of_likeness((truth, &negatives), likeness)[share.own()];
        let samples: Vec<u32> = order.iter().map(|&i| images.samples[i]).collect();
        let labels = [truth, &negatives].map(|labels| order.iter().map(|&i| labels[i]).collect::<Vec<u8>>());
        let images = Images { samples: &samples, overlay: Overlay::Labels(&labels), ..*images };
        self.train_layers(state, (&images, share), place, tallies);
        readout_loss
    }

    /// Takes a step of the read-out; returns the loss before it. What it then holds are the probabilities before it.
    fn train_readout(
        &mut self,
        state: &mut TrainingState,
        images: &Images<'_>,
        (truth, share): (&[u8], &Share),
        rate: f64,
    ) -> Option<f64> {
        let Readout { trainer, features, activations } = self.readout.as_mut()?;
        let network = &mut state.network;
        let images = &Images { samples: &images.samples[share.own()], ..*images };
        features.begin(images.samples.len());
        let backends = self.layers.iter_mut().map(|layer| &mut layer.backend);
        readout::features_of(network, &self.recipe, backends, images, activations, features);
        self.layers.iter_mut().for_each(|layer| layer.backend.keep_parameters());
        let parameters = network.readout.as_mut().expect("a read-out to train");
        let optimizer = state.readout_optimizer.as_mut().expect("a read-out has an optimiser");
        Some(trainer.train((parameters, optimizer), features, (truth, share), rate))
    }

    /// The label of each negative, n; after the read-out's step on the same samples.
    fn negatives(&self, truth: &[u8], classes: usize, place: Place) -> Vec<u8> {
        let rng = &mut random::generator(Purpose::Negatives, place.seed, place.epoch, place.number);
        match self.negatives {
            Negatives::Permuted => labels::permuted(truth, rng),
            Negatives::Wrong => labels::wrong(truth, classes, rng),
            Negatives::Hard => {
                let readout = self.readout.as_ref().expect("hard negatives have a read-out");
                let probabilities = readout.trainer.probabilities();
                readout::hard_negatives(truth, (probabilities, self.hardness), classes, rng)
            }
        }
    }

    /// Takes a step of each layer. Where ranks share the batch, all layers begin their steps before the first one takes
    /// its own, so that the gradient of one travels while the next one's is computed.
    fn train_layers(
        &mut self,
        state: &mut TrainingState,
        (images, share): (&Images<'_>, &Share),
        place: Place,
        tallies: &mut [Tally],
    ) {
        let (rows, is_shared) = (images.samples.len() * TRAINING_VARIANTS, share.ranks().count() > 1);
        let rng = &mut random::generator(Purpose::Dropout, place.seed, place.epoch, place.number);
        let Self { recipe, layers, peer, dropout, activations: [inputs, outputs], .. } = self;
        let TrainingState { network, optimizers, activities, .. } = state;
        let mut begun = Vec::new();
        for (index, (layer, tally)) in layers.iter_mut().zip(&mut *tallies).enumerate() {
            let (parameters, optimizer) = (&mut network.layers[index], &mut optimizers[index]);
            let input = match index {
                0 => Input::Images(*images),
                _ => Input::Activations(Activations { rows: inputs, k: parameters.k, variants: TRAINING_VARIANTS }),
            };
            layer.backend.begin_share(&input, Use::OneStep, share);
            let dropout_of = |seed| Dropout::new(*dropout, seed).from_sample(share.own().start);
            layer.backend.drop_out((*dropout > 0.0).then(|| dropout_of(rng.next_u64())));
            let activity = activities.get_mut(index);
            let of_inputs = activity.is_some().then(|| peers::positive_inputs(recipe, &input, share));
            let wanted = fitted(outputs, rows * parameters.u);
            if is_shared {
                layer.trainer.begin_step(parameters, &mut *layer.backend, Some(&mut *wanted));
                let of_outputs = || peers::positive_activations(wanted, parameters.u, share);
                begun.push(of_inputs.map(|of_inputs| (of_inputs, of_outputs())));
            } else {
                let peers = activity.zip(of_inputs).map(|(activity, of_inputs)| {
                    let inputs = of_inputs.finish();
                    Peers { activity, inputs, activities: None, strength: *peer, share }
                });
                let learner = (parameters, optimizer);
                tally.losses.push(layer.trainer.step(learner, &mut *layer.backend, Some(wanted), peers, place.rate));
                layer.backend.keep_parameters();
            }
            tally.count(outputs);
            tally.count_pairs(outputs, network.layers[index].u);
            std::mem::swap(inputs, outputs);
        }
        for (index, (peers, (layer, tally))) in begun.into_iter().zip(layers.iter_mut().zip(tallies)).enumerate() {
            let learner = (&mut network.layers[index], &mut optimizers[index]);
            let peers = peers.map(|(of_inputs, of_outputs)| Peers {
                activity: &mut activities[index],
                inputs: of_inputs.finish(),
                activities: Some(of_outputs.finish()),
                strength: *peer,
                share,
            });
            tally.losses.push(layer.trainer.finish_step(learner, &mut *layer.backend, peers, place.rate));
        }
    }
}

/// The optimisers and running means that training layers together needs besides.
pub fn state_besides(network: &Network, config: &Config) -> (Option<OptimizerState>, Vec<peers::Activity>) {
    let readout = network.readout.as_ref().map(|readout| OptimizerState::new(config.readout_rule(), readout));
    let layers = network.layers.iter().filter(|_| config.peer > 0.0);
    (readout, layers.map(|layer| peers::Activity::new(layer.u)).collect())
}
