//! The default command: trains a network, evaluates it and writes the run.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, bail};
use ffwd::Error;
use ffwd::backend::Backend;
use ffwd::backends;
use ffwd::checkpoint::{self, Origin};
use ffwd::config::Config;
use ffwd::data::Dataset;
use ffwd::network::Network;
use ffwd::parameters::Parameters;
use ffwd::predict::Evaluation;
use ffwd::tier::Tier;
use ffwd::train::{EpochReport, Trainer, TrainingSet, TrainingState};
use rand::rngs::Xoshiro256PlusPlus;
use rand::{SeedableRng, seq};

use crate::arguments::TrainArguments;
use crate::dataset;
use crate::plots::Sample;
use crate::progress::Progress;
use crate::run_directory::{Place, Results, RunDirectory};
use crate::summary::{self, DatasetSummary, Summary};
use crate::{INTERRUPTED, print, say, threads_or_available};

const SHOWN_SAMPLES: usize = 4;

pub fn run(arguments: TrainArguments) -> Result<ExitCode> {
    let given = toml::Table::try_from(&arguments.overrides).context("options as a TOML table")?;
    let mut config = Config::resolve(arguments.config.as_deref(), given)?;
    let backend = backends::choose(config.backend, config.precision, Tier::from_environment()?)?;
    let pool = thread_pool(config.threads)?;
    let place = Place::of(&config)?;
    let (dataset, located) = dataset::open(config.data.as_deref(), config.classes, arguments.quiet)?;
    config.settle(&located.spec, &*backend);
    let run = TrainingRun { config, dataset: &dataset, backend: &*backend };
    run.check_validation()?;
    run.check_shift()?;
    let mut directory = RunDirectory::create(place, &run.config, &dataset.name)?;
    let stop = stop_on_interrupt(arguments.quiet)?;
    let progress = Progress::new(run.config.epochs, arguments.quiet);

    progress.note(&run.title(located.found_in, pool.current_num_threads()));
    let summary = pool.install(|| run.train_and_evaluate(progress, directory.as_mut(), &stop))?;

    if arguments.json {
        print(serde_json::to_string(&summary).expect("plain values serialise"))?;
    } else if !arguments.quiet {
        print_result(&summary)?;
    }
    if let Some(directory) = directory {
        let path = directory.path().to_path_buf();
        directory.close()?;
        if !arguments.json && !arguments.quiet {
            print(format!("Written to {}", path.display()))?;
        }
    }
    Ok(if stop.load(Ordering::Relaxed) { ExitCode::from(INTERRUPTED) } else { ExitCode::SUCCESS })
}

/// A pool of `threads` threads, or of one for each core that affinity and cgroup leave to this process.
fn thread_pool(threads: usize) -> Result<rayon::ThreadPool> {
    rayon::ThreadPoolBuilder::new().num_threads(threads_or_available(threads)).build().context("starting the threads")
}

/// A flag that Ctrl-C sets; a second Ctrl-C ends the program at once.
fn stop_on_interrupt(quiet: bool) -> Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&stop);
    ctrlc::set_handler(move || {
        if flag.swap(true, Ordering::Relaxed) {
            std::process::exit(i32::from(INTERRUPTED));
        }
        if !quiet {
            say("interrupted: evaluating and writing the run (again to end at once)");
        }
    })
    .context("handling Ctrl-C")?;
    Ok(stop)
}

/// The first `limit` of `count`, where 0 is all.
fn limited(limit: usize, count: usize) -> usize {
    if limit == 0 { count } else { limit.min(count) }
}

/// What a run is made of.
struct TrainingRun<'a> {
    config: Config,
    dataset: &'a Dataset,
    backend: &'a dyn Backend,
}

