//! AVX-512 and AVX2+FMA: proof tokens and the vector operations, each of them one intrinsic.
//!
//! Relies on `core::arch` only. Each operation is `#[inline(always)]` and is compiled inside the trampoline of
//! [`Simd::run`], where the instruction set is switched on; that is what keeps its operands in registers.

use core::arch::x86_64::*;

use super::{Kernel, Simd};

/// Defines a proof token and its [`Simd`] implementation over single registers, `$vector`.
macro_rules! x86_simd {
    (
        $(#[$doc:meta])* $token:ident, $features:literal, [$($detect:tt),+],
        $vector:ident of $lanes:literal in $registers:literal, $sum:ident, $positive:ident, $load_bf16:ident,
        $load_some:ident, $store_some:ident, $flush:ident,
        $set1:ident $loadu:ident $storeu:ident $add:ident $sub:ident $mul:ident $div:ident $fmadd:ident $max:ident
        $sqrt:ident
    ) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub struct $token(());

        impl $token {
            /// The token, where this CPU and operating system have the instruction set.
            pub fn new() -> Option<Self> {
                ($(is_x86_feature_detected!($detect))&&+).then_some(Self(()))
            }
        }

        impl Simd for $token {
            type Vector = $vector;
            type One = Self;

            const LANES: usize = $lanes;
            const REGISTERS: usize = $registers;

            #[inline(always)]
            fn one(self) -> Self {
                self
            }

            #[inline]
            fn run<K: Kernel>(self, kernel: K) -> K::Output {
                #[inline(never)]
                #[target_feature(enable = $features)]
                fn trampoline<K: Kernel>(token: $token, kernel: K) -> K::Output {
                    kernel.run(token)
                }
                // SAFETY: the token exists, so `new` has seen that the CPU has the features.
                unsafe { trampoline(self, kernel) }
            }

            #[inline(always)]
            fn splat(self, value: f32) -> $vector {
                // SAFETY: the token exists, so the CPU has the instruction.
                unsafe { $set1(value) }
            }

            #[inline(always)]
            fn load(self, from: &[f32]) -> $vector {
                let from = from[..Self::LANES].as_ptr();
                // SAFETY: the token exists, so the CPU has the instruction; the slice above holds as many floats as
                // the register, and the load needs no alignment.
                unsafe { $loadu(from) }
            }

            #[inline(always)]
            fn load_bf16(self, from: &[u16]) -> $vector {
                let from = from[..Self::LANES].as_ptr();
                // SAFETY: as in `load`, with as many numbers of 16 bits.
                unsafe { $load_bf16(from) }
            }

            #[inline(always)]
            fn store(self, to: &mut [f32], value: $vector) {
                let to = to[..Self::LANES].as_mut_ptr();
                // SAFETY: as in `load`.
                unsafe { $storeu(to, value) };
            }

            #[inline(always)]
            fn load_partial(self, from: &[f32]) -> $vector {
                assert!(from.len() <= Self::LANES);
                // SAFETY: the token exists, so the CPU has the instruction; the slice has no more floats than the
                // register.
                unsafe { $load_some(from) }
            }

            #[inline(always)]
            fn store_partial(self, to: &mut [f32], value: $vector) {
                assert!(to.len() <= Self::LANES);
                // SAFETY: as in `load_partial`.
                unsafe { $store_some(to, value) };
            }

            x86_simd!(@binary $vector: add $add, sub $sub, mul $mul, div $div, max $max);

            #[inline(always)]
            fn mul_add(self, a: $vector, b: $vector, c: $vector) -> $vector {
                // SAFETY: the token exists, so the CPU has the instruction.
                unsafe { $fmadd(a, b, c) }
            }

            #[inline(always)]
            fn sqrt(self, a: $vector) -> $vector {
                // SAFETY: the token exists, so the CPU has the instruction.
                unsafe { $sqrt(a) }
            }

            #[inline(always)]
            fn prefetch_ahead(self, from: &[f32], floats: usize) {
                let ahead = from.as_ptr().wrapping_add(floats);
                // SAFETY: every x86-64 CPU has the instruction, and it may be given any address.
                unsafe { _mm_prefetch::<_MM_HINT_T0>(ahead.cast()) };
            }

            #[inline(always)]
            fn prefetch_for_later(self, from: &[f32]) {
                // SAFETY: every x86-64 CPU has the instruction, and it may be given any address.
                unsafe { _mm_prefetch::<_MM_HINT_T1>(from.as_ptr().cast()) };
            }

            #[inline(always)]
            fn flush(self, a: $vector, least: $vector) -> $vector {
                // SAFETY: the token exists, so the CPU has the instructions.
                unsafe { $flush(a, least) }
            }

            #[inline(always)]
            fn sum(self, a: $vector) -> f32 {
                // SAFETY: the token exists, so the CPU has the instruction.
                unsafe { $sum(a) }
            }

            #[inline(always)]
            fn positive(self, a: $vector) -> u64 {
                // SAFETY: the token exists, so the CPU has the instruction.
                unsafe { $positive(a) }
            }
        }
    };
    (@binary $vector:ident: $($name:ident $intrinsic:ident),+) => {
        $(
            #[inline(always)]
            fn $name(self, a: $vector, b: $vector) -> $vector {
                // SAFETY: the token exists, so the CPU has the instruction.
                unsafe { $intrinsic(a, b) }
            }
        )+
    };
}

