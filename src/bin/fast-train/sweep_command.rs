//! `fast-train sweep`: trains with every combination of some options in turn, and prints a table of what came of them.
//!
//! Each run is an ordinary one in a directory called after its values. The same command finds the runs that are there,
//! goes on with those that were stopped and trains those that are missing.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};
use ffwd::config::Config;
use ffwd::data::Places;
use ffwd::tier::Tier;
use ffwd::{Error, backends};
use itertools::Itertools;

use crate::arguments::{Arguments, Command, SweepArguments, TRAIN, TrainArguments};
use crate::ranks::Crew;
use crate::run_directory::CONFIG;
use crate::summary::Told;
use crate::{INTERRUPTED, dataset, interrupt, print, say, summary, train_command};

/// The option that stands for the seed.
const SEED: &str = "seed";
/// The longest name of a run's directory, in bytes: file systems take 255.
const LONGEST_NAME: usize = 200;

pub fn run(arguments: &SweepArguments) -> Result<ExitCode> {
    let is_asked_to_stop: Arc<AtomicBool> = Arc::default();
    let crew = Crew::join(&is_asked_to_stop)?;
    crew.end(run_with(arguments, &crew, is_asked_to_stop))
}

fn run_with(arguments: &SweepArguments, crew: &Crew, is_asked_to_stop: Arc<AtomicBool>) -> Result<ExitCode> {
    if crew.ranks.count() > 1 {
        let found = format!("{} processes", crew.ranks.count());
        return crew.agree(Err(Error::config("sweep", found, "one; mpirun is for a single run").into()));
    }
    let plan = Plan::new(arguments)?;
    interrupt::stop_on_interrupt(Arc::clone(&is_asked_to_stop))?;
    let mut rows = Vec::new();
    for (number, combination) in (1..).zip(&plan.combinations) {
        if is_asked_to_stop.load(Ordering::Relaxed) {
            break;
        }
        say(format!("run {number} of {}{}", plan.combinations.len(), plan.title(combination)));
        // What one combination cannot have, the others may.
        let told = plan.train(combination, crew, &is_asked_to_stop).map_err(|error| {
            say(format!("error: {error:#}"));
            format!("{error:#}")
        });
        rows.push((combination, told));
    }
    print(plan.table(&rows))?;
    if arguments.seeds > 1 {
        print(format!("\n{}", plan.table_over_seeds(&rows)))?;
    }
    Ok(match rows.iter().any(|(_, told)| told.is_err()) {
        _ if is_asked_to_stop.load(Ordering::Relaxed) => ExitCode::from(INTERRUPTED),
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    })
}

/// The values of all options, in the order of the plan's.
type Combination = Vec<String>;

/// A combination, and what came of it or why nothing did.
type Row<'a> = (&'a Combination, std::result::Result<Told, String>);

impl Told {
    /// Whether the run has come to the end that is asked for.
    fn is_of(&self, config: &Config) -> bool {
        let fields = ["epochs", "target_accuracy", "test_limit"];
        let config = serde_json::to_value(config).expect("plain values serialise");
        !self.interrupted && fields.iter().all(|&field| self.config.get(field) == config.get(field))
    }
}

/// The runs of a sweep.
struct Plan {
    out: PathBuf,
    /// The long names of the options that were given.
    options: Vec<String>,
    /// Which of them have several values.
    varied: Vec<usize>,
    combinations: Vec<Combination>,
}

impl Plan {
    /// All combinations, each of which is checked before the first is trained.
    fn new(arguments: &SweepArguments) -> Result<Self> {
        let mut options = arguments.options.clone();
        let first = resolve(&Self::of(&arguments.out, options.clone())?.read_first()?)?;
        if !options.iter().any(|(name, _)| name == "data") {
            // Looked for once, so that all runs have the same.
            let (_, located) = dataset::open(first.data.as_deref(), first.reading(), false)?;
            options.push(("data".to_owned(), vec![located.spec]));
        }
        if arguments.seeds > 1 {
            if let Some(at) = options.iter().position(|(name, _)| name == SEED) {
                let given = options.remove(at).1.len();
                if given > 1 {
                    let found = format!("{given} of them beside --seeds");
                    return Err(Error::config("--seed", found, "the first one").into());
                }
            }
            let seeds = (0..u64::from(arguments.seeds)).map(|i| first.seed.wrapping_add(i).to_string());
            options.push((SEED.to_owned(), seeds.collect()));
        }
        let plan = Self::of(&arguments.out, options)?;
        plan.check()?;
        Ok(plan)
    }

