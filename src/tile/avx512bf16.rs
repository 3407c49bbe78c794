//! `vdpbf16ps` on tiles: for CPUs that execute it at a higher rate than f32 multiply-adds.
//!
//! Relies on `pairs` for the loops, which tests also run on a model of the instruction.

use core::arch::x86_64::*;

use super::pairs::{PairDot, multiply_by_pairs, multiply_pairs_in_registers};
use super::{BLOCK, Product, SIDE, TileUnit};
use crate::simd::{Avx512, Kernel, Registers, Simd};

/// Proof that this CPU has AVX-512 with bf16 products.
#[derive(Clone, Copy, Debug)]
pub struct Avx512Bf16 {
    vectors: Avx512,
}

impl Avx512Bf16 {
    /// The token, where this CPU and operating system have the instruction set.
    pub fn new() -> Option<Self> {
        let vectors = Avx512::new()?;
        is_x86_feature_detected!("avx512bf16").then_some(Self { vectors })
    }

    /// Whether the CPU is of AMD's family 26 or later, on which the instruction has been measured to have twice the
    /// rate of f32 (docs/experiments.md).
    pub fn is_on_zen_5(self) -> bool {
        const ZEN_5: u32 = 26;
        let vendor = __cpuid(0);
        let of_amd = [vendor.ebx, vendor.edx, vendor.ecx].map(u32::to_le_bytes).as_flattened() == b"AuthenticAMD";
        // Family and, behind it, the extended family that counts from 15 on.
        let signature = __cpuid(1).eax;
        of_amd && (signature >> 8 & 0xf) + (signature >> 20 & 0xff) >= ZEN_5
    }
}

impl TileUnit for Avx512Bf16 {
    const LEAVES_OUT_PAIRS: bool = true;

    const RUNS_BESIDE_VECTORS: bool = false;

    /// The sparse form reaches about half the rate of f32, this unit twice that rate; measured on Zen 5.
    const COST_OF_SPARSE: f64 = 4.0;

    fn name(self) -> &'static str {
        "avx512bf16"
    }

    fn run<K: Kernel>(self, kernel: K) -> K::Output {
        Registers::<_, 2>(self.vectors).run(kernel)
    }

    fn multiply<S: Simd>(self, _: S, product: Product<'_>) {
        #[target_feature(enable = "avx512f,avx512vl,avx512bf16")]
        fn with_the_instruction(token: Avx512Bf16, product: Product<'_>) {
            multiply_by_pairs(token, product);
        }
        // SAFETY: the token exists, so the CPU has the instructions.
        unsafe { with_the_instruction(self, product) };
    }

    fn multiply_registers(self, rounds: usize) -> u64 {
        #[target_feature(enable = "avx512f,avx512vl,avx512bf16")]
        fn with_the_instruction(token: Avx512Bf16, rounds: usize) -> u64 {
            multiply_pairs_in_registers(token, rounds)
        }
        // SAFETY: the token exists, so the CPU has the instructions.
        unsafe { with_the_instruction(self, rounds) }
    }
}

impl PairDot for Avx512Bf16 {
    type Sums = __m512;
    type Pairs = __m512i;

    #[inline(always)]
    fn load(self, from: &[f32; SIDE]) -> __m512 {
        // SAFETY: the token exists, so the CPU has the instruction; 16 floats are one vector, and the load needs no
        // alignment.
        unsafe { _mm512_loadu_ps(from.as_ptr()) }
    }

    #[inline(always)]
    fn store(self, to: &mut [f32; SIDE], sums: __m512) {
        // SAFETY: as in `load`.
        unsafe { _mm512_storeu_ps(to.as_mut_ptr(), sums) };
    }

    #[inline(always)]
    fn ask_for(self, line: *const [f32; SIDE]) {
        // SAFETY: the token exists, and every CPU with AVX-512 has the instruction; a prefetch neither reads nor
        // writes, and an address that cannot be translated is left alone.
        unsafe { _mm_prefetch::<_MM_HINT_ET0>(line.cast()) };
    }

    #[inline(always)]
    fn pairs(self, row: &[u16; BLOCK]) -> __m512i {
        // SAFETY: as in `load`, with 32 numbers of 16 bits.
        unsafe { _mm512_loadu_si512(row.as_ptr().cast()) }
    }

    #[inline(always)]
    fn repeat(self, [even, odd]: [u16; 2]) -> __m512i {
        let both = u32::from(even) | u32::from(odd) << 16;
        // SAFETY: the token exists, so the CPU has the instruction.
        unsafe { _mm512_set1_epi32(both as i32) }
    }

    #[inline(always)]
    fn dot(self, sums: __m512, a: __m512i, b: __m512i) -> __m512 {
        // SAFETY: the token exists, so the CPU has the instruction; any 512 bits are 32 bf16 numbers.
        unsafe {
            _mm512_dpbf16_ps(
                sums,
                std::mem::transmute::<__m512i, __m512bh>(a),
                std::mem::transmute::<__m512i, __m512bh>(b),
            )
        }
    }
}
