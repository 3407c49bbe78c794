//! Products of dense matrices: cache-blocked SGEMM, `C = alpha A B + beta C` in f32.
//!
//! A is m x k, B is k x n and C is m x n; a *step* is one of the k terms of an element's sum. The loops are those of
//! BLIS (Van Zee and van de Geijn, "BLIS: a framework for rapidly instantiating BLAS functionality", 2015), numbered as
//! there, with a loop around them:
//!
//! ```text
//! loop 6  the splits of a long k         each has a sum of its own; the sums are added afterwards (split_k.rs)
//! loop 5  jc: nc columns of B and C
//! loop 4a pb:   kb steps                 B, kb x nc, is packed into L3 by all threads (this file)
//!               C, m x nc, is halved into blocks, one task each (this file)
//! loop 3  ic:     mc rows of a block     (block.rs)
//! loop 4b pc:       kc steps             A, mc x kc, is packed into L2 (block.rs)
//! loop 2  jr:         nr columns         a micro-panel of B (kernel.rs)
//! loop 1  ir:           mr rows          a micro-panel of A, streamed from L2; the micro-kernel multiplies the two
//! ```
//!
//! Where C is low, or where B lies in L2 as it is and C is narrow or has at most some hundreds of rows, B is not
//! packed, and where C has few columns neither is A (direct.rs).
//!
//! Loop 4 is cut in two so that the threads meet once for kb steps and not for every kc, while a block of C stays in L2
//! from one kc to the next. In a split-k product each thread takes whole splits, and the threads meet only where the
//! sums of two splits are added.
//!
//! An element of C is a sum over splits of sums over blocks of kc steps, added in their order. The splits depend on m,
//! n and k alone, and kc on k, on whether there are several splits, and on the width of a micro-panel, which the
//! instruction set fixes. So results on one instruction set are bit-identical on any number of threads, for any cut of
//! C into tasks, and whether B is packed or not.
//!
//! This module relies on `crate::simd` for the vectors, and on caches.rs for the sizes that the blocks are cut for.

mod block;
mod blocking;
mod caches;
mod direct;
mod kernel;
mod matrix;
mod pack;
mod prefetch;
mod split_k;
#[cfg(feature = "cli")]
mod stages;
mod tile;

use std::sync::{Mutex, MutexGuard, PoisonError};

use rayon::prelude::*;

use crate::isa::Isa;
use crate::simd::{LINE, Simd, first_line};
use block::{Block, PackB};
use blocking::{Blocking, PackedB, cuts};
use caches::Caches;
pub use matrix::{Matrix, MatrixMut};
use split_k::Splits;
#[cfg(feature = "cli")]
pub(crate) use stages::pack_only_b;
use tile::{Tiled, run_tiled};

/// The most columns of B that a thread packs at a time: 2 KB of each row are long enough for the hardware prefetcher.
const PACK_COLUMNS: usize = 512;

/// The factors of a product.
#[derive(Clone, Copy, Debug)]
struct Scale {
    alpha: f32,
    beta: f32,
}

impl Scale {
    /// The factors for steps from `start` on: C is scaled by `beta` once, before the first step.
    fn at_step(self, start: usize) -> Self {
        if start == 0 { self } else { Self { beta: 1.0, ..self } }
    }
}

/// Memory for packed operands: it grows to what the largest product needs, and later products use it again without an
/// allocation.
#[derive(Debug, Default)]
pub struct Workspace {
    /// The packed B of each split, at most kb x nc.
    b: Vec<Vec<f32>>,
    /// The sums of all splits but the first, m x n.
    sums: Vec<Vec<f32>>,
    /// What each thread packs for itself: A, mc x kc, or what direct.rs packs. Never contended, because a thread works
    /// on one task at a time.
    a: Vec<Mutex<Vec<f32>>>,
}

impl Workspace {
    /// An empty workspace.
    pub fn new() -> Self {
        Self::default()
    }

