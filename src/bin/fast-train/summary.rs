//! The summary of a run, `ffwd/summary/v1`: what `--json` prints and `summary.json` holds.

use std::fs;
use std::path::Path;

use ffwd::config::Config;
use ffwd::data::Dataset;
use ffwd::train::EpochReport;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use crate::run_directory::SUMMARY;

pub const SCHEMA: &str = "ffwd/summary/v1";

#[derive(Serialize)]
pub struct Summary {
    pub schema: &'static str,
    pub dataset: DatasetSummary,
    pub config: Config,
    pub backend: &'static str,
    pub isa: &'static str,
    pub precision: &'static str,
    /// Processes that trained together.
    pub ranks: usize,
    /// Of rank 0.
    pub threads: usize,
    pub seed: u64,
    pub epochs: Vec<EpochReport>,
    /// Training time until the validation images reached the target; null where there was none, or it was not reached.
    pub seconds_to_target: Option<f64>,
    /// Of the last whole epoch; null where the run was interrupted before there was one.
    pub final_loss: Option<f64>,
    /// Null where the test set is empty.
    pub test_accuracy: Option<f64>,
    pub test_errors: usize,
    /// Validation and looks at goodness included.
    pub train_seconds: f64,
    /// What rank 0 waited for other ranks in epochs; only where there are others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comm_seconds: Option<f64>,
    /// Null where the system does not tell.
    pub peak_rss_bytes: Option<u64>,
    pub weights_sha256: String,
    pub interrupted: bool,
}

#[derive(Serialize)]
pub struct DatasetSummary {
    pub name: String,
    /// Whether the images are drawn by the program rather than written by hand.
    pub synthetic: bool,
    /// Images trained on.
    pub train: usize,
    /// Images tested on.
    pub test: usize,
    /// Of the whole data set, see [`Dataset::sha256`].
    pub sha256: String,
}

impl DatasetSummary {
    /// The summary of a data set of which the first `train` and `test` images are used.
    pub fn new(dataset: &Dataset, train: usize, test: usize) -> Self {
        let Dataset { name, synthetic, .. } = dataset;
        Self { name: name.clone(), synthetic: *synthetic, train, test, sha256: dataset.sha256().to_owned() }
    }
}

/// What the summary in a directory tells of its run.
#[derive(Deserialize)]
pub struct Told {
    /// Nothing of an epoch but that it was.
    pub epochs: Vec<IgnoredAny>,
    pub dataset: ToldDataset,
    pub config: serde_json::Value,
    pub isa: String,
    pub precision: String,
    pub threads: usize,
    pub test_errors: usize,
    pub test_accuracy: Option<f64>,
    pub final_loss: Option<f64>,
    pub train_seconds: f64,
    pub peak_rss_bytes: Option<u64>,
    pub interrupted: bool,
}

/// What a summary tells of the data set.
#[derive(Deserialize)]
pub struct ToldDataset {
    pub name: String,
    pub synthetic: bool,
    pub train: usize,
    pub test: usize,
}

impl Told {
    /// What the summary in a directory tells; nothing where there is none that can be read.
    pub fn read(directory: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(directory.join(SUMMARY)).ok()?).ok()
    }
}

/// Has [`peak_rss_bytes`] tell of what comes from now on, where Linux lets a process say so.
pub fn forget_peak_rss() {
    // Elsewhere the peak of several runs stays that of all.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

/// The most memory this process has had resident, in bytes, where Linux tells it.
pub fn peak_rss_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}
