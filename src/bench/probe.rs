//! Probes: a millisecond of work whose speed on a quiet machine is known. What a probe gets, as a share of the best
//! that any got, tells what others left of the machine at that moment.
//!
//! All threads of the pool work at once, and the slowest of them counts, as it does in a kernel: where a host puts two
//! virtual CPUs on one core, or another process takes one of them, a probe gets about half.

use std::hint::{black_box, spin_loop};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::yield_now;
use std::time::{Duration, Instant};

use super::loops::{last_level_bytes, multiply_adds, operations};
use crate::isa::Isa;
use crate::machine;

/// A sample is disturbed where the multiply-adds beside it got less than this share of the best. Between disturbances
/// they get 90 to 100%, because clocks differ a little, and 77 to 85% where a CPU lowers its clock for dense vectors;
/// two threads on one core get 50 to 60%. The middle of what lies between separates them (docs/measuring.md).
pub const QUIET: f64 = 0.75;

/// The same of copies. Guests share memory all the time, so that copies get anything from 50 to 100% of the best;
/// below, something is wrong. In two reports that were held against each other, shares of 40 to 60% gave the same
/// medians most closely, and 75% left too few samples (docs/measuring.md).
pub const QUIET_MEMORY: f64 = 0.5;

/// A sample is disturbed where a thread waited for a CPU for more than this share of it. A kernel may take longer by
/// the same share, and two reports of one machine are meant to differ by no more. Threads of quiet machines wait for
/// 0.2%.
pub const WAITING: f64 = 0.02;

/// Runs of [`multiply_adds`] in a probe: a millisecond with two pipes.
const RUNS: usize = 2;

/// Floats that each thread copies in a probe: 4 MiB, which take a millisecond at 8 GB/s.
const COPIED: usize = 1 << 20;

/// An array of a copy takes at most this part of the memory: there are two for each of some pools.
const PART_OF_MEMORY: u64 = 64;

/// A thread that has asked so often whether the others have come lets another run: there may be more threads than CPUs.
const ASKED: usize = 10_000;

/// What probes of the current pool need: to be made and used in a pool of as many threads.
#[derive(Debug)]
pub struct Probe {
    isa: Isa,
    /// Of each thread.
    windows: Vec<Mutex<Window>>,
}

impl Default for Probe {
    fn default() -> Self {
        Self::new()
    }
}

impl Probe {
    /// Probes for the threads of the current pool. The arrays of a copy are together twice as large as the last-level
    /// caches, as far as there is memory, and written by the threads that will copy them.
    pub fn new() -> Self {
        let threads = rayon::current_num_threads();
        let machine = machine::detect();
        let caches = last_level_bytes(&machine.caches, machine.cpus.unwrap_or(threads), threads);
        let memory = [machine.memory_bytes, machine.cgroup_memory_bytes].into_iter().flatten().min();
        let bytes = caches.min(memory.map_or(u64::MAX, |memory| memory / PART_OF_MEMORY));
        let length = (bytes as usize / size_of::<f32>() / threads).max(COPIED) / COPIED * COPIED;
        Self { isa: Isa::best(), windows: rayon::broadcast(|_| Mutex::new(Window::new(length))) }
    }

    /// Multiply-adds on registers, in GFLOP/s: all threads at the speed of the slowest.
    pub fn arithmetic(&self) -> f64 {
        let work = (RUNS * self.windows.len()) as u64 * operations(self.isa);
        let run = |_| (0..RUNS).for_each(|_| _ = black_box(multiply_adds(self.isa)));
        work as f64 / slowest(run).as_nanos() as f64
    }

    /// Copying arrays that no cache holds, in GB/s, bytes read and written: all threads at the speed of the slowest.
    pub fn memory(&mut self) -> f64 {
        let work = 2 * size_of::<f32>() * COPIED * self.windows.len();
        let run = |thread: usize| self.windows[thread].lock().expect("no copy panics").copy();
        work as f64 / slowest(run).as_nanos() as f64
    }
}

/// The arrays of one thread, and where in them the next copy begins.
#[derive(Debug)]
struct Window {
    from: Vec<f32>,
    to: Vec<f32>,
    next: usize,
}

impl Window {
    fn new(length: usize) -> Self {
        Self { from: vec![1.0; length], to: vec![2.0; length], next: 0 }
    }

    /// Copies the next part, the one that was copied longest ago.
    fn copy(&mut self) {
        let Self { from, to, next } = self;
        black_box(&mut to[*next..][..COPIED]).copy_from_slice(&from[*next..][..COPIED]);
        *next = (*next + COPIED) % from.len();
    }
}

/// Runs `run` on all threads of the pool, which begin together; the time of the slowest.
fn slowest(run: impl Fn(usize) + Sync) -> Duration {
    let missing = AtomicUsize::new(rayon::current_num_threads());
    let times = rayon::broadcast(|context| {
        missing.fetch_sub(1, Ordering::AcqRel);
        for asked in 1.. {
            match missing.load(Ordering::Acquire) {
                0 => break,
                _ if asked % ASKED == 0 => yield_now(),
                _ => spin_loop(),
            }
        }
        let start = Instant::now();
        run(context.index());
        start.elapsed()
    });
    times.into_iter().max().expect("a pool has a thread")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probes_of_any_pool_tell_rates() {
        for threads in [1, 2, 5] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let [arithmetic, memory] = pool.install(|| {
                let mut probe = Probe::new();
                [probe.arithmetic(), probe.memory()]
            });
            assert!(arithmetic > 0.0 && memory > 0.0, "{threads} threads: {arithmetic} GFLOP/s, {memory} GB/s");
        }
    }

    #[test]
    fn the_slowest_thread_counts() {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
        let late = Duration::from_millis(20);
        let time = pool.install(|| slowest(|thread| std::thread::sleep(late * u32::from(thread == 2))));
        assert!(time >= late, "{time:?}");
    }

    #[test]
    fn copies_go_through_the_whole_array() {
        let mut window = Window::new(2 * COPIED);
        window.copy();
        assert_eq!((window.to[COPIED - 1], window.to[COPIED], window.next), (1.0, 2.0, COPIED));
        window.copy();
        assert_eq!((window.to[COPIED], window.next), (1.0, 0));
    }
}
