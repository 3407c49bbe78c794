//! Products whose B is not packed: the micro-kernel reads it where it lies.
//!
//! Packing copies each element of B once. That pays where an element then takes part in hundreds of multiply-adds and
//! would otherwise come from far away. Where C is low, it costs more than it brings, and so it does where B lies in L2
//! as it is and C is narrow or has at most some hundreds of rows. The loops are
//!
//! ```text
//! loop 4  pc:   kc steps
//! loop 1  ir:     mr rows        of A, packed, or up to 8 where they lie; the last go in tiles of 8, 4, 2 and 1
//! loop 2  jr:       nr columns   a panel of B where it lies; the last, narrower one is packed
//! ```
//!
//! Where C has few columns ([`COLUMNS_IN_PLACE`]), packing A would take a tenth of the product's time or more: A is
//! then read where it lies. A single row of C is computed in all its columns at once (single_row.rs), so that B passes
//! by in the order in which it lies. In every case an element adds up its terms as it does where B is packed, bit for
//! bit.

mod single_row;
mod tiles;

use std::sync::Mutex;

use super::blocking::{cuts, is_never_split, steps_of_a_panel, tasks};
use super::caches::Caches;
use super::matrix::{Matrix, MatrixMut};
use super::pack::pack;
use super::{Scale, aligned, for_each_task, in_the_pool, of_this_thread};
use crate::simd::{Kernel, Simd};
use single_row::single_row;
use tiles::{InPlace, Packed, Rows, add_tile, rows_in_place, rows_of_tile};

/// The most columns of C for which A is read where it lies, and for which B is not packed however many rows C has.
/// Packing an element of A takes as long as its multiply-adds with 8 to 16 columns, which at 96 columns is a tenth of
/// all; the smaller tiles that read A in place take as much longer.
const COLUMNS_IN_PLACE: usize = 96;

/// Rows of C that take as long as a single one, whose time is that of reading B.
const ROWS_THAT_TAKE_AS_LONG: usize = 4;

/// Rows of C, for each column of a micro-panel, from which a thread packs B although it lies in L2: 256 rows with
/// AVX-512, 128 with AVX2. A panel of B as it lies has no two rows in a line and few in a page, so that every tile asks
/// the second-level TLB for hundreds of pages; over so many rows of C that costs more than packing. Narrower panels are
/// more panels, each of which touches all pages of B again.
const ROWS_FOR_EACH_COLUMN: usize = 8;

/// The same for several threads, which have to meet when they have packed B.
const SHARED_ROWS_FOR_EACH_COLUMN: usize = 16;

/// A product is short where each thread has fewer multiply-adds, which take it a fifth of a millisecond with AVX-512.
/// Then each has one task, and the tasks have as many rows as each other and not whole tiles. They end within some
/// microseconds, before a thread that waits for the next product falls asleep: on a virtual machine it takes 100 us to
/// wake.
const SHORT: usize = 1 << 24;

/// Rows of which there is a whole number in each short task, but for the last.
const UNIT_OF_SHORT_TASKS: usize = 4;

/// Whether B, k x n, is to be read where it lies, in tiles of `mr` x `nr`.
pub(super) fn suits(a: Matrix<'_>, b: Matrix<'_>, (mr, nr): (usize, usize), caches: Caches, threads: usize) -> bool {
    let (m, k, n) = (a.rows(), a.columns(), b.columns());
    let half_of_l2 = caches.l2 / 2 / size_of::<f32>();
    let rows_are_contiguous = a.column_stride() == 1 && b.column_stride() == 1 && b.row_stride() >= n;
    // Each panel of B is read a few times, and all but the first time from a cache.
    let is_low = m <= 2 * mr;
    let many_rows = nr * if threads == 1 { ROWS_FOR_EACH_COLUMN } else { SHARED_ROWS_FOR_EACH_COLUMN };
    let is_near = k * n <= half_of_l2 && (m < many_rows || n <= COLUMNS_IN_PLACE);
    m > 0 && n > 0 && is_never_split(k) && rows_are_contiguous && (is_low || is_near)
}

