//! The outer epochs: batches, negatives, layer after layer or all layers together (`together`), and the bookkeeping of
//! the losses.
//!
//! Relies on a [`Backend`] for the layer steps and on `crate::layer` for the inner loop; works on whatever thread pool
//! it is called in.

mod backpropagation;
mod divergence;
mod goodness;
mod state;
pub mod stored;
mod together;

pub use divergence::Divergence;
pub use goodness::{LayerGoodness, QUANTILES};
pub use state::TrainingState;

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rand::seq::SliceRandom;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::augment::Augmenter;
use crate::awake::Awake;
use crate::backend::{Backend, LayerBackend, Use};
use crate::batch::{Activations, Images, Input, Overlay, TRAINING_VARIANTS};
use crate::config::{Config, Learning};
use crate::kd_order;
use crate::labels;
use crate::layer::{InnerSteps, LayerTrainer};
use crate::memory;
use crate::network::Network;
use crate::optimizer::Optimizer;
use crate::parameters::Parameters;
use crate::pixels::Pixels;
use crate::random::{self, Purpose};
use crate::ranks::{Ranks, Share};
use crate::recipe::RateFactor;
use crate::simd::LINE;
use backpropagation::Backpropagation;
use together::Together;

/// Labelled images to train on.
#[derive(Clone, Copy)]
pub struct TrainingSet<'a> {
    /// `n` images, one after another, each of rows x cols bytes; or `n` samples of floats, for a network whose images
    /// are one row of a pixel for each class and for each float.
    pub pixels: Pixels<'a>,
    /// `n` labels.
    pub labels: &'a [u8],
}

/// What one outer epoch did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EpochReport {
    /// Counted from 1.
    pub epoch: usize,
    /// The mean of all layers' losses over this and all earlier epochs, as the Keras example prints it.
    pub final_loss: f64,
    /// Each layer's mean loss over its inner steps.
    pub layer_loss: Vec<f64>,
    /// Each layer's loss before each of its inner steps, batch after batch.
    #[serde(skip)]
    pub step_loss: Vec<Vec<f64>>,
    /// The read-out's mean loss over its steps, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub readout_loss: Option<f64>,
    /// Each layer's share of pairs whose positive row had a higher goodness than the negative one before the step,
    /// where layers train together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pair_accuracy: Option<Vec<f64>>,
    /// Each layer's share of activations above zero: after its steps, or before each step where layers train together.
    pub active: Vec<f64>,
    /// Wall time.
    pub seconds: f64,
    /// Of this, what the rank that reports waited for others, where there are others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comm_seconds: Option<f64>,
    /// The share of the validation images predicted right, where they were predicted after this epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub validation_accuracy: Option<f64>,
    /// How goodness was distributed in each layer, where that was looked at after this epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub goodness: Option<Vec<LayerGoodness>>,
}

/// A network in training; the first example of the [crate's page](crate) has one.
pub struct Trainer<'a> {
    state: TrainingState,
    learner: Learner,
    augmenter: Augmenter,
    shuffle: bool,
    set: TrainingSet<'a>,
    inner_steps: usize,
    batch: usize,
    rate: RateFactor,
    /// What the running mean of the weights keeps of itself with each batch.
    weight_average: f64,
    /// Outer epochs of the whole run.
    epochs: usize,
    seed: u64,
    /// Each sample's place in an order in which neighbours look alike.
    places: Places<'a>,
    /// Memory for the activations that go from one layer to the next.
    activations: [Vec<f32>; 2],
    /// The processes that train together.
    ranks: Ranks,
    backend: &'a dyn Backend,
}

/// How the layers of a network learn.
enum Learner {
    /// One after the other on each batch.
    OneByOne(Vec<Layer>),
    /// All of them on each batch, each for itself.
    Together(Together),
    /// All of them on each batch, from the error of the read-out.
    Backpropagation(Backpropagation),
}

/// Which batch of which epoch, and how long its steps are.
#[derive(Clone, Copy)]
struct Place {
    seed: u64,
    epoch: usize,
    number: usize,
    /// What the learning rates are multiplied with.
    rate: f64,
}

/// What trains one layer, and what computes it.
struct Layer {
    trainer: LayerTrainer,
    backend: Box<dyn LayerBackend>,
}

