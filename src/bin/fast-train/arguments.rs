//! The command line. Training is the default command; its options are those of a run's configuration.
//!
//! Options that are given become a TOML table that is laid over the preset and the configuration file. Behind most
//! stands the environment: `FFWD_EPOCHS` for `--epochs`, and so on.

mod sweep;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::NonEmptyStringValueParser;
use clap::{Arg, Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use serde::Serialize;

pub use sweep::SweepArguments;

/// The options for which the environment does not stand in. `FFWD_DATA` is a place where data sets are looked for.
const FLAGS_ONLY: [&str; 4] = ["data", "json", "quiet", "resume"];

/// The command that trains, by its name.
pub const TRAIN: &str = "train";

// The groups of the options of training.
const RUN: &str = "Run";
const DATA: &str = "Data";
const NETWORK: &str = "Network and recipe";
const TRAINING: &str = "Training";
const OPTIMISER: &str = "Optimiser";
const VALIDATION: &str = "Validation";
const MACHINE: &str = "Machine";

/// What stands below the help.
const EXAMPLES: &str = "\
Examples:
  fast-train                                        train the preset `quick`: seconds
  fast-train --preset paper --data digits           another preset, other data
  fast-train --resume runs/quick-mnist-1            go on with a run that was stopped
  fast-train sweep --lr 0.05,0.1 --seeds 3          six runs, and a table of their errors
  fast-train report runs/*                          a page about all of them
  fast-train bench --save mine.json                 measure this machine
  fast-train presets                                what the presets are, and what they take here

Behind an option stands the environment: FFWD_EPOCHS for --epochs, and so on.";

/// Trains a Forward-Forward network (Hinton 2022) on this CPU.
#[derive(Parser)]
#[command(name = "fast-train", version, after_help = EXAMPLES)]
#[command(args_conflicts_with_subcommands = true, args_override_self = true)]
pub struct Arguments {
    #[command(subcommand)]
    pub command: Option<Command>,
    #[command(flatten)]
    pub train: TrainArguments,
}

impl Arguments {
    /// The arguments and environment of this process; ends it where they cannot be read.
    pub fn of_process() -> Self {
        Self::of(std::env::args_os().collect()).unwrap_or_else(|error| error.exit())
    }

    /// The arguments `words`, of which the first is the program's name, and the environment.
    ///
    /// # Errors
    ///
    /// Words or variables that the command line does not take, and what asks for help.
    pub fn of(words: Vec<OsString>) -> Result<Self, clap::Error> {
        let command = Self::command();
        // The variables are those of a training run; other commands neither use nor check them.
        let first = words.get(1);
        let is_named = first.is_some_and(|first| first == TRAIN);
        let trains = is_named || first.is_none_or(|first| command.find_subcommand(first).is_none());
        // A run that goes on has its configuration and its directory.
        let resumes = words.iter().any(|word| word.to_string_lossy().starts_with("--resume"));
        let with_variable = |option: Arg| match option.get_long() {
            Some("config" | "out") if resumes => option,
            _ => with_variable(option),
        };
        let command = match (trains, is_named) {
            (true, true) => command.mut_subcommand(TRAIN, |train| train.mut_args(with_variable)),
            (true, false) => command.mut_args(with_variable),
            (false, _) => command,
        };
        Self::from_arg_matches(&command.try_get_matches_from(words)?)
    }
}

/// Puts the environment behind an option. A variable that is empty counts as one that is not set.
fn with_variable(option: Arg) -> Arg {
    let Some(long) = option.get_long().filter(|long| !FLAGS_ONLY.contains(long)) else { return option };
    let variable = format!("FFWD_{}", long.replace('-', "_").to_uppercase());
    if std::env::var_os(&variable).is_some_and(|value| value.is_empty()) {
        return option;
    }
    option.env(variable)
}

#[derive(Subcommand)]
pub enum Command {
    /// Train a network, which is done without a command as well
    #[command(args_override_self = true)]
    Train(Box<TrainArguments>),
    /// Train with every combination of some options in turn, and print a table
    Sweep(SweepArguments),
    /// Measure a model's accuracy on a test set
    Eval(EvalArguments),
    /// Print the label of each image of an IDX file
    Predict(PredictArguments),
    /// Draw what a run learns from, what it has learnt, and where it errs
    Show(ShowArguments),
    /// Write a page about one run or several: curves, goodness, confusion, mistakes
    Report(ReportArguments),
    /// Show what this machine offers: instruction sets, threads, data sets
    Info(InfoArguments),
    /// Measure this machine: its peaks, every kernel, scaling and training
    Bench(BenchArguments),
    /// Hold benchmark reports side by side
    Compare(CompareArguments),
    /// List the sets of default options, or show one
    Presets {
        #[command(subcommand)]
        command: Option<PresetsCommand>,
    },
    /// List or download data sets
    Data {
        #[command(subcommand)]
        command: DataCommand,
    },
    /// Print what completes the words of the command line in a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Write manual pages
    Man {
        /// The directory that is to hold them, such as ~/.local/share/man/man1
        directory: PathBuf,
    },
}

#[derive(Args)]
pub struct TrainArguments {
    #[command(flatten)]
    pub overrides: Overrides,
    /// Read options from a TOML file; flags and environment beat it
    #[arg(long, value_name = "FILE.toml", help_heading = RUN)]
    pub config: Option<PathBuf>,
    /// Go on with the run in this directory, from its last checkpoint; what decides its result cannot be changed
    #[arg(long, value_name = "RUN_DIR", conflicts_with_all = ["config", "out"], help_heading = RUN)]
    pub resume: Option<PathBuf>,
    /// Print the run's summary as JSON on stdout, and nothing else there
    #[arg(long, help_heading = RUN)]
    pub json: bool,
    /// Show no progress
    #[arg(long, help_heading = RUN)]
    pub quiet: bool,
}

/// What the user gave; field names are those of [`ffwd::config::Config`].
#[derive(Args, Serialize)]
pub struct Overrides {
    /// Directory of IDX files, or mnist, fashion-mnist, digits [default: MNIST if it can be had, else digits]
    #[arg(long, value_name = "D", help_heading = DATA)]
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<String>,
    /// Set of default options, as `fast-train presets` lists them [default: quick]
    #[arg(long, value_parser = ffwd::config::PRESETS, hide_possible_values = true, help_heading = RUN)]
    #[serde(skip_serializing_if = "Option::is_none")]
    preset: Option<String>,
    /// Units of each layer, separated by commas [quick: 500,500]
    #[arg(long, value_delimiter = ',', value_name = "U,U,..", overrides_with = "layers", help_heading = NETWORK)]
    #[serde(skip_serializing_if = "Option::is_none")]
    layers: Option<Vec<u32>>,
    /// Outer epochs [quick: 5]
    #[arg(long, help_heading = TRAINING)]
    #[serde(skip_serializing_if = "Option::is_none")]
    epochs: Option<u32>,
    /// How often the state of the run is stored: after N epochs, or 90s, 5m, 1h; 0 is never [quick: 5m]
    #[arg(long, value_name = "N|TIME", allow_negative_numbers = true, help_heading = RUN)]
    #[serde(skip_serializing_if = "Option::is_none")]
    checkpoint_every: Option<String>,
    /// What layers learn from: forward_forward, backpropagation [quick: forward_forward]
    #[arg(
        long, value_parser = ["forward_forward", "backpropagation"],
        hide_possible_values = true, help_heading = NETWORK
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    learning: Option<String>,
    /// Optimiser steps each layer takes on a batch [quick: 1]
    #[arg(long, help_heading = TRAINING)]
    #[serde(skip_serializing_if = "Option::is_none")]
    inner_steps: Option<u32>,
    /// Samples of a batch; 0 is the whole training set [quick: 128]
    #[arg(long, help_heading = TRAINING)]
    #[serde(skip_serializing_if = "Option::is_none")]
    batch: Option<u32>,
    /// The goodness that separates positive from negative [quick: 1.0]
    #[arg(long, allow_negative_numbers = true, help_heading = NETWORK)]
    #[serde(skip_serializing_if = "Option::is_none")]
    threshold: Option<f64>,
    /// Learning rate [quick: 0.085]
    #[arg(long, allow_negative_numbers = true, help_heading = OPTIMISER)]
    #[serde(skip_serializing_if = "Option::is_none")]
    lr: Option<f64>,
    /// How the labels of negatives are drawn: permuted, wrong, hard (by the read-out) [quick: hard]
    #[arg(long, value_parser = ["permuted", "wrong", "hard"], hide_possible_values = true, help_heading = NETWORK)]
    #[serde(skip_serializing_if = "Option::is_none")]
    negatives: Option<String>,
    /// The power of the read-out's probabilities by which hard negatives are drawn [quick: 2.0]
    #[arg(long, allow_negative_numbers = true, help_heading = NETWORK)]
    #[serde(skip_serializing_if = "Option::is_none")]
    hardness: Option<f64>,
    /// What a row is divided by: unit_length, root_mean_square [quick: root_mean_square]
    #[arg(
        long, value_parser = ["unit_length", "root_mean_square"],
        hide_possible_values = true, help_heading = NETWORK
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    normalisation: Option<String>,
    /// What a layer makes high or low: mean_of_squares, sum_of_squares [quick: sum_of_squares]
    #[arg(
        long, value_parser = ["mean_of_squares", "sum_of_squares"],
        hide_possible_values = true, help_heading = NETWORK
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    goodness: Option<String>,
    /// What goodness costs: logistic (each row), symba, swish (each pair) [quick: swish]
    #[arg(long, value_parser = ["logistic", "symba", "swish"], hide_possible_values = true, help_heading = NETWORK)]
    #[serde(skip_serializing_if = "Option::is_none")]
    loss: Option<String>,
    /// What the distance to the threshold, or of the pair, is divided by [quick: 100.0]
    #[arg(long, allow_negative_numbers = true, help_heading = NETWORK)]
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    /// The value of the label's pixel: largest_pixel, one [quick: one]
    #[arg(long, value_parser = ["largest_pixel", "one"], hide_possible_values = true, help_heading = NETWORK)]
    #[serde(skip_serializing_if = "Option::is_none")]
    label: Option<String>,
    /// Whether all layers take a step on a batch before the next one comes [quick: true]
    #[arg(long, value_name = "true|false", help_heading = TRAINING)]
    #[serde(skip_serializing_if = "Option::is_none")]
    together: Option<bool>,
    /// Whether each epoch has an order of its own [quick: true]
    #[arg(long, value_name = "true|false", help_heading = TRAINING)]
    #[serde(skip_serializing_if = "Option::is_none")]
    shuffle: Option<bool>,
    /// The most pixels by which training images are shifted, anew each epoch [quick: 0]
    #[arg(long, help_heading = TRAINING)]
    #[serde(skip_serializing_if = "Option::is_none")]
    shift: Option<u32>,
    /// The share of the pixels of training images that is left out, anew each epoch [quick: 0.0]
    #[arg(long, allow_negative_numbers = true, help_heading = TRAINING)]
    #[serde(skip_serializing_if = "Option::is_none")]
    input_dropout: Option<f64>,
    /// The share of each layer's activations that is left out in training [quick: 0.0]
    #[arg(long, allow_negative_numbers = true, help_heading = TRAINING)]
    #[serde(skip_serializing_if = "Option::is_none")]
    dropout: Option<f64>,
    /// Strength of peer normalisation; 0 is none [quick: 0.006]
    #[arg(long, allow_negative_numbers = true, help_heading = NETWORK)]
    #[serde(skip_serializing_if = "Option::is_none")]
    peer: Option<f64>,
    /// Whether a softmax read-out is trained beside the layers, and predicts [quick: true]
    #[arg(long, value_name = "true|false", help_heading = NETWORK)]
    #[serde(skip_serializing_if = "Option::is_none")]
    readout: Option<bool>,
    /// Learning rate of the read-out [quick: 0.2]
    #[arg(long, allow_negative_numbers = true, help_heading = OPTIMISER)]
    #[serde(skip_serializing_if = "Option::is_none")]
    readout_lr: Option<f64>,
    /// Weight decay of the read-out [quick: 0.003]
    #[arg(long, allow_negative_numbers = true, help_heading = OPTIMISER)]
    #[serde(skip_serializing_if = "Option::is_none")]
    readout_decay: Option<f64>,
    /// adam, sgd, or averaged, which is SGD along a running mean of the gradients [quick: averaged]
    #[arg(long, value_parser = ["adam", "sgd", "averaged"], hide_possible_values = true, help_heading = OPTIMISER)]
    #[serde(skip_serializing_if = "Option::is_none")]
    optimizer: Option<String>,
    /// Momentum of SGD and of the running mean [quick: 0.9]
    #[arg(long, allow_negative_numbers = true, help_heading = OPTIMISER)]
    #[serde(skip_serializing_if = "Option::is_none")]
    momentum: Option<f64>,
    /// Weight decay of the optimisers averaged and adam [quick: 0.002]
    #[arg(long, allow_negative_numbers = true, help_heading = OPTIMISER)]
    #[serde(skip_serializing_if = "Option::is_none")]
    weight_decay: Option<f64>,
    /// How the rates fall: constant, linear, cosine [quick: linear]
    #[arg(long, value_parser = ["constant", "linear", "cosine"], hide_possible_values = true, help_heading = OPTIMISER)]
    #[serde(skip_serializing_if = "Option::is_none")]
    schedule: Option<String>,
    /// The first share of the run, in which the rates rise [quick: 0.0]
    #[arg(long, allow_negative_numbers = true, help_heading = OPTIMISER)]
    #[serde(skip_serializing_if = "Option::is_none")]
    warmup: Option<f64>,
    /// The last share of the run, in which the rates fall [quick: 0.5]
    #[arg(long, allow_negative_numbers = true, help_heading = OPTIMISER)]
    #[serde(skip_serializing_if = "Option::is_none")]
    cooldown: Option<f64>,
    /// Keep a running mean of the weights, of which each batch leaves this share; 0 is the last weights [quick: 0.0]
    #[arg(long, allow_negative_numbers = true, help_heading = OPTIMISER)]
    #[serde(skip_serializing_if = "Option::is_none")]
    weight_average: Option<f64>,
    /// Keep the last N training images for validation [quick: 0]
    #[arg(long, value_name = "N", help_heading = VALIDATION)]
    #[serde(skip_serializing_if = "Option::is_none")]
    validation: Option<u32>,
    /// Epochs from one validation to the next [quick: 1]
    #[arg(long, help_heading = VALIDATION)]
    #[serde(skip_serializing_if = "Option::is_none")]
    validate_every: Option<u32>,
    /// Stop where the validation images reach this share; 0 is never [quick: 0.0]
    #[arg(long, allow_negative_numbers = true, help_heading = VALIDATION)]
    #[serde(skip_serializing_if = "Option::is_none")]
    target_accuracy: Option<f64>,
    /// Number of labels; the overlay replaces as many pixels [quick: 10]
    #[arg(long, help_heading = DATA)]
    #[serde(skip_serializing_if = "Option::is_none")]
    classes: Option<u32>,
    /// The label of the first class in the files; 1 for EMNIST's letters [quick: 0]
    #[arg(long, help_heading = DATA)]
    #[serde(skip_serializing_if = "Option::is_none")]
    label_base: Option<u8>,
    /// Exchange rows and columns of all images; EMNIST keeps them transposed [quick: false]
    #[arg(long, value_name = "true|false", help_heading = DATA)]
    #[serde(skip_serializing_if = "Option::is_none")]
    transpose: Option<bool>,
    /// Decides initial weights, negatives and the order of samples [quick: 1]
    #[arg(long, help_heading = TRAINING)]
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "in_digits")]
    seed: Option<u64>,
    /// Threads; 0 is every core available to the process [quick: 0]
    #[arg(long, help_heading = MACHINE)]
    #[serde(skip_serializing_if = "Option::is_none")]
    threads: Option<u32>,
    /// What computes the layer steps: auto, fused, reference [quick: auto]
    #[arg(long, value_parser = ["auto", "fused", "reference"], hide_possible_values = true, help_heading = MACHINE)]
    #[serde(skip_serializing_if = "Option::is_none")]
    backend: Option<String>,
    /// Number format of the products: auto, f32, bf16 [quick: auto]
    #[arg(long, value_parser = ["auto", "f32", "bf16"], hide_possible_values = true, help_heading = MACHINE)]
    #[serde(skip_serializing_if = "Option::is_none")]
    precision: Option<String>,
    /// Train on the first N images only; 0 is all [quick: 0]
    #[arg(long, value_name = "N", help_heading = DATA)]
    #[serde(skip_serializing_if = "Option::is_none")]
    train_limit: Option<u32>,
    /// Test on the first N images only; 0 is all [quick: 0]
    #[arg(long, value_name = "N", help_heading = DATA)]
    #[serde(skip_serializing_if = "Option::is_none")]
    test_limit: Option<u32>,
    /// Begin with the weights of a model
    #[arg(long, value_name = "M.safetensors", value_parser = NonEmptyStringValueParser::new(), help_heading = NETWORK)]
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<String>,
    /// Directory for the run's files, or none [default: runs/PRESET-DATASET-SEED]
    #[arg(long, value_name = "DIR|none", value_parser = NonEmptyStringValueParser::new(), help_heading = RUN)]
    #[serde(skip_serializing_if = "Option::is_none")]
    out: Option<String>,
}

/// A whole number as text: TOML has none of 64 bits without a sign.
fn in_digits<S: serde::Serializer>(number: &Option<u64>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&number.unwrap_or_default())
}

#[derive(Args)]
pub struct EvalArguments {
    /// Model written by training
    #[arg(long, value_name = "M.safetensors")]
    pub model: PathBuf,
    /// Directory of IDX files, or mnist, fashion-mnist, digits [default: what the model was trained on]
    #[arg(long, value_name = "D")]
    pub data: Option<String>,
    /// What predicts [default: readout, where the model has one]
    #[arg(long)]
    pub by: Option<Predictor>,
    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Args)]
pub struct PredictArguments {
    /// Model written by training
    #[arg(long, value_name = "M.safetensors")]
    pub model: PathBuf,
    /// Images in IDX form, also .gz
    #[arg(value_name = "IMAGES.idx")]
    pub images: PathBuf,
    /// What predicts [default: readout, where the model has one]
    #[arg(long)]
    pub by: Option<Predictor>,
    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
}

/// What predicts.
#[derive(Clone, Copy, ValueEnum)]
pub enum Predictor {
    /// The softmax read-out, in one pass
    Readout,
    /// The goodness of every label in turn, summed over the layers
    Goodness,
}

#[derive(Args)]
pub struct ShowArguments {
    /// What is drawn
    pub what: What,
    /// Directory of the run
    #[arg(long, value_name = "RUN_DIR")]
    pub run: PathBuf,
    /// Directory of IDX files, or mnist, fashion-mnist, digits [default: what the run was trained on]
    #[arg(long, value_name = "D")]
    pub data: Option<String>,
    /// The picture, by its ending SVG or, but for goodness, PNG [default: RUN_DIR/show-WHAT.svg]
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// What is drawn of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum What {
    /// Training images under their true label and under a wrong one, written over the first pixels
    Samples,
    /// Training images under every wrong label, and how probable it is to be drawn as the negative's
    Negatives,
    /// The weights of units of the first layer, those of the largest norm first
    Weights,
    /// The goodness of test images under their true label and under a wrong one, in each layer
    Goodness,
    /// The test images of which the network is most certain and wrong
    Mistakes,
}

#[derive(Args)]
pub struct ReportArguments {
    /// Directories of runs, finished or not, or of several runs as a sweep leaves them
    #[arg(value_name = "RUN_DIR", required = true)]
    pub runs: Vec<PathBuf>,
    /// The page, one file of HTML
    #[arg(short, long, value_name = "FILE.html", default_value = "report.html")]
    pub output: PathBuf,
    /// Directory of IDX files, or mnist, fashion-mnist, digits [default: what each run was trained on]
    #[arg(long, value_name = "D")]
    pub data: Option<String>,
}

#[derive(Args)]
pub struct InfoArguments {
    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Args)]
pub struct BenchArguments {
    /// Take fewer samples of smaller shapes: a minute instead of some 4 to 8
    #[arg(long)]
    pub quick: bool,
    /// How to print the report
    #[arg(short, long, value_enum, default_value_t = ReportForm::Md)]
    pub output: ReportForm,
    /// Write the report as JSON to a new file as well
    #[arg(long, value_name = "FILE.json")]
    pub save: Option<PathBuf>,
    /// Directory of IDX files, or mnist, fashion-mnist, digits: what to train on
    #[arg(long, value_name = "D", default_value = ffwd::data::digits::NAME)]
    pub data: String,
    /// Decides initial weights and negatives of training
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Threads; 0 is every core available to the process
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(..=4096))]
    pub threads: u32,
}

/// The forms of a report.
#[derive(Clone, Copy, ValueEnum)]
pub enum ReportForm {
    /// Tables in Markdown
    Md,
    /// The whole report as JSON, schema ffwd/report/v1
    Json,
    /// One flat row for everything measured
    Csv,
}

#[derive(Args)]
pub struct CompareArguments {
    /// Reports; the others are held against the first
    #[arg(value_name = "REPORT.json", required = true, num_args = 2..)]
    pub reports: Vec<PathBuf>,
    /// How to print the comparison
    #[arg(short, long, value_enum, default_value_t = ComparisonForm::Md)]
    pub output: ComparisonForm,
    /// Exit with 3 when the whole interval of a kernel is slower than the first report's by more than PCT percent
    #[arg(long, value_name = "PCT", value_parser = percent, allow_negative_numbers = true)]
    pub fail_over: Option<f64>,
}

/// How a comparison is printed.
#[derive(Clone, Copy, ValueEnum)]
pub enum ComparisonForm {
    /// Markdown tables
    Md,
    /// One page with charts
    Html,
    /// ffwd/comparison/v1
    Json,
}

/// A finite number that is not negative.
fn percent(text: &str) -> Result<f64, &'static str> {
    let number = text.parse().ok().filter(|number| (0.0..f64::INFINITY).contains(number));
    number.ok_or("expected a finite number of percent, not negative")
}

#[derive(Subcommand)]
pub enum PresetsCommand {
    /// Print a preset as a file for --config
    Show {
        #[arg(value_parser = ffwd::config::PRESETS, hide_possible_values = true)]
        name: String,
    },
}

#[derive(Subcommand)]
pub enum DataCommand {
    /// Show which data set was found where
    List,
    /// Download a data set into the user cache, checked by SHA-256
    Fetch {
        set: PublicSet,
        /// Take the files from this address instead of the known mirrors
        #[arg(long, value_name = "URL")]
        mirror: Option<String>,
    },
}

/// The data sets that can be downloaded.
#[derive(Clone, Copy, ValueEnum)]
pub enum PublicSet {
    Mnist,
    FashionMnist,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The value behind `[quick: ` in an option's help.
    fn promised(option: &Arg) -> Option<String> {
        let help = option.get_help()?.to_string();
        Some(help.split_once("[quick: ")?.1.trim_end_matches(']').to_owned())
    }

    #[test]
    fn the_help_names_the_values_of_the_preset() {
        let preset: toml::Table =
            ffwd::config::Config::resolve(None, toml::Table::new()).unwrap().to_toml().parse().unwrap();
        let command = Arguments::command();
        let promises = command.get_arguments().filter_map(|option| Some((option.get_id().as_str(), promised(option)?)));
        let promises: Vec<_> = promises.collect();
        assert!(promises.len() >= 12, "{promises:?}");
        for (field, promise) in promises {
            let value = preset[field].to_string();
            assert_eq!(promise, value.replace(['[', ']', '"', ' '], ""), "{field}");
        }
    }

    #[test]
    fn the_command_is_consistent() {
        Arguments::command().mut_args(with_variable).debug_assert();
    }

    #[test]
    fn the_last_list_of_layers_counts() {
        let arguments = Arguments::try_parse_from(["fast-train", "--layers", "5,6", "--layers", "7"]).unwrap();
        assert_eq!(arguments.train.overrides.layers, Some(vec![7]));
    }
}