    /// All combinations of the values of some options.
    fn of(out: &Path, options: Vec<(String, Vec<String>)>) -> Result<Self> {
        for (name, values) in &options {
            if let Some(twice) = (1..values.len()).find(|&i| values[..i].contains(&values[i])) {
                let found = format!("{} twice", values[twice]);
                return Err(Error::config(format!("--{name}"), found, "values that differ").into());
            }
        }
        let varied = (0..options.len()).filter(|&i| options[i].1.len() > 1).collect();
        let mut combinations = vec![Vec::new()];
        for (_, values) in &options {
            let longer = |start: &Combination, value: &String| start.iter().chain([value]).cloned().collect();
            combinations = combinations
                .iter()
                .flat_map(|start| values.iter().map(move |value| longer(start, value)))
                .collect::<Vec<Combination>>();
        }
        let options = options.into_iter().map(|(name, _)| name).collect();
        Ok(Self { out: out.to_path_buf(), options, varied, combinations })
    }

    /// Checks the options of each run, and that it has a directory of its own or goes on with what is there.
    fn check(&self) -> Result<()> {
        let mut names = BTreeSet::new();
        for combination in &self.combinations {
            let config = resolve(&self.read(combination, "--out")?)?;
            let name = self.name(combination);
            if name.len() > LONGEST_NAME {
                let found = format!("a run that is called {name}");
                return Err(Error::config("sweep", found, format!("a name of at most {LONGEST_NAME} bytes")).into());
            }
            check_same(config, &self.out.join(&name))?;
            if let Some(name) = names.replace(name) {
                let found = format!("two runs that are called {name}");
                return Err(Error::config("sweep", found, "values whose letters and digits differ").into());
            }
        }
        Ok(())
    }

    /// The directory of a run, below that of the sweep: its varied values, without what paths cannot hold.
    fn name(&self, combination: &Combination) -> String {
        let of = |&i: &usize| format!("{}={}", self.options[i], combination[i]);
        let name = self.varied.iter().map(of).join("_");
        let kept = |letter: char| if letter.is_alphanumeric() || "=_.+-".contains(letter) { letter } else { '-' };
        if name.is_empty() { "run".to_owned() } else { name.chars().map(kept).collect() }
    }

    /// The varied values, for people.
    fn title(&self, combination: &Combination) -> String {
        let of = |&i: &usize| format!("{} {}", self.options[i], combination[i]);
        let values: Vec<_> = self.varied.iter().map(of).collect();
        if values.is_empty() { String::new() } else { format!(": {}", values.join(", ")) }
    }

    /// The arguments of the first run.
    fn read_first(&self) -> Result<TrainArguments> {
        self.read(&self.combinations[0], "--out")
    }

    /// The arguments of a run whose directory is given by `--out`, or by `--resume` where it goes on.
    fn read(&self, combination: &Combination, directory_option: &str) -> Result<TrainArguments> {
        let directory = self.out.join(self.name(combination));
        let mut words: Vec<OsString> = ["fast-train", TRAIN, directory_option].map(OsString::from).to_vec();
        words.push(directory.into());
        for (name, value) in self.options.iter().zip(combination) {
            // A run that goes on has the file's options in its directory.
            if !(directory_option == "--resume" && name == "config") {
                words.push(format!("--{name}={value}").into());
            }
        }
        let arguments = Arguments::of(words).unwrap_or_else(|error| error.exit());
        let Some(Command::Train(train)) = arguments.command else { unreachable!("the command is `train`") };
        Ok(*train)
    }

    /// Trains a combination, or goes on with it, unless it has come to its end.
    fn train(&self, combination: &Combination, crew: &Crew, is_asked_to_stop: &Arc<AtomicBool>) -> Result<Told> {
        let directory = self.out.join(self.name(combination));
        let as_new = self.read(combination, "--out")?;
        let done = Told::read(&directory).filter(|told| resolve(&as_new).is_ok_and(|config| told.is_of(&config)));
        if let Some(told) = done {
            return Ok(told);
        }
        let goes_on = directory.join(CONFIG).exists();
        let arguments = if goes_on { self.read(combination, "--resume")? } else { as_new };
        summary::forget_peak_rss();
        let outcome = train_command::train(&arguments, crew, Arc::clone(is_asked_to_stop))?;
        let told = serde_json::to_value(&outcome.summary).and_then(serde_json::from_value);
        told.context("the summary of the run")
    }

