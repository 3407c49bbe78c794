//! The limits that kernels work against: multiply-adds and tile products on registers, and copying, adding and
//! updating arrays in memory and in the last-level cache.
//!
//! A limit is measured in turns with the kernels, through the whole report, and is what was sustained at its best
//! moments ([`sustained`](super::sustained)).

use std::hint::black_box;
use std::sync::{Arc, Mutex};

use super::sample::{Subject, Taken, Timer};
use super::{Peak, System, Witnesses};
use crate::bench::loops::{Arrays, multiply_adds, operations};
use crate::isa::Isa;
use crate::simd::MAX_LANES;
use crate::tier::{Tier, Usability};
use crate::tile::TileTier;

/// The smallest array of the memory peaks, in bytes.
const SMALLEST_ARRAY: u64 = 64 << 20;

/// An array is this many times as large as the last-level caches in use together, as the STREAM benchmark asks for.
const CACHES_OF_AN_ARRAY: u64 = 4;

/// The same in a quick report, most of whose time would otherwise go into arrays on a guest that sees the cache of a
/// whole socket. Adding and updating pass over three arrays, six times the caches; copying, whose stores may bypass the
/// caches, over two times.
const CACHES_OF_A_QUICK_ARRAY: u64 = 2;

/// An array takes at most this part of the memory: three are kept for one thread and three for all of them.
const PART_OF_MEMORY: u64 = 24;

/// Rounds of tile products in one run: 1 ms of `vdpbf16ps`, which does 512 multiply-adds a round in 8 cycles, and about
/// 12 ms of AMX, which does 32,768 in 64.
pub const TILE_ROUNDS: usize = 1 << 19;

/// Arrays in a cache take this part of it: more than the nearer caches, and so little that they stay there whatever
/// else runs.
const PART_OF_CACHE: u64 = 2;

/// How the names of the limits of the last-level cache end.
pub(super) const IN_CACHE: &str = " in cache";

/// A limit and how it is measured.
pub(super) struct Limit {
    /// Its row, without samples and rate.
    peak: Peak,
    measure: Box<dyn Fn(&mut Timer<'_>) + Send + Sync>,
}

/// The arrays of all threads.
struct ArraysOfThreads {
    length: usize,
    /// Whether they are kept from visit to visit. Those in memory are: a host takes seconds to hand out gigabytes to a
    /// guest, and again for what was given back, and where so many pages lie matters little.
    are_kept: bool,
    made: Mutex<Option<Vec<Mutex<Arrays>>>>,
}

impl ArraysOfThreads {
    /// Times `run` on each thread's arrays.
    fn visit(&self, timer: &mut Timer<'_>, run: fn(&mut Arrays)) {
        let mut made = self.made.lock().expect("no visit panics");
        let arrays = made.get_or_insert_with(|| rayon::broadcast(|_| Mutex::new(Arrays::new(self.length))));
        let of_thread = |thread: usize| arrays[thread].lock().expect("no run panics");
        timer.time(|| _ = rayon::broadcast(|context| run(&mut of_thread(context.index()))));
        if !self.are_kept {
            *made = None;
        }
    }
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

    /// Of memory or a cache, on arrays of `length` floats on each of `threads` threads: of copying them, one read and
    /// one written; of adding them, two read and one written; and of updating them in place, three read and written.
    /// Their names end in `place`.
    fn of_arrays(place: &str, (length, are_kept): (usize, bool), threads: usize) -> [Self; 3] {
        let arrays = Arc::new(ArraysOfThreads { length, are_kept, made: Mutex::default() });
        let limit = |op: &str, moved: usize, run: fn(&mut Arrays)| {
            let work = (moved * length * threads * size_of::<f32>()) as u64;
            let arrays = arrays.clone();
            Self {
                peak: row(&format!("{op}{place}"), "f32", None, threads, ("GB/s", work)),
                measure: Box::new(move |timer| arrays.visit(timer, run)),
            }
        };
        [
            limit("copy", 2, Arrays::copy),
            limit("triad", 3, |arrays| arrays.triad(Isa::best())),
            limit("update", 6, |arrays| arrays.update(Isa::best())),
        ]
    }

    /// What takes its samples.
    pub(super) fn subject(&self) -> Subject<'_> {
        let Peak { op, isa, threads, unit, .. } = &self.peak;
        let name = format!("peak {op} {}, {threads} threads", isa.as_deref().unwrap_or("of memory"));
        Subject::new(name, (*threads, unit == "GB/s"), |timer| {
            (self.measure)(timer);
            Ok(())
        })
    }

