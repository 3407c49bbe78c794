//! Products whose B is not packed: the micro-kernel reads it where it lies.
//!
//! Packing copies each element of B once. That pays where an element then takes part in hundreds of multiply-adds and
//! would otherwise come from far away. Where C is low, it costs more than it brings, and so it does where B lies in L2
//! as it is and C is narrow or has few hundred rows. The loops are
//!
//! ```text
//! loop 4  pc:   kc steps
//! loop 1  ir:     mr rows        of A, packed; rows that are left go in tiles of 8, 4, 2 and 1
//! loop 2  jr:       nr columns   a panel of B where it lies; the last, narrower one is packed
//! ```
//!
//! A single row of C is computed in all its columns at once, some steps of B at a time, so that B passes by in the
//! order in which it lies. For a C of up to 96 columns, packing A would take a tenth of the product's time or more: A
//! is then read where it lies, by tiles of fewer rows. In every case an element adds up its terms as it does where B is
//! packed, bit for bit.

use std::sync::Mutex;

use super::blocking::{cuts, is_never_split, steps_of_a_panel, tasks};
use super::caches::Caches;
use super::kernel::{micro_kernel, prefetch_row, scaled, write_tile};
use super::matrix::{Matrix, MatrixMut};
use super::pack::pack;
use super::{Scale, aligned, for_each_task, in_the_pool, of_this_thread};
use crate::simd::{Kernel, Simd};

/// Steps that a single row of C takes at a time: each of its vectors is loaded and stored once for so many
/// multiply-adds.
const STEPS_OF_A_ROW: usize = 4;

/// The most columns of C for which A is read where it lies: packing an element takes as long as its multiply-adds with
/// 8 to 16 columns, and tiles of fewer rows take a tenth longer.
const COLUMNS_IN_PLACE: usize = 96;

/// Rows of a tile that reads A where it lies, where the registers hold so many: each row keeps its address in a
/// register, and eight multiply-adds in flight keep two pipes busy that each take four cycles.
const ROWS_IN_PLACE: usize = 8;

/// Rows of C that take as long as a single one, whose time is that of reading B.
const ROWS_THAT_TAKE_AS_LONG: usize = 4;

/// The fewest rows of a wide C for which one thread packs B although it lies in L2, for each column of a panel. A panel
/// of B as it lies has no two rows in a line and few in a page, so that every tile asks the second-level TLB for
/// hundreds of pages; over so many rows of C that costs more than packing. The narrower the panels are, the more of
/// them there are to read.
const ROWS_FOR_EACH_COLUMN: usize = 8;

/// The same for several threads, which have to meet when they have packed B.
const SHARED_ROWS_FOR_EACH_COLUMN: usize = 16;

