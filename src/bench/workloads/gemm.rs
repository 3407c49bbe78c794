//! Products of dense matrices, m x k x n: forward products and gradients of both layers and a square, beside
//! `matrixmultiply`.

use std::hint::black_box;

use rayon::prelude::*;

use super::{FLOAT, LIBRARY, PIXELS, PreparedKernel, Size, UNITS, Work, Workload, count, random, shape};
use crate::gemm::{Matrix, MatrixMut, Workspace, sgemm};
use crate::isa::Isa;
use crate::reference;

/// The samples of MNIST.
const SAMPLES: usize = 60_000;
/// Side of the square.
const SIDE: usize = 2_048;

/// A product of random operands; in TN A is stored transposed, as in a gradient.
#[derive(Clone, Copy)]
struct Product {
    name: &'static str,
    m: usize,
    k: usize,
    n: usize,
    a_transposed: bool,
}

pub(super) fn workloads(isas: &[Isa], size: Size) -> Vec<Workload> {
    products(size).into_iter().flat_map(|product| product.workloads(isas)).collect()
}

/// In layer 2 there are two rows for each sample.
fn products(size: Size) -> [Product; 5] {
    let (images, rows) = (size.rows(SAMPLES), size.rows(2 * SAMPLES));
    let side = if size == Size::Full { SIDE } else { SIDE / 2 };
    let nn = |m, k| Product { name: "NN", m, k, n: UNITS, a_transposed: false };
    let tn = |m, k| Product { name: "TN", m, k, n: UNITS, a_transposed: true };
    [
        nn(images, PIXELS),
        nn(rows, UNITS),
        tn(PIXELS, images),
        tn(UNITS, rows),
        Product { name: "square", m: side, k: side, n: side, a_transposed: false },
    ]
}

impl Product {
    fn workloads(self, isas: &[Isa]) -> Vec<Workload> {
        let Self { name, m, k, n, .. } = self;
        let work = |op| Work {
            op,
            shape: shape(&[m, k, n]),
            flops: count(&[2, m, k, n]),
            bytes: FLOAT * (count(&[m, k]) + count(&[k, n]) + count(&[m, n])),
        };
        let ours = work(format!("gemm/{name}"));
        let mut list: Vec<Workload> = isas.iter().map(|&isa| ours.on(isa, move || self.on_sgemm(isa))).collect();
        list.push(work(format!("gemm/{name} matrixmultiply")).on(LIBRARY, move || self.on_matrixmultiply()));
        list
    }

    /// A, B and C.
    fn operands(self) -> (Vec<f32>, Vec<f32>, Vec<f32>) {
        let Self { m, k, n, .. } = self;
        (random(m * k, -1.0..1.0), random(k * n, -1.0..1.0), vec![0.0; m * n])
    }

    /// Distances between neighbours of a column and of a row of A.
    fn strides(self) -> (usize, usize) {
        if self.a_transposed { (1, self.m) } else { (self.k, 1) }
    }

    fn on_sgemm(self, isa: Isa) -> PreparedKernel {
        let Self { m, k, n, .. } = self;
        let (row_stride, column_stride) = self.strides();
        let (a, b, mut c) = self.operands();
        let mut workspace = Workspace::new();
        Box::new(move || {
            let a = Matrix::strided(&a, m, k, row_stride, column_stride);
            sgemm(isa, 1.0, a, Matrix::new(&b, k, n), 0.0, MatrixMut::new(&mut c, m, n), &mut workspace);
            black_box(&c);
        })
    }

    /// Rows of C are shared out to rayon's threads.
    fn on_matrixmultiply(self) -> PreparedKernel {
        let Self { m, k, n, .. } = self;
        let (row_stride, column_stride) = self.strides();
        let (a, b, mut c) = self.operands();
        Box::new(move || {
            let rows = m.div_ceil(rayon::current_num_threads() * 2);
            c.par_chunks_mut(rows * n).enumerate().for_each(|(block, c)| {
                let a = (&a[block * rows * row_stride..], row_stride, column_stride);
                reference::product(c.len() / n, k, n, a, &b, c);
            });
            black_box(&c);
        })
    }
}
