//! The directory of a run: what was asked for, what happened, what came out.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use ffwd::checkpoint::{self, Origin};
use ffwd::config::Config;
use ffwd::network::Network;
use ffwd::train::EpochReport;
use ffwd::{Error, Result};

use crate::plots::{self, Sample};
use crate::summary::Summary;

/// The file that tells that a directory holds a finished run.
const SUMMARY: &str = "summary.json";
/// The file that tells that a directory holds a run.
const CONFIG: &str = "config.toml";
/// The file of one line for each epoch.
const METRICS: &str = "metrics.jsonl";

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
    failure: Option<Error>,
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
        let config_path = path.join(CONFIG);
        match File::create_new(&config_path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => return Err(occupied(&path)),
            created => created.and_then(|mut file| file.write_all(config.to_toml().as_bytes())),
        }
        .map_err(Error::io(&config_path, "write"))?;
        let metrics = path.join(METRICS);
        let metrics = File::create(&metrics).map_err(Error::io(&metrics, "create"))?;
        Ok(Some(Self { path, metrics, failure: None }))
    }

    /// Where the run is kept.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Adds an epoch to the metrics.
    pub fn epoch(&mut self, report: &EpochReport) {
        let line = serde_json::to_string(report).expect("plain numbers serialise");
        let written = writeln!(self.metrics, "{line}").map_err(Error::io(self.path.join(METRICS), "write"));
        self.remember(written);
    }

    /// Writes the trained network, which cannot be had again and so comes before everything else.
    pub fn model(&mut self, network: &Network, origin: &Origin) {
        self.remember(checkpoint::save(network, origin, &self.path.join("model.safetensors")));
    }

    /// Writes the network that predicts the validation images best so far.
    pub fn best_model(&mut self, network: &Network, origin: &Origin) {
        self.remember(checkpoint::save(network, origin, &self.path.join("best.safetensors")));
    }

    /// Writes what a run ends with: the summary, then the plots.
    pub fn finish(&mut self, results: &Results<'_>) {
        let Results { summary, image_size, samples, confusion } = results;
        let json = serde_json::to_string_pretty(summary).expect("plain values serialise");
        self.write(SUMMARY, &json);
        self.write("loss.svg", &plots::loss(&summary.epochs));
        self.write("samples.svg", &plots::samples(samples, *image_size));
        self.write("confusion.svg", &plots::confusion(confusion));
    }

    /// The first thing that could not be written, if any.
    pub fn close(self) -> Result<()> {
        self.failure.map_or(Ok(()), Err)
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
