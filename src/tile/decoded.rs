//! Tile products in ordinary f32 arithmetic: what `tdpbf16ps` computes, on any CPU.
//!
//! Within a tile, the even and the odd steps of a pair are summed apart and then together, as the manual has it. The
//! vectors' own rounding of `a * b + c` (once or twice) and their subnormal numbers are what may differ from the
//! unit's.

use super::{BLOCK, Product, SIDE, TileUnit, from_bf16, run_on_blocks};
use crate::isa::Isa;
use crate::simd::{Kernel, Simd};

/// Tile products on the vectors of an instruction set.
#[derive(Clone, Copy, Debug)]
pub struct Decoded(pub Isa);

impl TileUnit for Decoded {
    const LEAVES_OUT_PAIRS: bool = false;

    const RUNS_BESIDE_VECTORS: bool = false;

    /// Both forms are f32 multiply-adds here; the sparse one ends in sums across a vector, this one decodes B again for
    /// each block. Not tuned: the unit stands in where there is none.
    const COST_OF_SPARSE: f64 = 2.0;

    fn name(self) -> &'static str {
        self.0.name()
    }

    fn run<K: Kernel>(self, kernel: K) -> K::Output {
        run_on_blocks(self.0, kernel)
    }

    #[inline(always)]
    fn multiply<S: Simd>(self, simd: S, product: Product<'_>) {
        product.assert_shapes();
        let Product { a, steps, b, c, adds, .. } = product;
        if !adds {
            c.fill(0.0);
        }
        for (a, &step) in a.iter().zip(steps) {
            let [b0, b1] = &b[step as usize];
            let mut columns = [[[0.0; BLOCK]; 2]; SIDE];
            for (pair, [even, odd]) in columns.iter_mut().enumerate() {
                for (half, b) in [b0, b1].into_iter().enumerate() {
                    for column in 0..SIDE {
                        even[half * SIDE + column] = from_bf16(b.0[pair][2 * column]);
                        odd[half * SIDE + column] = from_bf16(b.0[pair][2 * column + 1]);
                    }
                }
            }
            for (a, c) in a.iter().flat_map(|a| &a.0).zip(c.chunks_exact_mut(BLOCK)) {
                let mut sums = [simd.splat(0.0); 2];
                for (pair, columns) in columns.iter().enumerate() {
                    for (parity, sum) in sums.iter_mut().enumerate() {
                        let a = simd.splat(from_bf16(a[2 * pair + parity]));
                        *sum = simd.mul_add(a, simd.load(&columns[parity]), *sum);
                    }
                }
                let sum = simd.add(simd.load(c), simd.add(sums[0], sums[1]));
                simd.store(c, sum);
            }
        }
    }

    fn multiply_registers(self, _: usize) -> u64 {
        0
    }
}
