//! What a run learns from, what it has learnt, and where it errs: for the pictures of `show` and of `report`.
//!
//! Everything is computed anew from the run's model and the data set it was trained on.

use std::path::Path;

use anyhow::Result;
use ffwd::backend::Backend;
use ffwd::checkpoint::Model;
use ffwd::config::{Config, Learning, Negatives};
use ffwd::data::{Dataset, Reading, Split};
use ffwd::labels::{self, Label};
use ffwd::network::Network;
use ffwd::pixels::Image;
use ffwd::predict::{self, By, Evaluation};
use ffwd::recipe::LossName;
use ffwd::{Error, readout};
use rand::SeedableRng;
use rand::rngs::Xoshiro256PlusPlus;

use crate::dataset;
use crate::model::{self, backend, check_size, configuration, note_other_data, note_unchecked, trained_on};
use crate::plots::{Distributions, Grid, Tile};
use crate::run_directory::MODEL;

/// Images of which pairs are shown.
const PAIRS: usize = 12;
/// Images whose negatives are shown.
const WITH_NEGATIVES: usize = 8;
/// Units whose weights are shown.
const UNITS: usize = 60;
/// Mistakes that are shown.
const MISTAKES: usize = 40;
/// Test images whose goodness is counted.
const COUNTED: usize = 10_000;

/// The threshold of each layer, where the loss has one.
pub fn thresholds(config: &Config) -> Vec<Option<f64>> {
    let loss = config.recipe().loss;
    let threshold = |&u| (loss.name == LossName::Logistic).then(|| loss.threshold.of(u));
    config.layers.iter().map(threshold).collect()
}

/// What is predicted of an image.
pub struct Judgement {
    predicted: u8,
    /// By how much its score is above that of the image's own label.
    margin: f32,
}

/// A run that is shown.
pub struct Shown {
    pub config: Config,
    network: Network,
    dataset: Dataset,
    /// Whether the data set is not the one that the run was trained on.
    pub is_other_data: bool,
    backend: Box<dyn Backend>,
}

impl Shown {
    /// The run in a directory, and the data set it was trained on where none is named.
    pub fn open(run: &Path, data: Option<&str>) -> Result<Self> {
        let path = run.join(MODEL);
        let Model { network, origin, is_checked } = model::load(&path)?;
        note_unchecked(&path, is_checked);
        let config = configuration(&origin);
        let Some(data) = data.map(str::to_owned).or_else(|| trained_on(&origin)) else {
            let expected = "a data set, because the model does not say which it was trained on";
            return Err(Error::config("--data", "nothing", expected).into());
        };
        let reading = Reading { classes: network.classes, ..config.reading() };
        let (dataset, _) = dataset::open(Some(&data), reading, false)?;
        check_size(&dataset.train.images, (network.rows, network.cols))?;
        check_size(&dataset.test.images, (network.rows, network.cols))?;
        let is_other_data = note_other_data(&origin, &dataset);
        Ok(Self { config, network, dataset, is_other_data, backend: backend()? })
    }

    /// Checks that the files of the data set are those that were opened.
    pub fn check_unchanged(&self) -> ffwd::Result<()> {
        self.dataset.check_unchanged()
    }

    /// Checks that the run was trained with negatives.
    fn check_has_negatives(&self) -> Result<()> {
        match self.config.learning {
            Learning::ForwardForward => Ok(()),
            Learning::Backpropagation => {
                let found = "a run that was trained by back-propagation";
                Err(Error::config("--run", found, "a run with negatives").into())
            }
        }
    }

    fn size(&self) -> (usize, usize) {
        (self.network.rows, self.network.cols)
    }

    /// A label as the data set's files call it.
    fn called(&self, class: u8) -> usize {
        usize::from(class) + usize::from(self.config.label_base)
    }

    /// An image with a label written over its first pixels.
    fn labelled(&self, image: &[u8], class: u8, caption: String) -> Tile {
        let mut row = vec![0.0; image.len()];
        self.config.recipe().labels.overlay(Image::Bytes(image), Label::Class(class), self.network.classes, &mut row);
        Tile::grey(row.into_iter().map(|value| (value * 255.0).round() as u8), caption)
    }