impl Layer {
    /// A layer of the shape of `parameters`.
    fn new(parameters: &Parameters, config: &Config, backend: &dyn Backend) -> Self {
        Self {
            trainer: LayerTrainer::new(Optimizer::new(backend.isa(), config.rule()), config.l2(), parameters),
            backend: backend.layer(&config.recipe(), parameters.k, parameters.u),
        }
    }
}

impl<'a> Trainer<'a> {
    /// A trainer that goes on from `state` on `set`, with everything else as `config` says.
    ///
    /// # Panics
    ///
    /// When the images are not of the network's size, the counts differ, the set is empty, the state's parts are not of
    /// one network, or floats are to be changed as images can be.
    pub fn new(state: TrainingState, config: &Config, backend: &'a dyn Backend, set: TrainingSet<'a>) -> Self {
        let network = &state.network;
        assert!(!set.labels.is_empty(), "a training set has images");
        assert_eq!(network.count(set.pixels), set.labels.len(), "one label for each whole image");
        assert!(network.unit.is_none() || !config.augmentation().is_any(), "floats stay as they are");
        assert_eq!(state.optimizers.len(), network.layers.len(), "an optimiser for each layer");
        assert_eq!(network.readout.is_some(), state.readout_optimizer.is_some(), "an optimiser for the read-out");
        let peers = if config.peer > 0.0 { network.layers.len() } else { 0 };
        assert_eq!(state.activities.len(), peers, "the activity of each layer with peer normalisation");
        assert_eq!(state.average.is_some(), config.weight_average > 0.0, "a mean of the weights where there is to be");
        let learner = match (config.learning, config.together) {
            (Learning::Backpropagation, _) => {
                Learner::Backpropagation(Backpropagation::new(network, config, backend.isa()))
            }
            (Learning::ForwardForward, true) => Learner::Together(Together::new(&state, config, backend)),
            (Learning::ForwardForward, false) => {
                let layer = |parameters| Layer::new(parameters, config, backend);
                Learner::OneByOne(network.layers.iter().map(layer).collect())
            }
        };
        Self {
            learner,
            augmenter: Augmenter::new(config.augmentation()),
            shuffle: config.shuffle,
            places: Places::new(set.pixels, (network.rows, network.cols)),
            set,
            inner_steps: config.inner_steps,
            batch: if config.batch == 0 { set.labels.len() } else { config.batch },
            rate: config.rate_factor(),
            weight_average: config.weight_average,
            epochs: config.epochs,
            seed: config.seed,
            activations: Default::default(),
            ranks: Ranks::alone(),
            backend,
            state,
        }
    }

    /// The same as one of `ranks`, all of which have the same state, configuration and set, and the same kind of
    /// backend, one that computes shares of a batch. What comes of it is the same bit for bit as without the others.
    pub fn with_ranks(self, ranks: Ranks) -> Self {
        Self { ranks, ..self }
    }

    /// This rank's share of a batch of `samples`.
    fn share(&self, samples: usize) -> Share {
        let wanted = if self.has_negatives_given() { Use::training(self.inner_steps) } else { Use::OneStep };
        let of_layer = |layer: &Parameters| self.backend.part_samples(samples, layer.k * layer.u, wanted);
        let unit = self.state.network.layers.iter().map(of_layer).max().unwrap_or(1);
        // Back-propagation writes the sums of each part to memory: it has fewer of them.
        let parts_in_one = if matches!(self.learner, Learner::Backpropagation(_)) { 2 } else { 1 };
        Share::new(&self.ranks, samples, parts_in_one * unit)
    }

    /// What training has come to by now.
    pub fn network(&self) -> &Network {
        self.state.result()
    }

    /// What the run is now. After an epoch that was stopped, training cannot go on from it bit for bit.
    pub fn state(&self) -> &TrainingState {
        &self.state
    }

    /// The same, training being over.
    pub fn into_state(self) -> TrainingState {
        self.state
    }

    /// Trains one outer epoch with negatives drawn batch by batch. Ends after the running step, with no report, where
    /// `stop` is set meanwhile.
    ///
    /// # Panics
    ///
    /// A label is not below the network's classes.
    pub fn epoch(&mut self, stop: &AtomicBool) -> Option<EpochReport> {
        match self.has_negatives_given() {
            true => self.epoch_one_by_one(stop),
            false => on_the_pool(self.ranks.count(), || self.epoch_together(stop)),
        }
    }

