//! The loops that measure a machine and not a kernel: multiply-adds on registers, and copying, adding and updating
//! arrays.
//!
//! The peaks of a report run them for as long as a kernel's sample takes ([`report::peaks`](super::report::peaks)),
//! probes for a millisecond ([`probe`](super::probe)).

use std::hint::black_box;

use crate::isa::Isa;
use crate::machine::Cache;
use crate::simd::{Kernel, Simd};

/// Accumulators, of one register each: more than the ten that two pipes of latency 5 keep busy, and room for the two
/// constants in 16 registers.
const ACCUMULATORS: usize = 12;

/// Accumulators where the registers hold fewer vectors.
const FEW_ACCUMULATORS: usize = 6;

/// Multiply-adds of each accumulator in one run: half a millisecond with two pipes, beside which starting the threads
/// takes little time.
const STEPS: usize = 1 << 18;

/// Runs multiply-adds on the registers of `isa`, on the calling thread. It returns their sum, so that the compiler
/// cannot leave any of them out.
pub fn multiply_adds(isa: Isa) -> f32 {
    isa.run(MultiplyAdds)
}

/// Operations of one call of [`multiply_adds`], two for each multiply-add.
pub fn operations(isa: Isa) -> u64 {
    isa.run(Operations)
}

/// `STEPS` multiply-adds on each accumulator; returns the sum of what they come to.
struct MultiplyAdds;

impl Kernel for MultiplyAdds {
    type Output = f32;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> f32 {
        if S::REGISTERS > ACCUMULATORS { repeat::<S, ACCUMULATORS>(simd) } else { repeat::<S, FEW_ACCUMULATORS>(simd) }
    }
}

#[inline(always)]
fn repeat<S: Simd, const N: usize>(simd: S) -> f32 {
    // Values that the compiler cannot see, and that stay finite and normal: x = 0.5 x + 1.
    let (factor, term) = (simd.splat(black_box(0.5)), simd.splat(black_box(1.0)));
    let mut accumulators = [simd.splat(black_box(3.0)); N];
    for _ in 0..STEPS {
        for accumulator in &mut accumulators {
            *accumulator = simd.mul_add(*accumulator, factor, term);
        }
    }
    accumulators.into_iter().map(|accumulator| simd.sum(accumulator)).sum()
}

/// Counts the operations of [`MultiplyAdds`].
struct Operations;

impl Kernel for Operations {
    type Output = u64;

    #[inline(always)]
    fn run<S: Simd>(self, _: S) -> u64 {
        let accumulators = if S::REGISTERS > ACCUMULATORS { ACCUMULATORS } else { FEW_ACCUMULATORS };
        (2 * STEPS * accumulators * S::LANES) as u64
    }
}

/// `to = from + factor * other` on arrays of one length, a multiple of [`MAX_LANES`](crate::simd::MAX_LANES).
struct Triad<'a> {
    to: &'a mut [f32],
    from: &'a [f32],
    other: &'a [f32],
    factor: f32,
}

impl Kernel for Triad<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let factor = simd.splat(self.factor);
        let operands = self.from.chunks_exact(S::LANES).zip(self.other.chunks_exact(S::LANES));
        for (to, (from, other)) in self.to.chunks_exact_mut(S::LANES).zip(operands) {
            simd.store(to, simd.mul_add(simd.load(other), factor, simd.load(from)));
        }
    }
}

/// `values = factor * values + term`, on an array as long as a multiple of [`MAX_LANES`](crate::simd::MAX_LANES).
struct InPlace<'a> {
    values: &'a mut [f32],
    factor: f32,
    term: f32,
}

impl Kernel for InPlace<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let (factor, term) = (simd.splat(self.factor), simd.splat(self.term));
        for values in self.values.chunks_exact_mut(S::LANES) {
            let value = simd.mul_add(simd.load(values), factor, term);
            simd.store(values, value);
        }
    }
}

/// The parts of three arrays that one thread works on.
pub struct Arrays([Vec<f32>; 3]);

impl Arrays {
    /// Arrays of `length` floats, written by the calling thread, so that they lie in the memory closest to it.
    pub fn new(length: usize) -> Self {
        Self([1.0, 2.0, 3.0].map(|value| vec![value; length]))
    }

    /// Copies one array to another.
    pub fn copy(&mut self) {
        let [to, from, _] = &mut self.0;
        black_box(to).copy_from_slice(from);
    }

    /// Writes each of the arrays anew from what it holds: no line is fetched just to be written over.
    pub fn update(&mut self, isa: Isa) {
        for values in &mut self.0 {
            isa.run(InPlace { values: black_box(values), factor: 0.5, term: 1.0 });
        }
    }

    /// Writes the sum of one array and half of another to the third.
    pub fn triad(&mut self, isa: Isa) {
        let [to, from, other] = &mut self.0;
        isa.run(Triad { to: black_box(to), from, other, factor: 0.5 });
    }
}

/// Bytes of the last-level caches that `threads` of `cpus` CPUs have together; 0 where `caches`, those of one CPU, tell
/// of none.
pub fn last_level_bytes(caches: &[Cache], cpus: usize, threads: usize) -> u64 {
    let last = caches.iter().max_by_key(|cache| cache.level);
    last.map_or(0, |cache| {
        let shared_by = cache.shared_by.unwrap_or(1).max(1);
        let number = cpus.div_ceil(shared_by).min(threads) as u64;
        cache.bytes.saturating_mul(number)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::MAX_LANES;

    #[test]
    fn multiply_adds_come_to_their_fixed_point() {
        for isa in Isa::available() {
            let lanes = operations(isa) / (2 * STEPS as u64);
            assert_eq!(multiply_adds(isa), 2.0 * lanes as f32, "{isa}: x = 0.5 x + 1 ends at 2");
        }
    }

    #[test]
    fn arrays_are_copied_added_and_updated() {
        for isa in Isa::available() {
            let mut arrays = Arrays::new(2 * MAX_LANES);
            arrays.triad(isa);
            assert_eq!(arrays.0[0], [2.0 + 0.5 * 3.0; 2 * MAX_LANES], "{isa}");
            arrays.copy();
            assert_eq!(arrays.0[0], arrays.0[1]);
            arrays.update(isa);
            assert_eq!(arrays.0[2], [0.5 * 3.0 + 1.0; 2 * MAX_LANES], "{isa}");
        }
    }

    #[test]
    fn last_level_caches_count_once_for_those_that_share_them() {
        let cache = |level, bytes, shared_by| Cache { level, kind: "Unified".into(), bytes, shared_by };
        let caches = [cache(2, 1 << 20, Some(2)), cache(3, 32 << 20, Some(8))];
        assert_eq!([1, 2, 16].map(|threads| last_level_bytes(&caches, 16, threads) >> 20), [32, 64, 64]);
        assert_eq!(last_level_bytes(&[], 16, 2), 0);
        assert_eq!(last_level_bytes(&[cache(3, 1 << 20, None)], 4, 2), 2 << 20, "each CPU's own");
    }
}