    fn rng(&self) -> Xoshiro256PlusPlus {
        Xoshiro256PlusPlus::seed_from_u64(self.config.seed)
    }

    /// The first images of the training set: above under their labels, below under wrong ones.
    pub fn samples(&self) -> Grid {
        let Split { images, labels } = &self.dataset.train;
        let count = PAIRS.min(labels.len());
        let labels = &labels.values()[..count];
        let negative = labels::wrong(labels, self.network.classes, &mut self.rng());
        let tiles = |sign: &'static str, labels: &[u8]| -> Vec<Tile> {
            let tile = |(i, &label): (usize, &u8)| {
                self.labelled(images.image(i), label, format!("{sign} {}", self.called(label)))
            };
            labels.iter().enumerate().map(tile).collect()
        };
        let tiles = tiles("positive", labels).into_iter().chain(tiles("negative", &negative)).collect();
        let title = "Training images under their label, and under a wrong one".to_owned();
        Grid { title, tiles, size: self.size(), columns: count.max(1) }
    }

    /// Images of the training set, each under all its wrong labels.
    pub fn negatives(&self) -> Result<Grid> {
        self.check_has_negatives()?;
        let Split { images, labels } = &self.dataset.train;
        let count = WITH_NEGATIVES.min(labels.len());
        let shares = self.shares_of_negatives(&images.bytes_of(0..count), &labels.values()[..count]);
        let mut tiles = Vec::new();
        for (i, (&label, shares)) in labels.values().iter().zip(shares.chunks(self.network.classes)).enumerate() {
            let mut classes: Vec<usize> = (0..shares.len()).filter(|&class| class != usize::from(label)).collect();
            classes.sort_by(|&a, &b| shares[b].total_cmp(&shares[a]));
            tiles.extend(classes.into_iter().map(|class| {
                let caption =
                    format!("{} as {}: {:.1}%", self.called(label), self.called(class as u8), 100.0 * shares[class]);
                self.labelled(images.image(i), class as u8, caption)
            }));
        }
        let title = "Training images under every wrong label, and how often each is drawn".to_owned();
        Ok(Grid { title, tiles, size: self.size(), columns: (self.network.classes - 1).max(1) })
    }

    /// How probable each class is to become the label of an image's negative: images x classes.
    fn shares_of_negatives(&self, pixels: &[u8], labels: &[u8]) -> Vec<f64> {
        let Self { config, network, backend, dataset, .. } = self;
        let classes = network.classes;
        let mut weights = vec![0.0; labels.len() * classes];
        let rows = weights.chunks_mut(classes).zip(labels);
        match config.negatives {
            Negatives::Hard if network.readout.is_some() => {
                let probabilities = predict::probabilities(network, &config.recipe(), &**backend, pixels);
                for ((weights, &label), probabilities) in rows.zip(probabilities.chunks(classes)) {
                    readout::weigh_negatives(label, probabilities, config.hardness, weights);
                }
            }
            // A permutation may give an image its own label.
            Negatives::Permuted => {
                let mut counts = vec![0.0; classes];
                dataset.train.labels.values().iter().for_each(|&label| counts[usize::from(label)] += 1.0);
                rows.for_each(|(weights, _)| weights.copy_from_slice(&counts));
            }
            Negatives::Hard | Negatives::Wrong => {
                rows.for_each(|(weights, &label)| readout::weigh_negatives(label, &vec![1.0; classes], 1.0, weights));
            }
        }
        for weights in weights.chunks_mut(classes) {
            let sum: f64 = weights.iter().sum();
            weights.iter_mut().for_each(|weight| *weight /= sum.max(f64::MIN_POSITIVE));
        }
        weights
    }

    /// The weights of the first layer's units as images.
    pub fn weights(&self) -> Grid {
        let layer = &self.network.layers[0];
        let of_unit = |unit: usize| -> Vec<f32> { layer.kernel.chunks_exact(layer.u).map(|row| row[unit]).collect() };
        let norm = |weights: &[f32]| weights.iter().map(|&weight| f64::from(weight).powi(2)).sum::<f64>().sqrt();
        let mut units: Vec<(f64, usize, Vec<f32>)> = (0..layer.u)
            .map(|unit| {
                let weights = of_unit(unit);
                (norm(&weights), unit, weights)
            })
            .collect();
        units.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        // The weights of the label's pixels are several times as large as the others, and would leave those pale.
        let full = |weights: &[f32]| {
            let behind = &weights[self.network.classes..];
            let seen = if behind.is_empty() { weights } else { behind };
            seen.iter().fold(f32::MIN_POSITIVE, |largest, weight| largest.max(weight.abs()))
        };
        let tile = |(_, unit, weights): &(f64, usize, Vec<f32>)| {
            Tile::signed(weights, full(weights), format!("unit {}", unit + 1))
        };
        let tiles = units.iter().take(UNITS).map(tile).collect();
        let title =
            "Weights of the first layer: red is positive, blue negative, full the unit's largest behind the label"
                .to_owned();
        Grid { title, tiles, size: self.size(), columns: 12 }
    }

    /// The goodness of test images in each layer.
    pub fn goodness(&self) -> Result<Distributions> {
        self.check_has_negatives()?;
        let Self { config, network, dataset, backend, .. } = self;
        let count = COUNTED.min(self.tested());
        let pixels = dataset.test.images.bytes_of(0..count);
        let labels = &dataset.test.labels.values()[..count];
        let wrong = labels::wrong(labels, network.classes, &mut self.rng());
        let under = |labels: &[u8]| predict::goodness_of_layers(network, &config.recipe(), &**backend, &pixels, labels);
        Ok(Distributions { positive: under(labels), negative: under(&wrong), thresholds: thresholds(config) })
    }

    /// The number format of what is computed.
    pub fn precision(&self) -> &'static str {
        self.backend.precision()
    }

    /// The test images that the run is tested on.
    fn tested(&self) -> usize {
        let (limit, count) = (self.config.test_limit, self.dataset.test.labels.len());
        if limit == 0 { count } else { limit.min(count) }
    }

    /// What is predicted of each test image.
    pub fn judgements(&self) -> Vec<Judgement> {
        let Self { config, network, dataset, backend, .. } = self;
        let (recipe, classes) = (config.recipe(), network.classes);
        let pixels = dataset.test.images.bytes_of(0..self.tested());
        let scores = match By::default_of(network) {
            By::Readout => predict::probabilities(network, &recipe, &**backend, &pixels),
            By::Goodness => predict::goodness(network, &recipe, &**backend, &pixels),
        };
        let judgement = |(&label, scores): (&u8, &[f32])| {
            let predicted = predict::best_label(scores);
            Judgement { predicted, margin: scores[usize::from(predicted)] - scores[usize::from(label)] }
        };
        dataset.test.labels.values().iter().zip(scores.chunks(classes)).map(judgement).collect()
    }

    /// How often each true label of the test images was predicted as each label.
    pub fn evaluation(&self, judgements: &[Judgement]) -> Evaluation {
        let predicted: Vec<u8> = judgements.iter().map(|judgement| judgement.predicted).collect();
        Evaluation::of(&self.dataset.test.labels.values()[..predicted.len()], &predicted, self.network.classes)
    }

    /// The test images that are predicted wrong with the greatest margin.
    pub fn mistakes(&self, judgements: &[Judgement]) -> Grid {
        let Split { images, labels } = &self.dataset.test;
        let of_images = labels.values().iter().zip(judgements).enumerate();
        let mut mistakes: Vec<(usize, u8, &Judgement)> = of_images
            .filter(|(_, (label, judgement))| **label != judgement.predicted)
            .map(|(i, (&label, judgement))| (i, label, judgement))
            .collect();
        mistakes.sort_by(|a, b| b.2.margin.total_cmp(&a.2.margin).then(a.0.cmp(&b.0)));
        let tile = |&(i, label, judgement): &(usize, u8, &Judgement)| {
            let caption = format!("{} as {}", self.called(label), self.called(judgement.predicted));
            Tile::grey(images.image(i).iter().copied(), caption)
        };
        let tiles: Vec<Tile> = mistakes.iter().take(MISTAKES).map(tile).collect();
        let (shown, of, tested) = (tiles.len(), mistakes.len(), judgements.len());
        let title = format!("{shown} of {of} mistakes on {tested} test images, the most certain first");
        Grid { title, tiles, size: self.size(), columns: 10 }
    }
}
