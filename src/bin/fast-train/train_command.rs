//! The default command: trains a network, evaluates it and writes the run.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use ffwd::Error;
use ffwd::backend::Backend;
use ffwd::backends;
use ffwd::checkpoint::{self, Origin};
use ffwd::config::Config;
use ffwd::data::{Dataset, Located};
use ffwd::network::Network;
use ffwd::predict::Evaluation;
use ffwd::ranks::Ranks;
use ffwd::tier::Tier;
use ffwd::train::stored::StoredState;
use ffwd::train::{self, Divergence, EpochReport, Trainer, TrainingSet, TrainingState};
use itertools::Itertools;
use rand::rngs::Xoshiro256PlusPlus;
use rand::{SeedableRng, seq};

use crate::arguments::TrainArguments;
use crate::dataset;
use crate::goodness_watch::GoodnessWatch;
use crate::interrupt;
use crate::keeper::Keeper;
use crate::model;
use crate::plots::Sample;
use crate::progress::Progress;
use crate::ranks::Crew;
use crate::run_directory::{CONFIG, Place, Results, RunDirectory};
use crate::summary::{self, DatasetSummary, Summary};
use crate::{INTERRUPTED, print};

const SHOWN_SAMPLES: usize = 4;

/// Fields of the configuration that may differ between ranks: they change nothing that is trained, or rank 0 alone
/// heeds them.
const OF_EACH_RANK: [&str; 5] = ["threads", "data", "from", "out", "checkpoint_every"];

pub fn run(arguments: &TrainArguments) -> Result<ExitCode> {
    let is_asked_to_stop: Arc<AtomicBool> = Arc::default();
    let crew = Crew::join(&is_asked_to_stop)?;
    let outcome = crew.end(train(arguments, &crew, is_asked_to_stop))?;
    Ok(if outcome.is_stopped { ExitCode::from(INTERRUPTED) } else { ExitCode::SUCCESS })
}

/// What a run came to.
pub struct Outcome {
    pub summary: Summary,
    /// Whether the user asked it to stop.
    pub is_stopped: bool,
}

/// What a run needs before its ranks say a word to each other.
struct Prepared {
    config: Config,
    backend: Box<dyn Backend>,
    dataset: Dataset,
    located: Located,
    place: Place,
}

/// Reads what the user asked for, and the data.
fn prepare(arguments: &TrainArguments, crew: &Crew) -> Result<Prepared> {
    let given = toml::Table::try_from(&arguments.overrides).context("options as a TOML table")?;
    let resume = arguments.resume.as_deref();
    let file = resume.map(|directory| directory.join(CONFIG)).or(arguments.config.clone());
    let mut config = Config::resolve(file.as_deref(), given.clone())?;
    config.check_uses(&given)?;
    let begun_as = resume.map(|_| Config::resolve(file.as_deref(), toml::Table::new())).transpose()?;
    let backend = backends::choose(config.backend, config.precision, Tier::from_environment()?)?;
    if crew.ranks.count() > 1 && !backend.computes_shares() {
        let expected = format!("fused or auto, because {} processes share each batch", crew.ranks.count());
        return Err(Error::config("--backend", backend.name(), expected).into());
    }
    let place = if resume.is_some() || !crew.is_first() { Place::Nowhere } else { Place::of(&config)? };
    let quiet = arguments.quiet || !crew.is_first();
    let (dataset, located) = dataset::open(config.data.as_deref(), config.reading(), quiet)?;
    config.settle(&located.spec, &*backend);
    if let Some(begun_as) = &begun_as {
        config.check_continues(begun_as)?;
    }
    Ok(Prepared { config, backend, dataset, located, place })
}

