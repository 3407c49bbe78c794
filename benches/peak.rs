//! The peaks that the kernels work against: fused multiply-adds and tile products on registers only, on one and on all
//! threads.
//!
//! A multiply-add counts as two operations, so that `Gelem/s` reads as GFLOP/s. The loops are those of the report of
//! `fast-train bench`.

mod common;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ffwd::bench::report::peaks::{TILE_ROUNDS, multiply_adds, operations};

fn peak(criterion: &mut Criterion) {
    let threads = rayon::current_num_threads();
    let targets = common::targets();
    let mut group = common::group(criterion, "peak");
    for isa in targets.isas {
        group.throughput(Throughput::Elements(operations(isa)));
        group.bench_function(format!("{isa}/1 thread"), |bencher| bencher.iter(|| multiply_adds(isa)));
        group.throughput(Throughput::Elements(operations(isa) * threads as u64));
        group.bench_function(format!("{isa}/{threads} threads"), |bencher| {
            bencher.iter(|| rayon::broadcast(|_| multiply_adds(isa)));
        });
    }
    for unit in targets.tiles {
        let (name, operations) = (unit.name(), unit.multiply_registers(1) * TILE_ROUNDS as u64);
        group.throughput(Throughput::Elements(operations));
        group.bench_function(format!("{name}/1 thread"), |bencher| {
            bencher.iter(|| unit.multiply_registers(TILE_ROUNDS));
        });
        group.throughput(Throughput::Elements(operations * threads as u64));
        group.bench_function(format!("{name}/{threads} threads"), |bencher| {
            bencher.iter(|| rayon::broadcast(|_| unit.multiply_registers(TILE_ROUNDS)));
        });
    }
}

criterion_group!(benches, peak);
criterion_main!(benches);
