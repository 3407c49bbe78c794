//! The rows of training, one for each number format: outer epochs of the reference network from its start, then
//! prediction.

use std::time::Instant;

use super::{Circumstances, Training, Watch, median};
use crate::backend::Backend;
use crate::backends;
use crate::checkpoint;
use crate::config::{Config, PrecisionName, Preset};
use crate::data::Dataset;
use crate::error::Result;
use crate::network::Network;
use crate::predict::{By, predict};
use crate::recipe::Recipe;
use crate::tier::Tier;
use crate::train::{Trainer, TrainingSet, TrainingState};

/// Outer epochs, and as many times all images are predicted.
const REPEATS: usize = 3;

/// What this part of the measurement is called.
const PART: &str = "training";

/// How much of the work of a real run is done: images, and inner steps of each layer.
pub(super) struct Extent {
    images: usize,
    inner_steps: usize,
}

impl Extent {
    pub(super) const FULL: Self = Self { images: 10_000, inner_steps: 50 };
    pub(super) const QUICK: Self = Self { images: 1_000, inner_steps: 10 };
}

/// Trains the network of the preset on the first images of `dataset` and predicts them, in the current pool: in f32 on
/// the instruction set of `tier`, and in bf16 where it has a tile unit. `watch` hears what is next.
///
/// # Errors
///
/// None with a sound preset.
pub(super) fn measure(
    circumstances: &Circumstances,
    tier: &Tier,
    dataset: &Dataset,
    extent: &Extent,
    watch: &mut Watch<'_>,
) -> Result<Vec<Training>> {
    let in_f32 = (PrecisionName::F32, Tier::new(tier.isa()));
    let in_bf16 = tier.tile_units_in_use().first().map(|_| (PrecisionName::Bf16, *tier));
    let row = |on| measure_on(on, circumstances, dataset, extent, watch);
    std::iter::once(in_f32).chain(in_bf16).map(row).collect()
}

/// The row of one number format.
fn measure_on(
    (precision, tier): (PrecisionName, Tier),
    circumstances: &Circumstances,
    dataset: &Dataset,
    extent: &Extent,
    watch: &mut Watch<'_>,
) -> Result<Training> {
    let mut config = Config::of_preset(&Preset::KERAS);
    (config.seed, config.inner_steps) = (circumstances.seed, extent.inner_steps);
    let backend = &*backends::choose(config.backend, precision, tier)?;
    let images = &dataset.train.images;
    let samples = images.count().min(extent.images);
    let pixels = images.pixels().first(samples, images.pixels_per_image());
    let set = TrainingSet { pixels, labels: &dataset.train.labels.values()[..samples] };
    let network =
        Network::new(images.rows(), images.cols(), config.classes, &config.layers, config.initial(), config.seed);
    let (network, epoch_seconds, final_loss) =
        train(Trainer::new(TrainingState::new(network, &config), &config, backend, set), watch);
    watch(PART, "prediction");
    let recipe = config.recipe();
    Ok(Training {
        dataset: dataset.name.clone(),
        dataset_sha256: dataset.sha256().to_owned(),
        samples,
        layers: config.layers,
        inner_steps: config.inner_steps,
        backend: backend.name().to_owned(),
        dtype: backend.precision().to_owned(),
        isa: backend.products().to_owned(),
        threads: circumstances.threads,
        samples_per_second: samples as f64 / median(&epoch_seconds),
        epoch_seconds,
        final_loss,
        predictions_per_second: samples as f64
            / prediction_seconds(&network, &recipe, backend, &images.bytes_of(0..samples)),
        weights_sha256: checkpoint::weights_sha256(&network),
    })
}

/// The network after its outer epochs, their seconds, and the last loss.
fn train(mut trainer: Trainer<'_>, watch: &mut Watch<'_>) -> (Network, Vec<f64>, f64) {
    let reports: Vec<_> = (1..=REPEATS)
        .map(|number| {
            watch(PART, &format!("outer epoch {number} of {REPEATS}"));
            trainer.epoch(&false.into()).expect("nothing stops it")
        })
        .collect();
    let seconds = reports.iter().map(|report| report.seconds).collect();
    (trainer.into_state().into_result(), seconds, reports[REPEATS - 1].final_loss)
}

/// The median time of predicting all of `pixels`.
fn prediction_seconds(network: &Network, recipe: &Recipe, backend: &dyn Backend, pixels: &[u8]) -> f64 {
    let seconds = |_| {
        let start = Instant::now();
        std::hint::black_box(predict(network, recipe, backend, pixels, By::Goodness));
        start.elapsed().as_secs_f64()
    };
    median(&(0..REPEATS).map(seconds).collect::<Vec<_>>())
}
