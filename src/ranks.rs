//! Ranks: the processes that train one network together, and what they tell each other.
//!
//! A batch is cut into parts by its shape alone. Each rank has some consecutive ones, its [`Share`], and computes them
//! as if it were alone; the sums of the parts are then added in the order of a tree ([`tree`]), so that the result is
//! the same bit for bit for any number of ranks. What carries the bytes is behind [`Transport`].
//!
//! All ranks make the same calls in the same order, as MPI's collectives ask.

mod courier;
#[cfg(feature = "mpi")]
pub mod mpi;
mod share;
mod sum;
#[cfg(any(test, feature = "internals"))]
pub mod threads;
pub mod tree;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use courier::{Courier, Pending};
pub use share::{Parts, Share};
use sum::Added;
pub use sum::{PendingSum, Sums};

/// What carries bytes between ranks: the collective operations of MPI that training needs. An operation that fails
/// panics or ends the process, because none of them returns an error.
pub trait Transport: Send + Sync {
    /// This process's number among the ranks.
    fn rank(&self) -> usize;

    /// How many ranks there are.
    fn count(&self) -> usize;

    /// What each rank sends to all, of so many bytes, in the order of ranks.
    fn gather(&self, mine: &[u8], lengths: &[usize]) -> Vec<Vec<u8>>;

    /// Sends each rank its piece of `send`, of so many floats, and fills `receive` with what each rank sends to this
    /// one, of so many floats.
    fn exchange(&self, send: (&[f32], &[usize]), receive: (&mut [f32], &[usize]));

    /// Fills `all` with what each rank sends to all, of so many floats, in the order of ranks.
    fn spread(&self, mine: &[f32], all: (&mut [f32], &[usize]));
}

/// The processes that train together; one that is alone needs no transport. Whatever waits for other ranks panics where
/// the transport has panicked.
#[derive(Clone, Default)]
pub struct Ranks(Option<Arc<Joined>>);

struct Joined {
    rank: usize,
    count: usize,
    courier: Courier,
    /// Whether this rank is to stop.
    is_asked_to_stop: Arc<AtomicBool>,
    /// Whether some rank was to stop when all last gathered.
    stops: Arc<AtomicBool>,
    /// Nanoseconds of waiting for others.
    waited: AtomicU64,
    /// Memory of sums that have been added up.
    buffers: Mutex<Vec<Vec<f32>>>,
}

impl Ranks {
    /// A process by itself.
    pub fn alone() -> Self {
        Self::default()
    }

    /// The ranks that `transport` joins. One that is to stop sets `is_asked_to_stop`.
    pub fn new(transport: Box<dyn Transport>, is_asked_to_stop: Arc<AtomicBool>) -> Self {
        Self(Some(Arc::new(Joined {
            rank: transport.rank(),
            count: transport.count(),
            courier: Courier::new(transport),
            is_asked_to_stop,
            stops: Arc::default(),
            waited: AtomicU64::new(0),
            buffers: Mutex::default(),
        })))
    }

    /// This process's number among the ranks.
    pub fn rank(&self) -> usize {
        self.0.as_ref().map_or(0, |joined| joined.rank)
    }

    /// How many ranks there are.
    pub fn count(&self) -> usize {
        self.0.as_ref().map_or(1, |joined| joined.count)
    }

    /// A flag that is set on all ranks at the same point of their work, once one of them is to stop; `None` without a
    /// transport, where nobody need be asked.
    pub fn stops(&self) -> Option<Arc<AtomicBool>> {
        self.0.as_ref().map(|joined| Arc::clone(&joined.stops))
    }

    /// The time that this rank has waited for others, with nothing else to do.
    pub fn waited(&self) -> Duration {
        Duration::from_nanos(self.0.as_ref().map_or(0, |joined| joined.waited.load(Ordering::Relaxed)))
    }

    /// What each rank sends to all, of any length, in the order of ranks.
    pub fn gather(&self, mine: Vec<u8>) -> Vec<Vec<u8>> {
        if self.0.is_none() {
            return vec![mine];
        }
        let lengths = self.gather_numbers(vec![mine.len() as f64], |_| 1);
        self.gather_known(mine, |rank| lengths[rank][0] as usize)
    }

    /// What each rank sends to all, of so many bytes.
    fn gather_known(&self, mine: Vec<u8>, length: impl Fn(usize) -> usize) -> Vec<Vec<u8>> {
        self.begin_gather(mine, length).finish()
    }

