//! The configuration of a training run: presets, files and flags laid over one another, and checked.
//!
//! Every source is a TOML table of the fields below; later tables win, and each is checked as it is laid over the ones
//! before, so that a mistake is blamed on its source. The resolved configuration is stored with the run in the same
//! form, so that a run's `config.toml` can be given back with `--config`.

mod checks;
mod every;
mod presets;
mod seed;

pub use every::CheckpointEvery;

pub use presets::{PRESETS, Preset};

use std::path::Path;

use serde::{Deserialize, Serialize};
use toml::Table;

use crate::augment::Augmentation;
use crate::backend::Backend;
use crate::data::Reading;
use crate::error::{Error, Result};
use crate::labels::{LabelStyle, LabelValue};
use crate::network::{Initial, Initializer};
use crate::optimizer::Rule;
use crate::recipe::{Goodness, Loss, LossName, Normalisation, RateFactor, Recipe, Schedule, Threshold};
use crate::update::L2;

/// Which optimiser the layers use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OptimizerName {
    /// Adam with `lr`, `beta1`, `beta2`, `epsilon` and `weight_decay`: [`Rule::Adam`].
    Adam,
    /// SGD with `lr` and `momentum`: [`Rule::Sgd`].
    Sgd,
    /// SGD along a running mean of the gradients, with `lr`, `momentum` and `weight_decay`: [`Rule::Averaged`].
    Averaged,
}

/// Which backend computes the layer steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BackendName {
    /// The fastest that this CPU and the precision allow.
    Auto,
    /// Fused kernels, `crate::fused`.
    Fused,
    /// Plain matrices on `matrixmultiply`, `crate::reference`.
    Reference,
}

/// The number format of the products' operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PrecisionName {
    /// bf16 where it is known to be faster over sixty outer epochs, see
    /// [`Tier::prefers_bf16`](crate::tier::Tier::prefers_bf16); otherwise f32.
    Auto,
    /// 32-bit floats.
    F32,
    /// bf16 operands, the upper halves of floats; weights, sums and the optimiser stay in f32.
    Bf16,
}

/// What the layers learn from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Learning {
    /// Each from its own goodness (section 2 of Hinton 2022).
    ForwardForward,
    /// All from the error of the read-out: what Forward-Forward is held against.
    Backpropagation,
}

/// How the labels of the negatives are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Negatives {
    /// The labels of the batch in another order, of which some are true ones: the Keras example.
    Permuted,
    /// Any label but the true one.
    Wrong,
    /// A wrong label, by the probabilities of the read-out: Hinton's published code for section 3.3 of Hinton 2022.
    Hard,
}

