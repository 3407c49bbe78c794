//! How a product is split and cut into blocks, whose sizes mc, kc and nc follow from those of the caches, and the view
//! of B packed in such blocks.

use std::ops::Range;

use super::caches::Caches;
use crate::simd::LINE;

/// The most steps of a micro-panel, except of those below: one of 16 columns then has 32 KB, the L1 of most cores.
const KC: usize = 512;

/// The most steps of a micro-panel that is wider than a line, where the reduction is not split. 32 columns do not fit
/// L1 at 512 steps nor at 256, so they stream from L2 either way, at 5 to 10 of the at least 32 bytes a cycle that it
/// delivers; with twice the steps C, which comes from L3, is read and written half as often. In a split [`KC`] holds: a
/// thread packs B for itself there, and less of it has to stay in L2. No size of a cache enters, because the bits of a
/// result would then depend on the machine.
const KC_OF_WIDE_PANELS: usize = 1024;

/// Tasks for each thread, each a block of C: with two, a thread that finishes early can take over work, while the
/// blocks stay large.
const TASKS_PER_THREAD: usize = 2;

/// The fewest multiply-adds that are worth a task where the calling thread is one of the pool's: at 50 to 200 G/s they
/// take 3 to 10 us, and a thread that has just worked takes a task in less than one.
const TASK_MULTIPLY_ADDS: usize = 1 << 19;

/// The same where the caller is outside the pool: handing the product over and waiting for it costs two wake-ups of
/// some 10 us.
const TASK_MULTIPLY_ADDS_FROM_OUTSIDE: usize = 1 << 21;

/// The fewest rows of a task: 32 rows do 16 operations for each byte of packed B that is read from L3, which is 16 GB/s
/// at 256 GFLOP/s.
pub(super) const TASK_ROWS: usize = 32;

/// The fewest columns of a task: tasks side by side pack the same part of A again, which takes about as long as one
/// operation for each of its elements, against 128 multiply-adds.
pub(super) const TASK_COLUMNS: usize = 128;

/// Blocks of mc rows in the longest task: they are enough for nearly all of A to be prefetched, and few enough that the
/// last tasks to finish are short.
const TASK_BLOCKS: usize = 8;

/// The fewest steps of a split. Adding its sum to another is then less than one operation for each 8,192, on operands
/// in a level of cache at least as near as that of C.
const SPLIT_STEPS: usize = 4_096;

/// The most splits, because their sums take memory: 16 give each of 8 threads two, so that the threads end together.
const MAX_SPLITS: usize = 16;

/// The fewest splits of each thread with which a split is one task. Its blocks are larger then, and the next block of A
/// is prefetched more often, which brings 2%; but a thread that is late has whole splits left, and nobody helps it with
/// the last. Measured with 7 and 8. As there are at most [`MAX_SPLITS`], only two threads ever have so many, and a
/// thread alone.
const SPLITS_OF_A_THREAD: usize = 7;

/// The most elements of C in a product that is split: 4 MB, the L2 of a core or its share of L3. A larger C is enough
/// work between two meetings of the threads, however few the steps.
pub(super) const SPLIT_SIZE: usize = 1 << 20;

/// The number of splits and the sizes of the blocks of one product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Blocking {
    /// Rows of packed A, a multiple of mr.
    pub mc: usize,
    /// Steps of packed A and of a micro-panel.
    pub kc: usize,
    /// Steps of packed B, a multiple of kc.
    pub kb: usize,
    /// Columns of packed B, a multiple of nr.
    pub nc: usize,
    /// Splits of k.
    pub splits: usize,
}