    fn begin_gather(&self, mut mine: Vec<u8>, length: impl Fn(usize) -> usize) -> PendingBytes {
        let Some(joined) = &self.0 else { return PendingBytes::Here(mine) };
        mine.push(u8::from(joined.is_asked_to_stop.load(Ordering::Relaxed)));
        let lengths: Vec<usize> = (0..self.count()).map(|rank| length(rank) + 1).collect();
        let pending = joined.courier.begin(move |transport| transport.gather(&mine, &lengths));
        PendingBytes::OnTheWay(pending, Arc::clone(joined))
    }

    /// What each rank sends to all, of so many numbers, in the order of ranks.
    pub fn gather_numbers(&self, mine: Vec<f64>, length: impl Fn(usize) -> usize) -> Vec<Vec<f64>> {
        self.begin_numbers(mine, length).finish()
    }

    /// Begins what [`Ranks::gather_numbers`] does.
    pub fn begin_numbers(&self, mine: Vec<f64>, length: impl Fn(usize) -> usize) -> PendingNumbers {
        let bytes = mine.iter().flat_map(|number| number.to_le_bytes()).collect();
        PendingNumbers(self.begin_gather(bytes, |rank| length(rank) * size_of::<f64>()))
    }

    /// The sums of each rank's counts, which are below 2^53.
    pub fn sum_of_counts<const N: usize>(&self, counts: [u64; N]) -> [u64; N] {
        let mut sums = [0; N];
        for numbers in self.gather_numbers(counts.map(|count| count as f64).to_vec(), |_| N) {
            sums.iter_mut().zip(numbers).for_each(|(sum, count)| *sum += count as u64);
        }
        sums
    }

    /// Writes the floats of rank 0 over those of every rank, of which each has as many.
    pub fn spread_from_first(&self, floats: &mut [f32]) {
        if let Some(joined) = &self.0 {
            let counts: Vec<usize> = (0..self.count()).map(|rank| if rank == 0 { floats.len() } else { 0 }).collect();
            let mine = if self.rank() == 0 { floats.to_vec() } else { Vec::new() };
            let mut all = vec![0.0; floats.len()];
            let spread = joined.courier.begin(move |transport| {
                transport.spread(&mine, (&mut all, &counts));
                all
            });
            floats.copy_from_slice(&joined.wait(spread));
        }
    }
}

/// Bytes that are on their way.
enum PendingBytes {
    /// Without other ranks.
    Here(Vec<u8>),
    OnTheWay(Pending<Vec<Vec<u8>>>, Arc<Joined>),
}

impl PendingBytes {
    /// Waits for the bytes of all ranks.
    fn finish(self) -> Vec<Vec<u8>> {
        let (pending, joined) = match self {
            Self::Here(mine) => return vec![mine],
            Self::OnTheWay(pending, joined) => (pending, joined),
        };
        let mut all = joined.wait(pending);
        let mut is_any = false;
        for bytes in &mut all {
            is_any |= bytes.pop() == Some(1);
        }
        if is_any {
            joined.stops.store(true, Ordering::Relaxed);
        }
        all
    }
}

/// Numbers that are on their way.
pub struct PendingNumbers(PendingBytes);

impl PendingNumbers {
    /// Waits for the numbers of all ranks.
    pub fn finish(self) -> Vec<Vec<f64>> {
        let number = |bytes: &[u8; 8]| f64::from_le_bytes(*bytes);
        self.0.finish().iter().map(|bytes| bytes.as_chunks().0.iter().map(number).collect()).collect()
    }
}

impl Joined {
    /// What a job has given; the time until then counts.
    fn wait<T>(&self, pending: Pending<T>) -> T {
        let start = Instant::now();
        let result = pending.wait();
        let nanoseconds = u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.waited.fetch_add(nanoseconds, Ordering::Relaxed);
        result
    }

    /// A buffer of `length` floats or more, whatever they are: the smallest of those that are kept, or a new one.
    fn buffer(&self, length: usize) -> Vec<f32> {
        let mut buffers = self.buffers.lock().unwrap_or_else(PoisonError::into_inner);
        let large = (0..buffers.len()).filter(|&number| buffers[number].len() >= length);
        match large.min_by_key(|&number| buffers[number].len()) {
            Some(number) => buffers.swap_remove(number),
            None => vec![0.0; length],
        }
    }

    /// Keeps buffers for the next sums.
    fn keep(&self, buffers: Added) {
        self.buffers.lock().unwrap_or_else(PoisonError::into_inner).extend(buffers);
    }
}

