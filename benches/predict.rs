//! Prediction: ten labels tried on each of 1,000 images.

mod common;

use criterion::{Criterion, criterion_group, criterion_main};

fn predict(criterion: &mut Criterion) {
    common::bench_group(criterion, "predict");
}

criterion_group!(benches, predict);
criterion_main!(benches);
