//! Packing of operands: into the panels of the fused backend, and into those of SGEMM.

mod common;

use criterion::{Criterion, criterion_group, criterion_main};

fn packing(criterion: &mut Criterion) {
    common::bench_group(criterion, "packing");
}

criterion_group!(benches, packing);
criterion_main!(benches);
