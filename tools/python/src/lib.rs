//! The native half of the Python package `ffwd`: the engine behind `ForwardForwardClassifier`, products of matrices,
//! and data sets as NumPy arrays.
//!
//! Everything that Python can say better than Rust is in `python/ffwd` beside this directory. What is here takes arrays
//! in place, lets go of the interpreter's lock while it computes, and turns errors into Python's.

mod arrays;
mod data;
mod engine;
mod errors;
mod matrices;
mod pool;
mod watched;

use pyo3::prelude::*;

/// The native half of `ffwd`; nothing in it is promised.
#[pymodule]
mod _ffwd {
    #[pymodule_export]
    use super::data::{load_data, load_idx};
    #[pymodule_export]
    use super::engine::{Engine, check};
    #[pymodule_export]
    use super::matrices::gemm;

    use super::*;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
