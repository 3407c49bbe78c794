//! A network with all that its training needs: what `ForwardForwardClassifier` trains and asks.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use ffwd::Error;
use ffwd::backend::Backend;
use ffwd::backends;
use ffwd::checkpoint::{self, Model, Origin};
use ffwd::config::{Config, PrecisionName, Preset};
use ffwd::network::Network;
use ffwd::parameters::Parameters;
use ffwd::predict::{self, By};
use ffwd::recipe::Schedule;
use ffwd::tier::Tier;
use ffwd::train::stored::{LAST, StoredState};
use ffwd::train::{Divergence, Trainer, TrainingSet, TrainingState};
use numpy::{PyArray1, PyArray2, PyArrayMethods, PyReadonlyArray1};
use pyo3::exceptions::{PyFloatingPointError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::arrays::Samples;
use crate::errors::exception;
use crate::pool::pool;
use crate::watched::watched;

/// Fields of a configuration as JSON, resolved: the preset's, with those of `options` laid over them, all of them
/// checked.
#[pyfunction]
pub fn check(options: &str) -> PyResult<String> {
    Ok(serde_json::to_string(&resolved(options)?).expect("plain values serialise"))
}

/// The configuration of fields given as JSON.
fn resolved(options: &str) -> PyResult<Config> {
    let fields: toml::Table =
        serde_json::from_str(options).map_err(|error| PyValueError::new_err(format!("options: {error}")))?;
    let config = Config::resolve(None, fields.clone()).map_err(exception)?;
    config.check_uses(&fields).map_err(exception)?;
    Ok(config)
}

/// Seconds from which on Ctrl-C does not wait for the end of an epoch.
const LONG: f64 = 0.1;

/// What [`Engine::from_bytes`] makes an engine of.
type Parts<'py> = (Bound<'py, PyBytes>, (usize, usize), Option<f32>, usize);

/// A network in training, or after it. It is shared: what trains it replaces its state after each epoch, and what
/// predicts with it meanwhile takes the state that is there.
#[pyclass(module = "ffwd._ffwd", frozen)]
pub struct Engine {
    config: Config,
    state: Mutex<Arc<TrainingState>>,
    backend: Box<dyn Backend>,
    threads: usize,
}

#[pymethods]
impl Engine {
    /// A network as `options` say, which are fields of a configuration as JSON. It reads images of `shape`, rows and
    /// columns, or, where `unit` is given, `shape[1]` floats that are divided by it. It computes on so many `threads`.
    #[new]
    #[pyo3(signature = (options, shape, unit, threads))]
    fn new(options: &str, shape: (usize, usize), unit: Option<f32>, threads: usize) -> PyResult<Self> {
        let config = resolved(options)?;
        let (rows, cols) = shape;
        let (classes, layers, initial, seed) = (config.classes, &config.layers, config.initial(), config.seed);
        let network = match unit {
            Some(unit) => Network::of_floats((cols, unit), classes, layers, initial, seed),
            None if rows * cols < classes => {
                let message =
                    format!("X: found images of {rows} x {cols}, expected a pixel for each of {classes} classes");
                return Err(PyValueError::new_err(message));
            }
            None => Network::new(rows, cols, classes, layers, initial, seed),
        };
        let state = TrainingState::new(network, &config);
        Self::of(config, state, threads)
    }

    /// The network that is stored in a file, and what the file says of its labels. It computes in f32 unless `FFWD_ISA`
    /// asks for a tile unit, as the program does with a stored model.
    #[staticmethod]
    fn load(path: PathBuf, threads: usize) -> PyResult<(Self, String)> {
        let model = checkpoint::load(&path).map_err(exception)?;
        let tier = Tier::from_environment().map_err(exception)?;
        let precision = if tier.asks_for_bf16() { PrecisionName::Bf16 } else { PrecisionName::F32 };
        let config = Config { precision, ..config_of(&path, &model)? };
        let state = TrainingState::new(model.network, &config);
        Ok((Self::of(config, state, threads)?, model.origin.labels))
    }

    /// Writes the network to a file that the program reads too; `labels` says what its classes are called.
    fn save(&self, path: PathBuf, labels: String) -> PyResult<()> {
        let origin = Origin { config: self.config.to_toml(), labels, ..Origin::default() };
        checkpoint::save(self.state().result(), &origin, &path).map_err(exception)
    }

