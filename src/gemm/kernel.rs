//! The micro-kernel and the two loops around it.
//!
//! The micro-kernel adds the product of a part of a micro-panel of A (steps x MR) and of one of B (steps x NR) to a
//! tile of registers, MR x NR, or fewer rows where C ends; edges, `alpha`, `beta` and C do not concern it. Micro-panels
//! are zero beyond the edges of A and B, and the part of a tile that lies beyond the edges of C is left out when the
//! tile is written.

use std::ops::Range;

use super::Scale;
use super::matrix::{Matrix, MatrixMut};
use super::prefetch::Prefetch;
use crate::simd::{LINE, Simd};

/// Steps between the one that is multiplied and the one whose floats are prefetched, where a micro-panel of B is more
/// than L1 holds: the hardware prefetchers do not fetch all of it from L2 in time. So many steps of a tile of 14 x 32
/// take 224 cycles, where a read from L2 takes 16 and one from L3 some 150, and 3 KB of L1.
const STEPS_AHEAD: usize = 16;

/// The largest MR x NR of any instruction set.
const MAX_TILE: usize = 14 * 32;

/// Cache lines of C that are prefetched at once. A core has 10 to 24 buffers for lines on their way to L1 (16 on the
/// Xeon measured), and some are taken by lines of the micro-panels, which would wait for lines of C from L3.
const LINES_AT_ONCE: usize = 12;

/// The fewest steps of a part: with so many, going from one part to the next takes less than 2% of the time of its
/// multiply-adds, and the lines that the last part asks for arrive before the tile is written.
const STEPS_OF_A_PART: usize = 100;

/// A part of the work on a tile, at whose beginning some lines of C are prefetched, and a share of the next block of A.
#[derive(Clone, Copy)]
struct Part {
    /// Steps; the last part of a tile may have fewer.
    steps: usize,
    /// Rows of C whose lines are prefetched; together, the parts prefetch all.
    rows: usize,
}

impl Part {
    /// The parts of a tile of MR rows and NR columns, and their number.
    fn new<S: Simd, const MR: usize>(steps: usize) -> (Self, usize) {
        // A row that does not begin at the start of a cache line ends in one line more.
        let lines = MR * (S::LANES.div_ceil(LINE) + 1);
        let parts = lines.div_ceil(LINES_AT_ONCE).min(steps / STEPS_OF_A_PART).max(1);
        (Self { steps: steps.div_ceil(parts), rows: MR.div_ceil(parts) }, parts)
    }
}

/// `c = alpha A B + beta c` for `a` in micro-panels of `steps` x MR and `b` in micro-panels of `steps` x NR: loops 2
/// and 1. Meanwhile `next`, the next block of A, is prefetched, a share with each part of a tile.
#[inline(always)]
pub(super) fn macro_kernel<S: Simd, const MR: usize>(
    simd: S,
    a: &[f32],
    b: &[f32],
    steps: usize,
    scale: Scale,
    mut c: MatrixMut<'_>,
    next: Option<Matrix<'_>>,
) {
    let (m, n) = (c.rows(), c.columns());
    let (part, parts) = Part::new::<S, MR>(steps);
    let mut next = Prefetch::new(next, m.div_ceil(MR) * n.div_ceil(S::LANES) * parts);
    // Loop 2, jr: a micro-panel of B.
    for (b, j) in b.chunks_exact(S::LANES * steps).zip((0..n).step_by(S::LANES)) {
        // Loop 1, ir: a micro-panel of A.
        for (a, i) in a.chunks_exact(MR * steps).zip((0..m).step_by(MR)) {
            let c = c.block(i..m.min(i + MR), j..n.min(j + S::LANES));
            // The last rows take a smaller tile that holds them, of 4 rows at the least: with fewer than 8 registers of
            // sums the pipes would wait.
            match c.rows() {
                ..=4 if MR > 4 => add_tile::<S, MR, 4>(simd, a, b, part, scale, c, &mut next),
                ..=8 if MR > 8 => add_tile::<S, MR, 8>(simd, a, b, part, scale, c, &mut next),
                _ => add_tile::<S, MR, MR>(simd, a, b, part, scale, c, &mut next),
            }
        }
    }
}

/// `c = alpha A B + beta c` for a tile of which C has at most R rows.
#[inline(always)]
fn add_tile<S: Simd, const MR: usize, const R: usize>(
    simd: S,
    mut a: &[f32],
    mut b: &[f32],
    part: Part,
    scale: Scale,
    mut c: MatrixMut<'_>,
    next: &mut Prefetch<'_>,
) {
    let mut tile = [simd.splat(0.0); R];
    let mut row = 0;
    // Cut off one by one: an iterator over chunks divides to know their number, which takes 1% of the time of a tile.
    while !a.is_empty() {
        let (now_a, rest_of_a) = a.split_at(a.len().min(part.steps * MR));
        let (now_b, rest_of_b) = b.split_at(b.len().min(part.steps * S::LANES));
        prefetch_rows(simd, &mut c, row..row + part.rows);
        next.advance(simd);
        tile = micro_kernel::<S, MR, R>(simd, now_a, now_b.chunks_exact(S::LANES), S::LANES, tile);
        (a, b, row) = (rest_of_a, rest_of_b, row + part.rows);
    }
    if c.rows() == R && c.columns() == S::LANES {
        write_tile(simd, &tile, scale, &mut c);
    } else {
        write_edge(simd, &tile, scale, &mut c);
    }
}

