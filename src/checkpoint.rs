//! Networks and training states in files: safetensors in and out, and the sum that tells whether a file is as it was
//! written.
//!
//! `model.rs` is a network that predicts; the state of a run that goes on (`crate::train::stored`) is kept in the same
//! form (`file.rs`), whose header may hold nothing twice (`distinct_keys.rs`).

mod distinct_keys;
mod file;
mod model;

#[cfg(feature = "internals")]
pub use file::with_right_sum;
pub(crate) use file::{TensorFile, TensorMut, write};
pub use model::{Model, Origin, load, save, weights_sha256};
pub(crate) use model::{metadata_of_unit, names, unit_of};