    /// The row with its samples.
    pub(super) fn with_samples(self, Taken { samples_ns, witnesses, .. }: Taken) -> Peak {
        let peak = Peak { samples_ns, witnesses, ..self.peak };
        Peak { rate: peak.sustained_rate(), ..peak }
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
        witnesses: Witnesses::default(),
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
/// machine has, then those of memory and of the last-level cache, where one is known; for a full report or a quick one.
pub(super) fn limits(threads: usize, system: &System, quick: bool) -> Vec<Limit> {
    let units = Tier::new(Isa::best()).tile_units_in_use();
    let on = |threads| {
        let memory = Limit::of_arrays("", (array_length(threads, system, quick), true), threads);
        let in_cache = length_in_cache(threads, system);
        let cache = (in_cache > 0).then(|| Limit::of_arrays(IN_CACHE, (in_cache, false), threads));
        let registers = Isa::available().into_iter().map(move |isa| Limit::fma(isa, threads));
        let tiles = units.clone().into_iter().map(move |unit| Limit::tile(unit, threads));
        registers.chain(tiles).chain(memory).chain(cache.into_iter().flatten())
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

/// The length of each thread's arrays in memory, a multiple of [`MAX_LANES`].
fn array_length(threads: usize, system: &System, quick: bool) -> usize {
    let memory = [system.memory_bytes, system.cgroup_memory_bytes].into_iter().flatten().min().unwrap_or(u64::MAX);
    let caches = if quick { CACHES_OF_A_QUICK_ARRAY } else { CACHES_OF_AN_ARRAY };
    let beyond_caches = system.last_level_bytes(threads).saturating_mul(caches);
    length_of(beyond_caches.max(SMALLEST_ARRAY).min(memory / PART_OF_MEMORY), threads)
}

/// The length of each thread's arrays in the last-level cache, of which there are three; 0 where no cache is known.
fn length_in_cache(threads: usize, system: &System) -> usize {
    length_of(system.last_level_bytes(threads) / PART_OF_CACHE / 3, threads)
}

/// The length of each of `threads` parts of an array of so many bytes.
fn length_of(bytes: u64, threads: usize) -> usize {
    (bytes as usize / size_of::<f32>() / threads).next_multiple_of(MAX_LANES)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::report::Cache;

    #[test]
    fn arrays_are_beyond_the_caches_and_within_the_memory() {
        let cache = |level, bytes, shared_by| Cache { level, kind: "Unified".into(), bytes, shared_by };
        let mut system = System { cpus: Some(16), ..System::default() };
        let total = |threads: usize, system: &System| (threads * array_length(threads, system, false) * 4) as u64;
        assert_eq!(total(1, &system), SMALLEST_ARRAY);
        system.caches = vec![cache(2, 1 << 20, Some(2)), cache(3, 32 << 20, Some(8))];
        assert_eq!([1, 2, 16].map(|threads| total(threads, &system)), [128 << 20, 256 << 20, 256 << 20]);
        assert_eq!(8 * array_length(2, &system, true), 128 << 20, "half as much for a quick report");
        system.memory_bytes = Some(1 << 30);
        assert!(total(16, &system) <= (1 << 30) / PART_OF_MEMORY + 16 * 4 * 64);
        system.cgroup_memory_bytes = Some(0);
        assert_eq!(array_length(16, &system, false), 0);
        let in_cache = |threads: usize, system: &System| threads * length_in_cache(threads, system) * 4 * 3;
        assert!((30 << 20..=33 << 20).contains(&in_cache(16, &system)), "half of two caches");
        assert_eq!(in_cache(1, &System::default()), 0);
    }

    #[test]
    fn every_limit_is_there_for_one_and_for_all_threads() {
        let rows = |threads| limits(threads, &System::default(), true).into_iter().map(|limit| limit.peak);
        for isa in Isa::available() {
            let threads = rows(3).filter(|row| row.isa.as_deref() == Some(isa.name())).map(|row| row.threads);
            assert_eq!(threads.collect::<Vec<_>>(), [1, 3], "{isa}");
        }
        assert_eq!(rows(3).filter(|row| row.unit == "GB/s").count(), 6);
        assert_eq!(rows(1).filter(|row| row.op == "copy").count(), 1);
        let lacking = of_lacking_tiles(1);
        assert!(lacking.iter().all(|row| row.rate.is_none() && row.samples_ns.is_empty()));
        let measured = rows(1).filter(|row| row.op == "tile").count();
        assert_eq!(measured + lacking.len(), Tier::tile_units().count(), "each unit once");
    }

    #[test]
    fn a_peak_is_what_was_sustained_at_the_best_undisturbed_moments() {
        let [limit, ..] = Limit::of_arrays("", (1_000, false), 1);
        let samples_ns = vec![500.0, 2_000.0, 2_100.0, 2_200.0, 3_000.0, 4_000.0, 5_000.0, 5_000.0, 9_000.0];
        let disturbed: Vec<bool> = samples_ns.iter().map(|&ns| ns < 1_000.0).collect();
        let witnesses = Witnesses { disturbed, ..Witnesses::default() };
        let row = limit.with_samples(Taken { samples_ns, witnesses, executed: 0 });
        // The fastest two of eight.
        assert_eq!((row.work, row.rate), (8_000, Some(8_000.0 / 2_050.0)));
    }
}