    /// Floats that it holds now.
    pub fn capacity(&self) -> usize {
        let shared = self.b.iter().chain(&self.sums).map(Vec::capacity);
        let own = |a: &Mutex<Vec<f32>>| a.lock().unwrap_or_else(PoisonError::into_inner).capacity();
        shared.chain(self.a.iter().map(own)).sum()
    }
}

/// `c = a b` with memory of its own: [`sgemm`] for a single product.
///
/// # Panics
///
/// As [`sgemm`].
///
/// # Examples
///
/// ```
/// use ffwd::gemm::{self, Matrix, MatrixMut};
/// use ffwd::isa::Isa;
///
/// let a = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
/// let b = [1.0, 0.0, 0.0, 1.0, 1.0, 1.0];
/// let mut c = [0.0; 4];
/// gemm::product(Isa::best(), Matrix::new(&a, 2, 3), Matrix::new(&b, 3, 2), MatrixMut::new(&mut c, 2, 2));
/// assert_eq!(c, [4.0, 5.0, 10.0, 11.0]);
/// ```
pub fn product(isa: Isa, a: Matrix<'_>, b: Matrix<'_>, c: MatrixMut<'_>) {
    sgemm(isa, 1.0, a, b, 0.0, c, &mut Workspace::new());
}

/// `c = alpha a b + beta c` on all threads of the current rayon pool: `a` is m x k, `b` is k x n and `c` is m x n.
/// Where `beta` is 0, `c` is not read and may hold anything, NaN included. The product is computed even where `alpha`
/// is 0.
///
/// A transposed operand is a [`Matrix::transposed`] view. An operand whose elements are contiguous along either of its
/// dimensions is packed at full speed, an operand with other strides one element at a time.
///
/// # Panics
///
/// The shapes do not fit each other.
///
/// # Examples
///
/// ```
/// use ffwd::gemm::{Matrix, MatrixMut, Workspace, sgemm};
/// use ffwd::isa::Isa;
///
/// // C = 2 A^T B + C / 2, where A lies in memory as 3 x 2.
/// let a = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
/// let b = [1.0, 1.0, 1.0];
/// let mut c = [100.0, 200.0];
/// let workspace = &mut Workspace::new();
/// let (transposed, b) = (Matrix::new(&a, 3, 2).transposed(), Matrix::new(&b, 3, 1));
/// sgemm(Isa::best(), 2.0, transposed, b, 0.5, MatrixMut::new(&mut c, 2, 1), workspace);
/// assert_eq!(c, [68.0, 124.0]);
/// ```
pub fn sgemm(
    isa: Isa,
    alpha: f32,
    a: Matrix<'_>,
    b: Matrix<'_>,
    beta: f32,
    c: MatrixMut<'_>,
    workspace: &mut Workspace,
) {
    assert_eq!((a.rows(), b.columns()), (c.rows(), c.columns()), "m and n of A and B are those of C");
    assert_eq!(a.columns(), b.rows(), "k of A is that of B");
    run_tiled(isa, Sgemm { scale: Scale { alpha, beta }, a, b, c, workspace });
}

/// [`sgemm`] on the tiles of an instruction set.
struct Sgemm<'a> {
    scale: Scale,
    a: Matrix<'a>,
    b: Matrix<'a>,
    c: MatrixMut<'a>,
    workspace: &'a mut Workspace,
}

impl Tiled for Sgemm<'_> {
    fn run<S: Simd, const MR: usize>(self, simd: S) {
        let Self { scale, a, b, c, workspace } = self;
        let (m, k, n) = (a.rows(), a.columns(), b.columns());
        if k == 0 {
            return scale_rows(scale.beta, c);
        }
        let caches = Caches::detected();
        if direct::suits(a, b, (MR, S::LANES), caches, rayon::current_num_threads()) {
            return direct::sgemm::<S, MR>(simd, scale, a, b, c, workspace.of_threads());
        }
        let blocking = Blocking::new((m, k, n), (MR, S::LANES), caches);
        let (product, splits) = workspace.lend::<S, MR>(simd, blocking, (m, n));
        let tasks = blocking.tasks((m, k, n), product.packed_a.len());
        in_the_pool(tasks, || product.add_splits(scale, a, b, c, splits));
    }
}

