//! Ranks: the processes that train one network together, and what they tell each other.
//!
//! A batch is cut into parts by its shape alone. Each rank has some consecutive ones, its [`Share`], and computes them
//! as if it were alone; the sums of the parts are then added in the order of a tree ([`tree`]), so that the result is
//! the same bit for bit for any number of ranks. What carries the bytes is behind [`Transport`].
//!
//! All ranks make the same calls in the same order, as MPI's collectives ask.

#[cfg(feature = "mpi")]
pub mod mpi;
#[cfg(any(test, feature = "internals"))]
pub mod threads;
pub mod tree;

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A sum of fewer floats is gathered whole by every rank, in one message instead of two: 16 KiB take some ten
/// microseconds on a network of 10 Gbit/s, less than another message takes to arrive.
const SMALL: usize = 4096;

/// What carries bytes between ranks: the collective operations of MPI that training needs.
pub trait Transport: Send + Sync {
    /// This process's number among the ranks.
    fn rank(&self) -> usize;

    /// How many ranks there are.
    fn count(&self) -> usize;

    /// What each rank sends to all, of so many bytes.
    fn gather(&self, mine: &[u8], lengths: &[usize]) -> Vec<Vec<u8>>;

    /// Sends each rank its piece of `send`, of so many floats, and fills `receive` with what each rank sends to this
    /// one, of so many floats.
    fn exchange(&self, send: (&[f32], &[usize]), receive: (&mut [f32], &[usize]));

    /// Fills `all` with what each rank sends to all, of so many floats.
    fn spread(&self, mine: &[f32], all: (&mut [f32], &[usize]));
}

/// The processes that train together; one that is alone needs no transport.
#[derive(Clone, Default)]
pub struct Ranks(Option<Arc<Joined>>);

struct Joined {
    transport: Box<dyn Transport>,
    /// Whether this rank is to stop.
    is_asked_to_stop: Arc<AtomicBool>,
    /// Whether some rank was to stop when all last gathered.
    stops: Arc<AtomicBool>,
    /// Nanoseconds in the transport.
    waited: AtomicU64,
}

impl Ranks {
    /// A process by itself.
    pub fn alone() -> Self {
        Self::default()
    }

    /// The ranks that `transport` joins. One that is to stop sets `is_asked_to_stop`.
    pub fn new(transport: Box<dyn Transport>, is_asked_to_stop: Arc<AtomicBool>) -> Self {
        let (stops, waited) = (Arc::new(AtomicBool::new(false)), AtomicU64::new(0));
        Self(Some(Arc::new(Joined { transport, is_asked_to_stop, stops, waited })))
    }

    /// This process's number among the ranks.
    pub fn rank(&self) -> usize {
        self.0.as_ref().map_or(0, |joined| joined.transport.rank())
    }

    /// How many ranks there are.
    pub fn count(&self) -> usize {
        self.0.as_ref().map_or(1, |joined| joined.transport.count())
    }

    /// A flag that is set on all ranks at the same point of their work, once one of them is to stop; `None` where there
    /// is one rank, which need not ask.
    pub fn stops(&self) -> Option<Arc<AtomicBool>> {
        self.0.as_ref().map(|joined| Arc::clone(&joined.stops))
    }

    /// The time that this rank has spent in the transport, sending and waiting.
    pub fn waited(&self) -> Duration {
        Duration::from_nanos(self.0.as_ref().map_or(0, |joined| joined.waited.load(Ordering::Relaxed)))
    }

    /// What each rank sends to all, of any length.
    pub fn gather(&self, mine: Vec<u8>) -> Vec<Vec<u8>> {
        if self.0.is_none() {
            return vec![mine];
        }
        let lengths = self.gather_numbers(vec![mine.len() as f64], |_| 1);
        self.gather_known(mine, |rank| lengths[rank][0] as usize)
    }

    /// What each rank sends to all, of so many bytes.
    fn gather_known(&self, mut mine: Vec<u8>, length: impl Fn(usize) -> usize) -> Vec<Vec<u8>> {
        let Some(joined) = &self.0 else { return vec![mine] };
        mine.push(u8::from(joined.is_asked_to_stop.load(Ordering::Relaxed)));
        let lengths: Vec<usize> = (0..self.count()).map(|rank| length(rank) + 1).collect();
        let mut all = joined.timed(|transport| transport.gather(&mine, &lengths));
        let mut is_any = false;
        for bytes in &mut all {
            is_any |= bytes.pop() == Some(1);
        }
        if is_any {
            joined.stops.store(true, Ordering::Relaxed);
        }
        all
    }

