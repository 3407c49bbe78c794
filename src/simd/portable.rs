//! The implementation for every CPU, on `wide`, which uses what the compilation target guarantees (SSE2 on x86-64).

use wide::f32x8;

use super::{Kernel, Simd};

/// The token of the portable implementation: vectors of 8 floats, two SSE registers on x86-64.
#[derive(Clone, Copy, Debug, Default)]
pub struct Portable<const V: usize>(());

impl<const V: usize> Portable<V> {
    /// The token; every CPU has what it needs.
    pub fn new() -> Self {
        Self(())
    }

    /// The same for rows of `N` vectors.
    #[inline(always)]
    pub fn rows_of<const N: usize>(self) -> Portable<N> {
        Portable(())
    }
}

/// Defines operations that apply one of `f32x8` to each vector of a row.
macro_rules! elementwise {
    ($($name:ident($($operand:ident),*) $operation:expr;)+) => {
        $(
            #[inline(always)]
            fn $name(self, mut a: Self::Lanes $(, $operand: Self::Lanes)*) -> Self::Lanes {
                for i in 0..V {
                    a[i] = $operation(a[i] $(, $operand[i])*);
                }
                a
            }
        )+
    };
}

impl<const V: usize> Simd for Portable<V> {
    type Lanes = [f32x8; V];
    type One = Portable<1>;

    const NR: usize = V * 8;
    // Sixteen SSE registers, two to a vector.
    const REGISTERS: usize = 8;

    #[inline(always)]
    fn one(self) -> Self::One {
        self.rows_of()
    }

    #[inline]
    fn run<K: Kernel>(self, kernel: K) -> K::Output {
        kernel.run(self)
    }

    #[inline(always)]
    fn splat(self, value: f32) -> Self::Lanes {
        [f32x8::splat(value); V]
    }

    #[inline(always)]
    fn load(self, from: &[f32]) -> Self::Lanes {
        let from = &from[..Self::NR];
        std::array::from_fn(|i| f32x8::new(from[i * 8..][..8].try_into().expect("a slice of eight")))
    }

    #[inline(always)]
    fn load_halves(self, from: &[u16]) -> Self::Lanes {
        let mut row = self.splat(0.0);
        for (vector, halves) in row.iter_mut().zip(from[..Self::NR].chunks_exact(8)) {
            let mut floats = [0.0; 8];
            floats.iter_mut().zip(halves).for_each(|(float, &half)| *float = f32::from_bits(u32::from(half) << 16));
            *vector = f32x8::new(floats);
        }
        row
    }

    #[inline(always)]
    fn store(self, to: &mut [f32], value: Self::Lanes) {
        for (to, value) in to[..Self::NR].chunks_exact_mut(8).zip(value) {
            to.copy_from_slice(&value.to_array());
        }
    }

    elementwise! {
        add(b) |a, b| a + b;
        sub(b) |a, b| a - b;
        mul(b) |a, b| a * b;
        div(b) |a, b| a / b;
        mul_add(b, c) |a: f32x8, b, c| a.mul_add(b, c);
        max(b) |a: f32x8, b| a.fast_max(b);
        sqrt() |a: f32x8| a.sqrt();
    }

    #[inline(always)]
    fn sum(self, a: Self::Lanes) -> f32 {
        let total = a[1..].iter().fold(a[0], |total, &vector| total + vector);
        total.reduce_add()
    }

    #[inline(always)]
    fn positive(self, a: Self::Lanes) -> u64 {
        const { assert!(Self::NR <= u64::BITS as usize) };
        let above = |vector: f32x8| u64::from(vector.simd_gt(f32x8::ZERO).to_bitmask());
        a.into_iter().enumerate().fold(0, |bits, (i, vector)| bits | above(vector) << (8 * i))
    }
}
