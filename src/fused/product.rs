//! The two products of a strip, both by one micro-kernel over panels whose zeros are left out.
//!
//! The micro-kernel keeps an MR x NR tile of C in registers and, for each entry of the panel, loads one row of B and
//! multiplies it with MR broadcast values.

use crate::panels::{Index, Panel, Panels};
use crate::simd::{MR, Simd};
use crate::slices::Slices;

/// `tile[i] += sum over the entries of panel: values[i] * b[index]`, with `b` one slice, depth x NR.
#[inline(always)]
fn micro_kernel<S: Simd, I: Index>(
    simd: S,
    panel: Panel<'_, I>,
    b: &[f32],
    mut tile: [S::Lanes; MR],
) -> [S::Lanes; MR] {
    for (&index, values) in panel.indices.iter().zip(panel.values) {
        let row = simd.load(&b[index.get() * S::NR..]);
        for (c, &a) in tile.iter_mut().zip(values) {
            *c = simd.mul_add(simd.splat(a), row, *c);
        }
    }
    tile
}

/// `z = A w`: A in `panels`, rows x k; `w`, k x u; `z`, at least rows (rounded up to MR) x u; only the first `slices`
/// slices of `z` are computed.
///
/// Each slice of `w` serves all panels while it is in L2.
#[inline(always)]
pub(super) fn forward<S: Simd>(simd: S, panels: &Panels<u32>, w: &Slices, slices: usize, z: &mut Slices) {
    for j in 0..slices {
        let b = w.slice(j);
        for (panel, c) in panels.iter().zip(z.slice_mut(j).chunks_exact_mut(MR * S::NR)) {
            let tile = micro_kernel(simd, panel, b, [simd.splat(0.0); MR]);
            for (c, row) in c.chunks_exact_mut(S::NR).zip(tile) {
                simd.store(c, row);
            }
        }
    }
}

/// `gradient += A d`: A in `panels`, k x rows; `d`, at least rows x u; `gradient`, k (rounded up to MR) x u.
///
/// Each slice of `d` serves all panels while it is in L2; a tile of the gradient is loaded and stored once. Slices of
/// units that are all off, as `largest` (1 x u, their largest `z` in the strip) tells, contribute nothing.
#[inline(always)]
pub(super) fn accumulate<S: Simd>(simd: S, panels: &Panels<u16>, d: &Slices, largest: &Slices, gradient: &mut Slices) {
    for j in 0..d.count() {
        if largest.slice(j).iter().all(|&z| z <= 0.0) {
            continue;
        }
        let b = d.slice(j);
        for (panel, c) in panels.iter().zip(gradient.slice_mut(j).chunks_exact_mut(MR * S::NR)) {
            if panel.indices.is_empty() {
                continue;
            }
            let mut tile = [simd.splat(0.0); MR];
            for (row, c) in tile.iter_mut().zip(c.chunks_exact(S::NR)) {
                *row = simd.load(c);
            }
            let tile = micro_kernel(simd, panel, b, tile);
            for (c, row) in c.chunks_exact_mut(S::NR).zip(tile) {
                simd.store(c, row);
            }
        }
    }
}
