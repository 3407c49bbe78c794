//! Products of the reference problem's shapes (m x k x n) by instruction set, beside `matrixmultiply`.
//!
//! NN multiplies row-major operands; in TN A is stored transposed, as in a gradient. `cargo bench --bench peak`
//! measures the limit; the two are compared within one session only.

mod common;

use criterion::{Criterion, criterion_group, criterion_main};

fn gemm(criterion: &mut Criterion) {
    common::bench_group(criterion, "gemm");
}

criterion_group!(benches, gemm);
criterion_main!(benches);