impl TrainingRun<'_> {
    /// Images to train on: those that are not kept for validation.
    fn training_images(&self) -> usize {
        self.used_images().saturating_sub(self.config.validation)
    }

    fn used_images(&self) -> usize {
        limited(self.config.train_limit, self.dataset.train.labels.len())
    }

    /// Leaves images to train on.
    fn check_validation(&self) -> Result<()> {
        let (used, validation) = (self.used_images(), self.config.validation);
        if self.training_images() > 0 {
            return Ok(());
        }
        Err(Error::config("validation", validation, format!("fewer than the {used} training images")).into())
    }

    /// Leaves something of every image.
    fn check_shift(&self) -> Result<()> {
        let images = &self.dataset.train.images;
        let (shift, side) = (self.config.shift, images.rows().min(images.cols()));
        if shift < side {
            return Ok(());
        }
        let expected = format!("fewer pixels than the {side} of the images' shorter side");
        Err(Error::config("shift", shift, expected).into())
    }

    /// The share of the validation images that is predicted right.
    fn validate(&self, network: &Network) -> Option<f64> {
        let part = self.training_images()..self.used_images();
        let images = &self.dataset.train.images;
        let pixels = &images.pixels()[part.start * network.pixels()..part.end * network.pixels()];
        let labels = &self.dataset.train.labels.values()[part];
        Evaluation::new(network, &self.config.recipe(), self.backend, pixels, labels).accuracy()
    }

    fn title(&self, found_in: &str, threads: usize) -> String {
        let Self { config, dataset, backend } = self;
        let kind = if dataset.synthetic { " (synthetic)" } else { "" };
        let units: Vec<_> = config.layers.iter().map(usize::to_string).collect();
        format!(
            "{}{kind} from {found_in}: {} training images of {} pixels; layers {}; \
             {} backend, {}, {}, {threads} threads",
            dataset.name,
            self.training_images(),
            dataset.train.images.pixels_per_image(),
            units.join("-"),
            backend.name(),
            backend.precision(),
            backend.products(),
        )
    }

    fn train_and_evaluate(
        self,
        progress: Progress,
        mut directory: Option<&mut RunDirectory>,
        stop: &AtomicBool,
    ) -> Result<Summary> {
        let start = std::time::Instant::now();
        let (network, epochs) = self.train(progress, directory.as_deref_mut(), stop)?;
        let train_seconds = start.elapsed().as_secs_f64();
        if let Some(directory) = &mut directory {
            directory.model(&network, &self.origin());
        }
        let evaluation = self.evaluate(&network);
        let summary = self.summary(&network, epochs, train_seconds, &evaluation);
        if let Some(directory) = directory {
            let samples = random_samples(self.dataset, self.training_images(), self.config.seed);
            let image_size = (network.rows, network.cols);
            directory.finish(&Results { summary: &summary, image_size, samples, confusion: evaluation.confusion });
        }
        Ok(summary)
    }

    /// Trains until the last epoch, the accuracy to stop at, the user's interrupt, or a value that is no number.
    fn train(
        &self,
        mut progress: Progress,
        mut directory: Option<&mut RunDirectory>,
        stop: &AtomicBool,
    ) -> Result<(Network, Vec<EpochReport>)> {
        let Self { ref config, dataset, backend } = *self;
        let images = &dataset.train.images;
        let set = TrainingSet {
            pixels: &images.pixels()[..self.training_images() * images.pixels_per_image()],
            labels: &dataset.train.labels.values()[..self.training_images()],
        };
        let network =
            Network::new(images.rows(), images.cols(), config.classes, &config.layers, config.initial(), config.seed);
        let mut trainer = Trainer::new(TrainingState::new(network, config), config, backend, set);
        let mut epochs: Vec<EpochReport> = Vec::new();
        let mut best = 0.0;
        while epochs.len() < config.epochs && !reached(&epochs, config.target_accuracy) {
            let mut report = trainer.epoch(stop);
            let number = epochs.len() + 1;
            if let Some(report) = &mut report {
                let is_due = number.is_multiple_of(config.validate_every) || number == config.epochs;
                if config.validation > 0 && is_due {
                    report.validation_accuracy = self.validate(trainer.network());
                }
                if let (Some(accuracy), Some(directory)) = (report.validation_accuracy, &mut directory)
                    && accuracy > best
                {
                    best = accuracy;
                    directory.best_model(trainer.network(), &self.origin());
                }
                progress.epoch(report);
                if let Some(directory) = &mut directory {
                    directory.epoch(report);
                }
            }
            check_converging(number, report.as_ref(), trainer.network(), config).inspect_err(|_| progress.finish())?;
            match report {
                Some(report) => epochs.push(report),
                None => break,
            }
        }
        progress.finish();
        Ok((trainer.into_state().into_result(), epochs))
    }

    fn summary(
        &self,
        network: &Network,
        epochs: Vec<EpochReport>,
        train_seconds: f64,
        evaluation: &Evaluation,
    ) -> Summary {
        let Self { config, dataset, backend } = self;
        Summary {
            schema: summary::SCHEMA,
            dataset: DatasetSummary::new(dataset, self.training_images(), evaluation.tested),
            config: config.clone(),
            backend: backend.name(),
            isa: backend.products(),
            precision: backend.precision(),
            threads: rayon::current_num_threads(),
            seed: config.seed,
            final_loss: epochs.last().map(|report| report.final_loss),
            interrupted: epochs.len() < config.epochs && !reached(&epochs, config.target_accuracy),
            seconds_to_target: reached(&epochs, config.target_accuracy)
                .then(|| epochs.iter().map(|report| report.seconds).sum()),
            epochs,
            test_accuracy: evaluation.accuracy(),
            test_errors: evaluation.errors,
            train_seconds,
            peak_rss_bytes: summary::peak_rss_bytes(),
            weights_sha256: checkpoint::weights_sha256(network),
        }
    }

    fn origin(&self) -> Origin {
        Origin {
            config: self.config.to_toml(),
            dataset: self.dataset.name.clone(),
            dataset_sha256: self.dataset.sha256().to_owned(),
        }
    }

    fn evaluate(&self, network: &Network) -> Evaluation {
        let Self { config, dataset, backend } = self;
        let labels = dataset.test.labels.values();
        let tested = limited(config.test_limit, labels.len());
        let pixels = &dataset.test.images.pixels()[..tested * network.pixels()];
        Evaluation::new(network, &config.recipe(), *backend, pixels, &labels[..tested])
    }
}

