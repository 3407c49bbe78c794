//! The limits that kernels work against: multiply-adds and tile products on registers, and copying and adding arrays
//! that no cache holds.

use std::hint::black_box;
use std::sync::Mutex;

use super::sample::{Subject, Timer};
use super::{Peak, System, median};
use crate::isa::Isa;
use crate::simd::{Kernel, MAX_LANES, Simd};
use crate::tier::{Tier, Usability};
use crate::tile::TileTier;

/// Accumulators, of one register each: more than the ten that two pipes of latency 5 keep busy, and room for the two
/// constants in 16 registers.
const ACCUMULATORS: usize = 12;

/// Accumulators where the registers hold fewer vectors.
const FEW_ACCUMULATORS: usize = 6;

/// Multiply-adds of each accumulator in one run: a few milliseconds, beside which starting the threads takes no time.
const STEPS: usize = 1 << 18;

/// The smallest array of the memory peaks, in bytes.
const SMALLEST_ARRAY: u64 = 64 << 20;

/// An array is this many times as large as the last-level caches in use together, as the STREAM benchmark asks for.
const CACHES_OF_AN_ARRAY: u64 = 4;

/// An array takes at most this part of the memory.
const PART_OF_MEMORY: u64 = 12;

/// Rounds of tile products in one run: 1 ms of `vdpbf16ps`, which does 512 multiply-adds a round in 8 cycles, and about
/// 12 ms of AMX, which does 32,768 in 64.
pub const TILE_ROUNDS: usize = 1 << 19;

/// Runs multiply-adds on the registers of `isa`, on the calling thread. It returns their sum, so that the compiler
/// cannot leave any of them out.
pub fn multiply_adds(isa: Isa) -> f32 {
    isa.run(MultiplyAdds)
}

/// Operations of one call of [`multiply_adds`], two for each multiply-add.
pub fn operations(isa: Isa) -> u64 {
    isa.run(Operations)
}

/// `STEPS` multiply-adds on each accumulator; returns the sum of what they come to.
struct MultiplyAdds;

impl Kernel for MultiplyAdds {
    type Output = f32;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> f32 {
        if S::REGISTERS > ACCUMULATORS { repeat::<S, ACCUMULATORS>(simd) } else { repeat::<S, FEW_ACCUMULATORS>(simd) }
    }
}

#[inline(always)]
fn repeat<S: Simd, const N: usize>(simd: S) -> f32 {
    // Values that the compiler cannot see, and that stay finite and normal: x = 0.5 x + 1.
    let (factor, term) = (simd.splat(black_box(0.5)), simd.splat(black_box(1.0)));
    let mut accumulators = [simd.splat(black_box(3.0)); N];
    for _ in 0..STEPS {
        for accumulator in &mut accumulators {
            *accumulator = simd.mul_add(*accumulator, factor, term);
        }
    }
    accumulators.into_iter().map(|accumulator| simd.sum(accumulator)).sum()
}

/// Counts the operations of [`MultiplyAdds`].
struct Operations;

impl Kernel for Operations {
    type Output = u64;

    #[inline(always)]
    fn run<S: Simd>(self, _: S) -> u64 {
        let accumulators = if S::REGISTERS > ACCUMULATORS { ACCUMULATORS } else { FEW_ACCUMULATORS };
        (2 * STEPS * accumulators * S::LANES) as u64
    }
}

/// `to = from + factor * other` on arrays of one length, a multiple of [`MAX_LANES`].
struct Triad<'a> {
    to: &'a mut [f32],
    from: &'a [f32],
    other: &'a [f32],
    factor: f32,
}

impl Kernel for Triad<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let factor = simd.splat(self.factor);
        let operands = self.from.chunks_exact(S::LANES).zip(self.other.chunks_exact(S::LANES));
        for (to, (from, other)) in self.to.chunks_exact_mut(S::LANES).zip(operands) {
            simd.store(to, simd.mul_add(simd.load(other), factor, simd.load(from)));
        }
    }
}

/// The parts of three arrays that one thread works on.
struct Arrays([Vec<f32>; 3]);

impl Arrays {
    /// Arrays of `length` floats, written by the calling thread, so that they lie in the memory closest to it.
    fn new(length: usize) -> Self {
        Self([1.0, 2.0, 3.0].map(|value| vec![value; length]))
    }

    fn copy(&mut self) {
        let [to, from, _] = &mut self.0;
        black_box(to).copy_from_slice(from);
    }

