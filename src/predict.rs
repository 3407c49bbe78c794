//! Prediction ([`By`]): every label is tried on every image, and the label of the largest goodness summed over layers
//! wins; or the read-out says in one pass which label is the most probable.
//!
//! [`Evaluation`] compares what was predicted with the truth.

use std::ops::Range;

use crate::backend::{Backend, LayerBackend, Use};
use crate::batch::{Activations, Images, Input, Overlay};
use crate::gemm::Workspace;
use crate::network::Network;
use crate::pixels::Pixels;
use crate::ranks::{Ranks, Share};
use crate::readout::{self, Features};
use crate::recipe::Recipe;

/// The most bytes that the rows of one layer take for the images that go through all layers together: enough rows to
/// keep every thread busy, and little beside the data set and the weights.
const BLOCK_BYTES: usize = 64 << 20;

/// What predicts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// The goodness of every label, summed over the layers ([`goodness`]; section 3.3 of Hinton 2022).
    Goodness,
    /// The softmax read-out, in one pass under the neutral label (section 3.3 of Hinton 2022).
    Readout,
}

impl By {
    /// What predicts where nothing else is asked for: the read-out, where `network` has one.
    pub fn default_of(network: &Network) -> Self {
        if network.readout.is_some() { Self::Readout } else { Self::Goodness }
    }
}

/// The goodness of each label on each image, n x classes, row-major: summed over all layers, or over those that the
/// read-out sees, where there is one (all but the first; section 3.3 of Hinton 2022).
///
/// `pixels` holds n images of the network's size, or n samples of its floats; `recipe` is the one the network was
/// trained with.
///
/// # Panics
///
/// When `pixels` is not a whole number of images, fewer than 2^32, or not what the network reads.
pub fn goodness<'a>(
    network: &Network,
    recipe: &Recipe,
    backend: &dyn Backend,
    pixels: impl Into<Pixels<'a>>,
) -> Vec<f32> {
    let pixels = pixels.into();
    goodness_of(network, recipe, backend, pixels, 0..network.count(pixels))
}

/// The goodness of each label on the images of these numbers.
fn goodness_of(
    network: &Network,
    recipe: &Recipe,
    backend: &dyn Backend,
    pixels: Pixels<'_>,
    numbers: Range<usize>,
) -> Vec<f32> {
    let mut layers: Vec<_> = network.layers.iter().map(|layer| backend.layer(recipe, layer.k, layer.u)).collect();
    let blocks = blocks(numbers, block_images(network, network.classes));
    blocks.flat_map(|block| block_goodness(network, &mut layers, pixels, block)).collect()
}

/// Cuts numbers into blocks of `size` of them, and what remains.
fn blocks(numbers: Range<usize>, size: usize) -> impl Iterator<Item = Range<usize>> {
    numbers.clone().step_by(size).map(move |first| first..numbers.end.min(first + size))
}

/// Images of one block, at least one, by [`BLOCK_BYTES`]; each has `variants` rows.
fn block_images(network: &Network, variants: usize) -> usize {
    let widest = network.layers.iter().flat_map(|layer| [layer.k, layer.u]).max().unwrap_or(1);
    (BLOCK_BYTES / (variants * widest * size_of::<f32>())).max(1)
}

fn block_goodness(
    network: &Network,
    layers: &mut [Box<dyn LayerBackend>],
    pixels: Pixels<'_>,
    block: Range<usize>,
) -> Vec<f32> {
    let (count, classes) = (block.len(), network.classes);
    let labels: Vec<Vec<u8>> = (0..classes).map(|label| vec![label as u8; count]).collect();
    let counted = if network.readout.is_some() { readout::layers_seen(layers.len()) } else { 0..layers.len() };
    let mut total = vec![0.0; count * classes];
    each_layer(network, layers, (pixels, block, &labels), |index, goodness| {
        if counted.contains(&index) {
            total.iter_mut().zip(goodness).for_each(|(total, goodness)| *total += goodness);
        }
    });
    total
}

