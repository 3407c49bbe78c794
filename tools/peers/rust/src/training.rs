//! Outer epochs of the reference network 784-500-500, as `fast-train` trains it by default.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use ffwd::backend::Backend;
use ffwd::backends;
use ffwd::config::{Config, PrecisionName};
use ffwd::data::{Dataset, Places};
use ffwd::network::Network;
use ffwd::tier::Tier;
use ffwd::train::{Trainer, TrainingSet, TrainingState};
use serde_json::{Value, json};

use crate::{Sample, Task};

/// Where the data set `spec` lies, a name or a directory as `fast-train --data` takes it.
pub fn locate(spec: &str) -> Result<Value> {
    let located = Places::from_environment().locate(spec)?;
    let dataset = Dataset::open(&located.directory, &located.name, 10)?;
    Ok(json!({
        "directory": dataset.directory,
        "name": dataset.name,
        "synthetic": dataset.synthetic,
        "images": dataset.train.images.count(),
    }))
}

/// Outer epochs from `SAMPLES STEPS DIRECTORY`: so many images as one batch, so many inner steps for each layer.
///
/// Each run is the next outer epoch. The first one's time includes what a [`Trainer`] does once.
pub fn epochs(words: &str) -> Result<Task> {
    let words: Vec<_> = words.splitn(3, ' ').collect();
    let &[samples, steps, directory] = words.as_slice() else { bail!("expected SAMPLES STEPS DIRECTORY") };
    let (samples, steps): (usize, usize) = (samples.parse().context("SAMPLES")?, steps.parse().context("STEPS")?);
    let fields = format!("preset = \"keras\"\ninner_steps = {steps}\ntrain_limit = {samples}");
    let config = Config::resolve(None, fields.parse()?)?;
    // A process trains one network, so what it borrows may live as long as the process.
    let config: &'static Config = Box::leak(Box::new(config));
    let dataset: &'static Dataset = Box::leak(Box::new(Dataset::open(Path::new(directory), "data", config.classes)?));
    let backend = backends::choose(config.backend, PrecisionName::F32, Tier::from_environment()?)?;
    let backend: &'static dyn Backend = Box::leak(backend);
    let (images, labels) = (&dataset.train.images, dataset.train.labels.values());
    if samples == 0 || samples > labels.len() {
        bail!("{directory}: found {} images, expected at least {samples}, and these above zero", labels.len());
    }
    let (rows, cols) = (images.rows(), images.cols());
    let set = TrainingSet { pixels: &images.pixels()[..samples * rows * cols], labels: &labels[..samples] };
    let mut trainer = None;
    Ok(Box::new(move || {
        let start = Instant::now();
        let trainer = trainer.get_or_insert_with(|| {
            let initial = config.initial();
            let network = Network::new(rows, cols, config.classes, &config.layers, initial, config.seed);
            Trainer::new(TrainingState::new(network, config), config, backend, set)
        });
        let report = trainer.epoch(&false.into()).context("stopped")?;
        Ok(Sample { elapsed: start.elapsed(), final_loss: Some(report.final_loss) })
    }))
}