/// Everything that decides a training run but its data.
///
/// A value is made by [`Config::resolve`], which checks it, or by [`Config::of_preset`] with other values in some
/// fields. The trainer does not check it again. docs/recipes.md has the equations of the fields.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The preset the other values started from, one of [`PRESETS`].
    pub preset: String,
    /// Units of each layer, 1 to 65,536; there is at least one layer.
    pub layers: Vec<usize>,
    /// Outer epochs, 1 to 1,000,000; each trains once on every batch.
    pub epochs: usize,
    /// How often the state of the run is stored.
    pub checkpoint_every: CheckpointEvery,
    /// What the layers learn from.
    pub learning: Learning,
    /// Optimiser steps each layer takes on a batch, 1 to 1,000,000; layers that are trained together take 1.
    pub inner_steps: usize,
    /// Samples of a batch; 0 is the whole training set.
    pub batch: usize,
    /// The goodness that separates positive from negative; where goodness is a sum, for each unit of the layer.
    pub threshold: f64,
    /// Number of labels, 1 to 256.
    pub classes: usize,
    /// The label of the first class in the data set's files, at most 256 minus the classes.
    pub label_base: u8,
    /// Whether rows and columns of all images are exchanged: EMNIST keeps its images transposed.
    pub transpose: bool,
    /// Decides initial weights, negatives and the order of samples.
    #[serde(with = "seed")]
    pub seed: u64,
    /// Use only the first this many training images; 0 is all.
    pub train_limit: usize,
    /// The last this many of these training images are kept for validation; 0 is none.
    pub validation: usize,
    /// Epochs from one validation to the next, 1 to 1,000,000.
    pub validate_every: usize,
    /// Training stops where this share of the validation images, 0 to 1, is predicted right; 0 is never.
    pub target_accuracy: f64,
    /// Use only the first this many test images; 0 is all.
    pub test_limit: usize,
    /// Whether the layers have a bias.
    pub use_bias: bool,
    /// Initial weights.
    pub kernel_initializer: Initializer,
    /// Initial biases.
    pub bias_initializer: Initializer,
    /// L2 regularisation of the weights, 0 or more: [`L2::kernel`].
    pub kernel_l2: f64,
    /// L2 regularisation of the biases, 0 or more: [`L2::bias`].
    pub bias_l2: f64,
    /// What a row is divided by.
    pub normalisation: Normalisation,
    /// What a layer makes high for positive rows and low for negative ones.
    pub goodness: Goodness,
    /// What goodness costs.
    pub loss: LossName,
    /// What the distance of a goodness to the threshold, or of a pair's, is divided by; above 0.
    pub temperature: f64,
    /// The value of the pixel that marks a label.
    pub label: LabelValue,
    /// How the labels of the negatives are drawn.
    pub negatives: Negatives,
    /// The power of the read-out's probabilities by which hard negatives are drawn, 0 or more; 1 in section 3.3 of
    /// Hinton 2022.
    pub hardness: f64,
    /// Whether all layers take a step on a batch before the next one comes, from activations before the step; without,
    /// one layer after the other trains on it.
    pub together: bool,
    /// Whether each epoch takes the samples in an order of its own.
    pub shuffle: bool,
    /// The most pixels by which each training image is shifted anew in each epoch.
    pub shift: usize,
    /// The share of each training image's pixels that is left out, anew in each epoch; at least 0 and below 1.
    pub input_dropout: f64,
    /// The share of each layer's activations that is left out of each sample, anew in each step; at least 0 and below 1
    /// (Srivastava et al. 2014).
    pub dropout: f64,
    /// Strength of peer normalisation, see [`peers`](crate::peers); 0 is none.
    pub peer: f64,
    /// Whether a softmax read-out is trained beside the layers, and predicts.
    pub readout: bool,
    /// Learning rate of the read-out, above 0.
    pub readout_lr: f64,
    /// Weight decay of the read-out, 0 or more.
    pub readout_decay: f64,
    /// Which optimiser.
    pub optimizer: OptimizerName,
    /// Learning rate, above 0.
    pub lr: f64,
    /// Weight decay of the optimisers `averaged` and `adam`, 0 or more.
    pub weight_decay: f64,
    /// How the learning rates fall at the end of the run.
    pub schedule: Schedule,
    /// The first share of the run, 0 to 1, in which they rise from 0.
    pub warmup: f64,
    /// The last share of the run, 0 to 1, in which they fall.
    pub cooldown: f64,
    /// The network that is kept is a running mean of the weights, of which each batch leaves this share, at least 0 and
    /// below 1; 0 is the last weights (Polyak & Juditsky 1992, with a window).
    pub weight_average: f64,
    /// Adam's decay of the first moment, at least 0 and below 1.
    pub beta1: f64,
    /// Adam's decay of the second moment, at least 0 and below 1.
    pub beta2: f64,
    /// Adam's epsilon, above 0.
    pub epsilon: f64,
    /// The momentum of SGD and of the running mean, at least 0 and below 1.
    pub momentum: f64,
    /// Which backend.
    pub backend: BackendName,
    /// Which number format.
    pub precision: PrecisionName,
    /// Threads of the program, at most 4096; 0 is every core available to the process, shared with other ranks on the
    /// same ones. Stored as it was given, because it never changes the result.
    pub threads: usize,
    /// Data set name or directory; absent, MNIST if it can be had, else the built-in digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<String>,
    /// The model whose weights the run begins with; absent, weights are drawn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Run directory, or `none`; absent, `runs/PRESET-DATASET-SEED`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub out: Option<String>,
}

impl Config {
    /// The configuration of a preset as it is.
    ///
    /// # Examples
    ///
    /// ```
    /// use ffwd::config::{Config, Preset};
    ///
    /// let config = Config { epochs: 2, ..Config::of_preset(&Preset::QUICK) };
    /// assert_eq!((config.layers.as_slice(), config.epochs), ([500, 500].as_slice(), 2));
    /// ```
    pub fn of_preset(preset: &Preset) -> Self {
        Self::deserialize(preset.table()).expect("a preset is whole")
    }

