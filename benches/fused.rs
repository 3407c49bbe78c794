//! The fused backend: the stages of dense strips, one step of each layer beside the reference backend, and steps at the
//! weights of trained networks with all strips dense and with all of them sparse (`-- 'on after'`).

mod common;

use criterion::{Criterion, criterion_group, criterion_main};
use ffwd::bench::workloads;

fn stages(criterion: &mut Criterion) {
    common::bench_group(criterion, "fused");
}

fn steps(criterion: &mut Criterion) {
    common::bench_group(criterion, "step");
}

fn trained(criterion: &mut Criterion) {
    common::bench(criterion, "step", workloads::trained(&common::targets()));
}

criterion_group!(benches, stages, steps, trained);
criterion_main!(benches);
