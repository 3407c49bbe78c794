//! The implementation for every CPU, on `wide`, which uses what the compilation target guarantees (SSE2 on x86-64).

use wide::f32x8;

use super::{Kernel, Simd};

/// The token of the portable implementation. A row is one `f32x8` (two SSE registers): with MR = 4 that is 8
/// accumulators, 2 loads and 2 broadcast halves in 16 registers.
#[derive(Clone, Copy, Debug, Default)]
pub struct Portable(());

impl Portable {
    /// The token; every CPU has what it needs.
    pub fn new() -> Self {
        Self(())
    }
}

impl Simd for Portable {
    type Lanes = f32x8;

    const NR: usize = 8;

    #[inline]
    fn run<K: Kernel>(self, kernel: K) -> K::Output {
        kernel.run(self)
    }

    #[inline(always)]
    fn splat(self, value: f32) -> f32x8 {
        f32x8::splat(value)
    }

    #[inline(always)]
    fn load(self, from: &[f32]) -> f32x8 {
        f32x8::new(from[..8].try_into().expect("a slice of eight"))
    }

    #[inline(always)]
    fn store(self, to: &mut [f32], value: f32x8) {
        to[..8].copy_from_slice(&value.to_array());
    }

    #[inline(always)]
    fn add(self, a: f32x8, b: f32x8) -> f32x8 {
        a + b
    }

    #[inline(always)]
    fn sub(self, a: f32x8, b: f32x8) -> f32x8 {
        a - b
    }

    #[inline(always)]
    fn mul(self, a: f32x8, b: f32x8) -> f32x8 {
        a * b
    }

    #[inline(always)]
    fn div(self, a: f32x8, b: f32x8) -> f32x8 {
        a / b
    }

    #[inline(always)]
    fn mul_add(self, a: f32x8, b: f32x8, c: f32x8) -> f32x8 {
        a.mul_add(b, c)
    }

    #[inline(always)]
    fn max(self, a: f32x8, b: f32x8) -> f32x8 {
        a.fast_max(b)
    }

    #[inline(always)]
    fn sqrt(self, a: f32x8) -> f32x8 {
        a.sqrt()
    }

    #[inline(always)]
    fn sum(self, a: f32x8) -> f32 {
        a.reduce_add()
    }
}
