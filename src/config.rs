//! The configuration of a training run: presets, files and flags laid over one another, and checked.
//!
//! Every source is a TOML table of the fields below; later tables win. The resolved configuration is stored with the
//! run in the same form, so that a run's `config.toml` can be given back with `--config`.

use std::path::Path;

use serde::{Deserialize, Serialize};
use toml::Table;

use crate::error::{Error, Result};
use crate::layer::L2;
use crate::network::{Initial, Initializer};
use crate::objective::Objective;
use crate::optimizer::Rule;

/// The names `--preset` takes.
pub const PRESETS: [&str; 1] = ["keras"];

/// The preset `keras`: the example "Using the Forward-Forward Algorithm for Image Classification".
const KERAS: &str = r#"
preset = "keras"
layers = [500, 500]
epochs = 250
inner_steps = 50
batch = 0
threshold = 1.5
classes = 10
seed = 1
train_limit = 0
test_limit = 0
use_bias = true
kernel_initializer = "glorot_uniform"
bias_initializer = "zeros"
kernel_l2 = 0.0
bias_l2 = 0.0
optimizer = "adam"
lr = 0.03
beta1 = 0.9
beta2 = 0.999
epsilon = 1e-7
momentum = 0.9
backend = "auto"
precision = "auto"
threads = 0
"#;

/// Which optimiser the layers use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OptimizerName {
    /// Adam with `lr`, `beta1`, `beta2`, `epsilon`.
    Adam,
    /// SGD with `lr` and `momentum`.
    Sgd,
}

/// Which backend computes the layer steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BackendName {
    /// The fastest that this CPU and the precision allow.
    Auto,
    /// Fused kernels, [`crate::fused`].
    Fused,
    /// Plain matrices on `matrixmultiply`, [`crate::reference`].
    Reference,
}

/// The number format of the products' operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PrecisionName {
    /// What the chosen backend does fastest.
    Auto,
    /// 32-bit floats.
    F32,
}

/// Everything that decides a training run but its data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The preset the other values started from.
    pub preset: String,
    /// Units of each layer.
    pub layers: Vec<usize>,
    /// Outer epochs.
    pub epochs: usize,
    /// Optimiser steps each layer takes on a batch.
    pub inner_steps: usize,
    /// Samples of a batch; 0 is the whole training set.
    pub batch: usize,
    /// The goodness that separates positive from negative.
    pub threshold: f64,
    /// Number of labels.
    pub classes: usize,
    /// Decides initial weights and negatives.
    pub seed: u64,
    /// Use only the first this many training images; 0 is all.
    pub train_limit: usize,
    /// Use only the first this many test images; 0 is all.
    pub test_limit: usize,
    /// Whether the layers have a bias.
    pub use_bias: bool,
    /// Initial weights.
    pub kernel_initializer: Initializer,
    /// Initial biases.
    pub bias_initializer: Initializer,
    /// L2 regularisation of the weights.
    pub kernel_l2: f64,
    /// L2 regularisation of the biases.
    pub bias_l2: f64,
    /// Which optimiser.
    pub optimizer: OptimizerName,
    /// Learning rate.
    pub lr: f64,
    /// Adam's decay of the first moment.
    pub beta1: f64,
    /// Adam's decay of the second moment.
    pub beta2: f64,
    /// Adam's epsilon.
    pub epsilon: f64,
    /// SGD's momentum.
    pub momentum: f64,
    /// Which backend.
    pub backend: BackendName,
    /// Which number format.
    pub precision: PrecisionName,
    /// Threads; 0 is every core available to the process.
    pub threads: usize,
    /// Data set name or directory; absent, MNIST if it can be had, else the built-in digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<String>,
    /// Run directory, or `none`; absent, `runs/PRESET-DATASET-SEED`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub out: Option<String>,
}

impl Config {
    /// The preset, then the file, then the flags.
    ///
    /// # Errors
    ///
    /// An unknown preset or field, a value of the wrong type, or one outside its range; the message names the file or
    /// flag it came from.
    pub fn resolve(file: Option<&Path>, flags: Table) -> Result<Self> {
        let file_table = file.map(read_table).transpose()?.unwrap_or_default();
        let preset = [&flags, &file_table].into_iter().find_map(|table| table.get("preset"));
        let preset = preset.map_or("keras", |name| name.as_str().unwrap_or_default());
        let mut table = preset_table(preset)?;
        table.extend(file_table);
        if let Some(path) = file {
            // Checked before the flags cover it, so that a mistake is blamed on the file that holds it.
            parse(table.clone(), &path.display().to_string())?;
        }
        table.extend(flags);
        let config = parse(table, "command line or environment")?;
        config.check()?;
        Ok(config)
    }

