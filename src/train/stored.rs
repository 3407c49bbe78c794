//! Training states in files: what a run that was stopped goes on from, bit for bit.
//!
//! A checkpoint is a safetensors file (`crate::checkpoint`) of every tensor of a [`TrainingState`]: weights
//! (`layer.0.kernel`, `readout.bias`), moments (`optimizer.layer.0.kernel.first`), running means (`activity.layer.0`,
//! `average.layer.0.kernel`). Its metadata hold what is no tensor, the configuration, and which data set it was.

use std::path::Path;

use super::TrainingState;
use crate::checkpoint::{self, Origin, TensorFile};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::files::replace_and_keep;
use crate::network::Network;

/// What the metadata calls this form.
const FORMAT: &str = "ffwd/state/v1";

/// The file of the state that was written last.
pub const LAST: &str = "checkpoint.safetensors";
/// The one before, and the one that is being written.
const PREVIOUS: &str = "checkpoint.previous.safetensors";
const NEW: &str = "checkpoint.new.safetensors";
/// What the last one is called once it was found not to be as it was written.
const DAMAGED: &str = "checkpoint.damaged.safetensors";

/// A run between two epochs, as it is stored.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredState {
    /// What training goes on from.
    pub state: TrainingState,
    /// The configuration, and the data set.
    pub origin: Origin,
    /// Seconds of training so far, validation included.
    pub train_seconds: f64,
    /// What computed it: the instruction set or unit of its products, by name.
    pub products: String,
}

impl StoredState {
    /// Writes the state into `directory`, in place of the one before, which is kept beside it.
    ///
    /// # Errors
    ///
    /// [`Error::Model`] when a value is no finite number, [`Error::Io`] when a file cannot be written; what was there
    /// is then still there.
    pub fn save_in(&mut self, directory: &Path) -> Result<()> {
        // A directory that has gone is not made again: a checkpoint alone is no run.
        std::fs::metadata(directory).map_err(Error::io(directory, "write a checkpoint into the directory"))?;
        let new = directory.join(NEW);
        self.save(&new)?;
        replace_and_keep(&new, &directory.join(LAST), &directory.join(PREVIOUS))
    }

    /// Reads the state that was written last into `directory`, of a run of `config` on images of `size`, rows and
    /// columns of pixels, or the one before where that is not there or not as it was written; then also what is wrong
    /// with it.
    ///
    /// # Errors
    ///
    /// What is wrong with the last, where there is no sound one.
    pub fn load_from(directory: &Path, config: &Config, size: (usize, usize)) -> Result<(Self, Option<Error>)> {
        match Self::load(&directory.join(LAST), config, size) {
            Ok(stored) => Ok((stored, None)),
            Err(error) => match Self::load(&directory.join(PREVIOUS), config, size) {
                Ok(stored) => {
                    // Out of the way, so that it does not take the place of the sound one with the next checkpoint.
                    let _ = std::fs::rename(directory.join(LAST), directory.join(DAMAGED));
                    Ok((stored, Some(error)))
                }
                Err(_) => Err(error),
            },
        }
    }

    /// Writes the state to `path`, which appears whole or not at all.
    fn save(&mut self, path: &Path) -> Result<()> {
        let Self { state, origin, train_seconds, products } = self;
        let steps = |steps: i32| steps.to_string();
        let of_layers: Vec<String> = state.optimizers.iter().map(|optimizer| steps(optimizer.steps)).collect();
        let mut metadata = origin.metadata();
        for (key, value) in [
            ("format", FORMAT.to_owned()),
            ("epoch", state.epoch.to_string()),
            // Both forms of a float that is read back as it was.
            ("loss_sum", format!("{:?}", state.loss_sum)),
            ("train_seconds", format!("{train_seconds:?}")),
            ("steps", of_layers.join(",")),
            ("readout_steps", state.readout_optimizer.as_ref().map_or_else(String::new, |of| steps(of.steps))),
            ("products", products.clone()),
            ("version", env!("CARGO_PKG_VERSION").to_owned()),
        ] {
            metadata.insert(key.to_owned(), value);
        }
        metadata.extend(checkpoint::metadata_of_unit(&state.network));
        checkpoint::write(path, metadata, state.tensors())
    }

    /// Whether a state has ever been written into `directory`.
    pub fn is_in(directory: &Path) -> bool {
        directory.join(LAST).exists() || directory.join(PREVIOUS).exists()
    }