    fn triad(&mut self, isa: Isa) {
        let [to, from, other] = &mut self.0;
        isa.run(Triad { to: black_box(to), from, other, factor: 0.5 });
    }
}

/// A limit and how it is measured.
pub(super) struct Limit {
    /// Its row, without samples and rate.
    peak: Peak,
    measure: Box<dyn Fn(&mut Timer<'_>) + Send + Sync>,
}

impl Limit {
    /// Of multiply-adds on `threads` threads at once.
    fn fma(isa: Isa, threads: usize) -> Self {
        let work = operations(isa) * threads as u64;
        let peak = row("fma", "f32", Some(isa.name()), threads, ("GFLOP/s", work));
        let run = move || _ = rayon::broadcast(|_| black_box(multiply_adds(isa)));
        Self { peak, measure: Box::new(move |timer| timer.time(run)) }
    }

    /// Of tile products on `threads` threads at once.
    fn tile(unit: TileTier, threads: usize) -> Self {
        let work = unit.multiply_registers(1) * TILE_ROUNDS as u64 * threads as u64;
        let run = move || _ = rayon::broadcast(|_| black_box(unit.multiply_registers(TILE_ROUNDS)));
        let peak = tile_row(unit.name(), threads, work);
        Self { peak, measure: Box::new(move |timer| timer.time(run)) }
    }

    /// Of copying arrays of `length` floats on each of `threads` threads: one read, one written.
    fn copy(length: usize, threads: usize) -> Self {
        Self::memory("copy", 2, (length, threads), Arrays::copy)
    }

    /// Of adding such arrays: two read, one written.
    fn triad(length: usize, threads: usize) -> Self {
        Self::memory("triad", 3, (length, threads), |arrays| arrays.triad(Isa::best()))
    }

    /// Of a run that reads or writes `moved` of each thread's arrays.
    fn memory(op: &str, moved: usize, (length, threads): (usize, usize), run: fn(&mut Arrays)) -> Self {
        let work = (moved * length * threads * size_of::<f32>()) as u64;
        let measure = move |timer: &mut Timer<'_>| {
            let arrays = rayon::broadcast(|_| Mutex::new(Arrays::new(length)));
            let of_thread = |thread: usize| arrays[thread].lock().expect("no run panics");
            timer.time(|| _ = rayon::broadcast(|context| run(&mut of_thread(context.index()))));
        };
        Self { peak: row(op, "f32", None, threads, ("GB/s", work)), measure: Box::new(measure) }
    }

    /// What takes its samples.
    pub(super) fn subject(&self) -> Subject<'_> {
        let Peak { op, isa, threads, .. } = &self.peak;
        let name = format!("peak {op} {}, {threads} threads", isa.as_deref().unwrap_or("of memory"));
        Subject::new(name, *threads, |timer| {
            (self.measure)(timer);
            Ok(())
        })
    }

    /// The row with its samples.
    pub(super) fn with_samples(self, samples_ns: Vec<f64>) -> Peak {
        let rate = self.peak.work as f64 / median(&samples_ns);
        Peak { rate: Some(rate).filter(|rate| rate.is_finite()), samples_ns, ..self.peak }
    }
}

/// A row without samples and rate.
fn row(op: &str, dtype: &str, isa: Option<&str>, threads: usize, (unit, work): (&str, u64)) -> Peak {
    Peak {
        op: op.to_owned(),
        dtype: dtype.to_owned(),
        isa: isa.map(str::to_owned),
        threads,
        unit: unit.to_owned(),
        work,
        samples_ns: Vec::new(),
        rate: None,
    }
}

/// One thread and `threads`, or just the former where that is all.
fn thread_counts(threads: usize) -> Vec<usize> {
    let mut counts = vec![1, threads];
    counts.dedup();
    counts
}

/// The limits to measure on one thread and on `threads`: first those of every instruction set and tile unit that this
/// machine has, then those of memory.
pub(super) fn limits(threads: usize, system: &System) -> Vec<Limit> {
    let units = Tier::new(Isa::best()).tile_units_in_use();
    let on = |threads| {
        let length = array_length(threads, system);
        let registers = Isa::available().into_iter().map(move |isa| Limit::fma(isa, threads));
        let tiles = units.clone().into_iter().map(move |unit| Limit::tile(unit, threads));
        registers.chain(tiles).chain([Limit::copy(length, threads), Limit::triad(length, threads)])
    };
    thread_counts(threads).into_iter().flat_map(on).collect()
}

