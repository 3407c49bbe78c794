//! The default command: trains a network, evaluates it and writes the run.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};
use ffwd::config::Config;
use ffwd::data::Dataset;
use ffwd::isa::Isa;
use ffwd::network::Network;
use ffwd::step::Backend;
use ffwd::train::{EpochReport, Trainer, TrainingSet};
use ffwd::{backend, checkpoint, predict};
use rand::rngs::Xoshiro256PlusPlus;
use rand::{SeedableRng, seq};

use crate::arguments::TrainArguments;
use crate::dataset;
use crate::plots::Sample;
use crate::print;
use crate::progress::Progress;
use crate::run_directory::{Results, RunDirectory};
use crate::summary::{self, DatasetSummary, Summary};

const INTERRUPTED: u8 = 130;
const SHOWN_SAMPLES: usize = 4;

pub fn run(arguments: TrainArguments) -> Result<ExitCode> {
    let flags = toml::Table::try_from(&arguments.overrides).context("options as a TOML table")?;
    let config = Config::resolve(arguments.config.as_deref(), flags)?;
    let isa = Isa::from_environment()?;
    let pool = thread_pool(config.threads)?;
    let dataset = dataset::open(config.data.as_deref(), config.classes)?;
    let mut directory = RunDirectory::create(&config, &dataset.name)?;
    let stop = stop_on_interrupt()?;
    let backend = backend::choose(config.backend, config.precision, isa);
    let progress = Progress::new(config.epochs, arguments.quiet);

    let run = Run { config, dataset: &dataset, backend: &*backend };
    progress.note(&run.title(pool.current_num_threads()));
    let summary = pool.install(|| run.train_and_evaluate(progress, directory.as_mut(), &stop))?;

    if arguments.json {
        print(serde_json::to_string(&summary).expect("plain values serialise"))?;
    } else if !arguments.quiet {
        print_result(&summary)?;
        if let Some(directory) = &directory {
            print(format!("Written to {}", directory.path().display()))?;
        }
    }
    Ok(if summary.interrupted { ExitCode::from(INTERRUPTED) } else { ExitCode::SUCCESS })
}

/// A pool of `threads` threads, or of one for each core that affinity and cgroup leave to this process.
pub fn thread_pool(threads: usize) -> Result<rayon::ThreadPool> {
    let available = || std::thread::available_parallelism().map_or(1, usize::from);
    let threads = if threads == 0 { available() } else { threads };
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().context("starting the threads")
}

/// A flag that Ctrl-C sets; a second Ctrl-C ends the program at once.
fn stop_on_interrupt() -> Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&stop);
    ctrlc::set_handler(move || {
        if flag.swap(true, Ordering::Relaxed) {
            std::process::exit(i32::from(INTERRUPTED));
        }
        eprintln!("interrupted: evaluating and writing the run (again to end at once)");
    })
    .context("handling Ctrl-C")?;
    Ok(stop)
}

/// The first `limit` of `count`, where 0 is all.
fn limited(limit: usize, count: usize) -> usize {
    if limit == 0 { count } else { limit.min(count) }
}

/// How many images of the test set have been predicted right, and as what.
pub struct Evaluation {
    pub tested: usize,
    pub errors: usize,
    /// How often each true label (row) was predicted as each label (column).
    pub confusion: Vec<Vec<usize>>,
}

impl Evaluation {
    /// Predicts the first `limit` test images, 0 meaning all.
    pub fn new(network: &Network, backend: &dyn Backend, dataset: &Dataset, limit: usize) -> Self {
        let tested = limited(limit, dataset.test.labels.len());
        let predicted = predict::predict(network, backend, &dataset.test.images.pixels()[..tested * network.pixels()]);
        let mut confusion = vec![vec![0; network.classes]; network.classes];
        for (&label, &predicted) in dataset.test.labels.values().iter().zip(&predicted) {
            confusion[usize::from(label)][usize::from(predicted)] += 1;
        }
        let right: usize = (0..network.classes).map(|label| confusion[label][label]).sum();
        Self { tested, errors: tested - right, confusion }
    }

    /// The share predicted right; `None` where nothing was tested.
    pub fn accuracy(&self) -> Option<f64> {
        (self.tested > 0).then(|| (self.tested - self.errors) as f64 / self.tested as f64)
    }
}

/// What a run is made of.
struct Run<'a> {
    config: Config,
    dataset: &'a Dataset,
    backend: &'a dyn Backend,
}

impl Run<'_> {
    fn training_images(&self) -> usize {
        limited(self.config.train_limit, self.dataset.train.labels.len())
    }

    fn title(&self, threads: usize) -> String {
        let Self { config, dataset, backend } = self;
        let kind = if dataset.synthetic { " (synthetic)" } else { "" };
        let units: Vec<_> = config.layers.iter().map(usize::to_string).collect();
        format!(
            "{}{kind}: {} training images of {} pixels; layers {}; {} backend, f32, {}, {threads} threads",
            dataset.name,
            self.training_images(),
            dataset.train.images.pixels_per_image(),
            units.join("-"),
            backend.name(),
            backend.isa(),
        )
    }

    fn train_and_evaluate(
        self,
        mut progress: Progress,
        mut directory: Option<&mut RunDirectory>,
        stop: &AtomicBool,
    ) -> ffwd::Result<Summary> {
        let Self { ref config, dataset, backend } = self;
        let images = &dataset.train.images;
        let set = TrainingSet {
            pixels: &images.pixels()[..self.training_images() * images.pixels_per_image()],
            labels: &dataset.train.labels.values()[..self.training_images()],
        };
        let network =
            Network::new(images.rows(), images.cols(), config.classes, &config.layers, config.initial(), config.seed);
        let mut trainer = Trainer::new(network, config, backend, set);
        let start = std::time::Instant::now();
        let mut epochs: Vec<EpochReport> = Vec::new();
        while epochs.len() < config.epochs
            && let Some(report) = trainer.epoch(stop)
        {
            progress.epoch(&report);
            if let Some(directory) = &mut directory {
                directory.epoch(&report)?;
            }
            epochs.push(report);
        }
        let train_seconds = start.elapsed().as_secs_f64();
        progress.finish();

        let network = trainer.network();
        let evaluation = Evaluation::new(network, backend, dataset, config.test_limit);
        let summary = Summary {
            schema: summary::SCHEMA,
            dataset: DatasetSummary::new(dataset, self.training_images(), evaluation.tested),
            config: config.clone(),
            backend: backend.name(),
            isa: backend.isa().name(),
            precision: "f32",
            threads: rayon::current_num_threads(),
            seed: config.seed,
            final_loss: epochs.last().map(|report| report.final_loss),
            interrupted: epochs.len() < config.epochs,
            epochs,
            test_accuracy: evaluation.accuracy(),
            test_errors: evaluation.errors,
            train_seconds,
            peak_rss_bytes: summary::peak_rss_bytes(),
            weights_sha256: checkpoint::weights_sha256(network),
        };
        if let Some(directory) = directory {
            let samples = random_samples(dataset, config.seed);
            let config_toml = config.to_toml();
            let confusion = evaluation.confusion;
            directory.finish(&Results { summary: &summary, network, config_toml, samples, confusion })?;
        }
        Ok(summary)
    }
}

/// Some training images, as the Keras example shows them before it trains.
fn random_samples(dataset: &Dataset, seed: u64) -> Vec<Sample<'_>> {
    let count = dataset.train.images.count();
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
