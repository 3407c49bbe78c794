//! Looks from time to time at how well the layers tell positive rows from negative ones, for the pictures of a run.

use std::borrow::Cow;

use ffwd::backend::Backend;
use ffwd::config::{Config, Learning};
use ffwd::data::Split;
use ffwd::labels;
use ffwd::network::Network;
use ffwd::recipe::Recipe;
use ffwd::train::LayerGoodness;
use rand::SeedableRng;
use rand::rngs::Xoshiro256PlusPlus;

/// The most training images that are looked at: a hundredth of MNIST's and less, without gradients.
const IMAGES: usize = 500;
/// How often they are looked at while the number of the epoch doubles: some fifty times in a run of 250 epochs.
const TIMES: usize = 8;

pub struct GoodnessWatch<'a> {
    pixels: Cow<'a, [u8]>,
    labels: &'a [u8],
    /// The same wrong labels each time.
    wrong: Vec<u8>,
    recipe: Recipe,
    backend: &'a dyn Backend,
}

impl<'a> GoodnessWatch<'a> {
    /// A watch over a run that trains on the first `count` images of `train`; none where nothing makes goodness high or
    /// low.
    pub fn new(config: &Config, train: &'a Split, count: usize, backend: &'a dyn Backend) -> Option<Self> {
        if config.learning != Learning::ForwardForward {
            return None;
        }
        let count = count.min(IMAGES);
        let labels = &train.labels.values()[..count];
        let wrong = labels::wrong(labels, config.classes, &mut Xoshiro256PlusPlus::seed_from_u64(config.seed));
        let pixels = train.images.bytes_of(0..count);
        Some(Self { pixels, labels, wrong, recipe: config.recipe(), backend })
    }

    /// The goodness of each layer after `epoch`, where it is time to look.
    pub fn look(&self, epoch: usize, network: &Network) -> Option<Vec<LayerGoodness>> {
        if !is_due(epoch) {
            return None;
        }
        let Self { pixels, labels, wrong, recipe, backend } = self;
        LayerGoodness::of_layers(network, recipe, *backend, pixels, (labels, wrong))
    }
}

/// Whether to look after `epoch`. How long the run is to be does not matter: it may go on for longer than it was meant.
fn is_due(epoch: usize) -> bool {
    let doubled = 1 << epoch.ilog2();
    epoch.is_multiple_of((doubled / TIMES).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_become_rarer_as_epochs_become_many() {
        let due = |range: std::ops::RangeInclusive<usize>| range.filter(|&epoch| is_due(epoch)).collect::<Vec<_>>();
        assert_eq!(due(1..=24), [(1..=16).collect::<Vec<_>>(), vec![18, 20, 22, 24]].concat());
        assert_eq!(due(100..=160), [104, 112, 120, 128, 144, 160]);
        assert_eq!(due(1..=250).len(), 47);
    }
}
