//! `fast-train show`: pictures of a run: what it learns from, what it has learnt, and where it errs.
//!
//! Everything is computed anew from the run's model and the data set it was trained on.

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use ffwd::backend::Backend;
use ffwd::checkpoint::Model;
use ffwd::config::{Config, Learning, Negatives};
use ffwd::data::{Dataset, Reading, Split};
use ffwd::labels::{self, Label};
use ffwd::network::Network;
use ffwd::predict::{self, By};
use ffwd::recipe::LossName;
use ffwd::{Error, checkpoint, readout};
use rand::SeedableRng;
use rand::rngs::Xoshiro256PlusPlus;

use crate::arguments::{ShowArguments, What};
use crate::model::{backend, check_size, configuration, note_other_data, note_unchecked, trained_on};
use crate::plots::{self, Grid, Tile};
use crate::run_directory::MODEL;
use crate::{dataset, print};

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

pub fn run(arguments: &ShowArguments) -> Result<ExitCode> {
    let name = format!("{:?}", arguments.what).to_lowercase();
    let output = arguments.output.clone().unwrap_or_else(|| arguments.run.join(format!("show-{name}.svg")));
    let form = Form::of(&output, arguments.what)?;
    let shown = Shown::open(arguments)?;
    let picture = match arguments.what {
        What::Samples => Picture::Grid(shown.samples()),
        What::Negatives => Picture::Grid(shown.negatives()?),
        What::Weights => Picture::Grid(shown.weights()),
        What::Goodness => Picture::Svg(shown.goodness()?),
        What::Mistakes => Picture::Grid(shown.mistakes()),
    };
    shown.dataset.check_unchanged()?;
    fs::write(&output, picture.bytes(form)).map_err(Error::io(&output, "write"))?;
    print(format!("Written to {}", output.display()))?;
    Ok(ExitCode::SUCCESS)
}

/// The form of a picture's file.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Svg,
    Png,
}

impl Form {
    /// The form that the file's name asks for.
    fn of(path: &Path, what: What) -> ffwd::Result<Self> {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("svg") => Ok(Self::Svg),
            Some("png") if what != What::Goodness => Ok(Self::Png),
            _ if what == What::Goodness => Err(Error::config("--output", path.display(), "a name that ends in .svg")),
            _ => Err(Error::config("--output", path.display(), "a name that ends in .svg or .png")),
        }
    }
}

enum Picture {
    Grid(Grid),
    Svg(String),
}

impl Picture {
    fn bytes(&self, form: Form) -> Vec<u8> {
        match (self, form) {
            (Self::Grid(grid), Form::Png) => grid.png(),
            (Self::Grid(grid), Form::Svg) => grid.svg().into_bytes(),
            (Self::Svg(svg), _) => svg.clone().into_bytes(),
        }
    }
}

/// A run that is shown.
struct Shown {
    config: Config,
    network: Network,
    dataset: Dataset,
    backend: Box<dyn Backend>,
}

impl Shown {
    /// The run in a directory, and the data set it was trained on where none is named.
    fn open(arguments: &ShowArguments) -> Result<Self> {
        let path = arguments.run.join(MODEL);
        let Model { network, origin, is_checked } = checkpoint::load(&path)?;
        note_unchecked(&path, is_checked);
        let config = configuration(&origin);
        let Some(data) = arguments.data.clone().or_else(|| trained_on(&origin)) else {
            let expected = "a data set, because the model does not say which it was trained on";
            return Err(Error::config("--data", "nothing", expected).into());
        };
        let reading = Reading { classes: network.classes, ..config.reading() };
        let (dataset, _) = dataset::open(Some(&data), reading, false)?;
        check_size(&dataset.train.images, (network.rows, network.cols))?;
        check_size(&dataset.test.images, (network.rows, network.cols))?;
        note_other_data(&origin, &dataset);
        Ok(Self { config, network, dataset, backend: backend()? })
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
        self.config.recipe().labels.overlay(image, Label::Class(class), self.network.classes, &mut row);
        Tile::grey(row.into_iter().map(|value| (value * 255.0).round() as u8), caption)
    }

    fn rng(&self) -> Xoshiro256PlusPlus {
        Xoshiro256PlusPlus::seed_from_u64(self.config.seed)
    }

    /// The first images of the training set: above under their labels, below under wrong ones.
    fn samples(&self) -> Grid {
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
    fn negatives(&self) -> Result<Grid> {
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
        let Self { config, network, backend, dataset } = self;
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
    fn weights(&self) -> Grid {
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

    /// How the goodness of test images is distributed in each layer.
    fn goodness(&self) -> Result<String> {
        self.check_has_negatives()?;
        let Self { config, network, dataset, backend } = self;
        let count = COUNTED.min(dataset.test.labels.len());
        let pixels = dataset.test.images.bytes_of(0..count);
        let labels = &dataset.test.labels.values()[..count];
        let wrong = labels::wrong(labels, network.classes, &mut self.rng());
        let recipe = config.recipe();
        let under = |labels: &[u8]| predict::goodness_of_layers(network, &recipe, &**backend, &pixels, labels);
        let threshold = |u| (recipe.loss.name == LossName::Logistic).then(|| recipe.loss.threshold.of(u));
        let thresholds: Vec<_> = network.layers.iter().map(|layer| threshold(layer.u)).collect();
        Ok(plots::goodness(&under(labels), &under(&wrong), &thresholds))
    }

    /// The test images that are predicted wrong with the greatest margin.
    fn mistakes(&self) -> Grid {
        let Self { config, network, dataset, backend } = self;
        let Split { images, labels } = &dataset.test;
        let (by, recipe) = (By::default_of(network), config.recipe());
        let pixels = images.bytes_of(0..images.count());
        let scores = match by {
            By::Readout => predict::probabilities(network, &recipe, &**backend, &pixels),
            By::Goodness => predict::goodness(network, &recipe, &**backend, &pixels),
        };
        let mut mistakes: Vec<(f32, usize, u8)> = Vec::new();
        for (i, (&label, scores)) in labels.values().iter().zip(scores.chunks(network.classes)).enumerate() {
            let best = predict::best_label(scores);
            if best != label {
                mistakes.push((scores[usize::from(best)] - scores[usize::from(label)], i, best));
            }
        }
        mistakes.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        let tile = |&(_, i, predicted): &(f32, usize, u8)| {
            let label = labels.values()[i];
            Tile::grey(images.image(i).iter().copied(), format!("{} as {}", self.called(label), self.called(predicted)))
        };
        let tiles: Vec<Tile> = mistakes.iter().take(MISTAKES).map(tile).collect();
        let title = format!(
            "{} of {} mistakes on {} test images, the most certain first",
            tiles.len(),
            mistakes.len(),
            labels.len()
        );
        Grid { title, tiles, size: self.size(), columns: 10 }
    }
}
