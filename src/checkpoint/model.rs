//! Networks in files: safetensors in and out, and the sum that identifies a network's weights.
//!
//! Layer `i`, counted from 0, is stored as the tensors `layer.i.kernel` (k x u) and, where it has one, `layer.i.bias`
//! (u), both f32; the read-out, where there is one, as `readout.kernel` (features x classes) and `readout.bias`. The
//! shape of the images, the number of classes and where the network comes from stand in the file's metadata.

use std::collections::HashMap;
use std::io::Write;
use std::path::Path;

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};
use crate::files::write_atomically;
use crate::hex::hex;
use crate::network::Network;
use crate::parameters::Parameters;
use crate::readout;

/// What the metadata calls this form.
const FORMAT: &str = "ffwd/model/v1";

/// What the names of the read-out's tensors begin with.
const READOUT: &str = "readout";

/// Where a network comes from; each part is empty where it is not known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// The run's configuration as TOML.
    pub config: String,
    /// The name of the data set it was trained on.
    pub dataset: String,
    /// The SHA-256 of that data set, see [`Dataset::sha256`](crate::data::Dataset::sha256).
    pub dataset_sha256: String,
}

/// Writes `network` and its origin to `path`, which appears whole or not at all.
///
/// # Errors
///
/// [`Error::Model`] when a weight is no finite number, [`Error::Io`] when the file cannot be written.
pub fn save(network: &Network, origin: &Origin, path: &Path) -> Result<()> {
    check_finite(network, path)?;
    let tensors: Vec<(String, Vec<usize>, Vec<u8>)> = named(network).flat_map(tensors_of).collect();
    let views = tensors.iter().map(|(name, shape, bytes)| {
        let view = TensorView::new(Dtype::F32, shape.clone(), bytes).expect("four bytes for each element");
        (name.as_str(), view)
    });
    let metadata = [
        ("format", FORMAT.to_owned()),
        ("rows", network.rows.to_string()),
        ("cols", network.cols.to_string()),
        ("classes", network.classes.to_string()),
        ("config", origin.config.clone()),
        ("dataset", origin.dataset.clone()),
        ("dataset_sha256", origin.dataset_sha256.clone()),
    ];
    let metadata: HashMap<_, _> = metadata.map(|(key, value)| (key.to_owned(), value)).into();
    let bytes = safetensors::serialize(views, Some(metadata)).expect("the names differ");
    write_atomically(path, |file| file.write_all(&bytes).map_err(Error::io(path, "write the model")))
}

/// Checks that [`load`] would take the weights back.
fn check_finite(network: &Network, path: &Path) -> Result<()> {
    for (of, parameters) in named(network) {
        for (name, values) in [("kernel", &parameters.kernel), ("bias", &parameters.bias)] {
            finite(path, &format!("{of}.{name}"), values)?;
        }
    }
    Ok(())
}

/// All parameters of a network with the names they have in files.
fn named(network: &Network) -> impl Iterator<Item = (String, &Parameters)> {
    let layers = network.layers.iter().enumerate().map(|(index, layer)| (format!("layer.{index}"), layer));
    layers.chain(network.readout.iter().map(|readout| (READOUT.to_owned(), readout)))
}

fn finite(path: &Path, name: &str, values: &[f32]) -> Result<()> {
    match values.iter().find(|value| !value.is_finite()) {
        Some(value) => Err(wrong(path, format!("{name} with the value {value}"), "finite numbers")),
        None => Ok(()),
    }
}

fn tensors_of((of, parameters): (String, &Parameters)) -> Vec<(String, Vec<usize>, Vec<u8>)> {
    let Parameters { k, u, kernel, bias } = parameters;
    let mut tensors = vec![(format!("{of}.kernel"), vec![*k, *u], bytes_of(kernel))];
    if !bias.is_empty() {
        tensors.push((format!("{of}.bias"), vec![*u], bytes_of(bias)));
    }
    tensors
}

/// The floats in little-endian order.
fn bytes_of(floats: &[f32]) -> Vec<u8> {
    floats.iter().flat_map(|float| float.to_le_bytes()).collect()
}

/// Reads a network and its origin from `path`.
///
/// # Errors
///
/// [`Error::Io`] when the file cannot be read, [`Error::Model`] when it is not a model written by [`save`]: the message
/// names the field and what was expected.
pub fn load(path: &Path) -> Result<(Network, Origin)> {
    let bytes = std::fs::read(path).map_err(Error::io(path, "read the model"))?;
    let reader = Reader::new(path, &bytes)?;
    Ok((reader.network()?, reader.origin()))
}

/// A file being read, with its path for the messages.
struct Reader<'a> {
    path: &'a Path,
    metadata: HashMap<String, String>,
    tensors: SafeTensors<'a>,
}

impl<'a> Reader<'a> {
    fn new(path: &'a Path, bytes: &'a [u8]) -> Result<Self> {
        let no_safetensors =
            |error| wrong(path, format!("no safetensors file ({error})"), "a model written by fast-train");
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(no_safetensors)?;
        let tensors = SafeTensors::deserialize(bytes).map_err(no_safetensors)?;
        Ok(Self { path, metadata: header.metadata().clone().unwrap_or_default(), tensors })
    }