/// Trains a network, evaluates it and writes the run.
pub fn train(arguments: &TrainArguments, crew: &Crew, is_asked_to_stop: Arc<AtomicBool>) -> Result<Outcome> {
    let version = format!("{} ({})", env!("CARGO_PKG_VERSION"), env!("FFWD_BUILD_COMMIT"));
    crew.check_alike(&BTreeMap::from([("version".to_owned(), version)]))?;
    let prepared = crew.first_then_others(|| prepare(arguments, crew))?;
    let Prepared { config, backend, dataset, located, place } = prepared;
    let pool = crew.agree(thread_pool(crew.threads(config.threads)))?;
    let sha256 = dataset_sum(&dataset, &config, &*backend, crew)?;
    let run = TrainingRun { config, dataset: &dataset, sha256, backend: &*backend, crew };
    let (mut directory, begin) = crew.agree(run.open(place, arguments.resume.as_deref()))?;
    let begin = begin.on_all_ranks(&crew.ranks);
    let stop = &*crew.ranks.stops().unwrap_or(Arc::clone(&is_asked_to_stop));
    crew.agree(interrupt::stop_on_interrupt(is_asked_to_stop))?;
    let quiet = arguments.quiet || !crew.is_first();
    if !quiet {
        interrupt::say_when_interrupted("evaluating and writing the run (again to end at once)".into());
    }
    let progress = Progress::new(run.config.epochs, &begin.epochs, quiet);

    progress.note(&run.title(located.found_in, pool.current_num_threads()));
    begin.notes.iter().for_each(|note| progress.note(note));
    let summary = pool.install(|| run.train_and_evaluate(begin, progress, directory.as_mut(), stop))?;
    let written = if crew.is_first() { report(&summary, directory, arguments) } else { Ok(()) };
    crew.agree(written.and_then(|()| Ok(dataset.check_unchanged()?)))?;
    Ok(Outcome { summary, is_stopped: stop.load(Ordering::Relaxed) })
}

/// Prints what came of the run, and says where it is written.
fn report(summary: &Summary, directory: Option<RunDirectory>, arguments: &TrainArguments) -> Result<()> {
    if arguments.json {
        print(serde_json::to_string(summary).expect("plain values serialise"))?;
    } else if !arguments.quiet {
        print_result(summary)?;
    }
    if let Some(directory) = directory {
        let path = directory.path().to_path_buf();
        directory.close()?;
        if !arguments.json && !arguments.quiet {
            print(format!("Written to {}", path.display()))?;
        }
    }
    Ok(())
}

/// The sum of the data set, which rank 0 alone reads as a whole.
///
/// # Errors
///
/// The ranks have not the same configuration or data: of the images, each rank reads those that it may train on.
fn dataset_sum(dataset: &Dataset, config: &Config, backend: &dyn Backend, crew: &Crew) -> Result<String> {
    let ranks = &crew.ranks;
    if ranks.count() == 1 {
        return Ok(dataset.sha256().to_owned());
    }
    let mut fields = BTreeMap::from([
        ("products".to_owned(), backend.products().to_owned()),
        ("data".to_owned(), dataset.outline()),
    ]);
    let table = toml::Table::try_from(config).context("the configuration as a TOML table")?;
    let alike = table.into_iter().filter(|(name, _)| !OF_EACH_RANK.contains(&name.as_str()));
    fields.extend(alike.map(|(name, value)| (name, value.to_string())));
    crew.check_alike(&fields)?;
    let read = |rank: usize| train::images_read(config, dataset.train.images.count(), (rank, ranks.count()));
    let own = ranks.gather(dataset.train.images.sum_of(read(ranks.rank())).into_bytes());
    let mut sums = BTreeMap::new();
    let mut differs = |&rank: &usize| {
        let Range { start, end } = read(rank);
        let sum = sums.entry((start, end)).or_insert_with(|| dataset.train.images.sum_of(start..end));
        own[rank] != sum.as_bytes()
    };
    let different = if crew.is_first() { (0..ranks.count()).find(&mut differs) } else { None };
    let number = different.map_or(-1.0, |rank| rank as f64);
    let number = ranks.gather_numbers(vec![number], |_| 1)[0][0];
    if number >= 0.0 {
        let field = format!("rank {number}: --data");
        let error = Error::config(field, "images that are not those of rank 0", "the same files on every rank");
        return crew.agree(Err(error.into()));
    }
    let sum = if crew.is_first() { dataset.sha256().to_owned() } else { String::new() };
    Ok(String::from_utf8_lossy(&ranks.gather(sum.into_bytes())[0]).into_owned())
}

/// A pool of `threads` threads.
fn thread_pool(threads: usize) -> Result<rayon::ThreadPool> {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().context("starting the threads")
}

/// The first `limit` of `count`, where 0 is all.
fn limited(limit: usize, count: usize) -> usize {
    if limit == 0 { count } else { limit.min(count) }
}

/// What a run begins with, or goes on from.
struct Begin {
    state: TrainingState,
    /// The epochs that are done.
    epochs: Vec<EpochReport>,
    /// Seconds that they took, validation and looks at goodness included.
    train_seconds: f64,
    /// Whether a checkpoint holds it.
    is_stored: bool,
    /// What the user is to know.
    notes: Vec<String>,
}