    /// Trains so many epochs on samples and their classes. After each epoch `report` is called with what the epoch did,
    /// as JSON, and ends training by returning something true. Where `keeps_rate` is true the learning rate stays what
    /// it is at the beginning of a run, and otherwise it falls as the configuration says for a run of its length.
    ///
    /// An interrupt leaves the state of the last whole epoch. Where `is_asked` is false nobody asks the network
    /// anything from `report`, which saves short epochs a copy of it.
    #[expect(clippy::too_many_arguments, reason = "Python's arguments are those of a function")]
    fn train(
        &self,
        py: Python<'_>,
        x: Samples<'_>,
        y: PyReadonlyArray1<'_, u8>,
        epochs: usize,
        keeps_rate: bool,
        is_asked: bool,
        report: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let (begun, pool) = (self.state(), pool(self.threads)?);
        let set = TrainingSet { pixels: x.pixels(&begun.network)?, labels: y.as_slice()? };
        check_labels(&begun.network, set)?;
        let config = self.of_training(keeps_rate);
        let mut trainer = Trainer::new((*begun).clone(), &config, &*self.backend, set);
        let mut takes_long = true;
        for _ in 0..epochs {
            // A short epoch is trained to its end whoever interrupts: to keep the state before it takes as long.
            let (stop, never) = (AtomicBool::new(false), AtomicBool::new(false));
            let (trained, interrupt) =
                watched(py, &stop, || pool.install(|| trainer.epoch(if takes_long { &stop } else { &never })));
            let Some(trained) = trained else { return interrupt };
            if let Some(divergence) = Divergence::of_epoch(trained.epoch, Some(&trained), trainer.network(), &config) {
                return Err(diverged(divergence));
            }
            takes_long = trained.seconds > LONG;
            if takes_long || is_asked {
                self.keep(trainer.state());
            }
            let line = serde_json::to_string(&trained).expect("plain values serialise");
            let ends = report.call1((line,)).and_then(|ends| ends.is_truthy());
            let ends = interrupt.and(ends).inspect_err(|_| self.keep(trainer.state()))?;
            if ends {
                break;
            }
        }
        *self.lock() = Arc::new(trainer.into_state());
        Ok(())
    }

    /// The goodness of each class for each sample: n x classes.
    fn goodness<'py>(&self, py: Python<'py>, x: Samples<'py>) -> PyResult<Bound<'py, PyArray2<f32>>> {
        self.scores(py, &x, By::Goodness)
    }

    /// The probability of each class for each sample, by the read-out: n x classes.
    fn probabilities<'py>(&self, py: Python<'py>, x: Samples<'py>) -> PyResult<Bound<'py, PyArray2<f32>>> {
        if self.state().network.readout.is_none() {
            return Err(PyValueError::new_err(
                "probabilities: found a network without a read-out, expected one with it",
            ));
        }
        self.scores(py, &x, By::Readout)
    }

    /// The weights (inputs x units) and biases (units, or none) of each layer, and then of the read-out, if there is
    /// one: copies.
    #[allow(clippy::type_complexity)]
    fn weights<'py>(&self, py: Python<'py>) -> PyResult<Vec<(Bound<'py, PyArray2<f32>>, Bound<'py, PyArray1<f32>>)>> {
        let state = self.state();
        let network = state.result();
        let arrays = |Parameters { k, u, kernel, bias }: &Parameters| {
            Ok((PyArray1::from_slice(py, kernel).reshape([*k, *u])?, PyArray1::from_slice(py, bias)))
        };
        network.layers.iter().chain(&network.readout).map(arrays).collect()
    }

    /// The SHA-256 of all weights, as a run's `summary.json` has it.
    fn weights_sha256(&self) -> String {
        checkpoint::weights_sha256(self.state().result())
    }

    /// All fields of the configuration, as JSON.
    fn options(&self) -> String {
        serde_json::to_string(&self.config).expect("plain values serialise")
    }

    /// Rows and columns of the images; 1 and the floats of a sample.
    fn shape(&self) -> (usize, usize) {
        let network = &self.state().network;
        (network.rows, network.cols - if network.unit.is_some() { network.classes } else { 0 })
    }

    /// What floats are divided by; `None` where images are read.
    fn unit(&self) -> Option<f32> {
        self.state().network.unit
    }

    /// Whether a read-out predicts.
    fn has_readout(&self) -> bool {
        self.state().network.readout.is_some()
    }

    /// Epochs done.
    fn epoch(&self) -> usize {
        self.state().epoch
    }

    /// How `pickle` makes it again: by `from_bytes`, of a checkpoint as the program writes it.
    fn __reduce__<'py>(this: &Bound<'py, Self>) -> PyResult<(Bound<'py, PyAny>, Parts<'py>)> {
        let engine = this.get();
        let directory = temporary()?;
        let origin = Origin { config: engine.config.to_toml(), ..Origin::default() };
        let (state, products) = ((*engine.state()).clone(), engine.backend.products().to_owned());
        let mut stored = StoredState { state, origin, train_seconds: 0.0, products };
        stored.save_in(directory.path()).map_err(exception)?;
        let bytes = PyBytes::new(this.py(), &std::fs::read(directory.path().join(LAST))?);
        Ok((this.getattr("from_bytes")?, (bytes, engine.shape(), engine.unit(), engine.threads)))
    }

    /// The engine of a checkpoint; `shape` and `unit` are those of its network.
    #[staticmethod]
    fn from_bytes(bytes: &[u8], shape: (usize, usize), unit: Option<f32>, threads: usize) -> PyResult<Self> {
        let directory = temporary()?;
        std::fs::write(directory.path().join(LAST), bytes)?;
        let config = StoredState::config_in(directory.path()).map_err(exception)?;
        let (rows, cols) = shape;
        let size = (rows, cols + if unit.is_some() { config.classes } else { 0 });
        let (stored, _) = StoredState::load_from(directory.path(), &config, size).map_err(exception)?;
        Self::of(config, stored.state, threads)
    }
}

