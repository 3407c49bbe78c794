//! What the bench targets share: `ffwd::bench::workloads` as criterion benches, and for how long they run.
//!
//! A bench is called `group/what shape/isa`, as `gemm/NN 60000x784x500/avx512`. Its throughput is operations, so that
//! `Gelem/s` reads as GFLOP/s, or bytes where a kernel only moves data. Operations are counted as the algorithm is
//! written, so a rate may exceed the peak where work is left out. `FFWD_ISA` restricts the instruction sets, as
//! everywhere.

#![allow(dead_code, reason = "each bench target uses its own part")]

use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput};
use ffwd::bench::workloads::{self, Size, Targets, Workload};
use ffwd::isa::ISA_VARIABLE;
use ffwd::tier::Tier;

/// The instruction set or tile unit that `FFWD_ISA` asks for, or every one that this CPU has.
pub fn targets() -> Targets {
    match std::env::var_os(ISA_VARIABLE).is_some() {
        true => Targets::of(&Tier::from_environment().unwrap_or_else(|error| panic!("{error}"))),
        false => Targets::available(),
    }
}

/// A group of which each bench takes ten samples, in 1.5 seconds where one run is short enough. All of `cargo bench`
/// then takes less than ten minutes on two cores.
pub fn group<'a>(criterion: &'a mut Criterion, name: &str) -> BenchmarkGroup<'a, WallTime> {
    let mut group = criterion.benchmark_group(name);
    group.sample_size(10).warm_up_time(Duration::from_millis(200)).measurement_time(Duration::from_millis(1500));
    // Criterion's 100,000 are for more samples than ten, and would take longer than the kernels.
    group.nresamples(2_000);
    group
}

/// Benches every workload of one of [`workloads::GROUPS`].
pub fn bench_group(criterion: &mut Criterion, name: &str) {
    let all = workloads::all(&targets(), Size::Full);
    bench(criterion, name, all.into_iter().filter(|workload| workload.group() == name));
}

/// Benches workloads of the group `name`. Operands are made where a bench passes the filter, and dropped behind it.
///
/// # Panics
///
/// The operands of one cannot be made.
pub fn bench(criterion: &mut Criterion, name: &str, list: impl IntoIterator<Item = Workload>) {
    let mut group = group(criterion, name);
    for workload in list {
        let Workload { op, shape, isa, flops, bytes, .. } = &workload;
        let throughput = if *flops > 0 { Throughput::Elements(*flops) } else { Throughput::BytesDecimal(*bytes) };
        let what = op.split_once('/').map_or("", |(_, what)| what);
        let mut run = None;
        group.throughput(throughput).bench_function(BenchmarkId::new(format!("{what} {shape}"), isa), |bencher| {
            bencher.iter(run.get_or_insert_with(|| workload.prepare().unwrap_or_else(|error| panic!("{error}"))));
        });
    }
}