    /// What each rank sends to all, of so many numbers.
    pub fn gather_numbers(&self, mine: Vec<f64>, length: impl Fn(usize) -> usize) -> Vec<Vec<f64>> {
        if self.0.is_none() {
            return vec![mine];
        }
        let number = |bytes: &[u8; 8]| f64::from_le_bytes(*bytes);
        let bytes = mine.iter().flat_map(|number| number.to_le_bytes()).collect();
        let all = self.gather_known(bytes, |rank| length(rank) * size_of::<f64>());
        all.iter().map(|bytes| bytes.as_chunks().0.iter().map(number).collect()).collect()
    }

    /// The sums of each rank's counts, which are below 2^53.
    pub fn sum_of_counts<const N: usize>(&self, counts: [u64; N]) -> [u64; N] {
        let mut sums = [0; N];
        for numbers in self.gather_numbers(counts.map(|count| count as f64).to_vec(), |_| N) {
            sums.iter_mut().zip(numbers).for_each(|(sum, count)| *sum += count as u64);
        }
        sums
    }

    /// Writes the sum of nodes of the tree over `parts` parts over `sum`: `nodes` are those of each rank that are there,
    /// and `own` are the floats of this rank's, as many as `sum` has.
    ///
    /// Each rank adds up a slice and sends the others its sums, so that what a rank sends and receives hardly grows with
    /// their number.
    pub fn add_up(&self, parts: usize, nodes: &[Vec<Range<usize>>], own: &[Vec<f32>], sum: &mut [f32]) {
        let (count, rank, length) = (self.count(), self.rank(), sum.len());
        let whole = 0..length;
        let Some(joined) = self.0.as_ref().filter(|_| nodes.iter().any(|nodes| !nodes.is_empty())) else {
            let own = nodes.iter().flatten().cloned().zip(own.iter().map(Vec::as_slice)).collect::<Vec<_>>();
            return tree::sum_of_nodes(parts, &own, sum);
        };
        if length < SMALL {
            let bytes = |rank: usize| nodes[rank].len() * size_of_val(sum);
            let all = self.gather_known(to_bytes(&own.concat()), bytes);
            let all: Vec<Vec<f32>> = all.iter().map(|bytes| floats_of(bytes).collect()).collect();
            return tree::sum_of_nodes(parts, &side_by_side(nodes, &all, whole.len()), sum);
        }
        let slice = |rank: usize| rank * length / count..(rank + 1) * length / count;
        let slices: Vec<usize> = (0..count).map(|rank| slice(rank).len()).collect();
        let send: Vec<f32> =
            (0..count).flat_map(|to| own.iter().flat_map(move |node| node[slice(to)].iter().copied())).collect();
        let send_counts: Vec<usize> = slices.iter().map(|slice| own.len() * slice).collect();
        let counts: Vec<usize> = nodes.iter().map(|nodes| nodes.len() * slices[rank]).collect();
        let mut received = vec![0.0; counts.iter().sum()];
        joined.timed(|transport| transport.exchange((&send, &send_counts), (&mut received, &counts)));
        let mut rest = &received[..];
        let of_ranks: Vec<&[f32]> = counts.iter().map(|&count| rest.split_off(..count).expect("counted")).collect();
        let mut mine = vec![0.0; slices[rank]];
        tree::sum_of_nodes(parts, &side_by_side(nodes, &of_ranks, slices[rank]), &mut mine);
        joined.timed(|transport| transport.spread(&mine, (sum, &slices)));
    }

    /// [`Ranks::add_up`] of floats that lie in pieces.
    pub fn add_up_pieces(
        &self,
        parts: usize,
        nodes: &[Vec<Range<usize>>],
        own: &[Vec<f32>],
        pieces: &mut [&mut [f32]],
    ) {
        let mut sum = vec![0.0; pieces.iter().map(|piece| piece.len()).sum()];
        self.add_up(parts, nodes, own, &mut sum);
        let mut rest = &sum[..];
        pieces.iter_mut().for_each(|piece| piece.copy_from_slice(rest.split_off(..piece.len()).expect("summed")));
    }
}

/// The nodes of all ranks with their floats, of which each rank's stand one behind the other, `length` for each node.
fn side_by_side<'a>(
    nodes: &'a [Vec<Range<usize>>],
    floats: &'a [impl AsRef<[f32]>],
    length: usize,
) -> Vec<(Range<usize>, &'a [f32])> {
    let of_rank =
        |(nodes, floats): (&'a [Range<usize>], &'a [f32])| nodes.iter().cloned().zip(floats.chunks_exact(length));
    nodes.iter().map(Vec::as_slice).zip(floats.iter().map(AsRef::as_ref)).flat_map(of_rank).collect()
}

impl Joined {
    /// What `call` makes of the transport; the time that it takes counts.
    fn timed<T>(&self, call: impl FnOnce(&dyn Transport) -> T) -> T {
        let start = Instant::now();
        let result = call(&*self.transport);
        let nanoseconds = u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.waited.fetch_add(nanoseconds, Ordering::Relaxed);
        result
    }
}

