//! Keeps the threads of a pool from falling asleep while pieces of work follow each other within some microseconds.
//!
//! A thread of rayon that finds no work falls asleep after some 10 us. Waking it takes as long again, and 100 us or
//! more on a virtual machine: longer than many a piece of work in the step of a mini-batch. Watchers are jobs that look
//! for work meanwhile. There is one for each thread: with fewer, one that hands itself over would wake a thread that
//! sleeps.
//!
//! A watcher looks for work some times, or until it has done one job, and hands itself to the pool again, which
//! allocates. A thread that waits for others may run a watcher meanwhile, and sees that its own work is done only when
//! the watcher returns. While there is no work, each watcher offers its CPU to other threads and processes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rayon::Yield;

/// How often a watcher looks for work before it returns: with a system call each time, this takes some 5 us.
const LOOKS: usize = 16;

/// The threads of the pool in which this is made stay awake until it is dropped. Nothing is done in a pool of one
/// thread.
#[derive(Debug)]
pub(crate) struct Awake {
    /// Whether the watchers are to leave.
    is_over: Arc<AtomicBool>,
}

impl Awake {
    /// Sends for the watchers.
    pub fn new() -> Self {
        let is_over = Arc::default();
        let threads = rayon::current_num_threads();
        if threads > 1 {
            (0..threads).for_each(|_| hand_over(Arc::clone(&is_over)));
        }
        Self { is_over }
    }
}

impl Drop for Awake {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
    }
}

/// Hands a watcher to the pool.
fn hand_over(is_over: Arc<AtomicBool>) {
    rayon::spawn(|| watch(is_over));
}

/// A watcher: does a job if there is one.
fn watch(is_over: Arc<AtomicBool>) {
    for _ in 0..LOOKS {
        if is_over.load(Ordering::Relaxed) {
            return;
        }
        if rayon::yield_now() == Some(Yield::Executed) {
            break;
        }
        std::thread::yield_now();
    }
    hand_over(is_over);
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;

    use super::*;

    /// Runs `work` in a pool of so many threads.
    fn in_a_pool<T: Send>(threads: usize, work: impl FnOnce() -> T + Send) -> T {
        rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(work)
    }

    /// How many watchers have not left.
    fn watchers(is_over: &Arc<AtomicBool>) -> usize {
        // One more belongs to the caller.
        Arc::strong_count(is_over) - 1
    }

    /// Waits until all watchers have left.
    fn wait_for_all_to_leave(is_over: &Arc<AtomicBool>) {
        while watchers(is_over) > 0 {
            rayon::yield_now();
            thread::yield_now();
        }
    }

    /// A sum that is cut in two as long as it has more than one term.
    fn sum(from: u64, to: u64) -> u64 {
        if to - from < 2 {
            return from;
        }
        let middle = from.midpoint(to);
        let (first, second) = rayon::join(|| sum(from, middle), || sum(middle, to));
        first + second
    }

    #[test]
    fn each_of_several_threads_has_a_watcher_until_the_value_is_dropped() {
        for (threads, expected) in [(1, 0), (2, 2), (5, 5)] {
            in_a_pool(threads, || {
                let awake = Awake::new();
                assert_eq!((watchers(&awake.is_over), sum(0, 1_000)), (expected, 499_500));
                assert_eq!(watchers(&awake.is_over), expected, "none has left");
                let is_over = Arc::clone(&awake.is_over);
                drop(awake);
                wait_for_all_to_leave(&is_over);
            });
        }
    }

    #[test]
    fn a_watcher_does_one_job_and_hands_itself_over() {
        in_a_pool(1, || {
            let (sender, receiver) = mpsc::channel();
            for _ in 0..20 {
                let sender = sender.clone();
                // Nobody listens any more to those that run after the test.
                rayon::spawn(move || _ = sender.send(()));
            }
            let is_over = Arc::default();
            watch(Arc::clone(&is_over));
            assert_eq!((receiver.try_iter().count(), watchers(&is_over)), (1, 1));
            is_over.store(true, Ordering::Relaxed);
            wait_for_all_to_leave(&is_over);
        });
    }

    #[test]
    fn work_ends_beside_watchers_of_several_owners() {
        for threads in [1, 3] {
            let sums = || (0..50).map(|_| (Awake::new(), sum(0, 1_000)).1).collect::<Vec<_>>();
            let results = in_a_pool(threads, || rayon::join(sums, sums));
            assert_eq!(results, (vec![499_500; 50], vec![499_500; 50]));
        }
    }
}
