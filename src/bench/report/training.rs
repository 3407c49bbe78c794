//! The rows of training, one for each number format: outer epochs of the reference network from its start, then
//! prediction.

use std::time::Instant;

use super::{Circumstances, Step, Training, Watch, median};
use crate::backend::Backend;
use crate::backends;
use crate::bench::witness::{Seen, Witness};
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

/// How often the network is trained at most, until each outer epoch was left undisturbed once: it is the same work each
/// time.
const TRAININGS: usize = 4;

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
    (circumstances, witness): (&Circumstances, &mut Witness),
    tier: &Tier,
    dataset: &Dataset,
    extent: &Extent,
    watch: &mut Watch<'_>,
) -> Result<Vec<Training>> {
    let in_f32 = (PrecisionName::F32, Tier::new(tier.isa()));
    let in_bf16 = tier.tile_units_in_use().first().map(|_| (PrecisionName::Bf16, *tier));
    let row = |on| measure_on(on, (circumstances, &mut *witness), dataset, extent, watch);
    std::iter::once(in_f32).chain(in_bf16).map(row).collect()
}

fn step(next: &str) -> Step<'_> {
    Step { part: PART, next, left: None }
}

/// The row of one number format.
fn measure_on(
    (precision, tier): (PrecisionName, Tier),
    (circumstances, witness): (&Circumstances, &mut Witness),
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
    let start = || Trainer::new(TrainingState::new(network.clone(), &config), &config, backend, set);
    let (epochs, network, final_loss) = train(start, witness, watch);
    let epoch_seconds: Vec<f64> = epochs.iter().map(|epoch| epoch.seconds).collect();
    watch(&step("prediction"));
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
        epochs_disturbed: epochs.iter().map(|epoch| witness.is_disturbed(&epoch.seen)).collect(),
        final_loss,
        predictions_per_second: samples as f64
            / prediction_seconds(&network, &recipe, backend, &images.bytes_of(0..samples)),
        weights_sha256: checkpoint::weights_sha256(&network),
    })
}

/// The time of an outer epoch, and what was seen beside it.
#[derive(Clone, Copy)]
struct Epoch {
    seconds: f64,
    seen: Seen,
}

/// The better of two measurements of the same work: an undisturbed one, then the faster.
fn better(one: Epoch, other: Epoch, is_disturbed: impl Fn(&Seen) -> bool) -> Epoch {
    let order = |epoch: &Epoch| (is_disturbed(&epoch.seen), epoch.seconds);
    if order(&other) < order(&one) { other } else { one }
}

/// The outer epochs, the network after them and the last loss; `start` gives what trains from the beginning.
fn train<'a>(
    start: impl Fn() -> Trainer<'a>,
    witness: &mut Witness,
    watch: &mut Watch<'_>,
) -> (Vec<Epoch>, Network, f64) {
    let (mut epochs, network, final_loss) = train_once(start(), witness, watch);
    for _ in 1..TRAININGS {
        if epochs.iter().all(|epoch| !witness.is_disturbed(&epoch.seen)) {
            break;
        }
        let (again, ..) = train_once(start(), witness, watch);
        for (epoch, again) in epochs.iter_mut().zip(again) {
            *epoch = better(*epoch, again, |seen| witness.is_disturbed(seen));
        }
    }
    (epochs, network, final_loss)
}

fn train_once(mut trainer: Trainer<'_>, witness: &mut Witness, watch: &mut Watch<'_>) -> (Vec<Epoch>, Network, f64) {
    let mut final_loss = f64::NAN;
    let epoch = |number| {
        watch(&step(&format!("outer epoch {number} of {REPEATS}")));
        let (report, _, seen) = witness.watch(true, || trainer.epoch(&false.into()).expect("nothing stops it"));
        final_loss = report.final_loss;
        Epoch { seconds: report.seconds, seen }
    };
    let epochs = (1..=REPEATS).map(epoch).collect();
    (epochs, trainer.into_state().into_result(), final_loss)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_undisturbed_epoch_counts_before_a_faster_one() {
        let epoch = |seconds, waiting| {
            let mut seen = Seen::default();
            seen.waiting = waiting;
            Epoch { seconds, seen }
        };
        let (quiet, noisy) = (0.0, 0.5);
        for (one, other, expected) in [
            (epoch(2.0, noisy), epoch(3.0, quiet), 3.0),
            (epoch(3.0, quiet), epoch(2.0, noisy), 3.0),
            (epoch(3.0, noisy), epoch(2.0, noisy), 2.0),
            (epoch(2.0, quiet), epoch(3.0, quiet), 2.0),
        ] {
            assert_eq!(better(one, other, |seen| seen.waiting > 0.1).seconds, expected);
        }
    }
}
