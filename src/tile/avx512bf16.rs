//! `vdpbf16ps` on tiles: for CPUs that execute it at a higher rate than f32 multiply-adds.

use core::arch::x86_64::*;

use super::{BLOCK, Pair, Product, SIDE, TileUnit};
use crate::simd::{Avx512, Kernel, Registers, Simd};

/// Proof that this CPU has AVX-512 with bf16 products.
#[derive(Clone, Copy, Debug)]
pub struct Avx512Bf16 {
    vectors: Avx512,
}

/// Rows of A whose sums are in registers at a time: 8 rows x 2 vectors are 16 accumulators, more than the 10 that two pipes
/// of latency 5 keep busy; a step takes 2 loads of B and 8 broadcasts of A, which are memory operands.
const ROWS: usize = 8;

impl Avx512Bf16 {
    /// The token, where this CPU and operating system have the instruction set.
    pub fn new() -> Option<Self> {
        let vectors = Avx512::new()?;
        is_x86_feature_detected!("avx512bf16").then_some(Self { vectors })
    }
}

impl TileUnit for Avx512Bf16 {
    fn name(self) -> &'static str {
        "avx512bf16"
    }

    fn run<K: Kernel>(self, kernel: K) -> K::Output {
        Registers::<_, 2>(self.vectors).run(kernel)
    }

    fn multiply<S: Simd>(self, _: S, product: Product<'_>) {
        product.assert_shapes();
        let Product { a, steps, b, c, adds, .. } = product;
        for (group, c) in c.chunks_exact_mut(ROWS * BLOCK).enumerate() {
            // SAFETY: the token exists, so the CPU has the instructions.
            unsafe { multiply_rows(a, steps, b, group, c, adds) };
        }
    }
}

/// Rows `group * ROWS` and on of a block of C.
#[target_feature(enable = "avx512f,avx512bf16")]
fn multiply_rows(a: &[Pair], steps: &[u32], b: &[Pair], group: usize, c: &mut [f32], adds: bool) {
    let mut sums = [[_mm512_setzero_ps(); 2]; ROWS];
    if adds {
        for (sums, c) in sums.iter_mut().zip(c.chunks_exact(BLOCK)) {
            // SAFETY: a row of C holds two vectors, and the load needs no alignment.
            *sums = unsafe { [_mm512_loadu_ps(c.as_ptr()), _mm512_loadu_ps(c[SIDE..].as_ptr())] };
        }
    }
    let first = group * ROWS;
    for (a, &step) in a.iter().zip(steps) {
        let rows = &a[first / SIDE].0[first % SIDE..][..ROWS];
        let [b0, b1] = &b[step as usize];
        for pair in 0..SIDE {
            let columns = [&b0.0[pair], &b1.0[pair]].map(|row| {
                // SAFETY: a row of a tile is one vector.
                unsafe { _mm512_loadu_si512(row.as_ptr().cast()) }
            });
            for (sums, row) in sums.iter_mut().zip(rows) {
                let both = u32::from(row[2 * pair]) | u32::from(row[2 * pair + 1]) << 16;
                let a = _mm512_set1_epi32(both as i32);
                for (sum, b) in sums.iter_mut().zip(columns) {
                    *sum = _mm512_dpbf16_ps(*sum, numbers(a), numbers(b));
                }
            }
        }
    }
    for (sums, c) in sums.iter().zip(c.chunks_exact_mut(BLOCK)) {
        for (&sum, c) in sums.iter().zip(c.chunks_exact_mut(SIDE)) {
            // SAFETY: half a row of C is one vector, and the store needs no alignment.
            unsafe { _mm512_storeu_ps(c.as_mut_ptr(), sum) };
        }
    }
}

/// 32 bf16 numbers of a register.
#[inline]
#[target_feature(enable = "avx512f")]
fn numbers(register: __m512i) -> __m512bh {
    // SAFETY: both are 512 bits, and any bits are 32 bf16 numbers.
    unsafe { std::mem::transmute::<__m512i, __m512bh>(register) }
}
