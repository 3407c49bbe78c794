//! A network in a file, and the sum that identifies its weights.
//!
//! Layer `i`, counted from 0, is stored as the tensors `layer.i.kernel` (k x u) and, where it has one, `layer.i.bias`
//! (u), both f32, row-major; the read-out, where there is one, as `readout.kernel` (features x classes) and
//! `readout.bias`. The shape of the images, the number of classes, the unit of a network that reads floats, and where
//! the network comes from stand in the file's metadata.

use std::path::Path;

use sha2::{Digest, Sha256};

use super::file::{self, Metadata, Tensor, TensorFile, bytes_of};
use crate::error::{Error, Result};
use crate::hex::hex;
use crate::network::Network;
use crate::parameters::Parameters;
use crate::readout;

/// What the metadata calls this form.
const FORMAT: &str = "ffwd/model/v1";

/// The same of a network of floats, which nobody is to take for one of images.
const FORMAT_OF_FLOATS: &str = "ffwd/model-of-floats/v1";

/// What the names of the read-out's tensors begin with.
const READOUT: &str = "readout";

/// The key of the unit of a network that reads floats.
const UNIT: &str = "unit";

/// Where a network comes from; each part is empty where it is not known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// The run's configuration as TOML.
    pub config: String,
    /// The name of the data set it was trained on.
    pub dataset: String,
    /// The SHA-256 of that data set, see [`Dataset::sha256`](crate::data::Dataset::sha256).
    pub dataset_sha256: String,
    /// What the classes are called, a list in JSON; where it is empty, they are numbers from `label_base` on.
    pub labels: String,
}

/// A network that was stored.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    /// The network.
    pub network: Network,
    /// Where it comes from.
    pub origin: Origin,
    /// Whether the file holds a sum, by which it is as it was written; files of earlier versions hold none.
    pub is_checked: bool,
}

impl Origin {
    /// The origin as texts of a file's metadata.
    pub(crate) fn metadata(&self) -> Metadata {
        let Self { config, dataset, dataset_sha256, labels } = self;
        let texts = [("config", config), ("dataset", dataset), ("dataset_sha256", dataset_sha256)];
        let labels = Some(("labels", labels)).filter(|(_, labels)| !labels.is_empty());
        texts.into_iter().chain(labels).map(|(key, text)| (key.to_owned(), text.clone())).collect()
    }

    /// The origin that the metadata of `file` tell.
    pub(crate) fn of(file: &TensorFile<'_>) -> Self {
        let text = |key| file.text(key).to_owned();
        Self {
            config: text("config"),
            dataset: text("dataset"),
            dataset_sha256: text("dataset_sha256"),
            labels: text("labels"),
        }
    }
}

/// Writes `network` and its origin to `path`, which appears whole or not at all.
///
/// # Errors
///
/// [`Error::Model`] when a weight is no finite number, [`Error::Io`] when the file cannot be written.
///
/// # Examples
///
/// ```
/// use ffwd::checkpoint::{self, Origin};
/// use ffwd::config::{Config, Preset};
/// use ffwd::network::Network;
///
/// let config = Config { layers: vec![20, 20], ..Config::of_preset(&Preset::KERAS) };
/// let network = Network::new(4, 4, config.classes, &config.layers, config.initial(), config.seed);
/// let directory = tempfile::tempdir()?;
/// let path = directory.path().join("model.safetensors");
/// checkpoint::save(&network, &Origin { config: config.to_toml(), ..Origin::default() }, &path)?;
///
/// let model = checkpoint::load(&path)?;
/// assert_eq!(model.network, network);
/// // A network predicts by the recipe of its configuration, which is stored as text.
/// let stored = Config::resolve(None, model.origin.config.parse()?)?;
/// assert_eq!(stored, config);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn save(network: &Network, origin: &Origin, path: &Path) -> Result<()> {
    let mut metadata = origin.metadata();
    for (key, value) in [
        ("format", format_of(network.unit).to_owned()),
        ("rows", network.rows.to_string()),
        ("cols", network.cols.to_string()),
        ("classes", network.classes.to_string()),
    ] {
        metadata.insert(key.to_owned(), value);
    }
    metadata.extend(metadata_of_unit(network));
    file::write(path, metadata, named(network).flat_map(tensors_of))
}

fn format_of(unit: Option<f32>) -> &'static str {
    if unit.is_some() { FORMAT_OF_FLOATS } else { FORMAT }
}