/// Runs `work` on a thread of the pool where it is cut into several `tasks`, so that a caller outside the pool hands it
/// over once and not for every part; nobody is woken for a single task.
fn in_the_pool(tasks: usize, work: impl FnOnce() + Send) {
    if tasks > 1 { rayon::scope(|_| work()) } else { work() }
}

impl Workspace {
    /// What all splits of a product of m x n share, and the memory that each of them has for itself.
    fn lend<S: Simd, const MR: usize>(
        &mut self,
        simd: S,
        blocking: Blocking,
        (m, n): (usize, usize),
    ) -> (Product<'_, S, MR>, Splits<'_>) {
        let threads = self.of_threads().len();
        let splits = Splits::new(&mut self.b, &mut self.sums, blocking.splits, m * n);
        (Product { simd, blocking, packed_a: &self.a[..threads] }, splits)
    }

    /// The memory of each thread of the pool.
    fn of_threads(&mut self) -> &[Mutex<Vec<f32>>] {
        let threads = rayon::current_num_threads();
        if self.a.len() < threads {
            self.a.resize_with(threads, Mutex::default);
        }
        &self.a[..threads]
    }
}

/// The calling thread's part of the memory of all threads.
fn of_this_thread(memory: &[Mutex<Vec<f32>>]) -> MutexGuard<'_, Vec<f32>> {
    let thread = rayon::current_thread_index().unwrap_or(0) % memory.len();
    memory[thread].lock().unwrap_or_else(PoisonError::into_inner)
}

/// How a product is computed, the same for all its splits.
struct Product<'a, S, const MR: usize> {
    simd: S,
    blocking: Blocking,
    /// Memory of each thread for mc x kc floats.
    packed_a: &'a [Mutex<Vec<f32>>],
}

impl<S: Simd, const MR: usize> Product<'_, S, MR> {
    /// `c = alpha a b + beta c` for one split: loops 5 and 4a. `packed_b` is memory for kb x nc floats.
    fn add_blocks(&self, scale: Scale, a: Matrix<'_>, b: Matrix<'_>, mut c: MatrixMut<'_>, packed_b: &mut Vec<f32>) {
        let Self { simd, blocking, packed_a } = *self;
        let Blocking { mc, kc, kb, nc, .. } = blocking;
        let (m, k, n) = (a.rows(), a.columns(), b.columns());
        // Loop 5, jc: columns of B and C.
        for columns in cuts(n, nc) {
            // Loop 4a, pb: steps of the reduction, packed into L3.
            for steps in cuts(k, kb) {
                let scale = scale.at_step(steps.start);
                let (a, b) = (a.block(0..m, steps.clone()), b.block(steps.clone(), columns.clone()));
                let width = columns.len().next_multiple_of(S::LANES);
                let packed_b = aligned(packed_b, steps.len() * width);
                pack_b(simd, b, kc, if blocking.splits > 1 { 1 } else { packed_a.len() }, packed_b);
                let packed_b = PackedB { data: packed_b, steps: steps.len(), kc, width };
                let c = c.block(0..m, columns.clone());
                let tasks = match blocking.is_one_task(packed_a.len()) {
                    true => 1,
                    false => blocking.tasks((m, steps.len(), columns.len()), packed_a.len()),
                };
                for_each_task(c, (0, 0), (MR, S::LANES), tasks, &|c, i, j| {
                    let packed_a = &mut *of_this_thread(packed_a);
                    let packed_a = aligned(packed_a, mc * kc);
                    let a = a.block(i..i + c.rows(), 0..a.columns());
                    simd.run(Block::<MR> { a, b: packed_b, j, scale, c, mc, packed_a });
                });
            }
        }
    }
}

/// `c = beta c`: what a product without steps comes to.
fn scale_rows(beta: f32, mut c: MatrixMut<'_>) {
    for i in 0..c.rows() {
        let row = c.row(i);
        if beta == 0.0 { row.fill(0.0) } else { row.iter_mut().for_each(|c| *c *= beta) }
    }
}