/// `c = alpha a b + beta c` where [`suits`] says so; `memory` is that of each thread.
pub(super) fn sgemm<S: Simd, const MR: usize>(
    simd: S,
    scale: Scale,
    a: Matrix<'_>,
    b: Matrix<'_>,
    c: MatrixMut<'_>,
    memory: &[Mutex<Vec<f32>>],
) {
    let (m, k, n) = (a.rows(), a.columns(), b.columns());
    let (threads, kc) = (memory.len(), steps_of_a_panel(k, S::LANES, false));
    let tasks = tasks((m.max(ROWS_THAT_TAKE_AS_LONG), k, n), threads);
    let (tasks, unit) = match m * k * n / threads < SHORT {
        true => (tasks.min(threads), UNIT_OF_SHORT_TASKS),
        false => (tasks, MR),
    };
    let length = if m == 1 { n.next_multiple_of(S::LANES) } else { kc * (MR + S::LANES) };
    let work = |mut c: MatrixMut<'_>, i, j| {
        let memory = &mut *of_this_thread(memory);
        let packed = aligned(memory, length);
        for steps in cuts(k, kc) {
            let scale = scale.at_step(steps.start);
            let (a, b) = (a.block(i..i + c.rows(), steps.clone()), b.block(steps, j..j + c.columns()));
            let c = c.block(0..a.rows(), 0..b.columns());
            simd.run(Direct::<MR> { a, b, scale, c, packed });
        }
    };
    in_the_pool(tasks, || for_each_task(c, (0, 0), (unit, S::LANES), tasks, &work));
}

/// `c = alpha A B + beta c` for one block of C and kc steps.
struct Direct<'a, const MR: usize> {
    /// The block's rows x kc.
    a: Matrix<'a>,
    /// kc x the block's columns.
    b: Matrix<'a>,
    scale: Scale,
    c: MatrixMut<'a>,
    /// Memory for kc x (MR + NR) floats; for a single row, of as many as it has, rounded up to NR.
    packed: &'a mut [f32],
}

impl<const MR: usize> Kernel for Direct<'_, MR> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { a, b, scale, mut c, packed } = self;
        let (m, k, n) = (a.rows(), a.columns(), b.columns());
        // Tasks have more rows than one, so that this is the whole product whatever the number of threads.
        if m == 1 {
            return single_row(simd, &a.from(0, 0)[..k], b, scale, c.row(0), packed);
        }
        let whole = n - n % S::LANES;
        // A narrow last panel takes vectors of one register.
        let is_narrow = n - whole <= S::One::LANES;
        let last_nr = if is_narrow { S::One::LANES } else { S::LANES };
        // The panel comes first, because the memory begins at a cache line.
        let (last_panel, packed_a) = packed.split_at_mut(k * (n - whole).next_multiple_of(last_nr));
        pack_last::<S>(b.block(0..k, whole..n), is_narrow, last_panel);
        let last = Matrix::new(last_panel, if whole < n { k } else { 0 }, last_nr);
        let panels = Panels { in_place: b, whole, last, is_narrow };
        let in_place = n <= COLUMNS_IN_PLACE;
        let most = match (in_place, whole == 0 && is_narrow) {
            (true, true) => rows_in_place::<S::One, MR>(),
            (true, false) => rows_in_place::<S, MR>(),
            (false, _) => MR,
        };
        let mut first = 0;
        while first < m {
            let rows = rows_of_tile(m - first, most);
            let (a, c) = (a.block(first..first + rows, 0..k), c.block(first..first + rows, 0..n));
            if in_place {
                add_tiles::<S, MR>(simd, InPlace(a), &panels, scale, c);
            } else {
                let packed_a = &mut packed_a[..rows * k];
                pack(a, rows, packed_a);
                add_tiles::<S, MR>(simd, Packed(packed_a), &panels, scale, c);
            }
            first += rows;
        }
    }
}