/// The rows of tile units that cannot be used here: without samples and rate.
pub(super) fn of_lacking_tiles(threads: usize) -> Vec<Peak> {
    let lacking = || Tier::tile_units().filter(|&(_, usability)| usability != Usability::Usable);
    let on = |threads| lacking().map(move |(name, _)| tile_row(name, threads, 0));
    thread_counts(threads).into_iter().flat_map(on).collect()
}

/// A row of tile products.
fn tile_row(unit: &str, threads: usize, work: u64) -> Peak {
    row("tile", "bf16", Some(unit), threads, ("GFLOP/s", work))
}

/// The length of each thread's arrays, a multiple of [`MAX_LANES`].
fn array_length(threads: usize, system: &System) -> usize {
    let last = system.caches.iter().max_by_key(|cache| cache.level);
    let caches = last.map_or(0, |cache| {
        let shared_by = cache.shared_by.unwrap_or(1).max(1);
        let number = system.cpus.unwrap_or(1).div_ceil(shared_by).min(threads) as u64;
        cache.bytes.saturating_mul(number)
    });
    let memory = [system.memory_bytes, system.cgroup_memory_bytes].into_iter().flatten().min().unwrap_or(u64::MAX);
    let bytes = caches.saturating_mul(CACHES_OF_AN_ARRAY).max(SMALLEST_ARRAY).min(memory / PART_OF_MEMORY);
    let length = bytes as usize / size_of::<f32>() / threads;
    length.next_multiple_of(MAX_LANES)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::report::Cache;

    #[test]
    fn multiply_adds_come_to_their_fixed_point() {
        for isa in Isa::available() {
            let lanes = operations(isa) / (2 * STEPS as u64);
            assert_eq!(multiply_adds(isa), 2.0 * lanes as f32, "{isa}: x = 0.5 x + 1 ends at 2");
        }
    }

    #[test]
    fn arrays_are_copied_and_added() {
        for isa in Isa::available() {
            let mut arrays = Arrays::new(2 * MAX_LANES);
            arrays.triad(isa);
            assert_eq!(arrays.0[0], [2.0 + 0.5 * 3.0; 2 * MAX_LANES], "{isa}");
            arrays.copy();
            assert_eq!(arrays.0[0], arrays.0[1]);
        }
    }

    #[test]
    fn arrays_are_beyond_the_caches_and_within_the_memory() {
        let cache = |level, bytes, shared_by| Cache { level, kind: "Unified".into(), bytes, shared_by };
        let mut system = System { cpus: Some(16), ..System::default() };
        let total = |threads: usize, system: &System| (threads * array_length(threads, system) * 4) as u64;
        assert_eq!(total(1, &system), SMALLEST_ARRAY);
        system.caches = vec![cache(2, 1 << 20, Some(2)), cache(3, 32 << 20, Some(8))];
        assert_eq!([1, 2, 16].map(|threads| total(threads, &system)), [128 << 20, 256 << 20, 256 << 20]);
        system.memory_bytes = Some(1 << 30);
        assert!(total(16, &system) <= (1 << 30) / 12 + 16 * 4 * 64);
        system.cgroup_memory_bytes = Some(0);
        assert_eq!(array_length(16, &system), 0);
    }

    #[test]
    fn every_limit_is_there_for_one_and_for_all_threads() {
        let rows = |threads| limits(threads, &System::default()).into_iter().map(|limit| limit.peak);
        for isa in Isa::available() {
            let threads = rows(3).filter(|row| row.isa.as_deref() == Some(isa.name())).map(|row| row.threads);
            assert_eq!(threads.collect::<Vec<_>>(), [1, 3], "{isa}");
        }
        assert_eq!(rows(3).filter(|row| row.unit == "GB/s").count(), 4);
        assert_eq!(rows(1).filter(|row| row.op == "copy").count(), 1);
        let lacking = of_lacking_tiles(1);
        assert!(lacking.iter().all(|row| row.rate.is_none() && row.samples_ns.is_empty()));
        let measured = rows(1).filter(|row| row.op == "tile").count();
        assert_eq!(measured + lacking.len(), Tier::tile_units().count(), "each unit once");
    }

    #[test]
    fn a_rate_is_work_by_the_median() {
        let limit = Limit::copy(1_000, 1);
        let row = limit.with_samples(vec![2_000.0, 1_000.0, 9_000.0]);
        assert_eq!((row.work, row.rate), (8_000, Some(4.0)));
    }
}
