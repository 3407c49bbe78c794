//! What the bench targets share: `ffwd::bench::workloads` as criterion benches, and for how long they run.
//!
//! A bench is called `group/what shape/isa`, as `gemm/NN 60000x784x500/avx512`. Its throughput is operations, so that
//! `Gelem/s` reads as GFLOP/s, or bytes where a kernel only moves data. Operations are counted as the algorithm is
//! written, so a rate may exceed the peak where work is left out. `FFWD_ISA` restricts the instruction sets, as
//! everywhere.
//!
//! What is measured is criterion's. Beside each of its samples, and of its runs to warm up, stand the witnesses of
//! `fast-train bench`, and behind each group a line that says how many of these they tell to be disturbed.

#![allow(dead_code, reason = "each bench target uses its own part")]

use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{Bencher, BenchmarkGroup, BenchmarkId, Criterion, Throughput};
use ffwd::bench::witness::{Seen, Witness};
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

/// The group that works on registers alone.
pub const PEAK: &str = "peak";

/// A group whose samples have witnesses.
pub struct Group<'a> {
    group: BenchmarkGroup<'a, WallTime>,
    name: String,
    witness: Witness,
    seen: Vec<Seen>,
}

impl<'a> Group<'a> {
    /// A group of which each bench takes ten samples, in 1.5 seconds where one run is short enough. All of
    /// `cargo bench` then takes less than ten minutes on two cores.
    pub fn new(criterion: &'a mut Criterion, name: &str) -> Self {
        let mut group = criterion.benchmark_group(name);
        group.sample_size(10).warm_up_time(Duration::from_millis(200)).measurement_time(Duration::from_millis(1500));
        // Criterion's 100,000 are for more samples than ten, and would take longer than the kernels.
        group.nresamples(2_000);
        Self { group, name: name.to_owned(), witness: Witness::new(), seen: Vec::new() }
    }

    /// Benches `sample`, which criterion calls once for each sample, on a thread of the pool as in training: a caller
    /// outside would be one thread more than there are CPUs, and all would wait for them in turn.
    pub fn bench(&mut self, id: BenchmarkId, throughput: Throughput, mut sample: impl FnMut(&mut Bencher<'_>) + Send) {
        let Self { group, name, witness, seen } = self;
        let uses_memory = name != PEAK;
        group.throughput(throughput).bench_function(id, |bencher| {
            let ((), _, what) = rayon::scope(|_| witness.watch(uses_memory, || sample(bencher)));
            seen.push(what);
        });
    }
}

impl Drop for Group<'_> {
    /// Says how disturbed the group was.
    fn drop(&mut self) {
        let Self { name, witness, seen, .. } = self;
        if seen.is_empty() {
            return;
        }
        let disturbed = seen.iter().filter(|seen| witness.is_disturbed(seen)).count();
        let least = |share: &dyn Fn(&Seen) -> f64| 100.0 * seen.iter().map(share).fold(1.0, f64::min);
        let longest = 100.0 * seen.iter().map(|seen| seen.waiting).fold(0.0, f64::max);
        println!(
            "{name}: {disturbed} of {} samples and warm-ups disturbed; beside them multiply-adds got {:.0}% of their \
             best at least, copies {:.0}%, and a thread waited for a CPU for up to {longest:.0}% of the time\n",
            seen.len(),
            least(&|seen| witness.arithmetic(seen)),
            least(&|seen| witness.memory(seen)),
        );
    }
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
    let mut group = Group::new(criterion, name);
    for workload in list {
        let Workload { op, shape, isa, flops, bytes, .. } = &workload;
        let throughput = if *flops > 0 { Throughput::Elements(*flops) } else { Throughput::BytesDecimal(*bytes) };
        let what = op.split_once('/').map_or("", |(_, what)| what);
        let mut run = None;
        group.bench(BenchmarkId::new(format!("{what} {shape}"), isa), throughput, |bencher| {
            bencher.iter(run.get_or_insert_with(|| workload.prepare().unwrap_or_else(|error| panic!("{error}"))));
        });
    }
}
