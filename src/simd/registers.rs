//! Several registers side by side as one vector: how a kernel chooses the width of its accumulators.
//!
//! The operations are loops and not closures: a closure that is not inlined is compiled without the instruction set.

use super::{Kernel, Simd};

/// Vectors of `N` registers of the instruction set `S`: a micro-kernel written over vectors has NR = `N` registers.
#[derive(Clone, Copy, Debug)]
pub struct Registers<S, const N: usize>(pub S);

/// Defines operations that apply one of `S` to each register of a vector.
macro_rules! each_register {
    ($($name:ident($($operand:ident),*);)+) => {
        $(
            #[inline(always)]
            fn $name(self, mut a: Self::Vector $(, $operand: Self::Vector)*) -> Self::Vector {
                for i in 0..N {
                    a[i] = self.0.$name(a[i] $(, $operand[i])*);
                }
                a
            }
        )+
    };
}

impl<S: Simd<One = S>, const N: usize> Simd for Registers<S, N> {
    type Vector = [S::Vector; N];
    type One = S;

    const LANES: usize = N * S::LANES;
    const REGISTERS: usize = S::REGISTERS;

    #[inline(always)]
    fn one(self) -> S {
        self.0
    }

    #[inline]
    fn run<K: Kernel>(self, kernel: K) -> K::Output {
        self.0.run(OnRegisters::<K, N>(kernel))
    }

    #[inline(always)]
    fn splat(self, value: f32) -> Self::Vector {
        [self.0.splat(value); N]
    }

    #[inline(always)]
    fn load(self, from: &[f32]) -> Self::Vector {
        let from = &from[..Self::LANES];
        let mut vector = self.splat(0.0);
        for (i, register) in vector.iter_mut().enumerate() {
            *register = self.0.load(&from[i * S::LANES..]);
        }
        vector
    }

    #[inline(always)]
    fn load_bf16(self, from: &[u16]) -> Self::Vector {
        let from = &from[..Self::LANES];
        let mut vector = self.splat(0.0);
        for (i, register) in vector.iter_mut().enumerate() {
            *register = self.0.load_bf16(&from[i * S::LANES..]);
        }
        vector
    }

    #[inline(always)]
    fn store(self, to: &mut [f32], value: Self::Vector) {
        let to = &mut to[..Self::LANES];
        for (i, register) in value.into_iter().enumerate() {
            self.0.store(&mut to[i * S::LANES..], register);
        }
    }

    #[inline(always)]
    fn load_partial(self, from: &[f32]) -> Self::Vector {
        assert!(from.len() <= Self::LANES);
        let mut vector = self.splat(0.0);
        for (register, from) in vector.iter_mut().zip(from.chunks(S::LANES)) {
            *register = self.0.load_partial(from);
        }
        vector
    }

    #[inline(always)]
    fn store_partial(self, to: &mut [f32], value: Self::Vector) {
        assert!(to.len() <= Self::LANES);
        for (to, register) in to.chunks_mut(S::LANES).zip(value) {
            self.0.store_partial(to, register);
        }
    }

    each_register! {
        add(b);
        sub(b);
        mul(b);
        div(b);
        mul_add(b, c);
        max(b);
        flush(least);
        sqrt();
    }

    /// Adds the registers up one after another, and then the lanes of their sum.
    #[inline(always)]
    fn sum(self, a: Self::Vector) -> f32 {
        let mut total = a[0];
        for &register in &a[1..] {
            total = self.0.add(total, register);
        }
        self.0.sum(total)
    }

    #[inline(always)]
    fn positive(self, a: Self::Vector) -> u64 {
        const { assert!(Self::LANES <= u64::BITS as usize) };
        let mut bits = 0;
        for (i, register) in a.into_iter().enumerate() {
            bits |= self.0.positive(register) << (i * S::LANES);
        }
        bits
    }

    #[inline(always)]
    fn prefetch_ahead(self, from: &[f32], floats: usize) {
        self.0.prefetch_ahead(from, floats);
    }

    #[inline(always)]
    fn prefetch_for_later(self, from: &[f32]) {
        self.0.prefetch_for_later(from);
    }
}

/// A kernel that runs on vectors of `N` registers.
struct OnRegisters<K, const N: usize>(K);

impl<K: Kernel, const N: usize> Kernel for OnRegisters<K, N> {
    type Output = K::Output;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> K::Output {
        self.0.run(Registers::<S::One, N>(simd.one()))
    }
}
