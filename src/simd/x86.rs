//! AVX-512 and AVX2+FMA: proof tokens and the vector operations, each one intrinsic repeated over a row's registers.
//!
//! Relies on `core::arch` only. Each operation is `#[inline(always)]` and is compiled inside the trampoline of
//! [`Simd::run`], where the instruction set is switched on; that is what makes the arrays below stay in registers.

use core::arch::x86_64::*;

use super::{Kernel, Simd};

/// Defines a proof token and its [`Simd`] implementation over rows of `V` registers, `[$vector; V]`.
macro_rules! x86_simd {
    (
        $(#[$doc:meta])* $token:ident, $features:literal, [$($detect:tt),+],
        $vector:ident of $width:literal in $registers:literal, $sum:ident, $positive:ident, $halves:ident,
        $set1:ident $loadu:ident $storeu:ident $add:ident $sub:ident $mul:ident $div:ident $fmadd:ident $max:ident $sqrt:ident
    ) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub struct $token<const V: usize>(());

        impl<const V: usize> $token<V> {
            /// The token, where this CPU and operating system have the instruction set.
            pub fn new() -> Option<Self> {
                ($(is_x86_feature_detected!($detect))&&+).then_some(Self(()))
            }

            /// The same proof for rows of `N` registers.
            #[inline(always)]
            pub fn rows_of<const N: usize>(self) -> $token<N> {
                $token(())
            }
        }

        impl<const V: usize> Simd for $token<V> {
            type Lanes = [$vector; V];
            type One = $token<1>;

            const NR: usize = V * $width;
            const REGISTERS: usize = $registers;

            #[inline(always)]
            fn one(self) -> Self::One {
                self.rows_of()
            }

            #[inline]
            fn run<K: Kernel>(self, kernel: K) -> K::Output {
                #[inline(never)]
                #[target_feature(enable = $features)]
                fn trampoline<const V: usize, K: Kernel>(token: $token<V>, kernel: K) -> K::Output {
                    kernel.run(token)
                }
                // SAFETY: the token exists, so `new` has seen that the CPU has the features.
                unsafe { trampoline(self, kernel) }
            }

            #[inline(always)]
            fn splat(self, value: f32) -> Self::Lanes {
                // SAFETY: the token exists, so the CPU has the instruction.
                unsafe { [$set1(value); V] }
            }

            #[inline(always)]
            fn load(self, from: &[f32]) -> Self::Lanes {
                let from = from[..Self::NR].as_ptr();
                let mut row = self.splat(0.0);
                for (i, vector) in row.iter_mut().enumerate() {
                    // SAFETY: the token exists, so the CPU has the instruction; the slice above holds
                    // NR = V * width floats, and the load needs no alignment.
                    *vector = unsafe { $loadu(from.add(i * $width)) };
                }
                row
            }

            #[inline(always)]
            fn load_halves(self, from: &[u16]) -> Self::Lanes {
                let from = from[..Self::NR].as_ptr();
                let mut row = self.splat(0.0);
                for (i, vector) in row.iter_mut().enumerate() {
                    // SAFETY: as in `load`, with NR halves.
                    *vector = unsafe { $halves(from.add(i * $width)) };
                }
                row
            }

            #[inline(always)]
            fn store(self, to: &mut [f32], value: Self::Lanes) {
                let to = to[..Self::NR].as_mut_ptr();
                for (i, vector) in value.into_iter().enumerate() {
                    // SAFETY: as in `load`.
                    unsafe { $storeu(to.add(i * $width), vector) };
                }
            }

            x86_simd!(@binary add $add, sub $sub, mul $mul, div $div, max $max);

            #[inline(always)]
            fn mul_add(self, a: Self::Lanes, b: Self::Lanes, mut c: Self::Lanes) -> Self::Lanes {
                for i in 0..V {
                    // SAFETY: the token exists, so the CPU has the instruction.
                    c[i] = unsafe { $fmadd(a[i], b[i], c[i]) };
                }
                c
            }

            #[inline(always)]
            fn sqrt(self, mut a: Self::Lanes) -> Self::Lanes {
                for vector in &mut a {
                    // SAFETY: the token exists, so the CPU has the instruction.
                    *vector = unsafe { $sqrt(*vector) };
                }
                a
            }

            #[inline(always)]
            fn prefetch(self, from: &[f32]) {
                // SAFETY: every x86-64 CPU has the instruction, and it may be given any address.
                unsafe { _mm_prefetch::<_MM_HINT_T0>(from.as_ptr().cast()) };
            }

            #[inline(always)]
            fn sum(self, a: Self::Lanes) -> f32 {
                let mut total = a[0];
                for vector in &a[1..] {
                    // SAFETY: the token exists, so the CPU has the instruction.
                    total = unsafe { $add(total, *vector) };
                }
                // SAFETY: the token exists, so the CPU has the instruction.
                unsafe { $sum(total) }
            }

            #[inline(always)]
            fn positive(self, a: Self::Lanes) -> u64 {
                const { assert!(Self::NR <= u64::BITS as usize) };
                let mut bits = 0;
                for (i, vector) in a.into_iter().enumerate() {
                    // SAFETY: the token exists, so the CPU has the instruction.
                    bits |= unsafe { $positive(vector) } << (i * $width);
                }
                bits
            }
        }
    };
    (@binary $($name:ident $intrinsic:ident),+) => {
        $(
            #[inline(always)]
            fn $name(self, mut a: Self::Lanes, b: Self::Lanes) -> Self::Lanes {
                for (a, b) in a.iter_mut().zip(b) {
                    // SAFETY: the token exists, so the CPU has the instruction.
                    *a = unsafe { $intrinsic(*a, b) };
                }
                a
            }
        )+
    };
}

