//! Errors of the library as exceptions of Python.

use ffwd::Error;
use pyo3::PyErr;
use pyo3::exceptions::{PyOSError, PyValueError};

/// The exception for an error: `OSError` where a file is not there or cannot be read, otherwise `ValueError`. Fields of
/// the configuration go by their Python names.
pub fn exception(error: Error) -> PyErr {
    match error {
        Error::Config { field, found, expected } => {
            PyValueError::new_err(format!("{}: found {found}, expected {expected}", python_name(&field)))
        }
        Error::Io { .. } | Error::NotFound { .. } => PyOSError::new_err(error.to_string()),
        other => PyValueError::new_err(other.to_string()),
    }
}

/// `--label-base or FFWD_LABEL_BASE` is `label_base`.
fn python_name(field: &str) -> String {
    match field.split_once(" or FFWD_") {
        Some((flag, _)) => flag.trim_start_matches("--").replace('-', "_"),
        None => field.trim_start_matches("--").to_owned(),
    }
}
