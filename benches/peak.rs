//! The peak that the kernels work against: fused multiply-adds on registers only, on one and on all threads.
//!
//! Two operations each, so that `Gelem/s` reads as GFLOP/s.

mod common;

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ffwd::simd::{Kernel, MR, Simd};

const STEPS: usize = 1 << 20;

/// `STEPS` multiply-adds on each of the `MR` x NR accumulators of a micro-kernel; returns their sum.
struct Registers;

impl Kernel for Registers {
    type Output = f32;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> f32 {
        // Values that the compiler cannot see, and that stay finite and normal: x = 0.5 x + 1.
        let (factor, term) = (simd.splat(black_box(0.5)), simd.splat(black_box(1.0)));
        let mut tile = [simd.splat(black_box(3.0)); MR];
        for _ in 0..STEPS {
            for c in &mut tile {
                *c = simd.mul_add(*c, factor, term);
            }
        }
        tile.into_iter().map(|c| simd.sum(c)).sum()
    }
}

fn peak(criterion: &mut Criterion) {
    let threads = rayon::current_num_threads();
    let mut group = common::group(criterion, "peak");
    for isa in common::isas() {
        let operations = (2 * STEPS * MR * isa.nr()) as u64;
        group.throughput(Throughput::Elements(operations));
        group.bench_function(format!("{isa}/1 thread"), |bencher| bencher.iter(|| isa.run(Registers)));
        group.throughput(Throughput::Elements(operations * threads as u64));
        group.bench_function(format!("{isa}/{threads} threads"), |bencher| {
            bencher.iter(|| rayon::broadcast(|_| isa.run(Registers)));
        });
    }
}

criterion_group!(benches, peak);
criterion_main!(benches);