    fn network(&self) -> Result<Network> {
        let format = self.metadata.get("format").map_or("none", String::as_str);
        if format != FORMAT {
            return Err(wrong(self.path, format!("format {format}"), FORMAT));
        }
        let (rows, cols, classes) = (self.number("rows")?, self.number("cols")?, self.number("classes")?);
        let pixels = rows.checked_mul(cols).filter(|&pixels| pixels >= classes && classes <= 256);
        let shape =
            || wrong(self.path, format!("{rows} x {cols} images and {classes} classes"), "a pixel for each class");
        let mut k = pixels.ok_or_else(shape)?;
        let mut layers = Vec::new();
        while let Some(layer) = self.parameters(&format!("layer.{}", layers.len()), k)? {
            k = layer.u;
            layers.push(layer);
        }
        let mut network = Network { rows, cols, classes, layers, readout: None };
        if !network.layers.is_empty() {
            network.readout = self.parameters(READOUT, readout::features(&network))?;
        }
        let tensors: usize = named(&network).map(|(_, of)| 1 + usize::from(!of.bias.is_empty())).sum();
        if network.layers.is_empty() || tensors != self.tensors.len() {
            let found = format!("{} tensors, {tensors} of them layers in sequence", self.tensors.len());
            return Err(wrong(
                self.path,
                found,
                "layer.0.kernel, layer.1.kernel and so on, with or without layer.N.bias",
            ));
        }
        if let Some(readout) =
            network.readout.as_ref().filter(|readout| readout.u != classes || readout.bias.is_empty())
        {
            let found = format!("a read-out of {} classes and {} biases", readout.u, readout.bias.len());
            return Err(wrong(self.path, found, &format!("{classes} of each")));
        }
        Ok(network)
    }

    fn origin(&self) -> Origin {
        let text = |key: &str| self.metadata.get(key).cloned().unwrap_or_default();
        Origin { config: text("config"), dataset: text("dataset"), dataset_sha256: text("dataset_sha256") }
    }

    fn number(&self, key: &str) -> Result<usize> {
        let text = self.metadata.get(key).map_or("nothing", String::as_str);
        let number = text.parse().ok().filter(|&number| number > 0);
        number.ok_or_else(|| wrong(self.path, format!("{key}: {text}"), "a whole number above zero"))
    }

    /// The parameters of that name, with `k` inputs, or `None` where the file has none.
    fn parameters(&self, of: &str, k: usize) -> Result<Option<Parameters>> {
        let name = format!("{of}.kernel");
        let Ok(kernel) = self.tensors.tensor(&name) else { return Ok(None) };
        let u = match *kernel.shape() {
            [inputs, u] if inputs == k && u > 0 => u,
            ref shape => return Err(wrong(self.path, format!("{name} of shape {shape:?}"), &format!("[{k}, units]"))),
        };
        let kernel = self.floats(&name, &kernel)?;
        let name = format!("{of}.bias");
        let bias = match self.tensors.tensor(&name) {
            Err(_) => Vec::new(),
            Ok(bias) if bias.shape() == [u] => self.floats(&name, &bias)?,
            Ok(bias) => return Err(wrong(self.path, format!("{name} of shape {:?}", bias.shape()), &format!("[{u}]"))),
        };
        Ok(Some(Parameters { k, u, kernel, bias }))
    }

    fn floats(&self, name: &str, tensor: &TensorView<'_>) -> Result<Vec<f32>> {
        if tensor.dtype() != Dtype::F32 {
            return Err(wrong(self.path, format!("{name} of type {:?}", tensor.dtype()), "F32"));
        }
        let (chunks, _) = tensor.data().as_chunks();
        let floats: Vec<f32> = chunks.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect();
        finite(self.path, name, &floats)?;
        Ok(floats)
    }
}

fn wrong(path: &Path, found: String, expected: &str) -> Error {
    Error::Model { path: path.to_path_buf(), found, expected: expected.to_owned() }
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
            let origin =
                Origin { config: "epochs = 1".into(), dataset: "digits".into(), dataset_sha256: "00".repeat(32) };
            save(&network(use_bias), &origin, file.path()).unwrap();
            let (loaded, from) = load(file.path()).unwrap();
            assert_eq!((&loaded, from), (&network(use_bias), origin));
            assert_eq!(weights_sha256(&loaded), weights_sha256(&network(use_bias)));
        }
    }

    #[test]
    fn a_read_out_is_saved_and_must_fit() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut with = network(true);
        with.readout = Some(Parameters { k: 2, u: 5, kernel: (0..10).map(|i| i as f32).collect(), bias: vec![1.0; 5] });
        save(&with, &Origin::default(), file.path()).unwrap();
        assert_eq!(load(file.path()).unwrap().0, with);
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
        assert!(message_with(&network(true), "rows", "-3").contains("rows: -3"));
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

        save(&network(true), &Origin::default(), &path).unwrap();
        let mut bytes = std::fs::read(&path).unwrap();
        let last = bytes.len() - 4;
        bytes[last..].copy_from_slice(&f32::INFINITY.to_le_bytes());
        std::fs::write(&path, bytes).unwrap();
        let message = load(&path).unwrap_err().to_string();
        assert!(message.contains("with the value inf"), "{message}");
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