/// Whether the last epoch reached the accuracy to stop at, which is none where it is 0.
fn reached(epochs: &[EpochReport], target: f64) -> bool {
    let last = epochs.last().and_then(|report| report.validation_accuracy);
    target > 0.0 && last.is_some_and(|accuracy| accuracy >= target)
}

/// Ends a run in which a layer's loss or weights, or the read-out's weights, are no numbers any more: what follows
/// would be lost time.
///
/// `losses` holds each layer's loss in the epoch, or nothing where the epoch was interrupted.
fn check_converging(epoch: usize, report: Option<&EpochReport>, network: &Network, config: &Config) -> Result<()> {
    let lr = config.lr;
    let sound = |parameters: &Parameters| parameters.kernel.iter().chain(&parameters.bias).all(|w| w.is_finite());
    for (layer, losses) in (1..).zip(report.map_or(&[][..], |report| &report.step_loss)) {
        if let Some(step) = losses.iter().position(|loss| !loss.is_finite()) {
            let (batch, loss) = (step / config.inner_steps + 1, losses[step]);
            bail!("epoch {epoch}, batch {batch}: the loss of layer {layer} is {loss}; try a smaller --lr than {lr:?}");
        }
    }
    for (layer, parameters) in (1..).zip(&network.layers) {
        if !sound(parameters) {
            bail!("epoch {epoch}: the weights of layer {layer} are no finite numbers; try a smaller --lr than {lr:?}");
        }
    }
    if !network.readout.iter().all(sound) {
        bail!("epoch {epoch}: the weights of the read-out are no finite numbers; try a smaller --readout-lr");
    }
    Ok(())
}

/// Some of the first `count` training images, as the Keras example shows them before it trains.
fn random_samples(dataset: &Dataset, count: usize, seed: u64) -> Vec<Sample<'_>> {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
    let shown = seq::index::sample(&mut rng, count, SHOWN_SAMPLES.min(count));
    let sample = |i| Sample { image: dataset.train.images.image(i), label: dataset.train.labels.values()[i] };
    shown.into_iter().map(sample).collect()
}

fn print_result(summary: &Summary) -> Result<()> {
    let kind = if summary.dataset.synthetic { "synthetic " } else { "" };
    if let Some(accuracy) = summary.test_accuracy {
        let (test, errors) = (summary.dataset.test, summary.test_errors);
        print(format!("Test accuracy {:.2}% ({errors} errors in {test} {kind}images)", 100.0 * accuracy))?;
    }
    let epochs = summary.epochs.len();
    print(format!("Trained {epochs} epochs in {:.1} s", summary.train_seconds))
}
