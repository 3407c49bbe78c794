//! Packing alone, for measurements.

use super::blocking::{Blocking, cuts};
use super::caches::Caches;
use super::matrix::Matrix;
use super::{Workspace, aligned, pack_b};
use crate::isa::Isa;
use crate::simd::Simd;

/// Packs B, k x n, part after part into the same memory, as a product does before it uses each.
pub(crate) fn pack_only_b(isa: Isa, b: Matrix<'_>, workspace: &mut Workspace) {
    match isa {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512(simd) => pack_parts(simd.rows_of::<2>(), b, workspace),
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2(simd) => pack_parts(simd.rows_of::<2>(), b, workspace),
        Isa::Portable(simd) => pack_parts(simd.rows_of::<1>(), b, workspace),
    }
}

fn pack_parts<S: Simd>(simd: S, b: Matrix<'_>, workspace: &mut Workspace) {
    let (k, n) = (b.rows(), b.columns());
    // How B is cut does not depend on A.
    let Blocking { kc, kb, nc, .. } = Blocking::new((1, k, n), (1, S::NR), Caches::detected());
    for columns in cuts(n, nc) {
        for steps in cuts(k, kb) {
            let packed = aligned(&mut workspace.b, steps.len() * columns.len().next_multiple_of(S::NR));
            pack_b(simd, b.block(steps, columns.clone()), kc, packed);
        }
    }
}