/// B in panels of NR columns.
struct Panels<'a> {
    /// k x n; its whole panels are read here.
    in_place: Matrix<'a>,
    /// The columns of the whole panels.
    whole: usize,
    /// The last panel where columns are missing in it, packed: k x NR of the vectors that it takes.
    last: Matrix<'a>,
    /// Whether the last panel takes vectors of one register.
    is_narrow: bool,
}

/// `c = alpha A B + beta c` for the rows of one tile and all panels of B.
#[inline(always)]
fn add_tiles<S: Simd, const MR: usize>(simd: S, a: impl Rows, panels: &Panels<'_>, scale: Scale, mut c: MatrixMut<'_>) {
    let Panels { in_place, whole, last, is_narrow } = *panels;
    let (rows, k, n) = (c.rows(), in_place.rows(), c.columns());
    for columns in cuts(whole, S::LANES) {
        let b = in_place.block(0..k, columns.clone());
        add_tile::<S, MR>(simd, a, b, scale, c.block(0..rows, columns));
    }
    if whole < n {
        let c = c.block(0..rows, whole..n);
        match is_narrow {
            true => add_tile::<S::One, MR>(simd.one(), a, last, scale, c),
            false => add_tile::<S, MR>(simd, a, last, scale, c),
        }
    }
}

/// Packs the last panel of B, in which some columns are missing, as wide as vectors of one register or of all.
#[inline(always)]
fn pack_last<S: Simd>(panel: Matrix<'_>, is_narrow: bool, to: &mut [f32]) {
    // Each width is a constant to the function that packs.
    match is_narrow {
        true => pack(panel.transposed(), S::One::LANES, to),
        false => pack(panel.transposed(), S::LANES, to),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CACHES: Caches = Caches { l2: 1 << 20, l3: 32 << 20 };

    #[test]
    fn where_c_is_low_or_b_is_near_b_is_not_packed() {
        let floats = vec![0.0; 3_000_000];
        let suits = |m, k, n, tile, threads| {
            let (a, b) = (Matrix::strided(&floats, m, k, 1, 1), Matrix::new(&floats, k, n));
            suits(a, b, tile, CACHES, threads)
        };
        let on_two = |m, k, n| suits(m, k, n, (14, 32), 2);
        assert!(on_two(1, 784, 500) && on_two(28, 784, 500) && on_two(28, 5_000, 500) && !on_two(29, 784, 500), "low");
        assert!(on_two(256, 256, 256) && on_two(362, 362, 362) && !on_two(363, 363, 363), "512 KB of B");
        assert!(on_two(9_000, 500, 96) && !on_two(9_000, 500, 97), "few columns");
        assert!(!on_two(0, 784, 500) && !on_two(1, 784, 0), "there is nothing to compute");
        assert!(!on_two(1, 8_192, 10), "another form is split there");
        for (tile, alone) in [((14, 32), 256), ((6, 16), 128), ((4, 8), 64)] {
            let limits = [(1, alone), (2, 2 * alone), (16, 2 * alone)];
            for (threads, rows) in limits {
                let suits = |m| suits(m, 256, 256, tile, threads);
                assert!(suits(rows - 1) && !suits(rows), "{rows} rows on {threads} threads, tile {tile:?}");
            }
        }
    }

    #[test]
    fn operands_whose_rows_are_not_contiguous_are_packed() {
        let floats = vec![0.0; 1_000];
        let (natural, other) = (Matrix::new(&floats, 8, 8), Matrix::new(&floats, 8, 8).transposed());
        let suits = |a, b| suits(a, b, (6, 16), CACHES, 2);
        assert!(suits(natural, natural) && !suits(other, natural) && !suits(natural, other));
        assert!(!suits(natural, Matrix::strided(&floats, 8, 8, 0, 1)), "rows that overlap");
    }
}
