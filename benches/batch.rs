//! A pass over 60,000 digits in mini-batches of 500, which updates every layer of 784-1000-1000-1000 on each of them,
//! beside one step of each layer on all digits as one batch. Both count the same operations, so their rates compare.

mod common;

use criterion::{Criterion, criterion_group, criterion_main};
use ffwd::bench::workloads;

fn batch(criterion: &mut Criterion) {
    common::bench(criterion, "batch", workloads::batches(&common::targets().isas));
}

criterion_group!(benches, batch);
criterion_main!(benches);
