//! What is around the steps: packing of operands, labels overlaid on images and IDX files, and prediction.

mod common;

use criterion::{Criterion, criterion_group, criterion_main};

fn packing(criterion: &mut Criterion) {
    common::bench_group(criterion, "packing");
}

fn data(criterion: &mut Criterion) {
    common::bench_group(criterion, "data");
}

fn predict(criterion: &mut Criterion) {
    common::bench_group(criterion, "predict");
}

criterion_group!(benches, packing, data, predict);
criterion_main!(benches);