impl Blocking {
    /// The blocking of a product of m x n with k > 0 steps, by a micro-kernel of mr x nr.
    pub fn new((m, k, n): (usize, usize, usize), (mr, nr): (usize, usize), caches: Caches) -> Self {
        let floats = |bytes: usize| bytes / size_of::<f32>();
        let may_split = (1..=SPLIT_SIZE).contains(&(m * n));
        let splits = if may_split { (k / SPLIT_STEPS).clamp(1, MAX_SPLITS) } else { 1 };
        let kc = steps_of_a_panel(k, nr, splits > 1);
        // Packed A takes a quarter of L2. Micro-panels of B and tiles of C pass through the rest, in which the
        // prefetched part of the next block of A has to stay until it is packed.
        let mc = even_part(m.div_ceil(mr), floats(caches.l2 / 4) / kc / mr) * mr;
        // Packed B takes twice L2, so that what the threads have packed is still close when their tasks read it, and at
        // most a quarter of L3, because A and C pass through the rest. It has as many columns as leave room for one kc;
        // with kc above KC the limit is twice as high, so that nc, and with it how often A is packed, stays the same.
        let b = floats((caches.l3 / 4).min(caches.l2 * 2 * kc.div_ceil(KC)));
        let nc = even_part(n.div_ceil(nr), b / kc / nr) * nr;
        // A thread that has a split packs and reads B alone and need not wait for others, so the least kb keeps B
        // closest.
        let kb = if splits > 1 { kc } else { (b / nc / kc).max(1) * kc };
        Self { mc, kc, kb, nc, splits }
    }

    /// The number of tasks into which a part of the product, m x n with k steps, is cut.
    pub fn tasks(&self, (m, k, n): (usize, usize, usize), threads: usize) -> usize {
        tasks((m, k, n), threads).max(m / (self.mc * TASK_BLOCKS))
    }

    /// Whether a thread packs and multiplies alone: it is the only one, or all of several threads have equally many
    /// splits, and enough of them.
    pub fn is_one_task(&self, threads: usize) -> bool {
        let have_enough = self.splits >= threads * SPLITS_OF_A_THREAD;
        threads == 1 || (have_enough && self.splits.is_multiple_of(threads))
    }
}

/// Steps of a micro-panel of `nr` columns where the reduction has `k`, and is split or not: the terms of an element are
/// added up in blocks of so many, whether B is packed or not.
pub(super) fn steps_of_a_panel(k: usize, nr: usize, is_split: bool) -> usize {
    even_part(k, if nr > LINE && !is_split { KC_OF_WIDE_PANELS } else { KC })
}

/// Whether a reduction of `k` steps is one split whatever the shape of C.
pub(super) fn is_never_split(k: usize) -> bool {
    k < 2 * SPLIT_STEPS
}

/// The number of tasks that are worth their threads in a product of m x n with k steps.
pub(super) fn tasks((m, k, n): (usize, usize, usize), threads: usize) -> usize {
    let least = match rayon::current_thread_index() {
        Some(_) => TASK_MULTIPLY_ADDS,
        None => TASK_MULTIPLY_ADDS_FROM_OUTSIDE,
    };
    (m * k * n / least).clamp(1, threads * TASKS_PER_THREAD)
}

/// The size of a part where `length` is cut into the fewest parts of at most `limit`, which are as equal as they can
/// be.
fn even_part(length: usize, limit: usize) -> usize {
    let parts = length.div_ceil(limit.max(1)).max(1);
    length.div_ceil(parts).max(1)
}

/// Cuts `0..length` into consecutive parts of `size`; the last may be shorter.
pub(super) fn cuts(length: usize, size: usize) -> impl Iterator<Item = Range<usize>> + Clone {
    (0..length).step_by(size).map(move |start| start..length.min(start + size))
}

/// Packed B: blocks of kc steps (the last may have fewer), each of which holds `width` columns in micro-panels.
#[derive(Clone, Copy, Debug)]
pub(super) struct PackedB<'a> {
    /// `steps` x `width`.
    pub data: &'a [f32],
    pub steps: usize,
    pub kc: usize,
    /// A multiple of nr.
    pub width: usize,
}

