//! Named tensors of f32 and a table of texts in one file: safetensors.
//!
//! The metadata of the file hold, beside the texts, the SHA-256 of all of them and of all tensors, so that any bit of
//! the file that is not as it was written is noticed when the file is read.

use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::path::Path;

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use sha2::{Digest, Sha256};

use super::distinct_keys::DistinctKeys;
use crate::error::{Error, Result};
use crate::files::write_atomically;
use crate::hex::hex;
use crate::text::shortened;

/// The key of the sum in the metadata.
const SUM: &str = "sha256";

/// The texts of a file, by their keys.
pub type Metadata = BTreeMap<String, String>;

/// A tensor to be written.
pub struct Tensor<'a> {
    pub name: String,
    pub shape: Vec<usize>,
    pub values: &'a [f32],
}

/// A tensor to be written or read, in its place.
pub struct TensorMut<'a> {
    pub name: String,
    pub shape: Vec<usize>,
    pub values: &'a mut Vec<f32>,
}

impl<'a> From<TensorMut<'a>> for Tensor<'a> {
    fn from(TensorMut { name, shape, values }: TensorMut<'a>) -> Self {
        Self { name, shape, values }
    }
}

/// Writes the tensors and the metadata to `path`, which appears whole or not at all.
///
/// # Errors
///
/// [`Error::Model`] when a value is no finite number, [`Error::Io`] when the file cannot be written.
pub fn write<'a>(
    path: &Path,
    mut metadata: Metadata,
    tensors: impl IntoIterator<Item = impl Into<Tensor<'a>>>,
) -> Result<()> {
    let tensors: Vec<Tensor<'a>> = tensors.into_iter().map(Into::into).collect();
    tensors.iter().try_for_each(|tensor| finite(path, &tensor.name, tensor.values))?;
    let bytes: Vec<Vec<u8>> = tensors.iter().map(|tensor| bytes_of(tensor.values)).collect();
    let views = || {
        tensors.iter().zip(&bytes).map(|(Tensor { name, shape, .. }, bytes)| {
            let view = TensorView::new(Dtype::F32, shape.clone(), bytes).expect("four bytes for each element");
            (name.clone(), view)
        })
    };
    metadata.insert(SUM.to_owned(), sum(&metadata, views()));
    let metadata: HashMap<String, String> = metadata.into_iter().collect();
    let content = safetensors::serialize(views(), Some(metadata)).expect("the names differ");
    write_atomically(path, |file| file.write_all(&content).map_err(Error::io(path, "write")))
}

/// The floats in little-endian order.
pub fn bytes_of(floats: &[f32]) -> Vec<u8> {
    floats.iter().flat_map(|float| float.to_le_bytes()).collect()
}

/// The SHA-256 (in hexadecimal) of all texts but the sum itself and of all tensors, both by their names.
fn sum<'a>(metadata: &Metadata, tensors: impl Iterator<Item = (String, TensorView<'a>)>) -> String {
    let mut hash = Sha256::new();
    // A length before each text: no two tables are hashed as the same bytes.
    let mut text = |text: &str| {
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(text);
    };
    for (key, value) in metadata.iter().filter(|(key, _)| *key != SUM) {
        text(key);
        text(value);
    }
    let tensors: BTreeMap<String, TensorView<'a>> = tensors.collect();
    for (name, tensor) in tensors {
        hash.update((name.len() as u64).to_le_bytes());
        hash.update(&name);
        tensor.shape().iter().for_each(|&size| hash.update((size as u64).to_le_bytes()));
        hash.update(tensor.data());
    }
    hex(&hash.finalize())
}

/// The file in `bytes` with the sum of what it holds; `None` where it is no safetensors file.
#[cfg(feature = "internals")]
pub fn with_right_sum(bytes: &[u8]) -> Option<Vec<u8>> {
    let (_, header) = SafeTensors::read_metadata(bytes).ok()?;
    let tensors = SafeTensors::deserialize(bytes).ok()?;
    let views = || tensors.iter().map(|(name, tensor)| (name.to_owned(), tensor));
    let mut metadata: Metadata = header.metadata().clone().unwrap_or_default().into_iter().collect();
    metadata.insert(SUM.to_owned(), sum(&metadata, views()));
    safetensors::serialize(views(), Some(metadata.into_iter().collect())).ok()
}

