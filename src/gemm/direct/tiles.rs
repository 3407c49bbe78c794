//! Tiles of C whose B is read where it lies, and whose rows of A are packed or lie where they are.

use super::super::Scale;
use super::super::kernel::{micro_kernel, prefetch_row, scaled, write_tile};
use super::super::matrix::{Matrix, MatrixMut};
use crate::simd::{Kernel, Simd};

/// Rows of a tile that reads A where it lies, if the vector registers hold it. Each row's address takes one of 16
/// general registers, so that 14 rows are too many, and with fewer than eight multiply-adds in flight two pipes of four
/// cycles would wait.
const ROWS_IN_PLACE: usize = 8;

/// The rows of A for one tile.
pub(super) trait Rows: Copy {
    /// The product of R rows of A and a panel of B, k x NR where it lies.
    fn multiply<S: Simd, const R: usize>(self, simd: S, b: Matrix<'_>) -> [S::Vector; R];
}

/// A micro-panel of as many lanes as the tile has rows.
#[derive(Clone, Copy)]
pub(super) struct Packed<'a>(pub &'a [f32]);

/// Rows where they lie.
#[derive(Clone, Copy)]
pub(super) struct InPlace<'a>(pub Matrix<'a>);

/// `c = alpha A B + beta c` for as many rows as `c` has, one of [`rows_of_tile`]; `b` is k x NR where it lies, and `c`
/// has at most NR columns.
#[inline(always)]
pub(super) fn add_tile<S: Simd, const MR: usize>(simd: S, a: impl Rows, b: Matrix<'_>, scale: Scale, c: MatrixMut<'_>) {
    match c.rows() {
        1 => simd.run(Tile::<_, 1> { a, b, scale, c }),
        2 => simd.run(Tile::<_, 2> { a, b, scale, c }),
        4 => simd.run(Tile::<_, 4> { a, b, scale, c }),
        8 => simd.run(Tile::<_, 8> { a, b, scale, c }),
        _ => simd.run(Tile::<_, MR> { a, b, scale, c }),
    }
}

/// The most rows of a tile that reads A in place with vectors of `S`.
pub(super) fn rows_in_place<S: Simd, const MR: usize>() -> usize {
    // The sums, a row of B and a broadcast, and one register to spare, which a product takes without fused
    // multiply-adds.
    let registers = S::LANES / S::One::LANES * (ROWS_IN_PLACE + 1) + 2;
    if registers <= S::REGISTERS { ROWS_IN_PLACE } else { MR }
}

/// The rows of the next tile where so many are left: the most, or the largest power of two below them that there are.
pub(super) fn rows_of_tile(left: usize, most: usize) -> usize {
    [most, 8, 4, 2].into_iter().find(|&rows| rows <= left && rows <= most).unwrap_or(1)
}

/// A tile of R rows.
struct Tile<'a, A, const R: usize> {
    a: A,
    b: Matrix<'a>,
    scale: Scale,
    c: MatrixMut<'a>,
}

impl<A: Rows, const R: usize> Kernel for Tile<'_, A, R> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { a, b, scale, mut c } = self;
        assert_eq!(c.rows(), R);
        let tile = a.multiply::<S, R>(simd, b);
        if c.columns() == S::LANES {
            return write_tile(simd, &tile, scale, &mut c);
        }
        write_part(simd, &tile, scale, &mut c);
    }
}

impl Rows for Packed<'_> {
    #[inline(always)]
    fn multiply<S: Simd, const R: usize>(self, simd: S, b: Matrix<'_>) -> [S::Vector; R] {
        let (stride, tile) = (b.row_stride(), [simd.splat(0.0); R]);
        micro_kernel::<S, R, R>(simd, self.0, b.from(0, 0).chunks(stride), stride, tile)
    }
}

impl Rows for InPlace<'_> {
    #[inline(always)]
    fn multiply<S: Simd, const R: usize>(self, simd: S, b: Matrix<'_>) -> [S::Vector; R] {
        let (a, stride) = (self.0, b.row_stride());
        let a: [&[f32]; R] = std::array::from_fn(|i| &a.from(i, 0)[..a.columns()]);
        let before_last = b.rows() - 1;
        let mut tile = [simd.splat(0.0); R];
        // The last row may be shorter than the stride; all others are of one length, which is checked once.
        let (rows, last) = b.from(0, 0).split_at(before_last * stride);
        for (step, b) in (0..before_last).zip(rows.chunks_exact(stride)) {
            // Not the line in which a row ends: this loop has no load slot left for it.
            prefetch_row(simd, b, stride);
            add_step(simd, &mut tile, &a, step, b);
        }
        add_step(simd, &mut tile, &a, before_last, last);
        tile
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::Portable;
    #[cfg(target_arch = "x86_64")]
    use crate::simd::{Avx2, Avx512, Registers};

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
        assert_eq!(tiles(15, 8), [8, 4, 2, 1]);
        assert_eq!(tiles(9, 6), [6, 2, 1]);
        assert_eq!(tiles(7, 4), [4, 2, 1]);
    }

    #[test]
    fn registers_hold_a_tile_that_reads_a_in_place() {
        assert_eq!(rows_in_place::<Portable, 4>(), 4);
        #[cfg(target_arch = "x86_64")]
        {
            assert_eq!((rows_in_place::<Registers<Avx512, 2>, 14>(), rows_in_place::<Avx512, 14>()), (8, 8));
            assert_eq!((rows_in_place::<Registers<Avx2, 2>, 6>(), rows_in_place::<Avx2, 6>()), (6, 8));
        }
    }
}