x86_simd!(
    /// Proof that this CPU has AVX-512F. Vectors hold 16 floats.
    Avx512, "avx512f,avx2,fma", ["avx512f", "avx2", "fma"],
    __m512 of 16 in 32, _mm512_reduce_add_ps, positive_of_sixteen, halves_of_sixteen,
    _mm512_set1_ps _mm512_loadu_ps _mm512_storeu_ps _mm512_add_ps _mm512_sub_ps _mm512_mul_ps _mm512_div_ps
    _mm512_fmadd_ps _mm512_max_ps _mm512_sqrt_ps
);

x86_simd!(
    /// Proof that this CPU has AVX2 and FMA3. Vectors hold 8 floats.
    Avx2, "avx2,fma", ["avx2", "fma"],
    __m256 of 8 in 16, sum_of_eight, positive_of_eight, halves_of_eight,
    _mm256_set1_ps _mm256_loadu_ps _mm256_storeu_ps _mm256_add_ps _mm256_sub_ps _mm256_mul_ps _mm256_div_ps
    _mm256_fmadd_ps _mm256_max_ps _mm256_sqrt_ps
);

/// The sum of eight floats: halves, then quarters, then the last pair.
#[inline]
#[target_feature(enable = "avx2")]
fn sum_of_eight(a: __m256) -> f32 {
    let four = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps::<1>(a));
    let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
}

/// Which of sixteen floats are above zero.
#[inline]
#[target_feature(enable = "avx512f")]
fn positive_of_sixteen(a: __m512) -> u64 {
    _mm512_cmp_ps_mask::<_CMP_GT_OQ>(a, _mm512_setzero_ps()).into()
}

/// Which of eight floats are above zero.
#[inline]
#[target_feature(enable = "avx2")]
fn positive_of_eight(a: __m256) -> u64 {
    (_mm256_movemask_ps(_mm256_cmp_ps::<_CMP_GT_OQ>(a, _mm256_setzero_ps())) as u32).into()
}

/// The sixteen floats whose upper halves are at `from`.
///
/// # Safety
///
/// `from` points to sixteen halves.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn halves_of_sixteen(from: *const u16) -> __m512 {
    // SAFETY: the caller's promise; the load needs no alignment.
    let halves = unsafe { _mm256_loadu_si256(from.cast()) };
    _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(halves)))
}

/// The eight floats whose upper halves are at `from`.
///
/// # Safety
///
/// `from` points to eight halves.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn halves_of_eight(from: *const u16) -> __m256 {
    // SAFETY: the caller's promise; the load needs no alignment.
    let halves = unsafe { _mm_loadu_si128(from.cast()) };
    _mm256_castsi256_ps(_mm256_slli_epi32::<16>(_mm256_cvtepu16_epi32(halves)))
}
