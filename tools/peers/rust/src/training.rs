//! Training as `fast-train` trains, and whole presets with their accuracy.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use ffwd::backend::Backend;
use ffwd::backends;
use ffwd::checkpoint::Origin;
use ffwd::config::Config;
use ffwd::data::{Dataset, Places, Split};
use ffwd::network::Network;
use ffwd::predict::Evaluation;
use ffwd::tier::Tier;
use ffwd::train::stored::StoredState;
use ffwd::train::{EpochReport, Trainer, TrainingSet, TrainingState};
use serde_json::{Value, json};

use crate::{Epoch, EpochTask};

/// Where the data set `spec` lies, a name or a directory as `fast-train --data` takes it.
pub fn locate(spec: &str) -> Result<Value> {
    let located = Places::from_environment().locate(spec)?;
    let dataset = Dataset::open(&located.directory, &located.name, 10)?;
    Ok(json!({
        "directory": dataset.directory,
        "name": dataset.name,
        "sha256": dataset.sha256(),
        "synthetic": dataset.synthetic,
        "images": dataset.train.images.count(),
    }))
}

/// All fields of the preset `name`.
pub fn preset(name: &str) -> Result<Value> {
    let config = Config::resolve(None, format!("preset = {name:?}").parse()?)?;
    Ok(json!({ "preset": config }))
}

/// Epochs of a preset from `[DIRECTORY, PRESET]` in JSON, the latter as [`preset`] gives it, with the accuracy on the
/// test images after each, outside its time; and the precision that was chosen.
pub fn accuracy(request: &str) -> Result<(EpochTask, &'static str)> {
    let (directory, config): (String, Config) =
        serde_json::from_str(request).context("expected [DIRECTORY, PRESET]")?;
    let mut run = Run::new(config, &directory)?;
    let precision = run.backend.precision();
    let task: EpochTask = Box::new(move || {
        let (elapsed, _) = run.epoch()?;
        let accuracy = run.accuracy().context("no test images")?;
        Ok(Epoch { elapsed, outcome: ("accuracy", accuracy) })
    });
    Ok((task, precision))
}

/// A network in training.
pub struct Run {
    pub config: Config,
    backend: &'static dyn Backend,
    dataset: &'static Dataset,
    /// Height and width of an image.
    pub size: (usize, usize),
    train: Labelled,
    test: Labelled,
    /// From the first epoch on.
    trainer: Option<Trainer<'static>>,
}

/// Images, one after another, and their labels.
struct Labelled {
    pixels: &'static [u8],
    labels: &'static [u8],
}

impl Labelled {
    /// The first `limit` images of `split`, where 0 is all.
    fn first(limit: usize, split: &'static Split) -> Result<Self> {
        let labels = split.labels.values();
        if limit > labels.len() {
            bail!("found {} images, expected at least {limit}", labels.len());
        }
        let count = if limit == 0 { labels.len() } else { limit };
        Ok(Self { pixels: Box::leak(Box::new(split.images.bytes_of(0..count))), labels: &labels[..count] })
    }
}

impl Run {
    /// What trains as `config` says on the data set in `directory`.
    pub fn new(config: Config, directory: &str) -> Result<Self> {
        let dataset = Dataset::open(Path::new(directory), "data", config.classes)?;
        // A process trains few networks, so what they borrow may live as long as the process.
        let dataset: &'static Dataset = Box::leak(Box::new(dataset));
        let Dataset { train, test, .. } = dataset;
        Ok(Self {
            backend: Box::leak(backends::choose(config.backend, config.precision, Tier::from_environment()?)?),
            dataset,
            size: (train.images.rows(), train.images.cols()),
            train: Labelled::first(config.train_limit, train).with_context(|| directory.to_owned())?,
            test: Labelled::first(config.test_limit, test).with_context(|| directory.to_owned())?,
            trainer: None,
            config,
        })
    }

    /// Trains the next epoch. The first one's time includes what a [`Trainer`] does once.
    pub fn epoch(&mut self) -> Result<(Duration, EpochReport)> {
        let start = Instant::now();
        if self.trainer.is_none() {
            self.go_on_from(self.initial());
        }
        let trainer = self.trainer.as_mut().expect("there is one now");
        let report = trainer.epoch(&false.into()).context("stopped")?;
        Ok((start.elapsed(), report))
    }

    /// Before the first epoch.
    fn initial(&self) -> TrainingState {
        let Self { config, size: (rows, cols), .. } = self;
        let network = Network::new(*rows, *cols, config.classes, &config.layers, config.initial(), config.seed);
        TrainingState::new(network, config)
    }

    /// Makes the next epoch the one that follows `state`.
    pub fn go_on_from(&mut self, state: TrainingState) {
        // The memory of the trainer before is free for this one.
        self.trainer = None;
        let set = TrainingSet { pixels: self.train.pixels.into(), labels: self.train.labels };
        self.trainer = Some(Trainer::new(state, &self.config, self.backend, set));
    }

    /// Epochs trained so far.
    pub fn epochs_done(&self) -> usize {
        self.trainer.as_ref().map_or(0, |trainer| trainer.state().epoch)
    }

    /// What the run is now, to be stored.
    pub fn stored(&self) -> StoredState {
        StoredState {
            state: self.trainer.as_ref().map_or_else(|| self.initial(), |trainer| trainer.state().clone()),
            origin: Origin {
                config: self.config.to_toml(),
                dataset: self.dataset.name.clone(),
                dataset_sha256: self.dataset.sha256().to_owned(),
                ..Origin::default()
            },
            train_seconds: 0.0,
            products: self.backend.products().to_owned(),
        }
    }

    /// The share of the test images that is predicted right, after an epoch.
    fn accuracy(&self) -> Option<f64> {
        let (network, Labelled { pixels, labels }) = (self.trainer.as_ref()?.network(), &self.test);
        Evaluation::new(network, &self.config.recipe(), self.backend, pixels, labels).accuracy()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_preset_is_told_whole_and_taken_back() {
        let told = preset("quick").unwrap();
        let config: Config = serde_json::from_value(told["preset"].clone()).unwrap();
        assert_eq!((config.preset.as_str(), config.layers.as_slice()), ("quick", [500, 500].as_slice()));
        assert!(preset("x").is_err());
    }

    #[test]
    fn requests_without_a_directory_or_a_preset_are_errors() {
        let whole = json!(["no such directory", preset("quick").unwrap()["preset"]]).to_string();
        for request in ["", "[]", "{}", r#"["."]"#, r#"[".", {"preset": "quick"}]"#, whole.as_str()] {
            assert!(accuracy(request).is_err(), "{request}");
        }
    }
}