    /// The beginning of an epoch: now.
    fn start(&self) -> Start {
        Start { instant: Instant::now(), waited: self.ranks.waited() }
    }

    /// Whether the negatives of an epoch are drawn before it.
    fn has_negatives_given(&self) -> bool {
        matches!(self.learner, Learner::OneByOne(_))
    }

    fn epoch_one_by_one(&mut self, stop: &AtomicBool) -> Option<EpochReport> {
        let (seed, epoch) = (self.seed, self.state.epoch);
        let permuted =
            |(number, batch)| labels::permuted(batch, &mut random::generator(Purpose::Negatives, seed, epoch, number));
        let negatives: Vec<u8> = self.set.labels.chunks(self.batch).enumerate().flat_map(permuted).collect();
        self.epoch_with_negatives(&negatives, stop)
    }

    /// As [`Trainer::epoch`], with the label to overlay on each negative given, for layers that train one after the
    /// other.
    ///
    /// # Panics
    ///
    /// There is not a label for each sample, or the layers train together.
    pub fn epoch_with_negatives(&mut self, negatives: &[u8], stop: &AtomicBool) -> Option<EpochReport> {
        assert_eq!(negatives.len(), self.set.labels.len(), "a label for each negative");
        assert!(self.has_negatives_given(), "layers one by one have their negatives given");
        on_the_pool(self.ranks.count(), || {
            let start = self.start();
            let mut tallies = vec![Tally::default(); self.state.network.layers.len()];
            for first in (0..negatives.len()).step_by(self.batch) {
                let batch = first..negatives.len().min(first + self.batch);
                self.train_batch(batch, negatives, &mut tallies, stop);
                if stop.load(Ordering::Relaxed) {
                    return None;
                }
            }
            Some(self.report(tallies, None, start))
        })
    }

    /// An epoch in which all layers take a step on each batch.
    fn epoch_together(&mut self, stop: &AtomicBool) -> Option<EpochReport> {
        let start = self.start();
        let (seed, epoch, count) = (self.seed, self.state.epoch, self.set.labels.len());
        let mut order: Vec<u32> = (0..u32::try_from(count).expect("fewer than 2^32 images")).collect();
        if self.shuffle {
            order.shuffle(&mut random::generator(Purpose::Order, seed, epoch, 0));
        }
        let mut tallies = vec![Tally::default(); self.state.network.layers.len()];
        let mut readout_losses = Vec::new();
        for (number, samples) in order.chunks(self.batch).enumerate() {
            let progress = (epoch as f64 + (number * self.batch) as f64 / count as f64) / self.epochs as f64;
            let place = Place { seed, epoch, number, rate: self.rate.at(progress) };
            readout_losses.extend(self.train_mini_batch(samples, place, &mut tallies));
            self.state.count_weights(self.weight_average);
            if stop.load(Ordering::Relaxed) {
                return None;
            }
        }
        let readout_loss = (!readout_losses.is_empty()).then(|| mean(&readout_losses));
        Some(self.report(tallies, readout_loss, start))
    }

    /// Takes a step of every layer, and of the read-out, on the given samples; returns the read-out's loss before it.
    fn train_mini_batch(&mut self, samples: &[u32], place: Place, tallies: &mut [Tally]) -> Option<f64> {
        let share = &self.share(samples.len());
        let Self { state, learner, augmenter, set, places, .. } = self;
        let Network { rows, cols, classes, .. } = state.network;
        let truth: Vec<u8> = samples.iter().map(|&s| set.labels[s as usize]).collect();
        let likeness: Vec<u32> = match learner {
            Learner::Together(_) => samples.iter().map(|&s| places.of(s)).collect(),
            _ => Vec::new(),
        };
        let rng = &mut random::generator(Purpose::Augmentation, place.seed, place.epoch, place.number);
        let (pixels, samples) = augmenter.change((set.pixels, (rows, cols)), samples, rng);
        let images = Images { pixels, k: rows * cols, samples, classes, overlay: Overlay::Neutral };
        match learner {
            Learner::OneByOne(_) => unreachable!("layers one by one have no mini-batches of all layers"),
            Learner::Together(together) => {
                together.train_batch(state, &images, (&truth, &likeness, share), place, tallies)
            }
            Learner::Backpropagation(trainer) => {
                Some(trainer.train_batch(state, &images, (&truth, share), place.rate, tallies))
            }
        }
    }