/// The samples of a batch that a rank works on.
#[derive(Clone)]
pub struct Share {
    ranks: Ranks,
    /// Samples of the whole batch.
    samples: usize,
    /// A share is so many samples, or a multiple of that; the last one ends with the batch.
    unit: usize,
}

impl Share {
    /// A share of a batch of `samples`, which is cut between every `unit` of them.
    pub fn new(ranks: &Ranks, samples: usize, unit: usize) -> Self {
        Self { ranks: ranks.clone(), samples, unit }
    }

    /// A batch of `samples` that is all this process's.
    pub fn whole(samples: usize) -> Self {
        Self::new(&Ranks::alone(), samples, samples.max(1))
    }

    /// The ranks that share the batch.
    pub fn ranks(&self) -> &Ranks {
        &self.ranks
    }

    /// Samples of the whole batch.
    pub fn of(&self) -> usize {
        self.samples
    }

    /// This rank's samples.
    pub fn own(&self) -> Range<usize> {
        let Range { start, end } = self.parts(self.unit).own();
        start * self.unit..self.samples.min(end * self.unit)
    }

    /// Writes `width` floats of each sample of the batch over `all`; `mine` are those of this rank's.
    pub fn gather(&self, mine: &[f32], width: usize, all: &mut Vec<f32>) {
        all.clear();
        if self.ranks.0.is_none() {
            return all.extend_from_slice(mine);
        }
        let units = self.parts(self.unit);
        let samples = |rank| {
            let Range { start, end } = units.of(rank);
            self.samples.min(end * self.unit) - self.samples.min(start * self.unit)
        };
        let gathered = self.ranks.gather_known(to_bytes(mine), |rank| samples(rank) * width * size_of::<f32>());
        gathered.iter().for_each(|bytes| all.extend(floats_of(bytes)));
    }

    /// The batch cut into parts of `part` samples each, of which a unit has whole ones.
    pub fn parts(&self, part: usize) -> Parts {
        debug_assert!(self.unit.is_multiple_of(part) || self.ranks.count() == 1, "a unit has whole parts");
        Parts {
            count: self.samples.div_ceil(part),
            of_unit: (self.unit / part).max(1),
            units: self.samples.div_ceil(self.unit),
            ranks: self.ranks.count(),
            rank: self.ranks.rank(),
        }
    }

    /// Writes the sum over the batch over `sums`: `write` writes what some of this rank's own samples, a part, have for
    /// each of the sums.
    pub fn sum<const N: usize>(&self, mut sums: [&mut [f32]; N], mut write: impl FnMut(Range<usize>, [&mut [f32]; N])) {
        let parts = self.parts(self.unit);
        let (own, first) = (parts.own(), self.own().start);
        let samples = |part: usize| part * self.unit - first..self.samples.min((part + 1) * self.unit) - first;
        if parts.count == 1 && self.ranks.count() == 1 {
            return write(samples(0), sums);
        }
        let length = sums.iter().map(|sum| sum.len()).sum();
        let of_part = |part| {
            let mut floats = vec![0.0; length];
            let mut rest = &mut floats[..];
            write(samples(part), sums.each_ref().map(|sum| rest.split_off_mut(..sum.len()).expect("room for each")));
            floats
        };
        let of_parts: Vec<Vec<f32>> = own.clone().map(of_part).collect();
        let of_node = |node: &Range<usize>| {
            let mut floats = vec![0.0; length];
            tree::sum(node.clone(), |part| Some(&of_parts[part - own.start]), &mut floats);
            floats
        };
        let nodes: Vec<_> = (0..self.ranks.count()).map(|rank| parts.nodes_of(rank)).collect();
        let own: Vec<Vec<f32>> = nodes[self.ranks.rank()].iter().map(of_node).collect();
        self.ranks.add_up_pieces(parts.count, &nodes, &own, &mut sums);
    }
}

/// The parts of a batch, and which of them are whose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parts {
    /// Parts of the whole batch.
    pub count: usize,
    /// Parts of a unit, between which the batch is cut among ranks.
    of_unit: usize,
    units: usize,
    ranks: usize,
    rank: usize,
}

impl Parts {
    /// The parts of rank `rank`.
    pub fn of(&self, rank: usize) -> Range<usize> {
        let bound = |rank: usize| match rank == self.ranks {
            true => self.count,
            false => self.units * rank / self.ranks * self.of_unit,
        };
        bound(rank)..bound(rank + 1)
    }

    /// This rank's parts.
    pub fn own(&self) -> Range<usize> {
        self.of(self.rank)
    }

    /// The nodes of the tree that this rank's parts are.
    pub fn nodes(&self) -> Vec<Range<usize>> {
        self.nodes_of(self.rank)
    }

    /// The nodes of the tree that the parts of rank `rank` are.
    pub fn nodes_of(&self, rank: usize) -> Vec<Range<usize>> {
        tree::nodes(self.count, &self.of(rank))
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
