//! Products of dense matrices, C = alpha A B + beta C in f32, with `ffwd::gemm` alone.
//!
//! `cargo run --release --example sgemm`
//!
//! A matrix is a view of a slice: as it lies there, transposed, or with strides. One element of each product is checked
//! against its sum in f64. Products run on the threads of the rayon pool that they are called in.

use std::time::Instant;

use ffwd::gemm::{Matrix, MatrixMut, Workspace, sgemm};
use ffwd::isa::Isa;
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};

/// A is M x K, B is K x N and C is M x N.
const M: usize = 1_200;
const K: usize = 800;
const N: usize = 1_000;
/// The row and the column of the element that is checked.
const I: usize = 123;
const J: usize = 321;
/// Products of which the fastest is told.
const REPEATS: usize = 20;

fn main() -> ffwd::Result<()> {
    let isa = Isa::from_environment()?;
    let rng = &mut Xoshiro256PlusPlus::seed_from_u64(1);
    let (a, b, mut c) = (floats(M * K, rng), floats(K * N, rng), floats(M * N, rng));
    let (whole_a, whole_b) = (Matrix::new(&a, M, K), Matrix::new(&b, K, N));
    // Its memory grows to what the largest product needs, and serves all later ones.
    let workspace = &mut Workspace::new();
    println!("products of {M} x {K} x {N} on {isa}");

    let before = f64::from(c[I * N + J]);
    sgemm(isa, 0.5, whole_a, whole_b, 2.0, MatrixMut::new(&mut c, M, N), workspace);
    let expected = 0.5 * dot(&a[I * K..][..K], b[J..].iter().step_by(N)) + 2.0 * before;
    check("C = 0.5 A B + 2 C", c[I * N + J], expected);

    // The same floats as K x M, and the transpose of that. Where beta is 0, C is not read.
    let transposed = Matrix::new(&a, K, M).transposed();
    sgemm(isa, 1.0, transposed, whole_b, 0.0, MatrixMut::new(&mut c, M, N), workspace);
    check("C = A^T B", c[I * N + J], dot(a[I..].iter().step_by(M), b[J..].iter().step_by(N)));

    // Every second row of A, the right half of B, and the upper right quarter of C; the rest of C stays as it is.
    let second_rows = Matrix::strided(&a, M / 2, K, 2 * K, 1);
    let right_half = whole_b.block(0..K, N / 2..N);
    let quarter = MatrixMut::strided(&mut c[N / 2..], M / 2, N / 2, N);
    sgemm(isa, 1.0, second_rows, right_half, 0.0, quarter, workspace);
    let expected = dot(&a[2 * I * K..][..K], b[N / 2 + J..].iter().step_by(N));
    check("a quarter of C, with strides", c[I * N + N / 2 + J], expected);

    for threads in [1, rayon::current_num_threads()] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("the threads start");
        let gflops = pool.install(|| rate(isa, (whole_a, whole_b), &mut c, workspace));
        println!("threads: {threads}, GFLOP/s: {gflops:.0}, floats of workspace: {}", workspace.capacity());
    }
    Ok(())
}

/// So many random floats.
fn floats(count: usize, rng: &mut Xoshiro256PlusPlus) -> Vec<f32> {
    (0..count).map(|_| rng.random_range(-1.0..1.0_f32)).collect()
}

/// The product of a row and a column, in f64.
fn dot<'a>(row: impl IntoIterator<Item = &'a f32>, column: impl IntoIterator<Item = &'a f32>) -> f64 {
    row.into_iter().zip(column).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
}

/// Prints an element beside its value in f64, which it has to have but for rounding.
fn check(what: &str, found: f32, expected: f64) {
    println!("{what}: element ({I}, {J}) is {found:.5}, in f64 {expected:.5}");
    assert!((f64::from(found) - expected).abs() < 1e-3, "{what}: {found} is not {expected}");
}

/// The GFLOP/s of the fastest of some products.
fn rate(isa: Isa, (a, b): (Matrix<'_>, Matrix<'_>), c: &mut [f32], workspace: &mut Workspace) -> f64 {
    let (m, k, n) = (a.rows(), a.columns(), b.columns());
    let seconds = (0..REPEATS).map(|_| {
        let start = Instant::now();
        sgemm(isa, 1.0, a, b, 0.0, MatrixMut::new(c, m, n), workspace);
        start.elapsed().as_secs_f64()
    });
    2e-9 * (m * k * n) as f64 / seconds.fold(f64::INFINITY, f64::min)
}