    /// What an epoch that began at `start` did, which is counted with it.
    fn report(&mut self, mut tallies: Vec<Tally>, readout_loss: Option<f64>, start: Start) -> EpochReport {
        tallies.iter_mut().for_each(|tally| tally.add_up(&self.ranks));
        let layer_loss: Vec<f64> = tallies.iter().map(|tally| mean(&tally.losses)).collect();
        EpochReport {
            final_loss: self.state.count_epoch(&layer_loss),
            epoch: self.state.epoch,
            layer_loss,
            readout_loss,
            pair_accuracy: tallies.iter().map(Tally::pair_accuracy).collect(),
            active: tallies.iter().map(Tally::active_share).collect(),
            step_loss: tallies.into_iter().map(|tally| tally.losses).collect(),
            seconds: start.instant.elapsed().as_secs_f64(),
            comm_seconds: (self.ranks.count() > 1).then(|| (self.ranks.waited() - start.waited).as_secs_f64()),
            validation_accuracy: None,
            goodness: None,
        }
    }

    /// Trains layer after layer on the samples `batch`.
    fn train_batch(&mut self, batch: Range<usize>, negatives: &[u8], tallies: &mut [Tally], stop: &AtomicBool) {
        let share = self.share(batch.len());
        let samples = ordered(&mut self.places, (self.set.labels, negatives), batch, &share.own());
        let pick = |labels: &[u8]| samples.iter().map(|&s| labels[s as usize]).collect::<Vec<u8>>();
        let labels: [Vec<u8>; 2] = [pick(self.set.labels), pick(negatives)];
        let images = Images {
            pixels: self.set.pixels,
            k: self.state.network.pixels(),
            samples: &samples,
            classes: self.state.network.classes,
            overlay: Overlay::Labels(&labels),
        };
        let wanted = Use::training(self.inner_steps);
        let rate = self.rate.at(self.state.epoch as f64 / self.epochs as f64);
        let steps = InnerSteps { count: self.inner_steps, rate, stop };
        let rows = samples.len() * TRAINING_VARIANTS;
        let Learner::OneByOne(layers) = &mut self.learner else { unreachable!("layers one by one") };
        let last = layers.len() - 1;
        let TrainingState { network, optimizers, .. } = &mut self.state;
        let [inputs, outputs] = &mut self.activations;
        for (index, (layer, tally)) in layers.iter_mut().zip(tallies).enumerate() {
            let (parameters, state) = (&mut network.layers[index], &mut optimizers[index]);
            let input = match index {
                0 => Input::Images(images),
                _ => Input::Activations(Activations { rows: inputs, k: parameters.k, variants: TRAINING_VARIANTS }),
            };
            layer.backend.begin_share(&input, wanted, &share);
            if wanted == Use::ManySteps {
                // The layer has packed them, and rows of a whole data set are large.
                *inputs = Vec::new();
            }
            tally.losses.extend(layer.trainer.train((parameters, state), &mut *layer.backend, steps));
            if stop.load(Ordering::Relaxed) {
                return;
            }
            let wanted_outputs = if index == last { None } else { Some(memory::fitted(outputs, rows * parameters.u)) };
            tally.active += layer.backend.forward(parameters, wanted_outputs, None);
            tally.activations += (rows * parameters.u) as u64;
            if wanted == Use::ManySteps {
                layer.backend.end();
                if size_of::<f32>() * rows * parameters.k.max(parameters.u) >= WORTH_RELEASING {
                    memory::release_freed();
                }
            }
            std::mem::swap(inputs, outputs);
        }
    }
}

/// Bytes of a layer's inputs or outputs, whichever are more, from which the memory that it frees is given back after
/// it. What is given back costs a page fault for every 4 KB that the next layer takes; below this, the peak of memory
/// would be lower by less than as many bytes.
const WORTH_RELEASING: usize = 64 << 20;

/// When an epoch began, and what its rank had waited for others by then.
struct Start {
    instant: Instant,
    waited: Duration,
}