/// The goodness of each layer (outer) for each image under the label that `labels` has for it, as the network's recipe
/// defines goodness: a list of n numbers for each layer.
///
/// # Panics
///
/// When `pixels` are not as many whole images as there are labels.
pub fn goodness_of_layers<'a>(
    network: &Network,
    recipe: &Recipe,
    backend: &dyn Backend,
    pixels: impl Into<Pixels<'a>>,
    labels: &[u8],
) -> Vec<Vec<f32>> {
    let pixels = pixels.into();
    assert_eq!(network.count(pixels), labels.len(), "an image for each label");
    let mut layers: Vec<_> = network.layers.iter().map(|layer| backend.layer(recipe, layer.k, layer.u)).collect();
    let mut of_layers = vec![Vec::with_capacity(labels.len()); layers.len()];
    for block in blocks(0..labels.len(), block_images(network, 1)) {
        let labels = [labels[block.clone()].to_vec()];
        each_layer(network, &mut layers, (pixels, block, &labels), |index, goodness| {
            of_layers[index].extend_from_slice(goodness);
        });
    }
    of_layers
}

/// Lets a block of images go through all layers under each of the lists of labels, and gives `take` the number of each
/// layer and the goodness of its rows, images x lists.
fn each_layer(
    network: &Network,
    layers: &mut [Box<dyn LayerBackend>],
    (pixels, block, labels): (Pixels<'_>, Range<usize>, &[Vec<u8>]),
    mut take: impl FnMut(usize, &[f32]),
) {
    let (k, classes, variants) = (network.pixels(), network.classes, labels.len());
    let samples = numbers_of(block);
    let images = Images { pixels, k, samples: &samples, classes, overlay: Overlay::Labels(labels) };
    let rows = samples.len() * variants;
    let mut goodness = vec![0.0; rows];
    let mut inputs = Vec::new();
    let last = layers.len() - 1;
    for (index, (parameters, layer)) in network.layers.iter().zip(layers).enumerate() {
        let input = match index {
            0 => Input::Images(images),
            _ => Input::Activations(Activations { rows: &inputs, k: parameters.k, variants }),
        };
        layer.begin(&input, Use::Inference);
        let mut outputs = vec![0.0; if index == last { 0 } else { rows * parameters.u }];
        let wanted = (index != last).then_some(outputs.as_mut_slice());
        layer.forward(parameters, wanted, Some(&mut goodness));
        take(index, &goodness);
        layer.keep_parameters();
        inputs = outputs;
    }
}

/// The numbers of the images of a block.
fn numbers_of(block: Range<usize>) -> Vec<u32> {
    block.map(|number| u32::try_from(number).expect("fewer than 2^32 images")).collect()
}

/// The predicted label of each image: the most probable one, or that of the largest goodness; the lowest such label on
/// a tie.
///
/// # Panics
///
/// As [`goodness`], or [`probabilities`].
///
/// # Examples
///
/// ```
/// use ffwd::backends;
/// use ffwd::config::{Config, Preset};
/// use ffwd::network::Network;
/// use ffwd::predict::{By, predict};
/// use ffwd::tier::Tier;
///
/// let config = Config { layers: vec![20, 20], ..Config::of_preset(&Preset::KERAS) };
/// let network = Network::new(4, 4, config.classes, &config.layers, config.initial(), config.seed);
/// let backend = backends::choose(config.backend, config.precision, Tier::from_environment()?)?;
/// let three_images: Vec<u8> = (0..3 * 4 * 4).collect();
/// let labels = predict(&network, &config.recipe(), &*backend, &three_images, By::Goodness);
/// assert_eq!(labels.len(), 3);
/// # Ok::<(), ffwd::Error>(())
/// ```
pub fn predict<'a>(
    network: &Network,
    recipe: &Recipe,
    backend: &dyn Backend,
    pixels: impl Into<Pixels<'a>>,
    by: By,
) -> Vec<u8> {
    predict_on(&Ranks::alone(), network, recipe, backend, pixels, by)
}

/// As [`predict`], by `ranks` that all have the images and the network: each predicts its share of the images, and all
/// get all labels.
///
/// # Panics
///
/// As [`predict`].
pub fn predict_on<'a>(
    ranks: &Ranks,
    network: &Network,
    recipe: &Recipe,
    backend: &dyn Backend,
    pixels: impl Into<Pixels<'a>>,
    by: By,
) -> Vec<u8> {
    let pixels = pixels.into();
    let own = Share::new(ranks, network.count(pixels), 1).own();
    let scores = match by {
        By::Readout => probabilities_of(network, recipe, backend, pixels, own),
        By::Goodness => goodness_of(network, recipe, backend, pixels, own),
    };
    ranks.gather(scores.chunks_exact(network.classes).map(best_label).collect()).concat()
}

