//! The directory of a run: what was asked for, what happened, what came out.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use ffwd::checkpoint::{self, Origin};
use ffwd::config::Config;
use ffwd::files;
use ffwd::network::Network;
use ffwd::train::EpochReport;
use ffwd::train::stored::StoredState;
use ffwd::{Error, Result};

use crate::plots::{self, Sample};
use crate::summary::Summary;

/// The file that tells that a directory holds a finished run.
pub const SUMMARY: &str = "summary.json";
/// The file that tells that a directory holds a run.
pub const CONFIG: &str = "config.toml";
/// The file of one line for each epoch.
pub const METRICS: &str = "metrics.jsonl";
/// The file of the trained network.
pub const MODEL: &str = "model.safetensors";

/// Where a run is to be kept.
pub enum Place {
    /// Nowhere.
    Nowhere,
    /// In the directory the user named.
    Named(PathBuf),
    /// In a directory called after the run.
    Default,
}

impl Place {
    /// The place that the configuration asks for. A directory named by the user that holds a run already is an error.
    pub fn of(config: &Config) -> Result<Self> {
        match config.out.as_deref() {
            None => Ok(Self::Default),
            Some("none") => Ok(Self::Nowhere),
            Some(out) if holds_run(Path::new(out)) => Err(occupied(Path::new(out))),
            Some(out) => Ok(Self::Named(PathBuf::from(out))),
        }
    }
}

/// An open run directory; its metrics grow with every epoch.
///
/// What cannot be written is remembered, and the run goes on: hours of training are worth more than a line of metrics.
pub struct RunDirectory {
    path: PathBuf,
    metrics: File,
    /// Whether a line of the metrics could not be written.
    lacks_metrics: bool,
    failure: Option<Error>,
    /// Why the last checkpoint could not be written.
    no_checkpoint: Option<Error>,
}

impl RunDirectory {
    /// Creates the directory, or none where the run is kept nowhere. A run is never overwritten, and no two runs share
    /// a directory.
    pub fn create(place: Place, config: &Config, dataset: &str) -> Result<Option<Self>> {
        let path = match place {
            Place::Nowhere => return Ok(None),
            Place::Named(path) => {
                fs::create_dir_all(&path).map_err(Error::io(&path, "create the directory"))?;
                path
            }
            Place::Default => create_numbered(&format!("{}-{dataset}-{}", config.preset, config.seed))?,
        };
        match files::create_atomically(&path.join(CONFIG), config.to_toml().as_bytes()) {
            Err(Error::Io { reason, .. }) if reason.kind() == ErrorKind::AlreadyExists => return Err(occupied(&path)),
            created => created?,
        }
        Ok(Some(Self::open(&path)?))
    }

    /// Opens the directory of a run, which is this process's own from now on.
    pub fn open(path: &Path) -> Result<Self> {
        let of_metrics = path.join(METRICS);
        let opened = OpenOptions::new().read(true).append(true).create(true).open(&of_metrics);
        let metrics = opened.map_err(Error::io(&of_metrics, "open"))?;
        lock(&metrics, path)?;
        remove_leftovers(path);
        Ok(Self { path: path.to_path_buf(), metrics, lacks_metrics: false, failure: None, no_checkpoint: None })
    }

    /// Checks that the run in this directory has done nothing yet.
    pub fn check_untouched(&self) -> Result<()> {
        let is_there = |name: &str| self.path.join(name).metadata().is_ok_and(|metadata| metadata.len() > 0);
        match [METRICS, SUMMARY, MODEL].into_iter().find(|name| is_there(name)) {
            None => Ok(()),
            Some(name) => {
                let found = format!("{} with {name} and no checkpoint", self.path.display());
                Err(Error::config("--resume", found, "a run that keeps checkpoints"))
            }
        }
    }

    /// Writes the configuration with which the run goes on.
    pub fn rewrite_config(&self, config: &Config) -> Result<()> {
        let path = self.path.join(CONFIG);
        files::write_atomically(&path, |file| {
            file.write_all(config.to_toml().as_bytes()).map_err(Error::io(&path, "write"))
        })
    }

    /// The reports of the first `epochs` epochs of `layers` layers, with which the metrics end from now on.
    pub fn reports(&mut self, epochs: usize, layers: usize) -> Result<Vec<EpochReport>> {
        let of_metrics = self.path.join(METRICS);
        let mut text = String::new();
        self.metrics.read_to_string(&mut text).map_err(Error::io(&of_metrics, "read"))?;
        let lines: Vec<&str> = text.split_inclusive('\n').take(epochs).collect();
        let report_of = |(number, line): (usize, &&str)| -> Option<EpochReport> {
            let report: EpochReport = serde_json::from_str(line).ok()?;
            (report.epoch == number && report.layer_loss.len() == layers).then_some(report)
        };
        let reports: Vec<EpochReport> = (1..).zip(&lines).map_while(report_of).collect();
        if reports.len() < epochs {
            let place = format!("{}: line {}", of_metrics.display(), reports.len() + 1);
            let expected = format!("one line for each of {epochs} epochs");
            return Err(Error::config(place, "no report of this epoch", expected));
        }
        let kept: usize = lines.iter().map(|line| line.len()).sum();
        self.metrics.set_len(kept as u64).map_err(Error::io(&of_metrics, "write"))?;
        Ok(reports)
    }