/// Samples that are ordered among themselves, and no others with them: so many that any set of today's fits into one,
/// and 100 MB where they are images as small as MNIST's. A rank reads the blocks in which it has samples.
const BLOCK: usize = 1 << 17;

/// The samples' places in an order in which neighbours look alike, block by block, found when they are first asked for.
struct Places<'a> {
    pixels: Pixels<'a>,
    size: (usize, usize),
    /// Of each block; empty before it is asked for.
    blocks: Vec<Vec<u32>>,
}

impl<'a> Places<'a> {
    /// The places of the images `pixels`, of so many rows and columns.
    fn new(pixels: Pixels<'a>, size: (usize, usize)) -> Self {
        let count = pixels.count(size.0 * size.1);
        Self { pixels, size, blocks: vec![Vec::new(); count.div_ceil(BLOCK)] }
    }

    /// The place of sample `sample` in its block, behind those of the blocks before.
    fn of(&mut self, sample: u32) -> u32 {
        let Self { pixels, size: (rows, cols), blocks } = self;
        let k = *rows * *cols;
        let (number, first) = (sample as usize / BLOCK, sample as usize / BLOCK * BLOCK);
        let block = &mut blocks[number];
        if block.is_empty() {
            let numbers = first..pixels.count(k).min(first + BLOCK);
            let (rows, cols) = pixels.size((*rows, *cols));
            *block = kd_order::places(numbers.map(|image| pixels.image(image, k).outline()), rows, cols);
        }
        first as u32 + block[sample as usize - first]
    }
}

/// Of the samples `batch` in their order of likeness, those with the numbers `own`, counted from the first of the
/// batch. Only blocks of samples are ordered, and so only those in which there are some of `own` are looked at.
fn ordered(
    places: &mut Places<'_>,
    (labels, negatives): (&[u8], &[u8]),
    batch: Range<usize>,
    own: &Range<usize>,
) -> Vec<u32> {
    let mut ordered = Vec::with_capacity(own.len());
    for first in (own.start / BLOCK * BLOCK..own.end).step_by(BLOCK) {
        let block = batch.start + first..batch.end.min(batch.start + first + BLOCK);
        let all: Vec<u32> = block.clone().map(|s| u32::try_from(s).expect("fewer than 2^32 images")).collect();
        let likeness: Vec<u32> = all.iter().map(|&s| places.of(s)).collect();
        let order = in_order_of_likeness((&labels[block.clone()], &negatives[block]), &likeness);
        let wanted = own.start.max(first) - first..own.end.min(first + all.len()) - first;
        ordered.extend(order[wanted].iter().map(|&i| all[i]));
    }
    ordered
}

/// The numbers of the training images, of `count`, that rank `rank` of `ranks` reads in a run of `config`: all of them
/// in mini-batches and where batches do not begin with a block of samples that are ordered among themselves, and
/// otherwise the blocks in which its share can lie.
pub fn images_read(config: &Config, count: usize, (rank, ranks): (usize, usize)) -> Range<usize> {
    if config.together || config.batch != 0 {
        return 0..count;
    }
    let first = count * rank / ranks / BLOCK * BLOCK;
    // A share may be a part longer than the next one, and a part is no longer than a block.
    let end = (count * (rank + 1) / ranks).next_multiple_of(BLOCK) + BLOCK;
    first.saturating_sub(BLOCK)..end.min(count)
}

/// Runs an epoch on a thread of the pool: from any other, each of its thousand pieces of work would wait for one. The
/// threads stay awake from one piece to the next, unless there are other ranks: a rank that waits for them leaves its
/// CPUs to those that compute.
fn on_the_pool<T: Send>(ranks: usize, epoch: impl FnOnce() -> T + Send) -> T {
    rayon::scope(|_| {
        let _awake = (ranks == 1).then(Awake::new);
        epoch()
    })
}

/// An order of the samples of a batch, in which those of one label and one negative label stand side by side, and among
/// these those that look alike, as their places in an order of `likeness` say: a batch may stand in any order, and rows
/// that look alike share their zeros.
fn in_order_of_likeness((labels, negatives): (&[u8], &[u8]), likeness: &[u32]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..likeness.len()).collect();
    order.sort_by_key(|&i| (labels[i], negatives[i], likeness[i]));
    order
}