/// The probability of each label of each image, as the read-out gives it: n x classes, row-major.
///
/// # Panics
///
/// As [`goodness`], or the network has no read-out.
pub fn probabilities<'a>(
    network: &Network,
    recipe: &Recipe,
    backend: &dyn Backend,
    pixels: impl Into<Pixels<'a>>,
) -> Vec<f32> {
    let pixels = pixels.into();
    probabilities_of(network, recipe, backend, pixels, 0..network.count(pixels))
}

/// The probability of each label of the images of these numbers.
fn probabilities_of(
    network: &Network,
    recipe: &Recipe,
    backend: &dyn Backend,
    pixels: Pixels<'_>,
    numbers: Range<usize>,
) -> Vec<f32> {
    let (k, readout) = (network.pixels(), network.readout.as_ref().expect("a network with a read-out"));
    let mut layers: Vec<_> = network.layers.iter().map(|layer| backend.layer(recipe, layer.k, layer.u)).collect();
    let (mut features, mut activations, mut workspace) =
        (Features::new(0, readout.k), Default::default(), Workspace::new());
    let mut of_block = |block: Range<usize>| {
        let samples = numbers_of(block);
        let images = Images { pixels, k, samples: &samples, classes: network.classes, overlay: Overlay::Neutral };
        features.begin(samples.len());
        readout::features_of(network, recipe, layers.iter_mut(), &images, &mut activations, &mut features);
        layers.iter_mut().for_each(|layer| layer.keep_parameters());
        let mut rows = Vec::new();
        readout::probabilities(backend.isa(), readout, &features, &mut rows, &mut workspace);
        rows
    };
    blocks(numbers, block_images(network, 1)).flat_map(&mut of_block).collect()
}

/// The label of the largest of an image's scores, one for each class; the lowest such label on a tie, and 0 without any
/// score.
pub fn best_label(goodness: &[f32]) -> u8 {
    let mut best = 0;
    for (label, &value) in goodness.iter().enumerate() {
        if value > goodness[best] {
            best = label;
        }
    }
    best as u8
}

/// How predictions compare with the truth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evaluation {
    /// Images predicted.
    pub tested: usize,
    /// Those predicted as another label than their own.
    pub errors: usize,
    /// How often each true label (row) was predicted as each label (column).
    pub confusion: Vec<Vec<usize>>,
}

