//! Products of the reference problem's shapes (m x k x n) by instruction set, beside `matrixmultiply`.
//!
//! NN multiplies row-major operands; in TN A is stored transposed, as in a gradient. Two operations for each multiply-add, so
//! that `Gelem/s` reads as GFLOP/s. `cargo bench --bench peak` gives the limit; it belongs in the same session.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ffwd::gemm::{Matrix, MatrixMut, Workspace, sgemm};
use ffwd::isa::Isa;
use ffwd::reference::product;
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};
use rayon::prelude::*;

/// Forward products and gradients of both layers (two rows for each sample in the second), and a square.
const SHAPES: [(&str, usize, usize, usize); 5] = [
    ("NN", 60_000, 784, 500),
    ("NN", 120_000, 500, 500),
    ("TN", 784, 60_000, 500),
    ("TN", 500, 120_000, 500),
    ("NN", 2_048, 2_048, 2_048),
];

/// Uniform in +-1.
fn random(length: usize) -> Vec<f32> {
    let rng = &mut Xoshiro256PlusPlus::seed_from_u64(length as u64);
    (0..length).map(|_| rng.random_range(-1.0..1.0)).collect()
}

/// `c = a b` by `matrixmultiply`: rows of C are shared out to rayon's threads.
fn matrixmultiply((m, k, n): (usize, usize, usize), a: (&[f32], usize, usize), b: &[f32], c: &mut [f32]) {
    let (a, row_stride, column_stride) = a;
    let rows = m.div_ceil(rayon::current_num_threads() * 2);
    c.par_chunks_mut(rows * n).enumerate().for_each(|(block, c)| {
        product(c.len() / n, k, n, (&a[block * rows * row_stride..], row_stride, column_stride), b, c);
    });
}

fn gemm(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("gemm");
    group.sample_size(10).warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2));
    for (operation, m, k, n) in SHAPES {
        let (a, b, mut c) = (random(m * k), random(k * n), vec![0.0; m * n]);
        let (row_stride, column_stride) = if operation == "TN" { (1, m) } else { (k, 1) };
        let shape = format!("{operation} {m}x{k}x{n}");
        group.throughput(Throughput::Elements(2 * (m * k * n) as u64));
        for isa in Isa::available() {
            let workspace = &mut Workspace::new();
            group.bench_function(BenchmarkId::new(&shape, isa), |bencher| {
                bencher.iter(|| {
                    let a = Matrix::strided(black_box(&a), m, k, row_stride, column_stride);
                    let c = MatrixMut::new(&mut c, m, n);
                    sgemm(isa, 1.0, a, Matrix::new(&b, k, n), 0.0, c, workspace);
                });
            });
        }
        group.bench_function(BenchmarkId::new(&shape, "matrixmultiply"), |bencher| {
            bencher.iter(|| matrixmultiply((m, k, n), (black_box(&a), row_stride, column_stride), &b, &mut c));
        });
    }
}

criterion_group!(benches, gemm);
criterion_main!(benches);