/// In f32, by lanes, which vectors add up side by side.
fn sum_of_squares(row: &[f32]) -> f32 {
    let (lines, rest) = row.as_chunks::<LINE>();
    let mut sums = [0.0; LINE];
    for line in lines {
        sums.iter_mut().zip(line).for_each(|(sum, x)| *sum += x * x);
    }
    sums.iter().sum::<f32>() + rest.iter().map(|x| x * x).sum::<f32>()
}

fn mean(losses: &[f64]) -> f64 {
    losses.iter().sum::<f64>() / losses.len() as f64
}

/// What one layer did in one epoch.
#[derive(Clone, Default)]
struct Tally {
    losses: Vec<f64>,
    active: u64,
    activations: u64,
    /// Pairs told apart, and all pairs seen.
    told_apart: u64,
    pairs: u64,
}

impl Tally {
    /// Counts the activations of one step.
    fn count(&mut self, activations: &[f32]) {
        // Counted in 32 bits, as wide as an activation, so that vectors need not widen.
        let on = |block: &[f32]| u64::from(block.iter().map(|&h| u32::from(h > 0.0)).sum::<u32>());
        self.active += activations.par_chunks(1 << 14).map(on).sum::<u64>();
        self.activations += activations.len() as u64;
    }

    /// Counts the pairs that are told apart by the sums of squares of their rows of `u` activations.
    fn count_pairs(&mut self, activations: &[f32], u: usize) {
        let pairs = activations.par_chunks_exact(TRAINING_VARIANTS * u);
        self.pairs += pairs.len() as u64;
        let is_right = |pair: &[f32]| sum_of_squares(&pair[..u]) > sum_of_squares(&pair[u..]);
        self.told_apart += pairs.map(|pair| u64::from(is_right(pair))).sum::<u64>();
    }

    /// Becomes what all ranks have counted.
    fn add_up(&mut self, ranks: &Ranks) {
        let Self { active, activations, told_apart, pairs, .. } = self;
        [*active, *activations, *told_apart, *pairs] =
            ranks.sum_of_counts([*active, *activations, *told_apart, *pairs]);
    }

    fn pair_accuracy(&self) -> Option<f64> {
        (self.pairs > 0).then(|| self.told_apart as f64 / self.pairs as f64)
    }

    fn active_share(&self) -> f64 {
        self.active as f64 / self.activations as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_order_their_samples_and_look_at_no_others() {
        let count = 2 * BLOCK + 5_000;
        let pixels: Vec<u8> = (0..2 * count).map(|i| (i * i % 251) as u8).collect();
        let labels: Vec<u8> = (0..count).map(|i| (i * 7 % 10) as u8).collect();
        let negatives: Vec<u8> = (0..count).map(|i| (i * 3 % 10) as u8).collect();
        let places = || Places::new((&pixels).into(), (1, 2));
        let order = |places: &mut Places<'_>, own| ordered(places, (&labels, &negatives), 0..count, &own);
        let whole = order(&mut places(), 0..count);
        let mut sorted = whole.clone();
        sorted.sort_unstable();
        assert!(sorted.iter().copied().eq(0..count as u32), "none is lost");
        let config = Config::of_preset(&crate::config::Preset::KERAS);
        for (rank, own) in [0..BLOCK / 2, BLOCK / 2..2 * BLOCK, 2 * BLOCK..count].into_iter().enumerate() {
            let mut places = places();
            assert_eq!(order(&mut places, own.clone()), whole[own]);
            let looked_at = places.blocks.iter().enumerate().filter(|(_, block)| !block.is_empty());
            let read = images_read(&config, count, (rank, 3));
            assert!(looked_at.map(|(block, _)| block * BLOCK).all(|first| read.contains(&first)));
        }
    }

    #[test]
    fn samples_alike_stand_together_and_none_is_lost() {
        let labels = ([1, 0, 1, 0, 9].as_slice(), [0, 1, 9, 0, 1].as_slice());
        assert_eq!(in_order_of_likeness(labels, &[0, 1, 2, 3, 4]), [3, 1, 0, 2, 4]);
        assert_eq!(in_order_of_likeness((&[0; 3], &[0; 3]), &[1, 2, 0]), [2, 0, 1]);
    }
}