impl Evaluation {
    /// Predicts the images whose true labels are given, each below the network's classes, by the read-out where there
    /// is one.
    ///
    /// # Panics
    ///
    /// When there is not one label for each whole image, or a label is not below the classes.
    pub fn new<'a>(
        network: &Network,
        recipe: &Recipe,
        backend: &dyn Backend,
        pixels: impl Into<Pixels<'a>>,
        labels: &[u8],
    ) -> Self {
        Self::on(&Ranks::alone(), network, recipe, backend, (pixels, labels))
    }

    /// The same by `ranks` that share the images.
    ///
    /// # Panics
    ///
    /// As [`Evaluation::new`].
    pub fn on<'a>(
        ranks: &Ranks,
        network: &Network,
        recipe: &Recipe,
        backend: &dyn Backend,
        (pixels, labels): (impl Into<Pixels<'a>>, &[u8]),
    ) -> Self {
        let predicted = predict_on(ranks, network, recipe, backend, pixels, By::default_of(network));
        Self::of(labels, &predicted, network.classes)
    }

    /// Compares true labels with predicted ones, all below `classes`.
    ///
    /// # Panics
    ///
    /// When there are not as many of one as of the other, or one is not below `classes`.
    ///
    /// # Examples
    ///
    /// ```
    /// use ffwd::predict::Evaluation;
    ///
    /// let evaluation = Evaluation::of(&[0, 1, 1, 2, 1], &[0, 1, 2, 2, 2], 3);
    /// assert_eq!((evaluation.tested, evaluation.errors, evaluation.accuracy()), (5, 2, Some(0.6)));
    /// // Of three images of class 1, one is predicted right and two are taken for class 2.
    /// assert_eq!(evaluation.confusion[1], [0, 1, 2]);
    /// ```
    pub fn of(labels: &[u8], predicted: &[u8], classes: usize) -> Self {
        assert_eq!(labels.len(), predicted.len(), "one label for each prediction");
        let mut confusion = vec![vec![0; classes]; classes];
        for (&label, &predicted) in labels.iter().zip(predicted) {
            confusion[usize::from(label)][usize::from(predicted)] += 1;
        }
        let errors = labels.iter().zip(predicted).filter(|(label, predicted)| label != predicted).count();
        Self { tested: labels.len(), errors, confusion }
    }

    /// The share predicted right, 0 to 1; `None` where nothing was tested.
    pub fn accuracy(&self) -> Option<f64> {
        (self.tested > 0).then(|| (self.tested - self.errors) as f64 / self.tested as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isa::Isa;
    use crate::network::{Initial, Initializer};
    use crate::reference::Reference;

    fn network(classes: usize, units: &[usize]) -> Network {
        let initial = Initial { use_bias: true, kernel: Initializer::GlorotUniform, bias: Initializer::Zeros };
        Network::new(4, 5, classes, units, initial, 1)
    }

    #[test]
    fn the_largest_goodness_wins_and_the_lowest_label_a_tie() {
        assert_eq!(best_label(&[0.5, 2.0, 1.0]), 1);
        assert_eq!(best_label(&[1.0, 3.0, 3.0]), 1);
        assert_eq!(best_label(&[0.0, 0.0]), 0);
    }

    #[test]
    fn blocks_shrink_as_layers_widen_and_hold_at_least_one_image() {
        assert_eq!(block_images(&network(8, &[32, 64]), 8), (64 << 20) / (8 * 64 * 4));
        assert_eq!(block_images(&network(8, &[5]), 8), (64 << 20) / (8 * 20 * 4));
        let mut wide = network(20, &[1]);
        wide.layers[0].u = 1 << 40;
        assert_eq!(block_images(&wide, 20), 1);
    }

    #[test]
    fn goodness_is_one_row_for_each_image() {
        let backend = Reference::new(Isa::best());
        let pixels: Vec<u8> = (0..60).collect();
        let network = network(3, &[7, 6]);
        let goodness = |pixels: &[u8]| goodness(&network, &Recipe::keras(1.5), &backend, pixels);
        let all = goodness(&pixels);
        assert_eq!(all.len(), 9);
        assert_eq!(all[3..6], goodness(&pixels[20..40]));
        assert!(goodness(&[]).is_empty());
    }

    #[test]
    fn an_evaluation_counts_pairs_of_labels() {
        let evaluation = Evaluation::of(&[0, 1, 1, 2, 1], &[0, 1, 2, 2, 2], 3);
        assert_eq!(evaluation.confusion, [[1, 0, 0], [0, 1, 2], [0, 0, 1]]);
        assert_eq!((evaluation.tested, evaluation.errors, evaluation.accuracy()), (5, 2, Some(0.6)));
    }

    #[test]
    fn the_goodness_of_a_label_is_that_of_all_layers() {
        let network = network(4, &[6, 5]);
        let pixels: Vec<u8> = (0..3 * 20).map(|i| (i * 37 % 251) as u8).collect();
        let (recipe, backend) = (Recipe::keras(1.5), Reference::new(Isa::best()));
        let summed = goodness(&network, &recipe, &backend, &pixels);
        for label in 0..4 {
            let of_layers = goodness_of_layers(&network, &recipe, &backend, &pixels, &[label; 3]);
            assert_eq!((of_layers.len(), of_layers[0].len()), (2, 3));
            for image in 0..3 {
                let sum = of_layers[0][image] + of_layers[1][image];
                let expected = summed[image * 4 + usize::from(label)];
                assert!((sum - expected).abs() < 1e-6 * expected.abs().max(1.0), "image {image}: {sum}, {expected}");
            }
        }
    }

    #[test]
    fn nothing_tested_has_no_accuracy() {
        let evaluation = Evaluation::of(&[], &[], 2);
        assert_eq!((evaluation.errors, evaluation.accuracy()), (0, None));
    }
}