/// `tile` plus the product of the first R lanes of a micro-panel of A, steps x MR, and a micro-panel of B: rows of NR
/// floats or more, which lie `stride` apart.
#[inline(always)]
pub(super) fn micro_kernel<'b, S: Simd, const MR: usize, const R: usize>(
    simd: S,
    a: &[f32],
    b: impl Iterator<Item = &'b [f32]>,
    stride: usize,
    mut tile: [S::Vector; R],
) -> [S::Vector; R] {
    for (a, b) in a.as_chunks::<MR>().0.iter().zip(b) {
        if S::LANES > LINE {
            simd.prefetch_ahead(a, STEPS_AHEAD * MR);
        }
        prefetch_row(simd, b, stride);
        // A row that is not packed ends in one line more where it does not begin at the start of one.
        if S::LANES > LINE && stride != S::LANES {
            simd.prefetch_ahead(b, STEPS_AHEAD.wrapping_mul(stride).wrapping_add(S::LANES - 1));
        }
        let row = simd.load(b);
        for (c, &a) in tile.iter_mut().zip(a) {
            *c = simd.mul_add(simd.splat(a), row, *c);
        }
    }
    tile
}

/// Prefetches the row of B that is [`STEPS_AHEAD`] rows behind `b`, where a panel is wider than a line: a packed
/// narrower one fits L1, and with AVX2 prefetching it made products 5% slower.
#[inline(always)]
pub(super) fn prefetch_row<S: Simd>(simd: S, b: &[f32], stride: usize) {
    if S::LANES <= LINE {
        return;
    }
    // A single row of B may have any stride.
    let row = STEPS_AHEAD.wrapping_mul(stride);
    for line in (0..S::LANES).step_by(LINE) {
        simd.prefetch_ahead(b, row.wrapping_add(line));
    }
}

/// Prefetches `rows` of a tile of C, as far as C has them: they lie far apart, and a part takes longer than a read from
/// memory. A loop over the lines of each row is not faster than constant offsets, and that is as well: it leaves the
/// buffers for lines time.
#[inline(always)]
fn prefetch_rows<S: Simd>(simd: S, c: &mut MatrixMut<'_>, rows: Range<usize>) {
    for i in rows.start..rows.end.min(c.rows()) {
        let row = c.row(i);
        row.chunks(LINE).for_each(|line| simd.prefetch(line));
        // The line in which a row ends that does not begin at the start of one.
        simd.prefetch(&row[row.len() - 1..]);
    }
}

/// `alpha * product + beta * c` for one row; `c` is not called where `beta` is 0.
#[inline(always)]
pub(super) fn scaled<S: Simd>(simd: S, scale: Scale, product: S::Vector, c: impl FnOnce() -> S::Vector) -> S::Vector {
    let product = simd.mul(simd.splat(scale.alpha), product);
    if scale.beta == 0.0 { product } else { simd.mul_add(simd.splat(scale.beta), c(), product) }
}

/// Writes a whole tile to `c`, MR x NR.
#[inline(always)]
pub(super) fn write_tile<S: Simd, const MR: usize>(
    simd: S,
    tile: &[S::Vector; MR],
    scale: Scale,
    c: &mut MatrixMut<'_>,
) {
    for (i, &product) in tile.iter().enumerate() {
        let c = c.row(i);
        let value = scaled(simd, scale, product, || simd.load(c));
        simd.store(c, value);
    }
}

/// Writes the part of a tile that lies inside C to `c`, which has at most as many rows and columns.
#[inline(always)]
fn write_edge<S: Simd, const R: usize>(simd: S, tile: &[S::Vector; R], scale: Scale, c: &mut MatrixMut<'_>) {
    const { assert!(R * S::LANES <= MAX_TILE) };
    // A copy, so that the tile itself stays in registers although the number of rows is not known.
    let mut rows = [0.0; MAX_TILE];
    for (to, &product) in rows.chunks_exact_mut(S::LANES).zip(tile) {
        simd.store(to, product);
    }
    for (i, product) in (0..c.rows()).zip(rows.chunks_exact(S::LANES)) {
        let c = c.row(i);
        let value = scaled(simd, scale, simd.load(product), || simd.load_partial(c));
        simd.store_partial(c, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::{Portable, Registers};

    /// Checks the parts of a tile of any number of steps.
    fn check<S: Simd, const MR: usize>(most: usize) {
        for steps in 1..=1_100 {
            let (part, parts) = Part::new::<S, MR>(steps);
            assert_eq!(steps.div_ceil(part.steps), parts, "{steps} steps in parts of {}", part.steps);
            assert!((1..=most).contains(&parts) && part.rows * parts >= MR, "{steps} steps in {parts} parts");
        }
        assert_eq!(Part::new::<S, MR>(1_024).1, most);
    }

    #[test]
    fn parts_have_all_steps_and_all_rows_of_c() {
        check::<Registers<Portable, 4>, 14>(4);
        check::<Registers<Portable, 2>, 6>(1);
        check::<Portable, 4>(1);
    }
}
