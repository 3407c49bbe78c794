//! How a product is cut into slices and blocks: mc, kc and nc from the sizes of the caches, and packed B as it is cut.

use std::ops::Range;

use super::caches::Caches;

/// The most steps of a micro-panel: loading and storing a tile is then less than 1% of its multiply-adds, and a micro-panel of
/// 16 columns of B, 32 KB, fits L1; one of 32 columns streams from L2 at 5 to 10 bytes a cycle, of at least 32.
const KC: usize = 512;

/// Tasks for each thread, in blocks of C: two let a thread that finishes early take over work, while blocks stay large.
const TASKS_PER_THREAD: usize = 2;

/// Multiply-adds worth a task: some 5 us at 50 G/s, about what waking a thread takes.
const TASK_MULTIPLY_ADDS: usize = 1 << 18;

/// The fewest rows of a task: 32 do 16 operations for each byte of packed B that is read from L3, or 16 GB/s at 256 GFLOP/s.
pub(super) const TASK_ROWS: usize = 32;

/// The fewest columns of a task: each packs the same part of A again, about 1 operation for each of its elements against 128
/// multiply-adds.
pub(super) const TASK_COLUMNS: usize = 128;

/// Blocks of mc rows in the longest task: enough to fetch nearly all packed A ahead, and few enough that the last tasks to
/// finish are short.
const TASK_BLOCKS: usize = 8;

/// The fewest steps of a slice: adding its sum to another's is then less than 1 for each 8,192 operations, from a level of cache
/// at least as near as C's own.
const SLICE_STEPS: usize = 4_096;

/// The most slices, whose sums take memory: 16 leave each of 8 threads two, so that they end together.
const MAX_SLICES: usize = 16;

/// The largest C of a product in slices: 4 MB, the L2 or share of L3 of a core. A larger one is long work between two meetings of
/// threads, whatever its steps.
pub(super) const SLICE_SIZE: usize = 1 << 20;

/// The slices and blocks of one product.
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
    /// Slices of the reduction.
    pub slices: usize,
}

impl Blocking {
    /// For a product of m x n with k > 0 steps, by a micro-kernel of mr x nr.
    pub fn new((m, k, n): (usize, usize, usize), (mr, nr): (usize, usize), caches: Caches) -> Self {
        let floats = |bytes: usize| bytes / size_of::<f32>();
        let kc = even_part(k, KC);
        // Packed A takes half of L2; the micro-panel of B, tiles of C and A fetched ahead share the other half.
        let mc = even_part(m.div_ceil(mr), floats(caches.l2 / 2) / kc / mr) * mr;
        let in_slices = (1..=SLICE_SIZE).contains(&(m * n));
        let slices = if in_slices { (k / SLICE_STEPS).clamp(1, MAX_SLICES) } else { 1 };
        // Packed B takes twice L2, so that what the threads packed is still close when their tasks read it, and at most a quarter of
        // L3, through the rest of which A and C pass; it has as many columns as one kc leaves room for.
        let b = floats((caches.l3 / 4).min(caches.l2 * 2));
        let nc = even_part(n.div_ceil(nr), b / kc / nr) * nr;
        // One thread packs and reads the B of its slice, and meets nobody: the shorter, the closer.
        let kb = if slices > 1 { kc } else { (b / nc / kc).max(1) * kc };
        Self { mc, kc, kb, nc, slices }
    }

    /// Into how many tasks a part of the product, m x n with k steps, is cut.
    pub fn tasks(&self, (m, k, n): (usize, usize, usize), threads: usize) -> usize {
        let worthwhile = m * k * n / TASK_MULTIPLY_ADDS;
        worthwhile.clamp(1, threads * TASKS_PER_THREAD).max(m / (self.mc * TASK_BLOCKS))
    }
}

/// The size of a part where `length` is cut into the fewest parts of at most `limit`, all of them as equal as they can be.
fn even_part(length: usize, limit: usize) -> usize {
    let parts = length.div_ceil(limit.max(1)).max(1);
    length.div_ceil(parts).max(1)
}

/// Cuts `0..length` into consecutive parts of `size`; the last may be shorter.
pub(super) fn cuts(length: usize, size: usize) -> impl Iterator<Item = Range<usize>> + Clone {
    (0..length).step_by(size).map(move |start| start..length.min(start + size))
}

/// Packed B: blocks of kc steps (the last may have fewer), each `width` columns in micro-panels.
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
        let lengths = [1, 13, 500, 784, 2048, 60_000, 1 << 20];
        for (mr, nr) in [(14, 32), (6, 16), (4, 8)] {
            for (m, k, n) in lengths.iter().flat_map(|&m| lengths.map(|k| lengths.map(|n| (m, k, n)))).flatten() {
                let Blocking { mc, kc, kb, nc, slices } = Blocking::new((m, k, n), (mr, nr), CACHES);
                assert!(mc % mr == 0 && nc % nr == 0 && kb % kc == 0 && mc * kc * kb * nc > 0);
                assert!(mc < m + mr && kc <= k && nc < n + nr);
                assert!(kc <= KC && mc * kc * 4 <= CACHES.l2 / 2);
                assert!(kb * nc * 4 <= CACHES.l2 * 2);
                assert!(slices == 1 || m * n * (slices - 1) * 4 <= 60 << 20 && k / kc >= slices);
            }
        }
    }

    #[test]
    fn only_a_long_reduction_to_a_small_c_is_sliced() {
        let slices = |m, k, n| Blocking::new((m, k, n), (14, 32), CACHES).slices;
        assert_eq!([slices(500, 120_000, 500), slices(784, 60_000, 500), slices(15, 12_289, 17)], [16, 14, 3]);
        assert_eq!([slices(500, 8_191, 500), slices(1_025, 60_000, 1_024), slices(0, 60_000, 5)], [1; 3]);
    }

    #[test]
    fn parts_are_as_equal_as_they_can_be() {
        assert_eq!([even_part(784, 500), even_part(500, 500), even_part(501, 500)], [392, 500, 251]);
        assert_eq!([even_part(0, 500), even_part(7, 0)], [1, 1]);
    }

    #[test]
    fn tasks_are_worth_a_thread_and_none_is_too_long() {
        let blocking = Blocking { mc: 140, kc: 392, kb: 3920, nc: 512, slices: 1 };
        assert_eq!(blocking.tasks((10, 10, 10), 16), 1);
        assert_eq!(blocking.tasks((784, 3920, 500), 16), 32);
        assert_eq!(blocking.tasks((60_000, 784, 500), 2), 53);
    }
}
