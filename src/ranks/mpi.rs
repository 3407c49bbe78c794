//! Ranks that MPI joins: the processes that `mpirun` has started, on one machine or on many.
//!
//! Relies on an MPI that is installed, through the crate `mpi`. A call that fails ends all ranks, as MPI's error
//! handler does where nothing else is said.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use mpi::Threading;
use mpi::collective::CommunicatorCollectives;
use mpi::datatype::{Partition, PartitionMut};
use mpi::environment::Universe;
use mpi::request::{self, Request, Scope};
use mpi::topology::{Communicator, SimpleCommunicator};

use super::Transport;

/// How long an operation is waited for without a pause, as long as nobody else wants the core: a few times as long as a
/// message takes from machine to machine.
const SPIN: Duration = Duration::from_micros(200);

/// The pause, to which the system adds some 50 us: a thousandth of a step on a large batch.
const PAUSE: Duration = Duration::from_micros(20);

/// MPI, from its beginning to its end: it has to be dropped last, by the thread that began it.
pub struct Session {
    universe: Universe,
}

impl Session {
    /// Begins MPI, and gives what joins all processes that were started together; `None` where MPI has been begun
    /// before, or cannot be called from one thread after another.
    pub fn begin() -> Option<(Self, Box<dyn Transport>)> {
        let (universe, threading) = mpi::initialize_with_threading(Threading::Serialized)?;
        if threading < Threading::Serialized {
            return None;
        }
        let world = universe.world();
        let (rank, count) = (world.rank() as usize, world.size() as usize);
        Some((Self { universe }, Box::new(Mpi { world: Mutex::new(World(world)), rank, count })))
    }

    /// Ends all ranks at once, with an exit code. This one does not come back, whatever another of its threads is doing
    /// in MPI.
    pub fn abort(&self, code: u8) -> ! {
        self.universe.world().abort(i32::from(code))
    }
}

/// The handle of all processes.
struct World(SimpleCommunicator);

// SAFETY: MPI has been told that different threads will call it, one at a time (`Threading::Serialized`). There is one
// transport, with a lock around the handle; the thread that began MPI calls it again to end it, when the transport's
// calls are over or the process is.
unsafe impl Send for World {}

struct Mpi {
    world: Mutex<World>,
    rank: usize,
    count: usize,
}

impl Mpi {
    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How many elements each rank has, and where they begin, as MPI counts.
///
/// # Panics
///
/// There are 2^31 or more.
fn places(counts: &[usize]) -> (Vec<i32>, Vec<i32>) {
    let count = |count: usize| i32::try_from(count).expect("MPI counts below 2^31 elements");
    let mut next = 0;
    let first = counts.iter().map(|&of_rank| {
        let first = next;
        next += of_rank;
        count(first)
    });
    let first = first.collect();
    (counts.iter().map(|&of_rank| count(of_rank)).collect(), first)
}

impl Transport for Mpi {
    fn rank(&self) -> usize {
        self.rank
    }

    fn count(&self) -> usize {
        self.count
    }

    fn gather(&self, mine: &[u8], lengths: &[usize]) -> Vec<Vec<u8>> {
        let (counts, first) = places(lengths);
        let mut all = vec![0; lengths.iter().sum()];
        let mut into = PartitionMut::new(&mut all[..], counts, first);
        let world = &self.world().0;
        request::scope(|scope| wait(world.immediate_all_gather_varcount_into(scope, mine, &mut into)));
        let mut rest = &all[..];
        lengths.iter().map(|&length| rest.split_off(..length).expect("all were gathered").to_vec()).collect()
    }

    fn exchange(&self, (send, counts): (&[f32], &[usize]), (receive, from): (&mut [f32], &[usize])) {
        let ((counts, first), (from, first_from)) = (places(counts), places(from));
        let send = Partition::new(send, counts, first);
        let mut into = PartitionMut::new(receive, from, first_from);
        let world = &self.world().0;
        request::scope(|scope| wait(world.immediate_all_to_all_varcount_into(scope, &send, &mut into)));
    }

    fn spread(&self, mine: &[f32], (all, counts): (&mut [f32], &[usize])) {
        let (counts, first) = places(counts);
        let mut into = PartitionMut::new(all, counts, first);
        let world = &self.world().0;
        request::scope(|scope| wait(world.immediate_all_gather_varcount_into(scope, mine, &mut into)));
    }
}

/// Waits for an operation. An answer that is near is worth a core; where others compute longer, the core is left to
/// those who compute here.
fn wait<'a, D: ?Sized, S: Scope<'a>>(mut request: Request<'a, D, S>) {
    let start = Instant::now();
    while let Err(still) = request.test() {
        request = still;
        if start.elapsed() > SPIN {
            std::thread::sleep(PAUSE);
        } else {
            std::thread::yield_now();
        }
    }
}

impl Drop for Session {
    /// The end of MPI waits for all ranks; one that panics would wait for ever for those that wait for it.
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.abort(101);
        }
    }
}
