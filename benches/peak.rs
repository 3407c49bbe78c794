//! The peaks that the kernels work against: fused multiply-adds and tile products on registers only, on one and on all
//! threads.
//!
//! A multiply-add counts as two operations, so that `Gelem/s` reads as GFLOP/s. The loops are those of the report of
//! `fast-train bench`.

mod common;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ffwd::bench::loops::{multiply_adds, operations};
use ffwd::bench::report::peaks::TILE_ROUNDS;

fn peak(criterion: &mut Criterion) {
    let threads = rayon::current_num_threads();
    let targets = common::targets();
    let mut group = common::Group::new(criterion, common::PEAK);
    let id = |name: &str, threads: usize| {
        BenchmarkId::new(name, if threads == 1 { "1 thread".to_owned() } else { format!("{threads} threads") })
    };
    for isa in targets.isas {
        let work = |threads| Throughput::Elements(operations(isa) * threads as u64);
        group.bench(id(isa.name(), 1), work(1), |bencher| bencher.iter(|| multiply_adds(isa)));
        group.bench(id(isa.name(), threads), work(threads), |bencher| {
            bencher.iter(|| rayon::broadcast(|_| multiply_adds(isa)));
        });
    }
    for unit in targets.tiles {
        let work = |threads| Throughput::Elements(unit.multiply_registers(1) * TILE_ROUNDS as u64 * threads as u64);
        group.bench(id(unit.name(), 1), work(1), |bencher| bencher.iter(|| unit.multiply_registers(TILE_ROUNDS)));
        group.bench(id(unit.name(), threads), work(threads), |bencher| {
            bencher.iter(|| rayon::broadcast(|_| unit.multiply_registers(TILE_ROUNDS)));
        });
    }
}

criterion_group!(benches, peak);
criterion_main!(benches);