    /// A row for each run.
    fn table(&self, rows: &[Row<'_>]) -> String {
        let mut table = self.heading(&self.varied, &["errors", "error", "FinalLoss", "seconds"]);
        for (combination, told) in rows {
            let cells = match told {
                Ok(told) => told.cells(),
                Err(error) => [error.replace('|', "/"), String::new(), String::new(), String::new()],
            };
            table.push_str(&line(self.values(combination, &self.varied), cells));
        }
        table.trim_end().to_owned()
    }

    /// A row for each combination of the other options: error over seeds of the runs that have come to their end.
    fn table_over_seeds(&self, rows: &[Row<'_>]) -> String {
        let others: Vec<usize> = self.varied.iter().copied().filter(|&i| self.options[i] != SEED).collect();
        let mut table = self.heading(&others, &["runs", "error, mean", "standard deviation", "least", "greatest"]);
        let same = |a: &Row<'_>, b: &Row<'_>| self.values(a.0, &others) == self.values(b.0, &others);
        for runs in rows.chunk_by(same) {
            let ended = runs.iter().filter_map(|(_, told)| told.as_ref().ok().filter(|told| !told.interrupted));
            let errors: Vec<f64> = ended.filter_map(|told| Some(1.0 - told.test_accuracy?)).collect();
            table.push_str(&line(self.values(runs[0].0, &others), statistics(&errors)));
        }
        table.trim_end().to_owned()
    }

    fn values<'a>(&self, combination: &'a Combination, options: &[usize]) -> Vec<&'a str> {
        options.iter().map(|&i| combination[i].as_str()).collect()
    }

    fn heading(&self, options: &[usize], more: &[&str]) -> String {
        let names: Vec<&str> = options.iter().map(|&i| self.options[i].as_str()).chain(more.iter().copied()).collect();
        format!("| {} |\n|{}\n", names.join(" | "), " --- |".repeat(names.len()))
    }
}

impl Told {
    /// What the table shows of it.
    fn cells(&self) -> [String; 4] {
        let or_nothing = |value: Option<String>| value.unwrap_or_else(|| "–".to_owned());
        let stopped = if self.interrupted { ", stopped" } else { "" };
        [
            format!("{}{stopped}", self.test_errors),
            or_nothing(self.test_accuracy.map(|accuracy| percent(1.0 - accuracy))),
            or_nothing(self.final_loss.map(|loss| format!("{loss:.4}"))),
            format!("{:.1}", self.train_seconds),
        ]
    }
}

/// The configuration that the arguments of a run come to.
fn resolve(arguments: &TrainArguments) -> Result<Config> {
    let given = toml::Table::try_from(&arguments.overrides).context("options as a TOML table")?;
    Ok(Config::resolve(arguments.config.as_deref(), given)?)
}

/// Checks that a run in `directory`, if there is one, is of this configuration. What is not given on a command line
/// would otherwise be what the run was begun with.
fn check_same(mut config: Config, directory: &Path) -> Result<()> {
    let file = directory.join(CONFIG);
    if !file.exists() {
        return Ok(());
    }
    let stored = Config::resolve(Some(&file), toml::Table::new())?;
    let spec = config.data.clone().expect("a sweep has named its data");
    let spec = Places::from_environment().locate(&spec)?.spec;
    if stored.data.as_ref() != Some(&spec) {
        let expected = format!("{}, with which the run began", stored.data.unwrap_or_default());
        return Err(Error::config("--data", spec, expected).into());
    }
    let backend = backends::choose(config.backend, config.precision, Tier::from_environment()?)?;
    config.settle(&spec, &*backend);
    Ok(config.check_continues(&stored)?)
}

/// Number, mean, standard deviation, least and greatest of some shares.
fn statistics(shares: &[f64]) -> [String; 5] {
    let count = shares.len() as f64;
    let mean = shares.iter().sum::<f64>() / count;
    let variance = shares.iter().map(|share| (share - mean).powi(2)).sum::<f64>() / (count - 1.0);
    let shown = |value: f64| if value.is_finite() { percent(value) } else { "–".to_owned() };
    let (least, greatest) = shares.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), &x| (a.min(x), b.max(x)));
    [shares.len().to_string(), shown(mean), shown(variance.sqrt()), shown(least), shown(greatest)]
}

fn percent(share: f64) -> String {
    format!("{:.2}%", 100.0 * share)
}

fn line<const N: usize>(values: Vec<&str>, cells: [String; N]) -> String {
    let all: Vec<&str> = values.into_iter().chain(cells.iter().map(String::as_str)).collect();
    format!("| {} |\n", all.join(" | "))
}
