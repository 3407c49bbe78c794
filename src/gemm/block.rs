//! The two kernels that run on one thread: one packs a part of B, the other computes a block of C.

use super::Scale;
use super::blocking::{PackedB, cuts};
use super::kernel::macro_kernel;
use super::matrix::{Matrix, MatrixMut};
use super::pack::pack;
use crate::simd::{Kernel, Simd};

/// Packs a part of B, steps x columns, into micro-panels of NR columns: steps x columns (rounded up to NR).
pub(super) struct PackB<'a> {
    pub from: Matrix<'a>,
    pub to: &'a mut [f32],
}

impl Kernel for PackB<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        pack(self.from.transposed(), S::LANES, self.to);
    }
}

/// `c = alpha A B + beta c` for one block of C and all steps of packed B: loops 3 and 4b.
pub(super) struct Block<'a, const MR: usize> {
    /// The block's rows x the steps of `b`.
    pub a: Matrix<'a>,
    pub b: PackedB<'a>,
    /// The column of `b` at which the block begins, a multiple of NR.
    pub j: usize,
    pub scale: Scale,
    pub c: MatrixMut<'a>,
    /// Rows of A packed at a time, a multiple of MR.
    pub mc: usize,
    /// Memory for mc x kc floats.
    pub packed_a: &'a mut [f32],
}

impl<const MR: usize> Kernel for Block<'_, MR> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { a, b, j, scale, mut c, mc, packed_a } = self;
        let (m, n) = (c.rows(), c.columns());
        // Loop 3, ic: rows of the block. Loop 4b, pc: steps, packed into L2.
        let rows_and_steps = cuts(m, mc).flat_map(|rows| cuts(b.steps, b.kc).map(move |steps| (rows.clone(), steps)));
        let mut blocks =
            rows_and_steps.map(|(rows, steps)| (a.block(rows.clone(), steps.clone()), rows, steps)).peekable();
        while let Some((a, rows, steps)) = blocks.next() {
            let packed_a = &mut packed_a[..rows.len().next_multiple_of(MR) * steps.len()];
            pack(a, MR, packed_a);
            let next = blocks.peek().map(|&(next, ..)| next);
            let b = b.block(steps.clone(), j..j + n.next_multiple_of(S::LANES));
            let c = c.block(rows, 0..n);
            macro_kernel::<S, MR>(simd, packed_a, b, steps.len(), scale.at_step(steps.start), c, next);
        }
    }
}