    /// The preset, then the file, then what the command line and the environment gave.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] for an unknown preset or field, a value of the wrong type, or one outside its range, and for
    /// values that exclude each other; the message names the file or flag it came from. [`Error::Io`] when the file
    /// cannot be read.
    ///
    /// # Examples
    ///
    /// ```
    /// use ffwd::config::Config;
    ///
    /// let given = "preset = 'paper'\nlayers = [400, 400]".parse().expect("TOML");
    /// let config = Config::resolve(None, given)?;
    /// assert_eq!((config.layers.as_slice(), config.epochs), ([400, 400].as_slice(), 20));
    ///
    /// let error = Config::resolve(None, "classes = 257".parse().expect("TOML")).unwrap_err();
    /// assert!(error.to_string().contains("found 257, expected 1 to 256"));
    /// # Ok::<(), ffwd::Error>(())
    /// ```
    pub fn resolve(file: Option<&Path>, given: Table) -> Result<Self> {
        let file_table = file.map(read_table).transpose()?.unwrap_or_default();
        let preset = preset(&[(&given, Source::Given), (&file_table, Source::of(file))])?;
        let config = Self::deserialize(preset.clone()).expect("a preset is whole");
        let (table, config) = lay_over((preset, config), file_table, Source::of(file))?;
        let config = lay_over((table, config), given, Source::Given)?.1;
        config.check_together()?;
        Ok(config)
    }

    /// Puts what was found and chosen in place of what was asked for, as a run stores it: `data` finds the data set
    /// again from any directory, `from` the model, `backend` is the one that computes, and `out` is absent, because a
    /// run that repeats this one has a directory of its own.
    ///
    /// # Panics
    ///
    /// When the backend gives itself a name that configurations do not know.
    pub fn settle(&mut self, data: &str, backend: &dyn Backend) {
        self.data = Some(data.to_owned());
        self.out = None;
        let absolute =
            |path: String| std::path::absolute(&path).ok().and_then(|path| path.into_os_string().into_string().ok());
        // Below a directory whose name is no text, the model is found from there only.
        self.from = self.from.take().and_then(|path| absolute(path.clone()).or(Some(path)));
        self.backend = toml::Value::from(backend.name()).try_into().expect("a name that `backend` takes");
        self.precision = toml::Value::from(backend.precision()).try_into().expect("a name that `precision` takes");
    }

    /// The configuration as the text of a TOML file.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("plain values serialise")
    }

    /// How the data set is read.
    pub fn reading(&self) -> Reading {
        Reading { classes: self.classes, label_base: self.label_base, transpose: self.transpose }
    }

    /// How the network starts.
    pub fn initial(&self) -> Initial {
        Initial { use_bias: self.use_bias, kernel: self.kernel_initializer, bias: self.bias_initializer }
    }

    /// What the layers compute and learn from.
    pub fn recipe(&self) -> Recipe {
        let threshold = self.threshold as f32;
        let threshold = match self.goodness {
            Goodness::MeanOfSquares => Threshold::Value(threshold),
            Goodness::SumOfSquares => Threshold::PerUnit(threshold),
        };
        Recipe {
            labels: LabelStyle { value: self.label, ..LabelStyle::LARGEST_PIXEL },
            normalisation: self.normalisation,
            goodness: self.goodness,
            loss: Loss { name: self.loss, threshold, temperature: self.temperature },
        }
    }

    /// How the learning rates change over the run.
    pub(crate) fn rate_factor(&self) -> RateFactor {
        RateFactor { schedule: self.schedule, warmup: self.warmup, cooldown: self.cooldown }
    }

    /// How the images of a batch are changed.
    pub(crate) fn augmentation(&self) -> Augmentation {
        Augmentation { shift: self.shift, dropout: self.input_dropout }
    }

    /// How the layers are regularised.
    pub(crate) fn l2(&self) -> L2 {
        L2 { kernel: self.kernel_l2, bias: self.bias_l2 }
    }

    /// How the layers are optimised.
    pub(crate) fn rule(&self) -> Rule {
        match self.optimizer {
            OptimizerName::Adam => Rule::Adam {
                lr: self.lr,
                beta1: self.beta1,
                beta2: self.beta2,
                epsilon: self.epsilon,
                decay: self.weight_decay,
            },
            OptimizerName::Sgd => Rule::Sgd { lr: self.lr, momentum: self.momentum },
            OptimizerName::Averaged => {
                Rule::Averaged { lr: self.lr, momentum: self.momentum, decay: self.weight_decay }
            }
        }
    }

    /// How the read-out is optimised.
    pub(crate) fn readout_rule(&self) -> Rule {
        Rule::Averaged { lr: self.readout_lr, momentum: self.momentum, decay: self.readout_decay }
    }
}

