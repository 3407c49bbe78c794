//! Products whose B is not packed: the micro-kernel reads it where it lies.
//!
//! Packing copies each element of B once. That pays where an element then takes part in hundreds of multiply-adds and
//! would otherwise come from far away. Where C is low, it costs more than it brings, and so it does where B lies in L2
//! as it is and C is narrow or has a few hundred rows. The loops are
//!
//! ```text
//! loop 4  pc:   kc steps
//! loop 1  ir:     mr rows        of A, packed into L1; rows that are left go in tiles of 8, 4, 2 and 1
//! loop 2  jr:       nr columns   a panel of B where it lies; the last, narrower one is packed
//! ```
//!
//! A single row of C is computed in all its columns at once, some steps of B at a time, so that B passes by in the
//! order in which it lies. For a C as narrow as a vector, packing A would take as long as the product: A is then read
//! where it lies. In every case an element adds up its terms as it does where B is packed, bit for bit.

use std::sync::Mutex;

use super::blocking::{cuts, is_never_split, steps_of_a_panel, tasks};
use super::caches::Caches;
use super::kernel::{micro_kernel, scaled, write_tile};
use super::matrix::{Matrix, MatrixMut};
use super::pack::pack;
use super::{Scale, aligned, for_each_task, in_the_pool, of_this_thread};
use crate::simd::{Kernel, Simd};

/// Steps that a single row of C takes at a time: each of its vectors is loaded and stored once for so many
/// multiply-adds.
const STEPS_OF_A_ROW: usize = 4;

/// Rows of a tile that is one vector wide: eight multiply-adds in flight keep two pipes busy that each take four
/// cycles, and each row of A keeps its address in a register.
const ROWS_OF_A_NARROW_TILE: usize = 8;

/// The same where so many accumulators would take all registers.
const ROWS_WITH_FEW_REGISTERS: usize = 4;

/// Rows of C that take as long as a single one, whose time is that of reading B.
const ROWS_THAT_TAKE_AS_LONG: usize = 4;

/// The fewest rows of a wide C for which B is packed although it lies in L2. A panel of B as it lies has no two
/// rows in a line and few in a page, so that every tile asks the second-level TLB for hundreds of pages; over so many
/// rows of C that costs more than the meeting of the threads that pack B together.
const SHARED_ROWS: usize = 512;

