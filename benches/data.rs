//! Labels overlaid on images, and an IDX file read through its memory map.

mod common;

use criterion::{Criterion, criterion_group, criterion_main};

fn data(criterion: &mut Criterion) {
    common::bench_group(criterion, "data");
}

criterion_group!(benches, data);
criterion_main!(benches);