    /// Writes what the run can go on from after `epochs`, and their metrics before it; returns why that failed, if it
    /// did.
    pub fn checkpoint(&mut self, stored: &mut StoredState, epochs: &[EpochReport]) -> Option<String> {
        let path = self.path.join(METRICS);
        let written = self.complete_metrics(epochs).map_err(Error::io(path, "write"));
        let failed = written.and_then(|()| stored.save_in(&self.path)).err();
        let reason = failed.as_ref().map(Error::to_string);
        // One that succeeds later makes up for it.
        self.no_checkpoint = failed;
        reason
    }

    /// Waits until the metrics of `epochs` are on disk, which are written anew where a line of them could not be.
    fn complete_metrics(&mut self, epochs: &[EpochReport]) -> std::io::Result<()> {
        if self.lacks_metrics {
            self.metrics.set_len(0)?;
            epochs.iter().try_for_each(|report| writeln!(self.metrics, "{}", line_of(report)))?;
            self.lacks_metrics = false;
        }
        self.metrics.sync_data()
    }

    /// Where the run is kept.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Adds an epoch to the metrics.
    pub fn epoch(&mut self, report: &EpochReport) {
        let written = writeln!(self.metrics, "{}", line_of(report));
        self.lacks_metrics |= written.is_err();
        self.remember(written.map_err(Error::io(self.path.join(METRICS), "write")));
    }

    /// Writes the trained network, which cannot be had again and so comes before everything else.
    pub fn model(&mut self, network: &Network, origin: &Origin) {
        self.remember(checkpoint::save(network, origin, &self.path.join(MODEL)));
    }

    /// Writes the network that predicts the validation images best so far.
    pub fn best_model(&mut self, network: &Network, origin: &Origin) {
        self.remember(checkpoint::save(network, origin, &self.path.join("best.safetensors")));
    }

    /// Writes what a run ends with: the summary, then the plots.
    pub fn finish(&mut self, results: &Results<'_>) {
        let Results { summary, image_size, samples, confusion } = results;
        let label_base = summary.config.label_base;
        let json = serde_json::to_string_pretty(summary).expect("plain values serialise");
        self.write(SUMMARY, &json);
        self.write("loss.svg", &plots::loss(&summary.epochs));
        self.write("samples.svg", &plots::samples(samples, *image_size));
        self.write("confusion.svg", &plots::confusion(confusion, label_base));
    }

    /// The first thing that could not be written, if any.
    pub fn close(self) -> Result<()> {
        self.failure.or(self.no_checkpoint).map_or(Ok(()), Err)
    }

    fn write(&mut self, name: &str, content: &str) {
        let path = self.path.join(name);
        self.remember(fs::write(&path, content).map_err(Error::io(&path, "write")));
    }

    fn remember(&mut self, written: Result<()>) {
        if let Err(error) = written {
            self.failure.get_or_insert(error);
        }
    }
}

/// What a run ends with.
pub struct Results<'a> {
    pub summary: &'a Summary,
    /// Rows and columns of the images.
    pub image_size: (usize, usize),
    /// Some training images with their labels.
    pub samples: Vec<Sample<'a>>,
    /// How often each true label (row) was predicted as each label (column).
    pub confusion: Vec<Vec<usize>>,
}

/// An epoch as a line of the metrics.
fn line_of(report: &EpochReport) -> String {
    serde_json::to_string(report).expect("plain numbers serialise")
}

/// Keeps a run's directory to this process while the file is open.
fn lock(metrics: &File, path: &Path) -> Result<()> {
    match metrics.try_lock() {
        Err(TryLockError::WouldBlock) => {
            let found = format!("{}, in which another process is training", path.display());
            Err(Error::config("run directory", found, "one that no other process uses"))
        }
        // Some file systems have no locks; runs there are as safe as they were without.
        Ok(()) | Err(TryLockError::Error(_)) => Ok(()),
    }
}

/// Removes what a process left that was killed while it wrote.
fn remove_leftovers(path: &Path) {
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(files::TEMPORARY) {
            // What stays is in nobody's way.
            let _ = fs::remove_file(entry.path());
        }
    }
}

fn holds_run(path: &Path) -> bool {
    path.join(CONFIG).exists() || path.join(SUMMARY).exists()
}

fn occupied(path: &Path) -> Error {
    let found = format!("{}, which holds a run", path.display());
    Error::config("--out", found, "a directory without a run, or none")
}

/// Creates `runs/NAME`, or `runs/NAME-2` and so on where there is one already.
fn create_numbered(name: &str) -> Result<PathBuf> {
    let runs = Path::new("runs");
    fs::create_dir_all(runs).map_err(Error::io(runs, "create the directory"))?;
    let mut path = runs.join(name);
    for number in 2_u32.. {
        match fs::create_dir(&path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => path = runs.join(format!("{name}-{number}")),
            created => {
                created.map_err(Error::io(&path, "create the directory"))?;
                break;
            }
        }
    }
    Ok(path)
}