    /// The configuration as the text of a TOML file.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("plain values serialise")
    }

    fn check(&self) -> Result<()> {
        let positive = |field: &str, value: usize| require(field, value, value > 0, "at least 1");
        require("layers", format!("{:?}", self.layers), !self.layers.is_empty(), "at least one layer")?;
        self.layers
            .iter()
            .try_for_each(|&u| require("layers", u, (1..=1 << 20).contains(&u), "units from 1 to 1048576"))?;
        positive("epochs", self.epochs)?;
        positive("inner_steps", self.inner_steps)?;
        require("classes", self.classes, (1..=256).contains(&self.classes), "1 to 256, because labels are bytes")?;
        require("threads", self.threads, self.threads <= 4096, "at most 4096")?;
        require("threshold", self.threshold, self.threshold.is_finite(), "a finite number")?;
        for (field, value) in [("lr", self.lr), ("epsilon", self.epsilon)] {
            require(field, value, value.is_finite() && value > 0.0, "a positive number")?;
        }
        for (field, value) in [("beta1", self.beta1), ("beta2", self.beta2), ("momentum", self.momentum)] {
            require(field, value, (0.0..1.0).contains(&value), "at least 0 and below 1")?;
        }
        for (field, value) in [("kernel_l2", self.kernel_l2), ("bias_l2", self.bias_l2)] {
            require(field, value, value.is_finite() && value >= 0.0, "zero or a positive number")?;
        }
        Ok(())
    }

    /// How the network starts.
    pub fn initial(&self) -> Initial {
        Initial { use_bias: self.use_bias, kernel: self.kernel_initializer, bias: self.bias_initializer }
    }

    /// What the layers optimise.
    pub fn objective(&self) -> Objective {
        Objective { threshold: self.threshold as f32 }
    }

    /// How the layers are regularised.
    pub fn l2(&self) -> L2 {
        L2 { kernel: self.kernel_l2, bias: self.bias_l2 }
    }

    /// How the layers are optimised.
    pub fn rule(&self) -> Rule {
        match self.optimizer {
            OptimizerName::Adam => {
                Rule::Adam { lr: self.lr, beta1: self.beta1, beta2: self.beta2, epsilon: self.epsilon }
            }
            OptimizerName::Sgd => Rule::Sgd { lr: self.lr, momentum: self.momentum },
        }
    }
}

fn require(field: &str, found: impl ToString, holds: bool, expected: &str) -> Result<()> {
    if holds { Ok(()) } else { Err(Error::config(field, found, expected)) }
}

fn preset_table(name: &str) -> Result<Table> {
    match name {
        "keras" => Ok(KERAS.parse().expect("the preset is valid TOML")),
        _ => Err(Error::config("preset", format!("{name:?}"), format!("one of {}", PRESETS.join(", ")))),
    }
}

fn read_table(path: &Path) -> Result<Table> {
    let text = std::fs::read_to_string(path).map_err(Error::io(path, "read the configuration"))?;
    text.parse().map_err(|error: toml::de::Error| {
        Error::config(path.display().to_string(), error.message(), "a TOML table of configuration fields")
    })
}

fn parse(table: Table, origin: &str) -> Result<Config> {
    Config::deserialize(table).map_err(|error| {
        Error::config(origin, error.to_string().trim().replace('\n', " "), "the fields of a run's config.toml")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(text: &str) -> Table {
        text.parse().unwrap()
    }

    #[test]
    fn the_default_is_the_keras_example() {
        let config = Config::resolve(None, Table::new()).unwrap();
        assert_eq!((config.layers.as_slice(), config.epochs, config.inner_steps), ([500, 500].as_slice(), 250, 50));
        assert_eq!((config.threshold, config.lr, config.optimizer), (1.5, 0.03, OptimizerName::Adam));
    }

    #[test]
    fn flags_beat_the_file_and_the_file_beats_the_preset() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "epochs = 7\nlr = 0.5\n").unwrap();
        let config = Config::resolve(Some(file.path()), table("lr = 0.25")).unwrap();
        assert_eq!((config.epochs, config.lr, config.inner_steps), (7, 0.25, 50));
    }

    #[test]
    fn a_stored_configuration_reads_back_the_same() {
        let config = Config::resolve(None, table("layers = [3]\nout = \"none\"")).unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), config.to_toml()).unwrap();
        assert_eq!(Config::resolve(Some(file.path()), Table::new()).unwrap(), config);
    }

    #[test]
    fn a_mistake_in_the_file_is_blamed_on_the_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for (text, word) in [("epoch = 7", "epoch"), ("epochs = \"x\"", "epochs"), ("epochs = ", "TOML")] {
            std::fs::write(file.path(), text).unwrap();
            let message = Config::resolve(Some(file.path()), Table::new()).unwrap_err().to_string();
            assert!(message.contains(&*file.path().to_string_lossy()) && message.contains(word), "{message}");
        }
    }

    #[test]
    fn values_out_of_range_are_named_with_what_was_expected() {
        for (text, field) in [
            ("layers = []", "layers"),
            ("layers = [0]", "layers"),
            ("epochs = 0", "epochs"),
            ("classes = 257", "classes"),
            ("lr = -1.0", "lr"),
            ("beta2 = 1.0", "beta2"),
            ("threshold = nan", "threshold"),
            ("preset = \"x\"", "preset"),
        ] {
            let message = Config::resolve(None, table(text)).unwrap_err().to_string();
            assert!(message.starts_with(field) && message.contains("expected"), "{message}");
        }
    }
}
