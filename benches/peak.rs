//! The peak that the kernels work against: fused multiply-adds on registers only, on one and on all threads.
//!
//! Each counts as two operations, so that `Gelem/s` reads as GFLOP/s. The loop is that of the report of
//! `fast-train bench`.

mod common;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ffwd::bench::report::peaks::{multiply_adds, operations};

fn peak(criterion: &mut Criterion) {
    let threads = rayon::current_num_threads();
    let mut group = common::group(criterion, "peak");
    for isa in common::isas() {
        group.throughput(Throughput::Elements(operations(isa)));
        group.bench_function(format!("{isa}/1 thread"), |bencher| bencher.iter(|| multiply_adds(isa)));
        group.throughput(Throughput::Elements(operations(isa) * threads as u64));
        group.bench_function(format!("{isa}/{threads} threads"), |bencher| {
            bencher.iter(|| rayon::broadcast(|_| multiply_adds(isa)));
        });
    }
}

criterion_group!(benches, peak);
criterion_main!(benches);