/// The unit of a network that reads floats, as a text of a file's metadata that is read back as it was.
pub(crate) fn metadata_of_unit(network: &Network) -> Option<(String, String)> {
    network.unit.map(|unit| (UNIT.to_owned(), format!("{unit:?}")))
}

/// The unit that the metadata of `file` tell, if they do, for a network of images of `rows` x `cols` and `classes`.
///
/// # Errors
///
/// [`Error::Model`] when it is no unit, or the network's images are not those of floats.
pub(crate) fn unit_of(file: &TensorFile<'_>, (rows, cols): (usize, usize), classes: usize) -> Result<Option<f32>> {
    const EXPECTED: &str = "a finite number above zero";
    if file.text(UNIT).is_empty() {
        return Ok(None);
    }
    let unit: f32 = file.value(UNIT, EXPECTED)?;
    if !unit.is_finite() || unit <= 0.0 {
        return Err(file.wrong(format!("{UNIT}: {unit}"), EXPECTED));
    }
    if rows != 1 || cols <= classes {
        let found = format!("floats in images of {rows} x {cols}");
        return Err(file.wrong(found, &format!("one row, in which floats stand behind {classes} inputs of the label")));
    }
    Ok(Some(unit))
}

/// What the names of each layer's tensors begin with in files, and of the read-out's.
pub(crate) fn names(network: &Network) -> Vec<String> {
    let layers = (0..network.layers.len()).map(|index| format!("layer.{index}"));
    layers.chain(network.readout.iter().map(|_| READOUT.to_owned())).collect()
}

/// All parameters of a network with the names they have in files.
fn named(network: &Network) -> impl Iterator<Item = (String, &Parameters)> {
    names(network).into_iter().zip(network.layers.iter().chain(&network.readout))
}

fn tensors_of((of, parameters): (String, &Parameters)) -> impl Iterator<Item = Tensor<'_>> {
    let Parameters { k, u, kernel, bias } = parameters;
    let kernel = Tensor { name: format!("{of}.kernel"), shape: vec![*k, *u], values: kernel };
    let bias = (!bias.is_empty()).then(|| Tensor { name: format!("{of}.bias"), shape: vec![*u], values: bias });
    std::iter::once(kernel).chain(bias)
}

/// Reads the network that is stored at `path`.
///
/// # Errors
///
/// [`Error::Io`] when the file cannot be read, [`Error::Model`] when it is not a model written by [`save`], or not as
/// it was written: the message names the field and what was expected. An example is at [`save`].
pub fn load(path: &Path) -> Result<Model> {
    let bytes = std::fs::read(path).map_err(Error::io(path, "read the model"))?;
    let file = TensorFile::new(path, &bytes, "a model written by fast-train")?;
    Ok(Model { network: network_of(&file)?, origin: Origin::of(&file), is_checked: file.is_checked() })
}

fn network_of(file: &TensorFile<'_>) -> Result<Network> {
    let is_of_floats = !file.text(UNIT).is_empty();
    file.expect_format(if is_of_floats { FORMAT_OF_FLOATS } else { FORMAT })?;
    let (rows, cols, classes) = (size(file, "rows")?, size(file, "cols")?, size(file, "classes")?);
    let pixels = rows.checked_mul(cols).filter(|&pixels| pixels >= classes && classes <= 256);
    let shape = || file.wrong(format!("{rows} x {cols} images and {classes} classes"), "a pixel for each class");
    let mut k = pixels.ok_or_else(shape)?;
    let mut layers = Vec::new();
    while let Some(layer) = parameters(file, &format!("layer.{}", layers.len()), k)? {
        k = layer.u;
        layers.push(layer);
    }
    let unit = unit_of(file, (rows, cols), classes)?;
    let mut network = Network { rows, cols, classes, layers, readout: None, unit };
    if !network.layers.is_empty() {
        network.readout = parameters(file, READOUT, readout::features(&network))?;
    }
    let tensors: usize = named(&network).map(|(_, of)| 1 + usize::from(!of.bias.is_empty())).sum();
    if network.layers.is_empty() || tensors != file.tensors() {
        let found = format!("{} tensors, {tensors} of them layers in sequence", file.tensors());
        return Err(file.wrong(found, "layer.0.kernel, layer.1.kernel and so on, with or without layer.N.bias"));
    }
    if let Some(readout) = network.readout.as_ref().filter(|readout| readout.u != classes || readout.bias.is_empty()) {
        let found = format!("a read-out of {} classes and {} biases", readout.u, readout.bias.len());
        return Err(file.wrong(found, &format!("{classes} of each")));
    }
    Ok(network)
}