x86_simd!(
    /// Proof that this CPU has AVX-512F and AVX-512VL. Vectors hold 16 floats. Without the latter, operations on parts
    /// of a register, as where its lanes are summed, would reach only half of the registers.
    Avx512, "avx512f,avx512vl,avx2,fma", ["avx512f", "avx512vl", "avx2", "fma"],
    __m512 of 16 in 32, sum_of_sixteen, positive_of_sixteen, bf16_of_sixteen,
    load_some_of_sixteen, store_some_of_sixteen, flush_sixteen,
    _mm512_set1_ps _mm512_loadu_ps _mm512_storeu_ps _mm512_add_ps _mm512_sub_ps _mm512_mul_ps _mm512_div_ps
    _mm512_fmadd_ps _mm512_max_ps _mm512_sqrt_ps
);

x86_simd!(
    /// Proof that this CPU has AVX2 and FMA3. Vectors hold 8 floats.
    Avx2, "avx2,fma", ["avx2", "fma"],
    __m256 of 8 in 16, sum_of_eight, positive_of_eight, bf16_of_eight,
    load_some_of_eight, store_some_of_eight, flush_eight,
    _mm256_set1_ps _mm256_loadu_ps _mm256_storeu_ps _mm256_add_ps _mm256_sub_ps _mm256_mul_ps _mm256_div_ps
    _mm256_fmadd_ps _mm256_max_ps _mm256_sqrt_ps
);

/// The sum of sixteen floats: halves, and so on down to the last pair. It is inlined whatever the compiler thinks of
/// it, because a call would put the caller's accumulators into memory.
///
/// # Safety
///
/// The CPU has AVX-512F and AVX2.
#[inline(always)]
unsafe fn sum_of_sixteen(a: __m512) -> f32 {
    // SAFETY: the caller's promise.
    unsafe {
        let high = _mm256_castpd_ps(_mm512_extractf64x4_pd::<1>(_mm512_castps_pd(a)));
        sum_of_eight(_mm256_add_ps(_mm512_castps512_ps256(a), high))
    }
}

/// The sum of eight floats: halves, then quarters, then the last pair; inlined as [`sum_of_sixteen`] is.
///
/// # Safety
///
/// The CPU has AVX2.
#[inline(always)]
unsafe fn sum_of_eight(a: __m256) -> f32 {
    // SAFETY: the caller's promise.
    unsafe {
        let four = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps::<1>(a));
        let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
        _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
    }
}

/// Those of sixteen floats whose magnitude is not below that of `least`.
#[inline]
#[target_feature(enable = "avx512f")]
fn flush_sixteen(a: __m512, least: __m512) -> __m512 {
    _mm512_maskz_mov_ps(_mm512_cmp_ps_mask::<_CMP_NLT_UQ>(_mm512_abs_ps(a), least), a)
}

/// Those of eight floats whose magnitude is not below that of `least`.
#[inline]
#[target_feature(enable = "avx2")]
fn flush_eight(a: __m256, least: __m256) -> __m256 {
    let magnitude = _mm256_andnot_ps(_mm256_set1_ps(-0.0), a);
    _mm256_and_ps(_mm256_cmp_ps::<_CMP_NLT_UQ>(magnitude, least), a)
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

/// The sixteen bf16 numbers at `from`, as floats.
///
/// # Safety
///
/// `from` points to sixteen numbers of 16 bits.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn bf16_of_sixteen(from: *const u16) -> __m512 {
    // SAFETY: the caller's promise; the load needs no alignment.
    let bits = unsafe { _mm256_loadu_si256(from.cast()) };
    _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(bits)))
}

/// The eight bf16 numbers at `from`, as floats.
///
/// # Safety
///
/// `from` points to eight numbers of 16 bits.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn bf16_of_eight(from: *const u16) -> __m256 {
    // SAFETY: the caller's promise; the load needs no alignment.
    let bits = unsafe { _mm_loadu_si128(from.cast()) };
    _mm256_castsi256_ps(_mm256_slli_epi32::<16>(_mm256_cvtepu16_epi32(bits)))
}

/// The floats of `from`, and zeros behind them.
///
/// # Safety
///
/// There are at most sixteen.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn load_some_of_sixteen(from: &[f32]) -> __m512 {
    // SAFETY: the mask has a bit for each float of the slice, and no other is touched.
    unsafe { _mm512_maskz_loadu_ps(first_of_sixteen(from.len()), from.as_ptr()) }
}

/// Writes the first floats of `value` over all of `to`.
///
/// # Safety
///
/// There are at most sixteen.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn store_some_of_sixteen(to: &mut [f32], value: __m512) {
    // SAFETY: the mask has a bit for each float of the slice, and no other is touched.
    unsafe { _mm512_mask_storeu_ps(to.as_mut_ptr(), first_of_sixteen(to.len()), value) };
}

/// A mask of the first `count` of sixteen floats.
#[inline(always)]
fn first_of_sixteen(count: usize) -> __mmask16 {
    ((1_u32 << count) - 1) as __mmask16
}

/// The floats of `from`, and zeros behind them.
///
/// # Safety
///
/// There are at most eight.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn load_some_of_eight(from: &[f32]) -> __m256 {
    // SAFETY: the mask is set for each float of the slice, and no other is touched.
    unsafe { _mm256_maskload_ps(from.as_ptr(), first_of_eight(from.len())) }
}

/// Writes the first floats of `value` over all of `to`.
///
/// # Safety
///
/// There are at most eight.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn store_some_of_eight(to: &mut [f32], value: __m256) {
    // SAFETY: the mask is set for each float of the slice, and no other is touched.
    unsafe { _mm256_maskstore_ps(to.as_mut_ptr(), first_of_eight(to.len()), value) };
}

/// A mask of the first `count` of eight floats, at most eight.
#[inline]
#[target_feature(enable = "avx2")]
fn first_of_eight(count: usize) -> __m256i {
    let place = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    _mm256_cmpgt_epi32(_mm256_set1_epi32(count as i32), place)
}