impl Begin {
    /// The same on all ranks: that of rank 0.
    fn on_all_ranks(self, ranks: &Ranks) -> Self {
        let mut begin = self;
        begin.state.take_over(ranks);
        let stored = f64::from(u8::from(begin.is_stored));
        let numbers = &ranks.gather_numbers(vec![begin.train_seconds, stored], |_| 2)[0];
        (begin.train_seconds, begin.is_stored) = (numbers[0], numbers[1] != 0.0);
        if ranks.count() > 1 {
            let epochs = serde_json::to_vec(&begin.epochs).expect("plain numbers serialise");
            begin.epochs = serde_json::from_slice(&ranks.gather(epochs)[0]).expect("what rank 0 has just written");
        }
        begin
    }
}

/// What training came to.
struct Trained {
    network: Network,
    epochs: Vec<EpochReport>,
    train_seconds: f64,
}

/// What a run is made of.
struct TrainingRun<'a> {
    config: Config,
    dataset: &'a Dataset,
    /// The sum of the data set.
    sha256: String,
    backend: &'a dyn Backend,
    crew: &'a Crew,
}

impl TrainingRun<'_> {
    /// Opens the directory of the run, which is rank 0's, and makes or reads what the run begins with; on the other
    /// ranks something of the same shape.
    fn open(&self, place: Place, resume: Option<&Path>) -> Result<(Option<RunDirectory>, Begin)> {
        self.check_validation()?;
        self.check_shift()?;
        if !self.crew.is_first() {
            return Ok((None, self.begin(None)?));
        }
        if let Some(path) = resume {
            let mut directory = RunDirectory::open(path)?;
            let begin = self.resume(&mut directory)?;
            directory.rewrite_config(&self.config)?;
            return Ok((Some(directory), begin));
        }
        let begin = self.begin(self.config.from.as_deref())?;
        Ok((RunDirectory::create(place, &self.config, &self.dataset.name)?, begin))
    }

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

    /// The start of a new run, with the weights of the model `from` if there is one.
    fn begin(&self, from: Option<&str>) -> Result<Begin> {
        let Self { config, dataset, .. } = self;
        let (rows, cols) = (dataset.train.images.rows(), dataset.train.images.cols());
        let network = match from {
            None => Network::new(rows, cols, config.classes, &config.layers, config.initial(), config.seed),
            Some(path) => self.network_from(Path::new(path))?,
        };
        let notes = from.map(|path| format!("with the weights of {path}")).into_iter().collect();
        Ok(Begin {
            state: TrainingState::new(network, config),
            epochs: Vec::new(),
            train_seconds: 0.0,
            is_stored: false,
            notes,
        })
    }

    /// The network of the model at `path`, which has to be of this run's shape.
    fn network_from(&self, path: &Path) -> Result<Network> {
        let Self { config, dataset, .. } = self;
        let images = &dataset.train.images;
        let network = model::load(path)?.network;
        let units: Vec<usize> = network.layers.iter().map(|layer| layer.u).collect();
        let differs = network.layers.iter().any(|layer| layer.bias.is_empty() == config.use_bias);
        let has_bias = config.use_bias != differs;
        let require = |field: &str, found: String, expected: String| match found == expected {
            true => Ok(()),
            false => Err(Error::config(format!("{}: {field}", path.display()), found, expected)),
        };
        let size = |rows: usize, cols: usize| format!("{rows} x {cols}");
        require("images", size(network.rows, network.cols), size(images.rows(), images.cols()))?;
        require("classes", network.classes.to_string(), config.classes.to_string())?;
        require("layers", format!("{units:?}"), format!("{:?}", config.layers))?;
        require("use_bias", has_bias.to_string(), config.use_bias.to_string())?;
        if network.readout.is_some() && !config.readout {
            require("readout", "true".into(), "false".into())?;
        }
        Ok(network)
    }

    /// Takes up the run in `directory`, from its beginning where it was stopped before its first checkpoint.
    fn resume(&self, directory: &mut RunDirectory) -> Result<Begin> {
        let Self { config, dataset, backend, sha256, .. } = self;
        let path = directory.path().to_path_buf();
        if !StoredState::is_in(&path) {
            directory.check_untouched()?;
            let mut begin = self.begin(config.from.as_deref())?;
            begin.notes.push(format!("no checkpoint in {}: from the beginning", path.display()));
            return Ok(begin);
        }
        config.check_continues(&StoredState::config_in(&path)?)?;
        let size = (dataset.train.images.rows(), dataset.train.images.cols());
        let (stored, damage) = StoredState::load_from(&path, config, size)?;
        let StoredState { state, origin, train_seconds, products } = stored;
        if state.network.unit.is_some() {
            let field = format!("{}: the checkpoint", path.display());
            return Err(Error::config(field, "a network of floats", "one of images").into());
        }
        if origin.dataset_sha256 != *sha256 {
            let found = format!("{} of SHA-256 {sha256}", dataset.name);
            let expected = format!("{} of SHA-256 {}, with which the run began", origin.dataset, origin.dataset_sha256);
            return Err(Error::config("--data", found, expected).into());
        }
        let epochs = directory.reports(state.epoch, config.layers.len())?;
        let mut notes: Vec<String> = damage.into_iter().map(|error| format!("note: {error}")).collect();
        notes.push(format!("going on in {} after epoch {}", path.display(), state.epoch));
        if products != backend.products() {
            let now = backend.products();
            notes
                .push(format!("note: the run was on {products} so far and goes on on {now}, which rounds differently"));
        }
        Ok(Begin { state, epochs, train_seconds, is_stored: true, notes })
    }

    /// The share of the validation images that is predicted right.
    fn validate(&self, network: &Network) -> Option<f64> {
        let part = self.training_images()..self.used_images();
        let images = &self.dataset.train.images;
        let pixels = &*images.bytes_of(part.clone());
        let labels = &self.dataset.train.labels.values()[part];
        let (ranks, recipe) = (&self.crew.ranks, self.config.recipe());
        Evaluation::on(ranks, network, &recipe, self.backend, (pixels, labels)).accuracy()
    }

    fn title(&self, found_in: &str, threads: usize) -> String {
        let Self { config, dataset, backend, crew, .. } = self;
        let kind = if dataset.synthetic { " (synthetic)" } else { "" };
        let ranks = match crew.ranks.count() {
            1 => String::new(),
            count => format!("{count} ranks, on rank 0 "),
        };
        format!(
            "{}{kind} from {found_in}: {} training images of {} pixels; layers {}; \
             {} backend, {}, {}, {ranks}{threads} threads",
            dataset.name,
            self.training_images(),
            dataset.train.images.pixels_per_image(),
            config.layers.iter().join("-"),
            backend.name(),
            backend.precision(),
            backend.products(),
        )
    }

    fn train_and_evaluate(
        self,
        begin: Begin,
        progress: Progress,
        mut directory: Option<&mut RunDirectory>,
        stop: &AtomicBool,
    ) -> Result<Summary> {
        let Trained { network, epochs, train_seconds } = self.train(begin, progress, directory.as_deref_mut(), stop)?;
        if let Some(directory) = &mut directory {
            directory.model(&network, &self.origin());
        }
        let evaluation = self.evaluate(&network);
        let summary = self.summary(&network, epochs, train_seconds, &evaluation);
        if let Some(directory) = directory {
            let samples = self.random_samples();
            let image_size = (network.rows, network.cols);
            directory.finish(&Results { summary: &summary, image_size, samples, confusion: evaluation.confusion });
        }
        Ok(summary)
    }

    /// Trains until the last epoch, the accuracy to stop at, the user's interrupt, or a value that is no number.
    fn train(
        &self,
        begin: Begin,
        mut progress: Progress,
        directory: Option<&mut RunDirectory>,
        stop: &AtomicBool,
    ) -> Result<Trained> {
        let Self { ref config, dataset, backend, crew, .. } = *self;
        let images = &dataset.train.images;
        let set = TrainingSet {
            pixels: images.pixels().first(self.training_images(), images.pixels_per_image()),
            labels: &dataset.train.labels.values()[..self.training_images()],
        };
        let Begin { state, mut epochs, train_seconds: seconds_before, is_stored, .. } = begin;
        let start = Instant::now();
        let seconds = || seconds_before + start.elapsed().as_secs_f64();
        let (origin, products) = (self.origin(), backend.products().to_owned());
        let stored = StoredState { state: state.clone(), origin, train_seconds: seconds_before, products };
        let tells_last = crew.ranks.count() > 1 && !progress.is_silent();
        let mut keeper = Keeper::new(directory, config.checkpoint_every, (stored, is_stored), tells_last);
        // A run that is killed before its next checkpoint is then known to keep some, and begins anew.
        keeper.keep(&epochs, &progress);
        let watch = GoodnessWatch::new(config, &dataset.train, self.training_images(), backend);
        let mut best = epochs.iter().filter_map(|report| report.validation_accuracy).fold(0.0, f64::max);
        let mut trainer = Trainer::new(state, config, backend, set).with_ranks(crew.ranks.clone());
        while epochs.len() < config.epochs && !reached(&epochs, config.target_accuracy) {
            let mut report = trainer.epoch(stop);
            let number = epochs.len() + 1;
            if let Some(report) = &mut report {
                let is_due = number.is_multiple_of(config.validate_every) || number == config.epochs;
                if config.validation > 0 && is_due {
                    report.validation_accuracy = self.validate(trainer.network());
                }
                if keeper.directory.is_some() {
                    report.goodness = watch.as_ref().and_then(|watch| watch.look(number, trainer.network()));
                }
            }
            // What an epoch has learnt from changed files, and what they tell of it, is not kept.
            let unchanged = crew.agree(dataset.check_unchanged().map_err(anyhow::Error::from));
            if let (Some(report), Ok(())) = (&report, &unchanged) {
                if let (Some(accuracy), Some(directory)) = (report.validation_accuracy, &mut keeper.directory)
                    && accuracy > best
                {
                    best = accuracy;
                    directory.best_model(trainer.network(), &self.origin());
                }
                progress.epoch(report);
                if let Some(directory) = &mut keeper.directory {
                    directory.epoch(report);
                }
            }
            let check = || crew.agree(check_converging(number, report.as_ref(), trainer.network(), config));
            let sound = unchanged.and_then(|()| check());
            if sound.is_err() {
                keeper.keep(&epochs, &progress);
                progress.finish();
            }
            sound?;
            let Some(report) = report else { break };
            // The losses of single steps have been checked, and would fill the memory of a long run.
            epochs.push(EpochReport { step_loss: Vec::new(), ..report });
            keeper.take(trainer.state(), seconds());
            if keeper.is_due() {
                keeper.keep(&epochs, &progress);
            }
        }
        keeper.keep(&epochs, &progress);
        progress.finish();
        Ok(Trained { network: trainer.into_state().into_result(), epochs, train_seconds: seconds() })
    }

    fn summary(
        &self,
        network: &Network,
        epochs: Vec<EpochReport>,
        train_seconds: f64,
        evaluation: &Evaluation,
    ) -> Summary {
        let Self { config, dataset, backend, crew, .. } = self;
        Summary {
            schema: summary::SCHEMA,
            dataset: DatasetSummary::new(dataset, self.training_images(), evaluation.tested),
            config: config.clone(),
            backend: backend.name(),
            isa: backend.products(),
            precision: backend.precision(),
            ranks: crew.ranks.count(),
            threads: rayon::current_num_threads(),
            seed: config.seed,
            final_loss: epochs.last().map(|report| report.final_loss),
            interrupted: epochs.len() < config.epochs && !reached(&epochs, config.target_accuracy),
            seconds_to_target: reached(&epochs, config.target_accuracy)
                .then(|| epochs.iter().map(|report| report.seconds).sum()),
            comm_seconds: epochs.iter().map(|report| report.comm_seconds).sum(),
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
            dataset_sha256: self.sha256.clone(),
            ..Origin::default()
        }
    }

    /// Some of the training images, as the Keras example shows them before it trains.
    fn random_samples(&self) -> Vec<Sample<'_>> {
        let (train, count) = (&self.dataset.train, self.training_images());
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(self.config.seed);
        let shown = seq::index::sample(&mut rng, count, SHOWN_SAMPLES.min(count));
        let label = |i: usize| usize::from(train.labels.values()[i]) + usize::from(self.config.label_base);
        shown.into_iter().map(|i| Sample { image: train.images.image(i), label: label(i) }).collect()
    }

    fn evaluate(&self, network: &Network) -> Evaluation {
        let Self { config, dataset, backend, crew, .. } = self;
        let labels = dataset.test.labels.values();
        let tested = limited(config.test_limit, labels.len());
        let pixels = &*dataset.test.images.bytes_of(0..tested);
        Evaluation::on(&crew.ranks, network, &config.recipe(), *backend, (pixels, &labels[..tested]))
    }
}

/// Whether the last epoch reached the accuracy to stop at, which is none where it is 0.
fn reached(epochs: &[EpochReport], target: f64) -> bool {
    let last = epochs.last().and_then(|report| report.validation_accuracy);
    target > 0.0 && last.is_some_and(|accuracy| accuracy >= target)
}

/// Ends a run that has left the numbers.
fn check_converging(epoch: usize, report: Option<&EpochReport>, network: &Network, config: &Config) -> Result<()> {
    match Divergence::of_epoch(epoch, report, network, config) {
        None => Ok(()),
        Some(Divergence { found, field, value }) => {
            bail!("{found}; try a smaller --{} than {value:?}", field.replace('_', "-"))
        }
    }
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
