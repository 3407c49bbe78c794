//! One in-place Adam step on 784 x 500 weights, by instruction set.

mod common;

use criterion::{Criterion, criterion_group, criterion_main};

fn adam(criterion: &mut Criterion) {
    common::bench_group(criterion, "adam");
}

criterion_group!(benches, adam);
criterion_main!(benches);
