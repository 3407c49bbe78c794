//! The micro-kernel and the two loops around it.
//!
//! The micro-kernel multiplies one micro-panel of A (steps x MR) with one of B (steps x NR) into an MR x NR tile of
//! registers; edges, `alpha`, `beta` and C do not concern it. Micro-panels are zero beyond the edges of A and B, and
//! the part of a tile that lies beyond the edges of C is left out when the tile is written.

use super::Scale;
use super::matrix::MatrixMut;
use super::prefetch::Prefetch;
use crate::simd::{LINE, Simd};

/// Steps between the one that is multiplied and the one whose floats are prefetched, where a micro-panel of B is more
/// than L1 holds: the hardware prefetchers do not fetch all of it from L2 in time. So many steps of a tile of 14 x 32
/// take 224 cycles, where a read from L2 takes 16 and one from L3 some 150, and 3 KB of L1.
const STEPS_AHEAD: usize = 16;

/// The largest MR x NR of any instruction set.
const MAX_TILE: usize = 14 * 32;

/// `c = alpha A B + beta c` for `a` in micro-panels of `steps` x MR and `b` in micro-panels of `steps` x NR. These
/// are loops 2 and 1; before each tile, a share of `next` is prefetched.
#[inline(always)]
pub(super) fn macro_kernel<S: Simd, const MR: usize>(
    simd: S,
    a: &[f32],
    b: &[f32],
    steps: usize,
    scale: Scale,
    mut c: MatrixMut<'_>,
    mut next: Prefetch<'_>,
) {
    let (m, n) = (c.rows(), c.columns());
    // Loop 2, jr: a micro-panel of B.
    for (b, j) in b.chunks_exact(S::LANES * steps).zip((0..n).step_by(S::LANES)) {
        // Loop 1, ir: a micro-panel of A.
        for (a, i) in a.chunks_exact(MR * steps).zip((0..m).step_by(MR)) {
            let mut c = c.block(i..m.min(i + MR), j..n.min(j + S::LANES));
            prefetch_tile(simd, &mut c);
            next.advance(simd);
            let tile = micro_kernel::<S, MR>(simd, a, b.chunks_exact(S::LANES), S::LANES);
            if c.rows() == MR && c.columns() == S::LANES {
                write_tile(simd, &tile, scale, &mut c);
            } else {
                write_edge(simd, &tile, scale, &mut c);
            }
        }
    }
}

/// The product of a micro-panel of A, steps x MR, and one of B: rows of NR floats or more, which lie `stride` apart.
#[inline(always)]
pub(super) fn micro_kernel<'b, S: Simd, const MR: usize>(
    simd: S,
    a: &[f32],
    b: impl Iterator<Item = &'b [f32]>,
    stride: usize,
) -> [S::Vector; MR] {
    let mut tile = [simd.splat(0.0); MR];
    for (a, b) in a.as_chunks::<MR>().0.iter().zip(b) {
        // A micro-panel as narrow as a line fits L1. With AVX2, prefetching it made products 5% slower.
        if S::LANES > LINE {
            simd.prefetch_ahead(a, STEPS_AHEAD * MR);
            for line in (0..S::LANES).step_by(LINE) {
                // A single row of B may have any stride.
                simd.prefetch_ahead(b, STEPS_AHEAD.wrapping_mul(stride).wrapping_add(line));
            }
        }
        let row = simd.load(b);
        for (c, &a) in tile.iter_mut().zip(a) {
            *c = simd.mul_add(simd.splat(a), row, *c);
        }
    }
    tile
}

/// Prefetches the tile of C that the micro-kernel's result goes to: its rows are far apart in memory, and the
/// micro-kernel takes longer than a read from memory does.
#[inline(always)]
fn prefetch_tile<S: Simd>(simd: S, c: &mut MatrixMut<'_>) {
    for i in 0..c.rows() {
        let row = c.row(i);
        row.chunks(LINE).for_each(|line| simd.prefetch(line));
        // A row that does not begin at the start of a cache line ends in one line more.
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

/// Writes the part of a tile that lies inside C to `c`, at most MR x NR.
#[inline(always)]
fn write_edge<S: Simd, const MR: usize>(simd: S, tile: &[S::Vector; MR], scale: Scale, c: &mut MatrixMut<'_>) {
    const { assert!(MR * S::LANES <= MAX_TILE) };
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
