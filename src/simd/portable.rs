//! The implementation for every CPU, on `wide`, which uses what the compilation target guarantees (SSE2 on x86-64).

use wide::f32x8;

use super::{Kernel, Simd};

/// The token of the portable implementation: vectors of 8 floats, two SSE registers on x86-64.
#[derive(Clone, Copy, Debug, Default)]
pub struct Portable(());

impl Portable {
    /// The token; every CPU has what it needs.
    pub fn new() -> Self {
        Self(())
    }
}

impl Simd for Portable {
    type Vector = f32x8;
    type One = Self;

    const LANES: usize = 8;
    // Sixteen SSE registers, two to a vector.
    const REGISTERS: usize = 8;

    #[inline(always)]
    fn one(self) -> Self {
        self
    }

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
        f32x8::new(from[..Self::LANES].try_into().expect("a slice of eight"))
    }

    #[inline(always)]
    fn load_bf16(self, from: &[u16]) -> f32x8 {
        let mut floats = [0.0; 8];
        floats.iter_mut().zip(&from[..Self::LANES]).for_each(|(to, &bits)| *to = f32::from_bits(u32::from(bits) << 16));
        f32x8::new(floats)
    }

    #[inline(always)]
    fn store(self, to: &mut [f32], value: f32x8) {
        to[..Self::LANES].copy_from_slice(&value.to_array());
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
    fn flush(self, a: f32x8, least: f32x8) -> f32x8 {
        a.abs().simd_lt(least).select(f32x8::ZERO, a)
    }

    #[inline(always)]
    fn sum(self, a: f32x8) -> f32 {
        a.reduce_add()
    }

    #[inline(always)]
    fn positive(self, a: f32x8) -> u64 {
        a.simd_gt(f32x8::ZERO).to_bitmask().into()
    }
}