/// Where a table of options comes from, for the messages.
#[derive(Clone, Copy)]
enum Source<'a> {
    File(&'a Path),
    /// The command line or the environment.
    Given,
}

impl<'a> Source<'a> {
    fn of(file: Option<&'a Path>) -> Self {
        file.map_or(Self::Given, Self::File)
    }

    /// A field as the user spells it there.
    fn name(self, field: &str) -> String {
        match self {
            Self::File(path) => format!("{}: {field}", path.display()),
            Self::Given => format!("--{} or FFWD_{}", field.replace('_', "-"), field.to_uppercase()),
        }
    }
}

/// The table of the preset that the first of these tables names, or of the default one.
fn preset(layers: &[(&Table, Source<'_>)]) -> Result<Table> {
    let named = layers.iter().find_map(|(table, source)| Some((table.get("preset")?, source)));
    let Some((name, source)) = named else { return Ok(Preset::QUICK.table()) };
    let preset = name.as_str().and_then(Preset::named);
    preset.map(|preset| preset.table()).ok_or_else(|| Error::config(source.name("preset"), name, one_of(&PRESETS)))
}

fn one_of(names: &[&str]) -> String {
    format!("one of {}", names.join(", "))
}

/// Lays the fields of `layer` over a configuration, which is at hand as a table as well, and checks them.
fn lay_over((mut table, mut config): (Table, Config), layer: Table, source: Source<'_>) -> Result<(Table, Config)> {
    for (field, value) in layer {
        table.insert(field.clone(), value);
        // One field at a time, so that the message can name it.
        config = Config::deserialize(table.clone()).map_err(|error| complaint(source.name(&field), error.message()))?;
    }
    config.check(source)?;
    Ok((table, config))
}

/// What the TOML reader has against a field or a line.
fn complaint(place: String, message: &str) -> Error {
    let message = message.trim().replace('\n', " ");
    let (found, expected) = message.split_once(", expected ").unwrap_or((&message, "a field of a run's config.toml"));
    let expected = match expected {
        "usize" | "u64" => "a whole number",
        "u8" => "a whole number below 256",
        "f64" => "a number",
        expected => expected,
    };
    Error::config(place, found, expected)
}

fn read_table(path: &Path) -> Result<Table> {
    let text = std::fs::read_to_string(path).map_err(Error::io(path, "read the configuration"))?;
    text.parse().map_err(|error: toml::de::Error| {
        let before = error.span().map_or("", |span| text.get(..span.start).unwrap_or_default());
        let line = before.matches('\n').count() + 1;
        complaint(format!("{}: line {line}", path.display()), error.message())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(text: &str) -> Table {
        text.parse().unwrap()
    }

    /// The same, with the Keras example's preset where the text names none.
    fn keras(text: &str) -> Table {
        let mut table = table(text);
        table.entry("preset").or_insert("keras".into());
        table
    }

    #[test]
    fn without_a_preset_it_is_quick() {
        assert_eq!(Config::resolve(None, Table::new()).unwrap(), Config::of_preset(&Preset::QUICK));
    }

    #[test]
    fn the_preset_keras_is_the_keras_example() {
        let config = Config::of_preset(&Preset::KERAS);
        assert_eq!((config.layers.as_slice(), config.epochs, config.inner_steps), ([500, 500].as_slice(), 250, 50));
        assert_eq!((config.threshold, config.lr, config.optimizer), (1.5, 0.03, OptimizerName::Adam));
    }

    #[test]
    fn flags_beat_the_file_and_the_file_beats_the_preset() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "epochs = 7\nlr = 0.5\n").unwrap();
        let config = Config::resolve(Some(file.path()), keras("lr = 0.25")).unwrap();
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
        for (text, word) in [
            ("epoch = 7", ": epoch: "),
            ("epochs = \"x\"", ": epochs: "),
            ("epochs = 0", ": epochs: found 0, expected 1 to 1000000"),
            ("seed = 1\nepochs = ", ": line 2: "),
            ("preset = 3", ": preset: found 3, expected one of quick, paper"),
        ] {
            std::fs::write(file.path(), text).unwrap();
            // What the flags cover is checked as well.
            let message = Config::resolve(Some(file.path()), table("epochs = 2")).unwrap_err().to_string();
            assert!(message.contains(&format!("{}{word}", file.path().display())), "{message}");
            assert_eq!((message.matches(", expected ").count(), message.lines().count()), (1, 1), "{message}");
        }
    }

    #[test]
    fn values_out_of_range_are_named_with_what_was_expected() {
        for (text, field) in [
            ("layers = []", "layers"),
            ("layers = [0]", "layers"),
            ("epochs = 0", "epochs"),
            ("epochs = 1000001", "epochs"),
            ("inner_steps = 1000001", "inner-steps"),
            ("layers = [65537]", "layers"),
            ("classes = 257", "classes"),
            ("lr = -1.0", "lr"),
            ("beta2 = 1.0", "beta2"),
            ("threshold = nan", "threshold"),
            ("threshold = 1e39", "threshold"),
            ("epsilon = 1e-50", "epsilon"),
            ("lr = 1e39", "lr"),
            ("beta1 = 0.99999999999", "beta1"),
            ("out = \"\"", "out"),
            ("preset = \"x\"", "preset"),
            ("target_accuracy = 1.5", "target-accuracy"),
            ("temperature = 0.0", "temperature"),
            ("validate_every = 0", "validate-every"),
        ] {
            let message = Config::resolve(None, table(text)).unwrap_err().to_string();
            assert!(message.starts_with(&format!("--{field} or FFWD_")) && message.contains("expected"), "{message}");
        }
    }

    #[test]
    fn options_that_need_each_other_may_come_from_anywhere() {
        for (text, field) in [
            ("negatives = \"hard\"", "negatives"),
            ("negatives = \"wrong\"", "negatives"),
            ("preset = \"paper\"\nclasses = 1", "negatives"),
            ("preset = \"paper\"\nreadout = false", "negatives"),
            ("together = true", "inner_steps"),
            ("readout = true", "readout"),
            ("shuffle = true", "shuffle"),
            ("learning = \"backpropagation\"", "learning"),
            ("peer = 0.1", "peer"),
            ("shift = 1", "shift"),
            ("input_dropout = 0.1", "input_dropout"),
            ("dropout = 0.1", "dropout"),
            ("weight_average = 0.9", "weight_average"),
            ("optimizer = \"sgd\"\nweight_decay = 0.1", "weight_decay"),
            ("target_accuracy = 0.9", "target_accuracy"),
        ] {
            let message = Config::resolve(None, keras(text)).unwrap_err().to_string();
            assert!(message.starts_with(&format!("{field}: ")) && message.contains("expected"), "{message}");
        }
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "together = true\ntarget_accuracy = 0.9\nweight_decay = 0.1").unwrap();
        let given = keras("inner_steps = 1\nvalidation = 10\noptimizer = \"averaged\"");
        assert!(Config::resolve(Some(file.path()), given).is_ok());
    }

    #[test]
    fn options_without_a_use_are_refused_where_they_are_given() {
        let config = Config::of_preset(&Preset::named("backprop").unwrap());
        assert!(config.check_uses(&table("lr = 0.1")).is_ok());
        let message = config.check_uses(&table("lr = 0.1\npeer = 0.2")).unwrap_err().to_string();
        assert!(message.starts_with("--peer or FFWD_PEER: found 0.2, expected nothing"), "{message}");
        assert!(Config::of_preset(&Preset::QUICK).check_uses(&table("peer = 0.2")).is_ok());
    }

    #[test]
    fn a_settled_configuration_says_what_was_used() {
        let mut config = Config::resolve(None, Table::new()).unwrap();
        config.settle("digits", &crate::reference::Reference::new(crate::isa::Isa::best()));
        assert_eq!((config.data.as_deref(), config.backend), (Some("digits"), BackendName::Reference));
        assert_eq!(config.precision, PrecisionName::F32);
    }
}