/// Packs `b` into blocks of `kc` steps, each in micro-panels of NR columns, in pieces for so many `threads`.
fn pack_b<S: Simd>(simd: S, b: Matrix<'_>, kc: usize, threads: usize, packed: &mut [f32]) {
    let (k, n) = (b.rows(), b.columns());
    let pieces_of_a_block = n.div_ceil(PACK_COLUMNS).max(threads.div_ceil(k.div_ceil(kc)));
    let group = n.div_ceil(S::LANES).div_ceil(pieces_of_a_block) * S::LANES;
    packed.par_chunks_mut(kc * n.next_multiple_of(S::LANES)).zip(cuts(k, kc).collect::<Vec<_>>()).for_each(
        |(packed, steps)| {
            packed.par_chunks_mut(steps.len() * group).enumerate().for_each(|(index, to)| {
                let columns = index * group..n.min((index + 1) * group);
                simd.run(PackB { from: b.block(steps.clone(), columns), to });
            });
        },
    );
}

/// Cuts `c` into up to `tasks` blocks of about one size, whose rows and columns are multiples of `unit` except for the
/// last, and gives them to `work` in parallel, each with the row and the column at which it begins; `c` itself begins
/// at `(i, j)`. Any `work`, so that the cutting is compiled once.
fn for_each_task(
    c: MatrixMut<'_>,
    (i, j): (usize, usize),
    unit: (usize, usize),
    tasks: usize,
    work: &(dyn Fn(MatrixMut<'_>, usize, usize) + Sync),
) {
    let (first, rest) = (tasks / 2, tasks - tasks / 2);
    // Of three tasks, one takes a third: halves would leave one thread with as much as the two others.
    let share = |size: usize, unit: usize| size.div_ceil(unit) * first / tasks * unit;
    let (rows, columns) = (share(c.rows(), unit.0), share(c.columns(), unit.1));
    if tasks > 1 && rows >= blocking::TASK_ROWS {
        let (top, bottom) = c.split_rows(rows);
        rayon::join(
            || for_each_task(top, (i, j), unit, first, work),
            || for_each_task(bottom, (i + rows, j), unit, rest, work),
        );
    } else if tasks > 1 && columns >= blocking::TASK_COLUMNS {
        let (left, right) = c.split_columns(columns);
        rayon::join(
            || for_each_task(left, (i, j), unit, first, work),
            || for_each_task(right, (i, j + columns), unit, rest, work),
        );
    } else {
        work(c, i, j);
    }
}

/// The first `length` floats of `buffer` from the boundary of a cache line on, so that no vector of a micro-panel of B
/// straddles two lines. A buffer that is too short grows.
fn aligned(buffer: &mut Vec<f32>, length: usize) -> &mut [f32] {
    let padded = length + LINE;
    if buffer.len() < padded {
        buffer.resize(padded, 0.0);
    }
    let start = first_line(buffer);
    &mut buffer[start..][..length]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_are_of_one_size_whatever_their_number() {
        for (m, n, tasks, expected) in
            [(120, 8, 1, 1), (120, 8, 2, 2), (120, 8, 3, 3), (282, 8, 7, 7), (2, 1_200, 3, 3)]
        {
            let mut c = vec![0.0; m * n];
            let sizes = Mutex::new(Vec::new());
            let work = |mut c: MatrixMut<'_>, _: usize, _: usize| {
                sizes.lock().unwrap().push(c.rows() * c.columns());
                (0..c.rows()).for_each(|i| c.row(i).iter_mut().for_each(|c| *c += 1.0));
            };
            for_each_task(MatrixMut::new(&mut c, m, n), (0, 0), (4, 8), tasks, &work);
            let sizes = sizes.into_inner().unwrap();
            let (least, most) = (sizes.iter().min().unwrap(), sizes.iter().max().unwrap());
            assert!(sizes.len() == expected && most - least <= 4 * 8 + 8, "{m} x {n} for {tasks}: {sizes:?}");
            assert!(c.iter().all(|&c| c == 1.0), "every element is in one task");
        }
    }
}
