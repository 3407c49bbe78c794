//! Packing alone, for measurements.

use super::blocking::{Blocking, SPLIT_SIZE, cuts};
use super::caches::Caches;
use super::matrix::Matrix;
use super::tile::{Tiled, run_tiled};
use super::{aligned, pack_b};
use crate::isa::Isa;
use crate::simd::Simd;

/// Packs B, k x n, part after part into the same memory, as a product that is not split does before it uses each part.
pub(crate) fn pack_only_b(isa: Isa, b: Matrix<'_>, packed: &mut Vec<f32>) {
    run_tiled(isa, PackParts { b, packed });
}

struct PackParts<'a> {
    b: Matrix<'a>,
    packed: &'a mut Vec<f32>,
}

impl Tiled for PackParts<'_> {
    fn run<S: Simd, const MR: usize>(self, simd: S) {
        let Self { b, packed } = self;
        let (k, n) = (b.rows(), b.columns());
        // A product with a C of this size is not split: all threads pack the same part of B.
        let Blocking { kc, kb, nc, .. } = Blocking::new((SPLIT_SIZE + 1, k, n), (MR, S::LANES), Caches::detected());
        for columns in cuts(n, nc) {
            for steps in cuts(k, kb) {
                let part = aligned(packed, steps.len() * columns.len().next_multiple_of(S::LANES));
                pack_b(simd, b.block(steps, columns.clone()), kc, rayon::current_num_threads(), part);
            }
        }
    }
}
