//! The directory of a run: what was asked for, what happened, what came out.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use ffwd::config::Config;
use ffwd::network::Network;
use ffwd::train::EpochReport;
use ffwd::{Error, Result, checkpoint};

use crate::plots::{self, Sample};
use crate::summary::Summary;

/// The file that tells that a directory holds a finished run.
const SUMMARY: &str = "summary.json";
/// The file that tells that a directory holds a run.
const CONFIG: &str = "config.toml";

/// An open run directory; its metrics grow with every epoch.
pub struct RunDirectory {
    path: PathBuf,
    metrics: File,
}

impl RunDirectory {
    /// Creates the directory that the configuration asks for, or none where it says `none`.
    ///
    /// A run is never overwritten: the default directory gets a number behind its name where it holds a run already, and
    /// a directory named by the user that holds one is an error.
    pub fn create(config: &Config, dataset: &str) -> Result<Option<Self>> {
        let path = match config.out.as_deref() {
            Some("none") => return Ok(None),
            Some(out) => PathBuf::from(out),
            None => vacant(&format!("runs/{}-{dataset}-{}", config.preset, config.seed)),
        };
        if holds_run(&path) {
            let found = format!("{}, which holds a run", path.display());
            return Err(Error::config("--out", found, "a directory without a run, or none"));
        }
        fs::create_dir_all(&path).map_err(Error::io(&path, "create the directory"))?;
        write(&path.join(CONFIG), config.to_toml().as_bytes())?;
        let metrics = path.join("metrics.jsonl");
        let metrics = File::create(&metrics).map_err(Error::io(&metrics, "create"))?;
        Ok(Some(Self { path, metrics }))
    }

    /// Where the run is kept.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Adds an epoch to the metrics.
    pub fn epoch(&mut self, report: &EpochReport) -> Result<()> {
        let line = serde_json::to_string(report).expect("plain numbers serialise");
        writeln!(self.metrics, "{line}").map_err(Error::io(self.path.join("metrics.jsonl"), "write"))
    }

    /// Writes what a run ends with; the summary last, so that a directory with a summary is complete.
    pub fn finish(&self, results: &Results<'_>) -> Result<()> {
        let Results { summary, network, config_toml, samples, confusion } = results;
        checkpoint::save(network, config_toml, &self.path.join("model.safetensors"))?;
        write(&self.path.join("loss.svg"), plots::loss(&summary.epochs).as_bytes())?;
        write(&self.path.join("samples.svg"), plots::samples(samples, (network.rows, network.cols)).as_bytes())?;
        write(&self.path.join("confusion.svg"), plots::confusion(confusion).as_bytes())?;
        let json = serde_json::to_string_pretty(summary).expect("plain values serialise");
        write(&self.path.join(SUMMARY), json.as_bytes())
    }
}

/// What a run ends with.
pub struct Results<'a> {
    pub summary: &'a Summary,
    pub network: &'a Network,
    pub config_toml: String,
    /// Some training images with their labels.
    pub samples: Vec<Sample<'a>>,
    /// How often each true label (row) was predicted as each label (column).
    pub confusion: Vec<Vec<usize>>,
}

fn holds_run(path: &Path) -> bool {
    path.join(CONFIG).exists() || path.join(SUMMARY).exists()
}

/// `name`, or `name-2` and so on where that holds a run.
fn vacant(name: &str) -> PathBuf {
    let numbered = (2_u32..).map(|number| PathBuf::from(format!("{name}-{number}")));
    std::iter::once(PathBuf::from(name)).chain(numbered).find(|path| !holds_run(path)).expect("numbers do not end")
}

fn write(path: &Path, content: &[u8]) -> Result<()> {
    fs::write(path, content).map_err(Error::io(path, "write"))
}