/// A file being read, with its path for the messages.
pub struct TensorFile<'a> {
    path: &'a Path,
    metadata: Metadata,
    tensors: SafeTensors<'a>,
    is_checked: bool,
}

impl<'a> TensorFile<'a> {
    /// The file at `path`, whose content is `bytes`; `what` it should be.
    ///
    /// # Errors
    ///
    /// [`Error::Model`] when it is no safetensors file, or its sum is not that of its content.
    pub fn new(path: &'a Path, bytes: &'a [u8], what: &str) -> Result<Self> {
        let no_safetensors = |error| Error::model(path, &format!("no safetensors file ({error})"), what);
        let (length, header) = SafeTensors::read_metadata(bytes).map_err(no_safetensors)?;
        let tensors = SafeTensors::deserialize(bytes).map_err(no_safetensors)?;
        // The length of the header stands in front of it.
        serde_json::from_slice::<DistinctKeys>(&bytes[size_of::<u64>()..][..length])
            .map_err(|error| Error::model(path, &format!("a header with {error}"), what))?;
        let metadata: Metadata = header.metadata().clone().unwrap_or_default().into_iter().collect();
        let is_checked = metadata.contains_key(SUM);
        if let Some(expected) = metadata.get(SUM) {
            let found = sum(&metadata, tensors.iter().map(|(name, tensor)| (name.to_owned(), tensor)));
            if found != *expected {
                let found = format!("content of SHA-256 {found}");
                let expected = shortened(expected, 64);
                return Err(Error::model(path, &found, &format!("{expected}, as it was written: the file is damaged")));
            }
        }
        Ok(Self { path, metadata, tensors, is_checked })
    }

    /// Whether the file has a sum, which is then right.
    pub fn is_checked(&self) -> bool {
        self.is_checked
    }

    /// Checks the form that the file says it has.
    ///
    /// # Errors
    ///
    /// [`Error::Model`] when it is another one.
    pub fn expect_format(&self, expected: &str) -> Result<()> {
        match self.text("format") {
            found if found == expected => Ok(()),
            "" => Err(self.wrong("no format".into(), expected)),
            found => Err(self.wrong(format!("format {found}"), expected)),
        }
    }

    /// The text of that key; empty where there is none.
    pub fn text(&self, key: &str) -> &str {
        self.metadata.get(key).map_or("", String::as_str)
    }

    /// The value of that key.
    ///
    /// # Errors
    ///
    /// [`Error::Model`] when it is none that is `expected`.
    pub fn value<T: std::str::FromStr>(&self, key: &str, expected: &str) -> Result<T> {
        self.text(key).parse().map_err(|_| self.wrong(format!("{key}: {:?}", self.text(key)), expected))
    }

    /// Number of tensors.
    pub fn tensors(&self) -> usize {
        self.tensors.len()
    }

    /// The shape of the tensor of that name, if there is one.
    pub fn shape(&self, name: &str) -> Option<Vec<usize>> {
        Some(self.tensors.tensor(name).ok()?.shape().to_vec())
    }

    /// The values of the tensor of that name and shape.
    ///
    /// # Errors
    ///
    /// [`Error::Model`] when it is not there, or not of finite f32 numbers, or of another shape.
    pub fn values(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let tensor = self.tensors.tensor(name).map_err(|_| self.wrong(format!("no {name}"), &format!("{shape:?}")))?;
        if tensor.shape() != shape {
            return Err(self.wrong(format!("{name} of shape {:?}", tensor.shape()), &format!("{shape:?}")));
        }
        if tensor.dtype() != Dtype::F32 {
            return Err(self.wrong(format!("{name} of type {:?}", tensor.dtype()), "F32"));
        }
        let (chunks, _) = tensor.data().as_chunks();
        let floats: Vec<f32> = chunks.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect();
        finite(self.path, name, &floats)?;
        Ok(floats)
    }

    /// An error of this file.
    pub fn wrong(&self, found: String, expected: &str) -> Error {
        Error::model(self.path, &found, expected)
    }
}

fn finite(path: &Path, name: &str, values: &[f32]) -> Result<()> {
    match values.iter().find(|value| !value.is_finite()) {
        Some(value) => Err(Error::model(path, &format!("{name} with the value {value}"), "finite numbers")),
        None => Ok(()),
    }
}
