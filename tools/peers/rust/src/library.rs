//! Who multiplies: the libraries in Rust on all threads of rayon's pool, the others on threads of their own.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use ffwd::gemm::{Matrix, MatrixMut, Workspace, sgemm};
use ffwd::isa::Isa;
use gemm::Parallelism;
use rayon::prelude::*;

use crate::cblas::Cblas;
use crate::product::Product;

/// What a sample takes at least: of small products it is the mean of many runs.
const SAMPLE: Duration = Duration::from_millis(30);

/// A library that is ready to multiply.
pub enum Library {
    /// `ffwd::gemm` on the instruction set that `FFWD_ISA` asks for.
    Ffwd {
        /// The instruction set.
        isa: Isa,
        /// Packed operands.
        workspace: Workspace,
    },
    /// `matrixmultiply`, rows of C shared out to the threads.
    Matrixmultiply,
    /// `gemm`.
    Gemm,
    /// A BLAS in a shared library.
    Cblas(Cblas),
}

impl Library {
    /// The library that the arguments of the program name.
    pub fn named(arguments: &[&str]) -> Result<Self> {
        Ok(match *arguments {
            ["ffwd"] => Self::Ffwd { isa: Isa::from_environment()?, workspace: Workspace::new() },
            ["matrixmultiply"] => Self::Matrixmultiply,
            ["gemm"] => Self::Gemm,
            ["cblas", path, symbol, _version, _detail] => Self::Cblas(Cblas::open(path, symbol)?),
            _ => bail!("found {arguments:?}, expected ffwd, matrixmultiply, gemm or cblas PATH SYMBOL VERSION DETAIL"),
        })
    }

    /// Multiplies so many times; the time of all.
    pub fn multiply(&mut self, product: &mut Product, runs: u32) -> Duration {
        let start = Instant::now();
        for _ in 0..runs {
            match self {
                Self::Ffwd { isa, workspace } => ffwd(*isa, workspace, product),
                Self::Matrixmultiply => matrixmultiply(product),
                Self::Gemm => gemm_crate(product),
                Self::Cblas(library) => library.multiply(product),
            }
        }
        start.elapsed()
    }

    /// The power of two of runs that fills a sample.
    pub fn runs_of_a_sample(&mut self, product: &mut Product) -> u32 {
        runs_of_a_sample(|runs| self.multiply(product, runs))
    }
}

/// The power of two of runs that fills a sample twice: the first time may have been a pause.
fn runs_of_a_sample(mut time: impl FnMut(u32) -> Duration) -> u32 {
    let mut runs = 1;
    while time(runs) < SAMPLE || time(runs) < SAMPLE {
        runs *= 2;
    }
    runs
}

fn ffwd(isa: Isa, workspace: &mut Workspace, product: &mut Product) {
    let (row_stride, column_stride) = product.strides();
    let Product { m, k, n, a, b, c, .. } = product;
    let a = Matrix::strided(a, *m, *k, row_stride, column_stride);
    sgemm(isa, 1.0, a, Matrix::new(b, *k, *n), 0.0, MatrixMut::new(c, *m, *n), workspace);
}

fn matrixmultiply(product: &mut Product) {
    let (row_stride, column_stride) = product.strides();
    let &mut Product { m, k, n, ref a, ref b, ref mut c, .. } = product;
    let rows = m.div_ceil(rayon::current_num_threads() * 2);
    c.par_chunks_mut(rows * n).enumerate().for_each(|(block, c)| {
        let a = (&a[block * rows * row_stride..], row_stride, column_stride);
        ffwd::internals::product(c.len() / n, k, n, a, b, c);
    });
}

fn gemm_crate(product: &mut Product) {
    let (row_stride, column_stride) = product.strides();
    let &mut Product { m, k, n, ref a, ref b, ref mut c, .. } = product;
    // SAFETY: a Product is made with m * k, k * n and m * n floats, which is as far as these sizes and strides reach; C
    // is borrowed mutably and overlaps neither A nor B.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            c.as_mut_ptr(),
            1,
            n as isize,
            false,
            a.as_ptr(),
            column_stride as isize,
            row_stride as isize,
            b.as_ptr(),
            1,
            n as isize,
            0.0,
            1.0,
            false,
            false,
            false,
            Parallelism::Rayon(0),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_library_multiplies_both_operations() {
        for name in ["ffwd", "matrixmultiply", "gemm"] {
            for words in ["NN 37 65 29", "TN 37 65 29", "NN 1 1 1"] {
                let mut product = Product::parse(words).unwrap();
                assert!(product.deviation() > 1e-3, "before it is computed");
                Library::named(&[name]).unwrap().multiply(&mut product, 1);
                assert!(product.deviation() < 1e-6, "{name} {words}");
            }
        }
    }

    #[test]
    fn small_products_are_repeated_until_they_fill_a_sample() {
        let took = |runs: u32| Duration::from_micros(100) * runs;
        assert_eq!(runs_of_a_sample(took), 512);
        let mut pauses = [Duration::from_millis(50), Duration::ZERO, Duration::from_millis(31)].into_iter();
        assert_eq!(runs_of_a_sample(|runs| pauses.next().unwrap_or(took(runs))), 512);
        assert_eq!(runs_of_a_sample(|_| SAMPLE), 1);
    }
}
