//! NumPy arrays as the engine reads them, in place.

use ffwd::network::Network;
use ffwd::pixels::{Floats, Pixels};
use numpy::{PyReadonlyArray2, PyUntypedArrayMethods};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

/// Samples, one in each row: images of bytes, or floats.
#[derive(FromPyObject)]
pub enum Samples<'py> {
    /// n x k, uint8.
    Bytes(PyReadonlyArray2<'py, u8>),
    /// n x features, float32.
    Floats(PyReadonlyArray2<'py, f32>),
}

impl Samples<'_> {
    /// The samples for a network, without a copy.
    ///
    /// # Errors
    ///
    /// `ValueError` where the rows are not what the network reads, there are 2^32 of them or more, or the array is not
    /// C-contiguous.
    pub fn pixels(&self, network: &Network) -> PyResult<Pixels<'_>> {
        let (shape, is_in_order) = match self {
            Self::Bytes(array) => (array.shape(), array.is_c_contiguous()),
            Self::Floats(array) => (array.shape(), array.is_c_contiguous()),
        };
        let require = |holds: bool, found: String, expected: String| match holds {
            true => Ok(()),
            false => Err(PyValueError::new_err(format!("X: found {found}, expected {expected}"))),
        };
        let expected = if network.unit.is_some() { "float32" } else { "uint8" };
        let found = if matches!(self, Self::Bytes(_)) { "uint8" } else { "float32" };
        require(found == expected, found.into(), format!("{expected}, as the network was made for"))?;
        let columns = network.pixels() - if network.unit.is_some() { network.classes } else { 0 };
        require(shape[1] == columns, format!("rows of {}", shape[1]), columns.to_string())?;
        require(u32::try_from(shape[0]).is_ok(), format!("{} rows", shape[0]), "fewer than 2^32".into())?;
        require(is_in_order, "an array with gaps or in Fortran's order".into(), "a C-contiguous one".into())?;
        Ok(match (self, network.unit) {
            (Self::Floats(array), Some(unit)) => {
                Pixels::Floats(Floats { values: array.as_slice()?, of_sample: columns, unit })
            }
            (Self::Bytes(array), None) => Pixels::Whole(array.as_slice()?),
            _ => unreachable!("the type was compared above"),
        })
    }
}
