//! Products of matrices.

use ffwd::gemm::{Matrix, MatrixMut, Workspace, sgemm};
use ffwd::tier::Tier;
use numpy::{PyReadonlyArray2, PyReadwriteArray2, PyUntypedArrayMethods};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::errors::exception;
use crate::pool::pool;

/// `out = alpha a @ b + beta out` in float32, on so many threads, where `factors` are alpha and beta. `a` and `b` are
/// C- or F-contiguous, and `out` is C-contiguous.
#[pyfunction]
pub fn gemm(
    py: Python<'_>,
    a: PyReadonlyArray2<'_, f32>,
    b: PyReadonlyArray2<'_, f32>,
    mut out: PyReadwriteArray2<'_, f32>,
    factors: (f32, f32),
    threads: usize,
) -> PyResult<()> {
    let (alpha, beta) = factors;
    let isa = Tier::from_environment().map_err(exception)?.isa();
    if !out.is_c_contiguous() {
        return Err(PyValueError::new_err(
            "out: found an array with gaps or in Fortran's order, expected a C-contiguous one",
        ));
    }
    let (m, n) = (out.shape()[0], out.shape()[1]);
    let (of_a, of_b) = (matrix(&a)?, matrix(&b)?);
    if (of_a.rows(), of_b.columns()) != (m, n) || of_a.columns() != of_b.rows() {
        let message = format!(
            "gemm: found {} x {} times {} x {} into {m} x {n}, expected m x k times k x n into m x n",
            of_a.rows(),
            of_a.columns(),
            of_b.rows(),
            of_b.columns()
        );
        return Err(PyValueError::new_err(message));
    }
    let (pool, c) = (pool(threads)?, MatrixMut::new(out.as_slice_mut()?, m, n));
    py.detach(|| pool.install(|| sgemm(isa, alpha, of_a, of_b, beta, c, &mut Workspace::new())));
    Ok(())
}

/// The matrix that an array is.
fn matrix<'a>(array: &'a PyReadonlyArray2<'_, f32>) -> PyResult<Matrix<'a>> {
    let (rows, columns) = (array.shape()[0], array.shape()[1]);
    let floats = array.as_slice()?;
    // Also a contiguous array in Fortran's order is a slice, that of its transpose.
    Ok(if array.is_c_contiguous() {
        Matrix::new(floats, rows, columns)
    } else {
        Matrix::new(floats, columns, rows).transposed()
    })
}
