//! The command line. Training is the default command; its options are those of a run's configuration.
//!
//! Options that are given become a TOML table that is laid over the preset and the configuration file; clap puts the
//! environment (`FFWD_EPOCHS` for `--epochs`, and so on) behind the flags.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use serde::Serialize;

/// Trains a Forward-Forward network (Hinton 2022) on this CPU.
#[derive(Parser)]
#[command(name = "fast-train", version, args_conflicts_with_subcommands = true, args_override_self = true)]
pub struct Arguments {
    #[command(subcommand)]
    pub command: Option<Command>,
    #[command(flatten)]
    pub train: TrainArguments,
}

#[derive(Subcommand)]
pub enum Command {
    /// Measure a model's accuracy on a test set
    Eval(EvalArguments),
    /// Print the label of each image of an IDX file
    Predict(PredictArguments),
    /// Show what this machine offers: instruction sets, threads, data directories
    Info(InfoArguments),
    /// List or download data sets
    Data {
        #[command(subcommand)]
        command: DataCommand,
    },
}

#[derive(Args)]
pub struct TrainArguments {
    #[command(flatten)]
    pub overrides: Overrides,
    /// Read options from a TOML file; flags and environment beat it
    #[arg(long, value_name = "FILE.toml", env = "FFWD_CONFIG")]
    pub config: Option<PathBuf>,
    /// Print the run's summary as JSON on stdout, and nothing else there
    #[arg(long)]
    pub json: bool,
    /// Show no progress
    #[arg(long)]
    pub quiet: bool,
}

/// What the user gave; field names are those of [`ffwd::config::Config`].
#[derive(Args, Serialize)]
pub struct Overrides {
    /// Directory of IDX files, or mnist, fashion-mnist, digits [default: MNIST if it can be had, else digits]
    #[arg(long, value_name = "D")]
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<String>,
    /// Set of default options: keras
    #[arg(long, env = "FFWD_PRESET", value_parser = ffwd::config::PRESETS, hide_possible_values = true)]
    #[serde(skip_serializing_if = "Option::is_none")]
    preset: Option<String>,
    /// Units of each layer, separated by commas [keras: 500,500]
    #[arg(long, value_delimiter = ',', value_name = "U,U,..", env = "FFWD_LAYERS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    layers: Option<Vec<u32>>,
    /// Outer epochs [keras: 250]
    #[arg(long, env = "FFWD_EPOCHS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    epochs: Option<u32>,
    /// Optimiser steps each layer takes on a batch [keras: 50]
    #[arg(long, env = "FFWD_INNER_STEPS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    inner_steps: Option<u32>,
    /// Samples of a batch; 0 is the whole training set [keras: 0]
    #[arg(long, env = "FFWD_BATCH")]
    #[serde(skip_serializing_if = "Option::is_none")]
    batch: Option<u32>,
    /// The goodness that separates positive from negative [keras: 1.5]
    #[arg(long, env = "FFWD_THRESHOLD", allow_negative_numbers = true)]
    #[serde(skip_serializing_if = "Option::is_none")]
    threshold: Option<f64>,
    /// Learning rate [keras: 0.03]
    #[arg(long, env = "FFWD_LR", allow_negative_numbers = true)]
    #[serde(skip_serializing_if = "Option::is_none")]
    lr: Option<f64>,
    /// Number of labels; the overlay replaces as many pixels [keras: 10]
    #[arg(long, env = "FFWD_CLASSES")]
    #[serde(skip_serializing_if = "Option::is_none")]
    classes: Option<u32>,
    /// Decides initial weights and negatives [keras: 1]
    #[arg(long, env = "FFWD_SEED", value_parser = clap::value_parser!(i64).range(0..))]
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<i64>,
    /// Threads; 0 is every core available to the process [keras: 0]
    #[arg(long, env = "FFWD_THREADS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    threads: Option<u32>,
    /// What computes the layer steps: auto, fused, reference [keras: auto]
    #[arg(long, env = "FFWD_BACKEND", value_parser = ["auto", "fused", "reference"], hide_possible_values = true)]
    #[serde(skip_serializing_if = "Option::is_none")]
    backend: Option<String>,
    /// Number format of the products: auto, f32 [keras: auto]
    #[arg(long, env = "FFWD_PRECISION", value_parser = ["auto", "f32"], hide_possible_values = true)]
    #[serde(skip_serializing_if = "Option::is_none")]
    precision: Option<String>,
    /// Train on the first N images only; 0 is all [keras: 0]
    #[arg(long, value_name = "N", env = "FFWD_TRAIN_LIMIT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    train_limit: Option<u32>,
    /// Test on the first N images only; 0 is all [keras: 0]
    #[arg(long, value_name = "N", env = "FFWD_TEST_LIMIT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    test_limit: Option<u32>,
    /// Directory for the run's files, or none [default: runs/PRESET-DATASET-SEED]
    #[arg(long, value_name = "DIR|none", env = "FFWD_OUT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    out: Option<String>,
}

#[derive(Args)]
pub struct EvalArguments {
    /// Model written by training
    #[arg(long, value_name = "M.safetensors")]
    pub model: PathBuf,
    /// Directory of IDX files, or mnist, fashion-mnist, digits [default: MNIST if it can be had, else digits]
    #[arg(long, value_name = "D")]
    pub data: Option<String>,
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
    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Args)]
pub struct InfoArguments {
    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
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