/// Whether B, k x n, is to be read where it lies, in tiles of `mr` x `nr`.
pub(super) fn suits(a: Matrix<'_>, b: Matrix<'_>, (mr, nr): (usize, usize), caches: Caches, threads: usize) -> bool {
    let (m, k, n) = (a.rows(), a.columns(), b.columns());
    let half_of_l2 = caches.l2 / 2 / size_of::<f32>();
    let rows_are_contiguous = a.column_stride() == 1 && b.column_stride() == 1 && b.row_stride() >= n;
    // Each element of B is read once or twice.
    let is_low = m <= 2 * mr;
    let many_rows = nr * if threads == 1 { ROWS_FOR_EACH_COLUMN } else { SHARED_ROWS_FOR_EACH_COLUMN };
    let is_near = k * n <= half_of_l2 && (m < many_rows || n <= nr);
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
    let (tasks, kc) = (tasks((m.max(ROWS_THAT_TAKE_AS_LONG), k, n), memory.len()), steps_of_a_panel(k, S::LANES));
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
    in_the_pool(tasks, || for_each_task(c, (0, 0), (MR, S::LANES), tasks, &work));
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
        // First in memory, where a cache line begins.
        let (last_panel, packed_a) = packed.split_at_mut(k * (n - whole).next_multiple_of(last_nr));
        pack_last::<S>(b.block(0..k, whole..n), is_narrow, last_panel);
        let in_place = n <= COLUMNS_IN_PLACE;
        let mut first = 0;
        while first < m {
            let most = if in_place { rows_in_place::<S, MR>(n) } else { MR };
            let rows = rows_of_tile(m - first, most);
            let a = a.block(first..first + rows, 0..k);
            let a = match in_place {
                true => Rows::InPlace(a),
                false => {
                    let packed_a = &mut packed_a[..rows * k];
                    pack(a, rows, packed_a);
                    Rows::Packed(packed_a)
                }
            };
            let mut c = c.block(first..first + rows, 0..n);
            for columns in cuts(whole, S::LANES) {
                let b = b.block(0..k, columns.clone());
                tile::<S, MR>(simd, a, b, scale, c.block(0..rows, columns));
            }
            if whole < n {
                let (b, c) = (Matrix::new(last_panel, k, last_nr), c.block(0..rows, whole..n));
                match is_narrow {
                    true => tile::<S::One, MR>(simd.one(), a, b, scale, c),
                    false => tile::<S, MR>(simd, a, b, scale, c),
                }
            }
            first += rows;
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

/// The rows of A for one tile.
#[derive(Clone, Copy)]
enum Rows<'a> {
    /// A micro-panel.
    Packed(&'a [f32]),
    /// Rows where they lie.
    InPlace(Matrix<'a>),
}

/// A tile of as many rows as `c` has, one of [`rows_of_tile`].
#[inline(always)]
fn tile<S: Simd, const MR: usize>(simd: S, a: Rows<'_>, b: Matrix<'_>, scale: Scale, c: MatrixMut<'_>) {
    match a {
        Rows::Packed(a) => match c.rows() {
            1 => simd.run(Tile::<1> { a, b, scale, c }),
            2 => simd.run(Tile::<2> { a, b, scale, c }),
            4 => simd.run(Tile::<4> { a, b, scale, c }),
            8 if MR > 8 => simd.run(Tile::<8> { a, b, scale, c }),
            _ => simd.run(Tile::<MR> { a, b, scale, c }),
        },
        Rows::InPlace(a) => match c.rows() {
            1 => simd.run(InPlace::<1> { a, b, scale, c }),
            2 => simd.run(InPlace::<2> { a, b, scale, c }),
            4 => simd.run(InPlace::<4> { a, b, scale, c }),
            ROWS_IN_PLACE if fits::<S>(ROWS_IN_PLACE) => simd.run(InPlace::<ROWS_IN_PLACE> { a, b, scale, c }),
            _ => simd.run(InPlace::<MR> { a, b, scale, c }),
        },
    }
}

/// The most rows of a tile that reads A in place, where C has `n` columns.
#[inline(always)]
fn rows_in_place<S: Simd, const MR: usize>(n: usize) -> usize {
    let eight_fit = if n <= S::One::LANES { fits::<S::One>(ROWS_IN_PLACE) } else { fits::<S>(ROWS_IN_PLACE) };
    if eight_fit { ROWS_IN_PLACE } else { MR }
}

/// Whether the registers hold a tile of so many rows, a row of B and a broadcast, with one to spare.
const fn fits<S: Simd>(rows: usize) -> bool {
    S::LANES / S::One::LANES * (rows + 1) + 1 < S::REGISTERS
}

/// The rows of the next tile where so many are left: the most, or the largest power of two below them that there are.
#[inline(always)]
fn rows_of_tile(left: usize, most: usize) -> usize {
    [most, 8, 4, 2].into_iter().find(|&rows| rows <= left && rows <= most).unwrap_or(1)
}

/// A tile of R rows: `a` is a micro-panel, k x R, `b` k x NR where it lies, and `c` R x at most NR.
struct Tile<'a, const R: usize> {
    a: &'a [f32],
    b: Matrix<'a>,
    scale: Scale,
    c: MatrixMut<'a>,
}

impl<const R: usize> Kernel for Tile<'_, R> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { a, b, scale, mut c } = self;
        let stride = b.row_stride();
        let tile = [simd.splat(0.0); R];
        let tile = micro_kernel::<S, R, R>(simd, a, b.from(0, 0).chunks(stride), stride, tile);
        if c.columns() == S::LANES {
            return write_tile(simd, &tile, scale, &mut c);
        }
        write_part(simd, &tile, scale, &mut c);
    }
}

/// A tile of R rows: `a` is R x k and `b` k x NR, both where they lie, and `c` R x at most NR.
struct InPlace<'a, const R: usize> {
    a: Matrix<'a>,
    b: Matrix<'a>,
    scale: Scale,
    c: MatrixMut<'a>,
}

impl<const R: usize> Kernel for InPlace<'_, R> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { a, b, scale, mut c } = self;
        let a: [&[f32]; R] = std::array::from_fn(|i| &a.from(i, 0)[..a.columns()]);
        let tile = multiply(simd, &a, b.from(0, 0), b.row_stride());
        if c.columns() == S::LANES {
            return write_tile(simd, &tile, scale, &mut c);
        }
        write_part(simd, &tile, scale, &mut c);
    }
}

/// The product of R rows of A, of one length, and as many rows of B, which lie `stride` apart.
#[inline(always)]
fn multiply<S: Simd, const R: usize>(simd: S, a: &[&[f32]; R], b: &[f32], stride: usize) -> [S::Vector; R] {
    let before_last = a[0].len() - 1;
    let mut tile = [simd.splat(0.0); R];
    // The last row may be shorter than the stride; all others are of one length, which is checked once.
    let (rows, last) = b.split_at(before_last * stride);
    for (step, b) in (0..before_last).zip(rows.chunks_exact(stride)) {
        prefetch_row(simd, b, stride);
        add_step(simd, &mut tile, a, step, b);
    }
    add_step(simd, &mut tile, a, before_last, last);
    tile
}

/// `tile += a[i][step] b` for each of R rows of A and a row of B.
#[inline(always)]
fn add_step<S: Simd, const R: usize>(simd: S, tile: &mut [S::Vector; R], a: &[&[f32]; R], step: usize, b: &[f32]) {
    let b = simd.load(b);
    for (sum, a) in tile.iter_mut().zip(a) {
        *sum = simd.mul_add(simd.splat(a[step]), b, *sum);
    }
}

