//! A BLAS in a shared library, called through its C interface.

use std::ffi::c_int;

use anyhow::{Context, Result};
use libloading::Library;

use crate::product::Product;

const ROW_MAJOR: c_int = 101;
const NO_TRANSPOSE: c_int = 111;
const TRANSPOSE: c_int = 112;

/// `cblas_sgemm`: order, transpositions of A and B, m, n, k, alpha, A, its leading dimension, B, its, beta, C, its.
type Sgemm = unsafe extern "C" fn(
    c_int,
    c_int,
    c_int,
    c_int,
    c_int,
    c_int,
    f32,
    *const f32,
    c_int,
    *const f32,
    c_int,
    f32,
    *mut f32,
    c_int,
);

/// An open library.
pub struct Cblas {
    sgemm: Sgemm,
}

impl Cblas {
    /// The BLAS at `path`, whose `cblas_sgemm` is called `symbol` there. It stays open as long as the process lives.
    pub fn open(path: &str, symbol: &str) -> Result<Self> {
        // SAFETY: the driver names a BLAS that is installed; what its initialisers do they may do at any time.
        let library = unsafe { Library::new(path) }.with_context(|| path.to_owned())?;
        // Its threads may still run when all that is here has been dropped.
        let library: &'static Library = Box::leak(Box::new(library));
        // SAFETY: whatever CBLAS it is, its sgemm has this type; the driver chooses libraries whose ints are C's.
        let sgemm = unsafe { library.get::<Sgemm>(symbol) }.with_context(|| format!("{path}: {symbol}"))?;
        Ok(Self { sgemm: *sgemm })
    }

    pub fn multiply(&self, product: &mut Product) {
        let &mut Product { m, k, n, is_transposed, ref a, ref b, ref mut c } = product;
        let transpose = if is_transposed { TRANSPOSE } else { NO_TRANSPOSE };
        let [rows, depth, columns] = [m, k, n].map(|size| c_int::try_from(size).expect("sizes of a product are small"));
        let lda = if is_transposed { rows } else { depth };
        // SAFETY: a Product is made with m * k, k * n and m * n floats, which is as far as these sizes and leading
        // dimensions reach; C is borrowed mutably and overlaps neither A nor B.
        unsafe {
            (self.sgemm)(
                ROW_MAJOR,
                transpose,
                NO_TRANSPOSE,
                rows,
                columns,
                depth,
                1.0,
                a.as_ptr(),
                lda,
                b.as_ptr(),
                columns,
                0.0,
                c.as_mut_ptr(),
                columns,
            );
        }
    }
}
