//! What the directory of a run says: its configuration, its epochs, and how it ended if it has.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use ffwd::Error;
use ffwd::config::Config;
use ffwd::text::shortened;
use ffwd::train::LayerGoodness;
use serde::Deserialize;

use crate::run_directory::{CONFIG, METRICS, MODEL};
use crate::summary::Told;

/// Longer names are cut.
pub const MAX_CHARACTERS: usize = 60;

/// A run as its directory tells of it.
pub struct Recorded {
    pub path: PathBuf,
    /// The directory's own name.
    pub name: String,
    pub config: Config,
    pub epochs: Vec<Epoch>,
    /// What it ended with; nothing where it has not.
    pub told: Option<Told>,
}

/// What a line of the metrics tells of an outer epoch; a value that was no number is none.
#[derive(Deserialize)]
pub struct Epoch {
    pub epoch: usize,
    pub final_loss: Option<f64>,
    pub layer_loss: Vec<Option<f64>>,
    pub active: Vec<Option<f64>>,
    pub seconds: f64,
    pub validation_accuracy: Option<f64>,
    pub goodness: Option<Vec<LayerGoodness>>,
}

impl Recorded {
    /// Reads the directory of a run.
    ///
    /// # Errors
    ///
    /// A directory without a configuration or metrics, or with such as no run writes.
    pub fn read(path: &Path) -> Result<Self> {
        let config = Config::resolve(Some(&path.join(CONFIG)), toml::Table::new())?;
        let of_metrics = path.join(METRICS);
        let text = fs::read_to_string(&of_metrics).map_err(Error::io(&of_metrics, "read"))?;
        let name = fs::canonicalize(path)
            .ok()
            .as_deref()
            .and_then(Path::file_name)
            .map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned());
        let epochs = epochs(&of_metrics, &text)?;
        // A run that goes on still has the summary of its earlier end.
        let told = Told::read(path).filter(|told| told.epochs.len() == epochs.len());
        Ok(Self { path: path.to_path_buf(), name: shortened(&name, MAX_CHARACTERS), config, epochs, told })
    }

    /// Why there is no trained network, if there is none.
    pub fn without_model(&self) -> Option<&'static str> {
        match (self.path.join(MODEL).exists(), &self.told) {
            (false, _) => Some("the run has no model yet"),
            (true, None) => Some("the run goes on, and its model is that of an earlier end"),
            (true, Some(_)) => None,
        }
    }

    /// Where the run is, shortened.
    pub fn place(&self) -> String {
        shortened(&self.path.to_string_lossy(), 4 * MAX_CHARACTERS)
    }

    /// The seconds of all its epochs.
    pub fn seconds(&self) -> f64 {
        self.epochs.iter().map(|epoch| epoch.seconds).sum()
    }
}

/// The epochs of the metrics; a line that a run has not written to its end is left out.
fn epochs(path: &Path, text: &str) -> Result<Vec<Epoch>> {
    let whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
    let epoch = |(number, line): (usize, &str)| {
        let read: Option<Epoch> = serde_json::from_str(line).ok();
        read.filter(|epoch| epoch.epoch == number).ok_or_else(|| {
            let place = format!("{}: line {number}", path.display());
            Error::config(place, "no report of this epoch", "one line for each epoch, as training writes it").into()
        })
    };
    (1..).zip(whole).map(epoch).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = r#"{"epoch":1,"final_loss":null,"layer_loss":[null,0.5],"active":[0.5,0.25],"seconds":1.5}"#;

    #[test]
    fn a_line_that_is_being_written_is_left_out_and_what_is_no_number_is_none() {
        let read = epochs(Path::new("m"), &format!("{LINE}\n{{\"epoch\":2,")).unwrap();
        assert_eq!((read.len(), read[0].final_loss, &read[0].layer_loss[..]), (1, None, &[None, Some(0.5)][..]));
    }

    #[test]
    fn a_line_of_another_epoch_is_named() {
        let error = epochs(Path::new("m"), &format!("{LINE}\n{LINE}\n")).err().unwrap();
        assert!(error.to_string().contains("m: line 2"), "{error}");
    }
}