/// Writes the first columns of a tile to `c`, which has as many rows and at most as many columns.
#[inline(always)]
fn write_part<S: Simd, const R: usize>(simd: S, tile: &[S::Vector; R], scale: Scale, c: &mut MatrixMut<'_>) {
    for (i, &product) in tile.iter().enumerate() {
        let c = c.row(i);
        let value = scaled(simd, scale, product, || simd.load_partial(c));
        simd.store_partial(c, value);
    }
}

/// `c = alpha a B + beta c` for one row; `sums` is memory for its sums.
#[inline(always)]
fn single_row<S: Simd>(simd: S, a: &[f32], b: Matrix<'_>, scale: Scale, c: &mut [f32], sums: &mut [f32]) {
    let n = c.len();
    sums.fill(0.0);
    let (groups, rest) = a.as_chunks::<STEPS_OF_A_ROW>();
    for (group, a) in groups.iter().enumerate() {
        let rows = std::array::from_fn(|i| &b.from(group * STEPS_OF_A_ROW + i, 0)[..n]);
        add_rows::<S, STEPS_OF_A_ROW>(simd, a, rows, sums);
    }
    for (step, &a) in (groups.len() * STEPS_OF_A_ROW..).zip(rest) {
        add_rows::<S, 1>(simd, &[a], [&b.from(step, 0)[..n]], sums);
    }
    for (c, sums) in c.chunks_mut(S::LANES).zip(sums.chunks_exact(S::LANES)) {
        let value = scaled(simd, scale, simd.load(sums), || simd.load_partial(c));
        simd.store_partial(c, value);
    }
}

/// `sums += a[i] rows[i]` for each i; `sums` is as long as the rows, rounded up to whole vectors.
#[inline(always)]
fn add_rows<S: Simd, const N: usize>(simd: S, a: &[f32; N], rows: [&[f32]; N], sums: &mut [f32]) {
    let n = rows[0].len();
    let mut factors = [simd.splat(0.0); N];
    for (factor, &a) in factors.iter_mut().zip(a) {
        *factor = simd.splat(a);
    }
    let whole = n - n % S::LANES;
    for at in (0..whole).step_by(S::LANES) {
        let mut sum = simd.load(&sums[at..]);
        for (factor, row) in factors.iter().zip(&rows) {
            sum = simd.mul_add(*factor, simd.load(&row[at..]), sum);
        }
        simd.store(&mut sums[at..], sum);
    }
    if whole < n {
        let mut sum = simd.load(&sums[whole..]);
        for (factor, row) in factors.iter().zip(&rows) {
            sum = simd.mul_add(*factor, simd.load_partial(&row[whole..]), sum);
        }
        simd.store(&mut sums[whole..], sum);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CACHES: Caches = Caches { l2: 1 << 20, l3: 32 << 20 };

    #[test]
    fn where_c_is_low_or_b_is_near_b_is_not_packed() {
        let floats = vec![0.0; 3_000_000];
        let suits_threads = |m, k, n, threads| {
            let (a, b) = (Matrix::strided(&floats, m, k, 1, 1), Matrix::new(&floats, k, n));
            suits(a, b, (14, 32), CACHES, threads)
        };
        let suits = |m, k, n| suits_threads(m, k, n, 2);
        assert!(suits(1, 784, 500) && suits(28, 784, 500) && suits(9_000, 500, 10) && suits(28, 5_000, 500));
        assert!(suits(256, 256, 256) && suits(362, 362, 362) && !suits(363, 363, 363), "512 KB of B");
        assert!(suits(511, 256, 256) && !suits(512, 256, 256) && suits(512, 256, 32), "rows that share B");
        assert!(suits_threads(255, 256, 256, 1) && !suits_threads(256, 256, 256, 1), "no thread to meet");
        assert!(!suits(0, 784, 500) && !suits(1, 784, 0), "there is nothing to compute");
        assert!(!suits(29, 784, 500) && !suits(1, 8_192, 10), "another form is split there");
    }

    #[test]
    fn operands_whose_rows_are_not_contiguous_are_packed() {
        let floats = vec![0.0; 1_000];
        let (natural, other) = (Matrix::new(&floats, 8, 8), Matrix::new(&floats, 8, 8).transposed());
        let suits = |a, b| suits(a, b, (6, 16), CACHES, 2);
        assert!(suits(natural, natural) && !suits(other, natural) && !suits(natural, other));
        assert!(!suits(natural, Matrix::strided(&floats, 8, 8, 0, 1)), "rows that overlap");
    }

    #[test]
    fn rows_go_in_the_largest_tiles_that_they_fill() {
        let tiles = |mut left: usize, most| {
            let mut tiles = Vec::new();
            while left > 0 {
                tiles.push(rows_of_tile(left, most));
                left -= rows_of_tile(left, most);
            }
            tiles
        };
        assert_eq!(tiles(41, 14), [14, 14, 8, 4, 1]);
        assert_eq!(tiles(9, 6), [6, 2, 1]);
        assert_eq!(tiles(7, 4), [4, 2, 1]);
    }
}
