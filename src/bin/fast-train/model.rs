//! A stored model: what computes it, how it was trained, and whether a data set is what it was trained on.

use std::path::Path;

use ffwd::backend::Backend;
use ffwd::checkpoint::{self, Model, Origin};
use ffwd::config::{BackendName, Config, PrecisionName, Preset};
use ffwd::data::{Dataset, IdxImages};
use ffwd::error::DatasetProblem;
use ffwd::tier::Tier;
use ffwd::{Error, backends};

use crate::say;

/// What computes: in f32 unless a tile unit was asked for, so that a model says the same on every CPU, but for
/// rounding.
pub fn backend() -> ffwd::Result<Box<dyn Backend>> {
    let tier = Tier::from_environment()?;
    let precision = if tier.asks_for_bf16() { PrecisionName::Bf16 } else { PrecisionName::F32 };
    backends::choose(BackendName::Auto, precision, tier)
}

/// Reads the model of a network of images.
///
/// # Errors
///
/// Those of [`checkpoint::load`], and [`Error::Config`] where the network reads floats, of which no data set is made.
pub fn load(path: &Path) -> ffwd::Result<Model> {
    let model = checkpoint::load(path)?;
    if model.network.unit.is_some() {
        let field = format!("{}: inputs", path.display());
        return Err(Error::config(
            field,
            "a network of floats",
            "one of images; the package for Python predicts floats",
        ));
    }
    Ok(model)
}

/// Says of a model without a sum that nothing tells whether it is as it was written.
pub fn note_unchecked(model: &Path, is_checked: bool) {
    if !is_checked {
        say(format!("note: {} holds no SHA-256 of its content and was not checked for damage", model.display()));
    }
}

/// Whether a data set is not the one that the model was trained on; says so where it is not.
pub fn note_other_data(origin: &Origin, dataset: &Dataset) -> bool {
    let is_other = !origin.dataset_sha256.is_empty() && origin.dataset_sha256 != dataset.sha256();
    if is_other {
        say(format!("note: {} is not the data set this model was trained on ({})", dataset.name, origin.dataset));
    }
    is_other
}

/// The data set a model was trained on: a name or an absolute path.
pub fn trained_on(origin: &Origin) -> Option<String> {
    let config: toml::Table = origin.config.parse().ok()?;
    Some(config.get("data")?.as_str()?.to_owned())
}

/// The configuration a model was trained with; that of the Keras example where the model does not say.
pub fn configuration(origin: &Origin) -> Config {
    let fields = origin.config.parse().unwrap_or_default();
    Config::resolve(None, fields).unwrap_or_else(|_| Config::of_preset(&Preset::KERAS))
}

/// Checks that the images are of the size the model was trained on; rows of pixels without a shape may be.
pub fn check_size(images: &IdxImages, (rows, cols): (usize, usize)) -> ffwd::Result<()> {
    let is_flat = images.rows() == 1 && images.cols() == rows * cols;
    if is_flat || (images.rows(), images.cols()) == (rows, cols) {
        return Ok(());
    }
    let problem = DatasetProblem::ImageSize { found: (images.rows(), images.cols()), expected: (rows, cols) };
    Err(Error::Dataset { path: images.path().to_path_buf(), problem })
}