/// Whether B, k x n, is to be read where it lies, in tiles of `mr` x `nr`.
pub(super) fn suits(a: Matrix<'_>, b: Matrix<'_>, (mr, nr): (usize, usize), caches: Caches) -> bool {
    let (m, k, n) = (a.rows(), a.columns(), b.columns());
    let half_of_l2 = caches.l2 / 2 / size_of::<f32>();
    let rows_are_contiguous = a.column_stride() == 1 && b.column_stride() == 1 && b.row_stride() >= n;
    // Each element of B is read once or twice.
    let is_low = m <= 2 * mr;
    let is_near = k * n <= half_of_l2 && (m < SHARED_ROWS || n <= nr);
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
        if n <= S::One::LANES {
            return narrow(simd.one(), a, b, scale, c, &mut packed[..k * S::One::LANES]);
        }
        let (packed_a, last_panel) = packed.split_at_mut(k * MR);
        let whole = n - n % S::LANES;
        // A narrow last panel takes vectors of one register.
        let is_narrow = n - whole <= S::One::LANES;
        let last_nr = if is_narrow { S::One::LANES } else { S::LANES };
        let last_panel = &mut last_panel[..k * (n - whole).next_multiple_of(last_nr)];
        pack_last::<S>(b.block(0..k, whole..n), is_narrow, last_panel);
        let mut first = 0;
        while first < m {
            let rows = rows_of_tile::<MR>(m - first);
            let packed_a = &mut packed_a[..rows * k];
            pack(a.block(first..first + rows, 0..k), rows, packed_a);
            let mut c = c.block(first..first + rows, 0..n);
            for columns in cuts(whole, S::LANES) {
                let b = b.block(0..k, columns.clone());
                tile::<S, MR>(simd, packed_a, b, scale, c.block(0..rows, columns));
            }
            if whole < n {
                let (b, c) = (Matrix::new(last_panel, k, last_nr), c.block(0..rows, whole..n));
                match is_narrow {
                    true => tile::<S::One, MR>(simd.one(), packed_a, b, scale, c),
                    false => tile::<S, MR>(simd, packed_a, b, scale, c),
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

/// A tile of as many rows as `c` has, one of [`rows_of_tile`].
#[inline(always)]
fn tile<S: Simd, const MR: usize>(simd: S, a: &[f32], b: Matrix<'_>, scale: Scale, c: MatrixMut<'_>) {
    match c.rows() {
        1 => simd.run(Tile::<1> { a, b, scale, c }),
        2 => simd.run(Tile::<2> { a, b, scale, c }),
        4 => simd.run(Tile::<4> { a, b, scale, c }),
        8 if MR > 8 => simd.run(Tile::<8> { a, b, scale, c }),
        _ => simd.run(Tile::<MR> { a, b, scale, c }),
    }
}

/// The rows of the next tile where so many are left: MR, or the largest power of two below it that there are.
#[inline(always)]
fn rows_of_tile<const MR: usize>(left: usize) -> usize {
    [MR, 8, 4, 2].into_iter().find(|&rows| rows <= left && rows <= MR).unwrap_or(1)
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

/// Writes the first columns of a tile to `c`, which has as many rows and at most as many columns.
#[inline(always)]
fn write_part<S: Simd, const R: usize>(simd: S, tile: &[S::Vector; R], scale: Scale, c: &mut MatrixMut<'_>) {
    for (i, &product) in tile.iter().enumerate() {
        let c = c.row(i);
        let value = scaled(simd, scale, product, || simd.load_partial(c));
        simd.store_partial(c, value);
    }
}

/// `c = alpha A B + beta c` for at most a vector of columns; `packed` is memory for `b`, which is packed once for all
/// rows.
#[inline(always)]
fn narrow<S: Simd>(simd: S, a: Matrix<'_>, b: Matrix<'_>, scale: Scale, mut c: MatrixMut<'_>, packed: &mut [f32]) {
    let (m, n) = (c.rows(), c.columns());
    pack(b.transposed(), S::LANES, packed);
    let mut first = 0;
    while first < m {
        let rows = match S::REGISTERS > ROWS_OF_A_NARROW_TILE {
            true => rows_of_tile::<ROWS_OF_A_NARROW_TILE>(m - first),
            false => rows_of_tile::<ROWS_WITH_FEW_REGISTERS>(m - first),
        };
        let (a, c) = (a.block(first..first + rows, 0..a.columns()), c.block(first..first + rows, 0..n));
        let b = &*packed;
        match rows {
            1 => simd.run(Narrow::<1> { a, b, scale, c }),
            2 => simd.run(Narrow::<2> { a, b, scale, c }),
            4 => simd.run(Narrow::<4> { a, b, scale, c }),
            _ => simd.run(Narrow::<ROWS_OF_A_NARROW_TILE> { a, b, scale, c }),
        }
        first += rows;
    }
}

/// A tile of R rows and at most a vector of columns: `a` is R x k where it lies, `b` a micro-panel, k x NR.
struct Narrow<'a, const R: usize> {
    a: Matrix<'a>,
    b: &'a [f32],
    scale: Scale,
    c: MatrixMut<'a>,
}

impl<const R: usize> Kernel for Narrow<'_, R> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { a, b, scale, mut c } = self;
        let k = a.columns();
        let rows: [&[f32]; R] = std::array::from_fn(|i| &a.from(i, 0)[..k]);
        let mut tile = [simd.splat(0.0); R];
        for (step, b) in b.chunks_exact(S::LANES).enumerate().take(k) {
            let b = simd.load(b);
            for (sum, row) in tile.iter_mut().zip(&rows) {
                *sum = simd.mul_add(simd.splat(row[step]), b, *sum);
            }
        }
        write_part(simd, &tile, scale, &mut c);
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
        let suits = |m, k, n| {
            let (a, b) = (Matrix::strided(&floats, m, k, 1, 1), Matrix::new(&floats, k, n));
            suits(a, b, (14, 32), CACHES)
        };
        assert!(suits(1, 784, 500) && suits(28, 784, 500) && suits(9_000, 500, 10) && suits(28, 5_000, 500));
        assert!(suits(256, 256, 256) && suits(362, 362, 362) && !suits(363, 363, 363), "512 KB of B");
        assert!(suits(511, 256, 256) && !suits(512, 256, 256) && suits(512, 256, 32), "rows that share B");
        assert!(!suits(0, 784, 500) && !suits(1, 784, 0), "there is nothing to compute");
        assert!(!suits(29, 784, 500) && !suits(1, 8_192, 10), "another form is split there");
    }

    #[test]
    fn operands_whose_rows_are_not_contiguous_are_packed() {
        let floats = vec![0.0; 1_000];
        let (natural, other) = (Matrix::new(&floats, 8, 8), Matrix::new(&floats, 8, 8).transposed());
        assert!(suits(natural, natural, (6, 16), CACHES));
        assert!(!suits(other, natural, (6, 16), CACHES) && !suits(natural, other, (6, 16), CACHES));
        assert!(!suits(natural, Matrix::strided(&floats, 8, 8, 0, 1), (6, 16), CACHES), "rows that overlap");
    }

    #[test]
    fn rows_go_in_the_largest_tiles_that_they_fill() {
        let tiles = |mut left: usize, rows: fn(usize) -> usize| {
            let mut tiles = Vec::new();
            while left > 0 {
                tiles.push(rows(left));
                left -= rows(left);
            }
            tiles
        };
        assert_eq!(tiles(41, rows_of_tile::<14>), [14, 14, 8, 4, 1]);
        assert_eq!(tiles(9, rows_of_tile::<6>), [6, 2, 1]);
        assert_eq!(tiles(7, rows_of_tile::<4>), [4, 2, 1]);
    }
}