    /// The configuration of the run that is stored in `directory`.
    ///
    /// # Errors
    ///
    /// As [`StoredState::load_from`].
    pub fn config_in(directory: &Path) -> Result<Config> {
        let config_of = |path: &Path| {
            let bytes = read(path)?;
            let file = open(path, &bytes)?;
            let table = file.text("config").parse::<toml::Table>();
            let table =
                table.map_err(|_| file.wrong("a config that is no TOML".into(), "the configuration of a run"))?;
            Config::resolve(None, table)
                .map_err(|error| file.wrong(error.to_string(), "a configuration of this version"))
        };
        config_of(&directory.join(LAST)).or_else(|error| config_of(&directory.join(PREVIOUS)).map_err(|_| error))
    }

    /// Reads the state that is stored at `path`, of a run of `config` on images of `rows` x `cols` pixels.
    fn load(path: &Path, config: &Config, (rows, cols): (usize, usize)) -> Result<Self> {
        let bytes = read(path)?;
        let file = open(path, &bytes)?;
        check_layers(&file, config, rows * cols)?;
        let unit = checkpoint::unit_of(&file, (rows, cols), config.classes)?;
        let drawn = Network::new(rows, cols, config.classes, &config.layers, config.initial(), config.seed);
        let network = Network { unit, ..drawn };
        let mut state = TrainingState::new(network, config);
        let mut count = 0;
        for tensor in state.tensors() {
            *tensor.values = file.values(&tensor.name, &tensor.shape)?;
            count += 1;
        }
        if count != file.tensors() {
            return Err(file.wrong(format!("{} tensors", file.tensors()), &format!("{count}")));
        }
        state.epoch = file.value("epoch", "a whole number")?;
        state.loss_sum = finite(&file, "loss_sum")?;
        let steps = file.text("steps").split(',').map(str::parse).collect::<std::result::Result<Vec<i32>, _>>();
        let is_sound = |steps: &Vec<i32>| steps.len() == state.optimizers.len() && steps.iter().all(|&step| step >= 0);
        let steps = steps.ok().filter(is_sound);
        let expected = "a whole number, not negative, for each layer, separated by commas";
        let steps = steps.ok_or_else(|| file.wrong(format!("steps: {:?}", file.text("steps")), expected))?;
        state.optimizers.iter_mut().zip(steps).for_each(|(optimizer, steps)| optimizer.steps = steps);
        if let Some(optimizer) = &mut state.readout_optimizer {
            optimizer.steps = counted(&file, "readout_steps")?;
        }
        let train_seconds = finite(&file, "train_seconds")?;
        Ok(Self { state, origin: Origin::of(&file), train_seconds, products: file.text("products").to_owned() })
    }
}

/// Checks that the file holds the weights of the layers that the configuration says, before memory is taken for them.
fn check_layers(file: &TensorFile<'_>, config: &Config, pixels: usize) -> Result<()> {
    let inputs = std::iter::once(pixels).chain(config.layers.iter().copied());
    for (index, (k, &u)) in inputs.zip(&config.layers).enumerate() {
        let name = format!("layer.{index}.kernel");
        let found = file.shape(&name);
        if found.as_deref() != Some(&[k, u]) {
            let found = found.map_or_else(|| "no tensor".to_owned(), |shape| format!("{shape:?}"));
            return Err(file.wrong(format!("{name}: {found}"), &format!("[{k}, {u}]")));
        }
    }
    Ok(())
}

/// The number of steps of that key.
fn counted(file: &TensorFile<'_>, key: &str) -> Result<i32> {
    const EXPECTED: &str = "a whole number, not negative";
    let steps = file.value(key, EXPECTED)?;
    if steps >= 0 { Ok(steps) } else { Err(file.wrong(format!("{key}: {steps}"), EXPECTED)) }
}

/// The number of that key.
fn finite(file: &TensorFile<'_>, key: &str) -> Result<f64> {
    let number: f64 = file.value(key, "a number")?;
    if number.is_finite() { Ok(number) } else { Err(file.wrong(format!("{key}: {number}"), "a finite number")) }
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(Error::io(path, "read the checkpoint"))
}

/// The checkpoint at `path`, whose content is `bytes`.
fn open<'a>(path: &'a Path, bytes: &'a [u8]) -> Result<TensorFile<'a>> {
    let file = TensorFile::new(path, bytes, "a checkpoint written by fast-train")?;
    file.expect_format(FORMAT)?;
    if file.is_checked() { Ok(file) } else { Err(file.wrong("no SHA-256 of its content".into(), "one")) }
}
