//! IDX files and data sets as arrays.

use std::path::PathBuf;

use ffwd::Error;
use ffwd::data::{Dataset, IdxImages, IdxLabels, Places, Reading};
use ffwd::error::IdxProblem;
use numpy::{PyArray1, PyArrayMethods};
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::errors::exception;
use crate::pool::pool;

/// The images of an IDX file, uint8 of shape (n, rows, columns), or its labels, uint8 of shape (n,).
#[pyfunction]
pub fn load_idx<'py>(py: Python<'py>, path: PathBuf) -> PyResult<Bound<'py, PyAny>> {
    match py.detach(|| IdxImages::open(&path)) {
        Ok(opened) => images(py, &opened),
        // It has not the dimensions of images.
        Err(Error::Idx { problem: IdxProblem::Rank { .. }, .. }) => {
            let labels = py.detach(|| IdxLabels::open(&path)).map_err(exception)?;
            Ok(PyArray1::from_slice(py, labels.values()).into_any())
        }
        Err(error) => Err(exception(error)),
    }
}

/// The images and labels of the data set that the program finds by that name: training images, training labels, test
/// images, test labels.
#[pyfunction]
pub fn load_data<'py>(py: Python<'py>, name: &str, classes: usize) -> PyResult<Bound<'py, PyTuple>> {
    let open = || {
        let places = Places::from_environment();
        let located = places.locate(name)?;
        Dataset::open_with(&located.directory, &located.name, Reading::of(classes), &places.cache)
    };
    let pool = pool(0)?;
    let data = py.detach(|| pool.install(open)).map_err(exception)?;
    let labels = |labels: &IdxLabels| PyArray1::from_slice(py, labels.values());
    let arrays = (
        images(py, &data.train.images)?,
        labels(&data.train.labels),
        images(py, &data.test.images)?,
        labels(&data.test.labels),
    );
    arrays.into_pyobject(py)
}

/// Images as an array.
fn images<'py>(py: Python<'py>, images: &IdxImages) -> PyResult<Bound<'py, PyAny>> {
    let (count, rows, cols) = (images.count(), images.rows(), images.cols());
    let pixels = PyArray1::from_slice(py, &images.bytes_of(0..count));
    Ok(pixels.reshape([count, rows, cols])?.into_any())
}
