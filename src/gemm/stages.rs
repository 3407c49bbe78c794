//! Packing alone, for measurements.

use super::blocking::{Blocking, SLICE_SIZE, cuts};
use super::caches::Caches;
use super::matrix::Matrix;
use super::{aligned, pack_b};
use crate::isa::Isa;
use crate::simd::{Registers, Simd};

/// Packs B, k x n, part after part into the same memory, as a product in one slice does before it uses each.
pub(crate) fn pack_only_b(isa: Isa, b: Matrix<'_>, packed: &mut Vec<f32>) {
    match isa {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512(simd) => pack_parts(Registers::<_, 2>(simd), b, packed),
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2(simd) => pack_parts(Registers::<_, 2>(simd), b, packed),
        Isa::Portable(simd) => pack_parts(simd, b, packed),
    }
}

fn pack_parts<S: Simd>(simd: S, b: Matrix<'_>, packed: &mut Vec<f32>) {
    let (k, n) = (b.rows(), b.columns());
    // C is too large for slices: all threads pack the same part.
    let Blocking { kc, kb, nc, .. } = Blocking::new((SLICE_SIZE + 1, k, n), (1, S::LANES), Caches::detected());
    for columns in cuts(n, nc) {
        for steps in cuts(k, kb) {
            let part = aligned(packed, steps.len() * columns.len().next_multiple_of(S::LANES));
            pack_b(simd, b.block(steps, columns.clone()), kc, part);
        }
    }
}
