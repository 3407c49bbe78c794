//! One product of dense matrices, `C = A B`, by each of the three libraries on all threads of rayon's pool.
//!
//! A is m x k, B k x n, C m x n. In operation `NN` all are row-major; in `TN` A is stored transposed, k x m.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use ffwd::gemm::{Matrix, MatrixMut, Workspace, sgemm};
use ffwd::isa::Isa;
use gemm::Parallelism;
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};
use rayon::prelude::*;

/// Operands in memory.
pub struct Product {
    m: usize,
    k: usize,
    n: usize,
    /// Distances in A between neighbours of a column and of a row.
    strides: (usize, usize),
    a: Vec<f32>,
    b: Vec<f32>,
    c: Vec<f32>,
}

impl Product {
    /// Operands, uniform in +-1, of `OPERATION M K N`.
    pub fn parse(words: &str) -> Result<Self> {
        let words: Vec<_> = words.split_whitespace().collect();
        let [operation, sizes @ ..] = words.as_slice() else { bail!("expected OPERATION M K N") };
        let sizes: Vec<usize> = sizes.iter().map(|size| size.parse()).collect::<Result<_, _>>().context("M K N")?;
        let &[m, k, n] = sizes.as_slice() else { bail!("expected OPERATION M K N") };
        if m == 0 || k == 0 || n == 0 {
            bail!("found {m} x {k} x {n}, expected sizes above zero");
        }
        let strides = match *operation {
            "NN" => (k, 1),
            "TN" => (1, m),
            other => bail!("found operation {other:?}, expected NN or TN"),
        };
        let rng = &mut Xoshiro256PlusPlus::seed_from_u64(1);
        let mut random = |length| (0..length).map(|_| rng.random_range(-1.0..1.0)).collect();
        Ok(Self { m, k, n, strides, a: random(m * k), b: random(k * n), c: vec![0.0; m * n] })
    }

    /// How far three elements of C are from the exact sums, as a share of the sums of the terms' magnitudes. The
    /// largest of the three.
    pub fn deviation(&self) -> f64 {
        let Self { m, k, n, strides: (row_stride, column_stride), .. } = *self;
        let at = |i: usize, j: usize| {
            let term = |p| f64::from(self.a[i * row_stride + p * column_stride]) * f64::from(self.b[p * n + j]);
            let exact: f64 = (0..k).map(term).sum();
            let magnitude: f64 = (0..k).map(|p| term(p).abs()).sum();
            (f64::from(self.c[i * n + j]) - exact).abs() / magnitude
        };
        [(0, 0), (m / 2, n / 3), (m - 1, n - 1)].into_iter().map(|(i, j)| at(i, j)).fold(0.0, f64::max)
    }
}

/// Who multiplies.
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
}

impl Library {
    /// The library called `name`.
    pub fn named(name: &str) -> Result<Self> {
        Ok(match name {
            "ffwd" => Self::Ffwd { isa: Isa::from_environment()?, workspace: Workspace::new() },
            "matrixmultiply" => Self::Matrixmultiply,
            "gemm" => Self::Gemm,
            _ => bail!("found library {name:?}, expected ffwd, matrixmultiply or gemm"),
        })
    }

    /// Multiplies once; the time it takes.
    pub fn multiply(&mut self, product: &mut Product) -> Duration {
        let start = Instant::now();
        match self {
            Self::Ffwd { isa, workspace } => ffwd(*isa, workspace, product),
            Self::Matrixmultiply => matrixmultiply(product),
            Self::Gemm => gemm_crate(product),
        }
        start.elapsed()
    }
}

fn ffwd(isa: Isa, workspace: &mut Workspace, product: &mut Product) {
    let Product { m, k, n, strides: (row_stride, column_stride), a, b, c } = product;
    let a = Matrix::strided(a, *m, *k, *row_stride, *column_stride);
    sgemm(isa, 1.0, a, Matrix::new(b, *k, *n), 0.0, MatrixMut::new(c, *m, *n), workspace);
}

fn matrixmultiply(product: &mut Product) {
    let &mut Product { m, k, n, strides: (row_stride, column_stride), ref a, ref b, ref mut c } = product;
    let rows = m.div_ceil(rayon::current_num_threads() * 2);
    c.par_chunks_mut(rows * n).enumerate().for_each(|(block, c)| {
        let a = (&a[block * rows * row_stride..], row_stride, column_stride);
        ffwd::internals::product(c.len() / n, k, n, a, b, c);
    });
}

fn gemm_crate(product: &mut Product) {
    let &mut Product { m, k, n, strides: (row_stride, column_stride), ref a, ref b, ref mut c } = product;
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
                Library::named(name).unwrap().multiply(&mut product);
                assert!(product.deviation() < 1e-6, "{name} {words}");
            }
        }
    }

    #[test]
    fn words_that_are_no_product_are_errors() {
        for words in ["", "NN", "NN 1 2", "NN 1 2 3 4", "NT 1 2 3", "NN 1 0 3", "NN 1 x 3"] {
            assert!(Product::parse(words).is_err(), "{words:?}");
        }
    }
}