impl<'a> PackedB<'a> {
    /// The micro-panels of `columns`, whose ends are multiples of nr, in the block of `steps`.
    #[inline(always)]
    pub fn block(&self, steps: Range<usize>, columns: Range<usize>) -> &'a [f32] {
        let block = &self.data[steps.start * self.width..][..steps.len() * self.width];
        &block[columns.start * steps.len()..columns.end * steps.len()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CACHES: Caches = Caches { l2: 1 << 20, l3: 32 << 20 };

    #[test]
    fn blocks_fit_the_caches_they_are_cut_for() {
        // L2 and L3 of desktops and servers from Skylake and Zen 2 on, the latter as the share of a guest.
        let caches = [(256 << 10, 8 << 20), (512 << 10, 16 << 20), (1 << 20, 32 << 20), (2 << 20, 260 << 20)];
        let lengths = [1, 13, 500, 784, 2048, 60_000, 1 << 20];
        let shapes = || lengths.iter().flat_map(|&m| lengths.map(|k| lengths.map(|n| (m, k, n)))).flatten();
        for (caches, tile) in caches.iter().flat_map(|&caches| [(14, 32), (6, 16), (4, 8)].map(|tile| (caches, tile))) {
            let (caches, (mr, nr)) = (Caches { l2: caches.0, l3: caches.1 }, tile);
            for (m, k, n) in shapes() {
                let Blocking { mc, kc, kb, nc, splits } = Blocking::new((m, k, n), (mr, nr), caches);
                assert!(mc % mr == 0 && nc % nr == 0 && kb % kc == 0 && mc * kc * kb * nc > 0);
                assert!(mc < m + mr && kc <= k && nc < n + nr);
                let longest = if nr == 32 && splits == 1 { 1024 } else { 512 };
                assert!(kc <= longest && mc * kc * 4 <= caches.l2 / 4);
                assert!(kb * nc * 4 <= (caches.l2 * if kc > 512 { 4 } else { 2 }).min(caches.l3 / 4));
                assert!(splits == 1 || m * n * (splits - 1) * 4 <= 60 << 20 && k / kc >= splits);
            }
        }
    }

    #[test]
    fn wide_micro_panels_are_longer_except_in_splits() {
        let steps = |k, nr| Blocking::new((500, k, 500), (14, nr), CACHES).kc;
        assert_eq!([1_024, 1_025, 8_191, 8_192].map(|k| steps(k, 32)), [1_024, 513, 1_024, 512]);
        assert_eq!([1_024, 1_025, 8_191, 8_192].map(|k| steps(k, 16)), [512, 342, 512, 512]);
        assert_eq!(Blocking::new((4_096, 8_192, 4_096), (14, 32), CACHES).kc, 1_024, "C is too large to be split");
    }

    #[test]
    fn only_a_long_reduction_to_a_small_c_is_split() {
        let splits = |m, k, n| Blocking::new((m, k, n), (14, 32), CACHES).splits;
        assert_eq!([splits(500, 120_000, 500), splits(784, 60_000, 500), splits(15, 12_289, 17)], [16, 14, 3]);
        assert_eq!([splits(500, 8_191, 500), splits(1_025, 60_000, 1_024), splits(0, 60_000, 5)], [1; 3]);
    }

    #[test]
    fn a_split_is_one_task_where_all_threads_have_many_and_equally_many() {
        let is_one_task =
            |splits, threads| Blocking { mc: 140, kc: 512, kb: 512, nc: 512, splits }.is_one_task(threads);
        assert!(is_one_task(1, 1) && is_one_task(16, 1) && is_one_task(16, 2) && is_one_task(14, 2));
        assert!(!is_one_task(1, 2) && !is_one_task(5, 2) && !is_one_task(15, 2) && !is_one_task(16, 4));
    }

    #[test]
    fn parts_are_as_equal_as_they_can_be() {
        assert_eq!([even_part(784, 500), even_part(500, 500), even_part(501, 500)], [392, 500, 251]);
        assert_eq!([even_part(0, 500), even_part(7, 0)], [1, 1]);
    }

    #[test]
    fn tasks_are_worth_a_thread_and_none_is_too_long() {
        let blocking = Blocking { mc: 140, kc: 392, kb: 3920, nc: 512, splits: 1 };
        assert_eq!(blocking.tasks((10, 10, 10), 16), 1);
        let of_small = || blocking.tasks((128, 128, 128), 2);
        let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
        assert_eq!((of_small(), pool.install(of_small)), (1, 4), "from outside the pool and from inside");
        assert_eq!(blocking.tasks((784, 3920, 500), 16), 32);
        assert_eq!(blocking.tasks((60_000, 784, 500), 2), 53);
    }
}