/// The bytes of some floats.
fn to_bytes(floats: &[f32]) -> Vec<u8> {
    floats.iter().flat_map(|float| float.to_le_bytes()).collect()
}

/// The floats of some bytes.
fn floats_of(bytes: &[u8]) -> impl Iterator<Item = f32> {
    bytes.as_chunks().0.iter().map(|float| f32::from_le_bytes(*float))
}

#[cfg(test)]
mod tests {
    use super::sum::SMALL;
    use super::*;

    /// What each of `count` ranks comes to, each on a thread of its own.
    fn on_ranks<T: Send>(count: usize, work: impl Fn(&Ranks) -> T + Sync) -> Vec<T> {
        let ranks = threads::ranks(count);
        std::thread::scope(|scope| {
            let running: Vec<_> = ranks.iter().map(|rank| scope.spawn(|| work(rank))).collect();
            running.into_iter().map(|rank| rank.join().unwrap()).collect()
        })
    }

    #[test]
    fn every_sample_and_every_part_is_one_ranks() {
        for (count, samples, unit, part) in [(1, 100, 30, 30), (2, 100, 32, 16), (3, 7_000, 440, 220), (5, 64, 64, 64)]
        {
            let shares = on_ranks(count, |ranks| {
                let share = Share::new(ranks, samples, unit);
                (share.own(), share.parts(part))
            });
            let mut next = (0, 0);
            for (rank, (own, parts)) in shares.iter().enumerate() {
                assert_eq!((own.start, parts.own().start), next);
                assert!(own.end == samples || own.end.is_multiple_of(unit));
                assert_eq!(own.end, samples.min(parts.own().end * part), "as many samples as parts");
                assert_eq!(shares[0].1.of(rank), parts.own(), "all know it");
                next = (own.end, parts.own().end);
            }
            assert_eq!(next, (samples, samples.div_ceil(part)));
        }
    }

    #[test]
    fn sums_are_the_same_for_any_number_of_ranks_whether_small_or_large() {
        for length in [3, 2 * SMALL + 1] {
            let sum = |ranks: &Ranks| {
                let share = Share::new(ranks, 1_000, 64);
                let (mut first, mut rest) = (vec![9.0; 2], vec![9.0; length]);
                let own = share.own().start;
                share.sum([&mut first, &mut rest], |samples, sums| {
                    for (kind, sum) in sums.into_iter().enumerate() {
                        let float = |s: usize, i: usize| ((own + s) * 7_919 + i * 31 + kind) as f32 / 3.0;
                        let of = |i| samples.clone().map(|s| float(s, i)).sum();
                        sum.iter_mut().enumerate().for_each(|(i, sum)| *sum = of(i));
                    }
                });
                (first, rest)
            };
            let alone = sum(&Ranks::alone());
            for count in 1..=6 {
                assert!(on_ranks(count, sum).iter().all(|sums| *sums == alone), "{count} ranks, {length} floats");
            }
        }
    }

    #[test]
    fn what_one_rank_says_all_hear_in_the_order_of_ranks() {
        let heard = on_ranks(3, |ranks| {
            let mine = vec![ranks.rank() as u8; ranks.rank()];
            let mut floats = vec![ranks.rank() as f32 + 5.0; 4];
            ranks.spread_from_first(&mut floats);
            (ranks.gather(mine), ranks.sum_of_counts([1, ranks.rank() as u64]), floats)
        });
        let expected = (vec![vec![], vec![1], vec![2, 2]], [3, 3], vec![5.0; 4]);
        assert!(heard.iter().all(|heard| *heard == expected));
        assert_eq!(Ranks::alone().gather(vec![7]), [[7]]);
    }

    #[test]
    fn all_ranks_stop_at_the_same_point() {
        let stopped_after = on_ranks(3, |ranks| {
            let joined = ranks.0.as_ref().unwrap();
            let stops = ranks.stops().unwrap();
            (1..10).find(|&step| {
                // Rank 1 is told to stop in the fourth step.
                joined.is_asked_to_stop.store(ranks.rank() == 1 && step >= 4, Ordering::Relaxed);
                ranks.gather_numbers(vec![0.0], |_| 1);
                stops.load(Ordering::Relaxed)
            })
        });
        assert_eq!(stopped_after, [Some(4); 3]);
        assert!(Ranks::alone().stops().is_none());
    }
}