fn size(file: &TensorFile<'_>, key: &str) -> Result<usize> {
    const EXPECTED: &str = "a whole number above zero";
    let number = file.value(key, EXPECTED)?;
    if number > 0 { Ok(number) } else { Err(file.wrong(format!("{key}: {number}"), EXPECTED)) }
}

/// The parameters of that name, with `k` inputs, or `None` where the file has none.
fn parameters(file: &TensorFile<'_>, of: &str, k: usize) -> Result<Option<Parameters>> {
    let name = format!("{of}.kernel");
    let u = match file.shape(&name).as_deref() {
        None => return Ok(None),
        Some(&[inputs, u]) if inputs == k && u > 0 => u,
        Some(shape) => return Err(file.wrong(format!("{name} of shape {shape:?}"), &format!("[{k}, units]"))),
    };
    let kernel = file.values(&name, &[k, u])?;
    let name = format!("{of}.bias");
    let bias = if file.shape(&name).is_some() { file.values(&name, &[u])? } else { Vec::new() };
    Ok(Some(Parameters { k, u, kernel, bias }))
}

/// The SHA-256 (in hexadecimal) of all weights: layer by layer, then the read-out, kernel before bias, as little-endian
/// f32.
pub fn weights_sha256(network: &Network) -> String {
    let mut hash = Sha256::new();
    for (_, parameters) in named(network) {
        hash.update(bytes_of(&parameters.kernel));
        hash.update(bytes_of(&parameters.bias));
    }
    hex(&hash.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::{Initial, Initializer};
    use safetensors::SafeTensors;

    fn network(use_bias: bool) -> Network {
        let initial = Initial { use_bias, kernel: Initializer::GlorotUniform, bias: Initializer::Normal };
        Network::new(3, 4, 5, &[7, 2], initial, 1)
    }

    /// The error of reading a file made from `network` and metadata in which `key` is replaced.
    fn message_with(network: &Network, key: &str, value: &str) -> String {
        let file = tempfile::NamedTempFile::new().unwrap();
        save(network, &Origin::default(), file.path()).unwrap();
        let bytes = std::fs::read(file.path()).unwrap();
        let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
        let mut metadata = header.metadata().clone().unwrap();
        metadata.insert(key.to_owned(), value.to_owned());
        // A file of an earlier version, which has no sum.
        metadata.remove("sha256").expect("a sum");
        let tensors = SafeTensors::deserialize(&bytes).unwrap();
        std::fs::write(file.path(), safetensors::serialize(tensors.tensors(), Some(metadata)).unwrap()).unwrap();
        let message = load(file.path()).unwrap_err().to_string();
        assert!(message.contains(&*file.path().to_string_lossy()) && message.contains("expected"), "{message}");
        message
    }

    #[test]
    fn a_saved_network_loads_the_same_with_and_without_bias() {
        for use_bias in [true, false] {
            let file = tempfile::NamedTempFile::new().unwrap();
            let origin = Origin {
                config: "epochs = 1".into(),
                dataset: "digits".into(),
                dataset_sha256: "00".repeat(32),
                labels: r#"["a", "b", "c", "d", "e"]"#.into(),
            };
            save(&network(use_bias), &origin, file.path()).unwrap();
            let Model { network: loaded, origin: from, is_checked } = load(file.path()).unwrap();
            assert_eq!((&loaded, from, is_checked), (&network(use_bias), origin, true));
            assert_eq!(weights_sha256(&loaded), weights_sha256(&network(use_bias)));
        }
    }

    #[test]
    fn a_network_of_floats_loads_the_same_and_is_none_of_images() {
        let initial = Initial { use_bias: true, kernel: Initializer::GlorotUniform, bias: Initializer::Zeros };
        let of_floats = Network::of_floats((4, 0.1), 3, &[5, 2], initial, 1);
        let file = tempfile::NamedTempFile::new().unwrap();
        let origin = Origin { labels: r#"["a", "b", "c"]"#.into(), ..Origin::default() };
        save(&of_floats, &origin, file.path()).unwrap();
        let model = load(file.path()).unwrap();
        assert_eq!((&model.network, &model.origin), (&of_floats, &origin));

        for (key, value, expected) in [
            ("unit", "NaN", "a finite number above zero"),
            ("unit", "0", "a finite number above zero"),
            ("unit", "-1e-3", "a finite number above zero"),
            ("unit", "wide", "a finite number above zero"),
            ("unit", "", FORMAT),
            ("format", FORMAT, FORMAT_OF_FLOATS),
            ("rows", "7", "one row"),
            ("classes", "7", "one row"),
        ] {
            let mut changed = of_floats.clone();
            if key == "rows" {
                (changed.rows, changed.cols) = (7, 1);
            }
            let message = message_with(&changed, key, value);
            assert!(message.contains(expected), "{key}: {message}");
        }
        assert!(message_with(&network(true), "unit", "1").contains(FORMAT_OF_FLOATS));
    }

    #[test]
    fn a_read_out_is_saved_and_must_fit() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut with = network(true);
        with.readout = Some(Parameters { k: 2, u: 5, kernel: (0..10).map(|i| i as f32).collect(), bias: vec![1.0; 5] });
        save(&with, &Origin::default(), file.path()).unwrap();
        assert_eq!(load(file.path()).unwrap().network, with);
        assert_ne!(weights_sha256(&with), weights_sha256(&network(true)));
        for (k, u, bias) in [(3, 5, 5), (2, 4, 4), (2, 5, 0)] {
            with.readout = Some(Parameters { k, u, kernel: vec![0.0; k * u], bias: vec![0.0; bias] });
            save(&with, &Origin::default(), file.path()).unwrap();
            let message = load(file.path()).unwrap_err().to_string();
            assert!(message.contains("read") && message.contains("expected"), "{message}");
        }
    }

    #[test]
    fn metadata_that_does_not_fit_is_named() {
        assert!(message_with(&network(true), "format", "other/v9").contains("other/v9"));
        assert!(message_with(&network(true), "rows", "-3").contains("rows: \"-3\""));
        assert!(message_with(&network(true), "cols", "18446744073709551615").contains("x 18446744073709551615"));
        assert!(message_with(&network(true), "classes", "13").contains("13 classes"));
        assert!(message_with(&network(true), "rows", "4").contains("layer.0.kernel of shape [12, 7]"));
    }

    #[test]
    fn values_that_are_no_numbers_are_neither_written_nor_read() {
        let mut broken = network(true);
        broken.layers[1].bias[0] = f32::NAN;
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("model.safetensors");
        let message = save(&broken, &Origin::default(), &path).unwrap_err().to_string();
        assert!(message.contains("layer.1.bias with the value NaN") && !path.exists(), "{message}");

        let infinite = [f32::INFINITY; 84].map(f32::to_le_bytes);
        let view = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, vec![12, 7], infinite.as_flattened());
        let texts = [("format", FORMAT), ("rows", "3"), ("cols", "4"), ("classes", "5")];
        let texts = texts.map(|(key, text)| (key.to_owned(), text.to_owned())).into();
        std::fs::write(&path, safetensors::serialize([("layer.0.kernel", view.unwrap())], Some(texts)).unwrap())
            .unwrap();
        let message = load(&path).unwrap_err().to_string();
        assert!(message.contains("with the value inf"), "{message}");
    }

    #[test]
    fn any_bit_that_is_flipped_is_noticed() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let origin = Origin { config: "epochs = 1".into(), dataset: "digits".into(), ..Origin::default() };
        save(&network(true), &origin, file.path()).unwrap();
        let whole = std::fs::read(file.path()).unwrap();
        let expected = load(file.path()).unwrap();
        for at in 0..whole.len() {
            for bit in [0, 1, 5, 7] {
                let mut flipped = whole.clone();
                flipped[at] ^= 1 << bit;
                std::fs::write(file.path(), &flipped).unwrap();
                // A header may be written in more than one way; what it says may not change.
                if let Ok(found) = load(file.path()) {
                    let unchecked = Model { is_checked: false, ..expected.clone() };
                    assert!(found == expected || found == unchecked, "byte {at}, bit {bit}");
                }
            }
        }
    }

    #[test]
    fn a_file_cut_off_anywhere_is_an_error_and_never_a_panic() {
        let file = tempfile::NamedTempFile::new().unwrap();
        save(&network(true), &Origin::default(), file.path()).unwrap();
        let whole = std::fs::read(file.path()).unwrap();
        for length in 0..whole.len() {
            std::fs::write(file.path(), &whole[..length]).unwrap();
            assert!(matches!(load(file.path()), Err(Error::Model { .. })), "{length} bytes");
        }
    }
}