impl Engine {
    /// An engine of these parts, on the backend that the configuration asks for, whose precision it keeps.
    fn of(config: Config, state: TrainingState, threads: usize) -> PyResult<Self> {
        let tier = Tier::from_environment().map_err(exception)?;
        let backend = backends::choose(config.backend, config.precision, tier).map_err(exception)?;
        let is_in_bf16 = backend.precision() == "bf16";
        let config = Config { precision: if is_in_bf16 { PrecisionName::Bf16 } else { PrecisionName::F32 }, ..config };
        Ok(Self { config, state: Mutex::new(Arc::new(state)), backend, threads })
    }

    /// Becomes the engine of this state.
    fn keep(&self, state: &TrainingState) {
        *self.lock() = Arc::new(state.clone());
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Arc<TrainingState>> {
        // A state is replaced as a whole, so that one is there also after a panic.
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn state(&self) -> Arc<TrainingState> {
        Arc::clone(&self.lock())
    }

    /// The configuration that training follows.
    fn of_training(&self, keeps_rate: bool) -> Config {
        match keeps_rate {
            true => Config { schedule: Schedule::Constant, warmup: 0.0, ..self.config.clone() },
            false => self.config.clone(),
        }
    }

    fn scores<'py>(&self, py: Python<'py>, x: &Samples<'py>, by: By) -> PyResult<Bound<'py, PyArray2<f32>>> {
        let (state, pool, recipe) = (self.state(), pool(self.threads)?, self.config.recipe());
        let network = state.result();
        let pixels = x.pixels(network)?;
        let scores = py.detach(|| {
            pool.install(|| match by {
                By::Goodness => predict::goodness(network, &recipe, &*self.backend, pixels),
                By::Readout => predict::probabilities(network, &recipe, &*self.backend, pixels),
            })
        });
        let classes = network.classes;
        PyArray1::from_vec(py, scores).reshape([pixels.count(network.pixels()), classes])
    }
}

/// The configuration that a stored network was trained with; a preset's where the file does not say.
fn config_of(path: &Path, Model { network, origin, .. }: &Model) -> PyResult<Config> {
    let preset = if network.readout.is_some() { &Preset::QUICK } else { &Preset::KERAS };
    let fields = origin.config.parse::<toml::Table>().ok().filter(|fields| !fields.is_empty());
    let stored = fields.and_then(|fields| Config::resolve(None, fields).ok());
    let layers = network.layers.iter().map(|layer| layer.u).collect();
    let config = Config { classes: network.classes, layers, ..stored.unwrap_or_else(|| Config::of_preset(preset)) };
    let require = |field: &str, found: String, expected: String| match found == expected {
        true => Ok(()),
        false => Err(exception(Error::config(format!("{}: config: {field}", path.display()), found, expected))),
    };
    require("readout", config.readout.to_string(), network.readout.is_some().to_string())?;
    for layer in &network.layers {
        require("use_bias", config.use_bias.to_string(), (!layer.bias.is_empty()).to_string())?;
    }
    let most = if network.unit.is_some() { 0 } else { network.rows.min(network.cols) - 1 };
    require("shift", config.shift.to_string(), config.shift.min(most).to_string())?;
    if network.unit.is_some() {
        require("input_dropout", config.input_dropout.to_string(), 0.0.to_string())?;
    }
    Ok(config)
}

/// Checks that there is a label below the classes for each sample.
fn check_labels(network: &Network, TrainingSet { pixels, labels }: TrainingSet<'_>) -> PyResult<()> {
    let count = pixels.count(network.pixels());
    if labels.len() != count || count == 0 {
        let message =
            format!("y: found {} labels of {count} samples, expected as many, and one at least", labels.len());
        return Err(PyValueError::new_err(message));
    }
    match labels.iter().find(|&&label| usize::from(label) >= network.classes) {
        None => Ok(()),
        Some(label) => {
            Err(PyValueError::new_err(format!("y: found class {label}, expected one below {}", network.classes)))
        }
    }
}

/// Why training has ended.
fn diverged(Divergence { found, field, value }: Divergence) -> PyErr {
    PyFloatingPointError::new_err(format!("{found}; try a smaller {field} than {value:?}"))
}

/// A directory of its own that goes with its value.
fn temporary() -> PyResult<tempfile::TempDir> {
    Ok(tempfile::tempdir()?)
}
