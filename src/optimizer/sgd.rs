//! In-place SGD over the vector trait, with momentum or along a running mean of the gradients: three streams in, two
//! out, nothing allocated.

use rayon::prelude::*;

use super::BLOCK;
use crate::isa::Isa;
use crate::simd::{Kernel, Simd};

/// What one step makes of a weight and what is remembered beside it.
pub(super) trait Step: Copy + Send + Sync {
    /// The new `w` and `v`, elementwise. It runs inside a kernel, so it is `#[inline(always)]`.
    fn step<S: Simd>(self, simd: S, w: S::Vector, g: S::Vector, v: S::Vector) -> (S::Vector, S::Vector);
}

/// `v = momentum v - lr g; w += v`.
#[derive(Clone, Copy)]
pub(super) struct Momentum {
    pub lr: f32,
    pub momentum: f32,
}

impl Step for Momentum {
    #[inline(always)]
    fn step<S: Simd>(self, simd: S, w: S::Vector, g: S::Vector, v: S::Vector) -> (S::Vector, S::Vector) {
        let change = simd.mul(simd.splat(self.lr), g);
        let v = simd.sub(simd.mul(simd.splat(self.momentum), v), change);
        (simd.add(w, v), v)
    }
}

/// `v = momentum v + (1 - momentum) g; w -= lr (v + decay w)`.
#[derive(Clone, Copy)]
pub(super) struct Averaged {
    pub lr: f32,
    pub momentum: f32,
    pub decay: f32,
}

impl Step for Averaged {
    #[inline(always)]
    fn step<S: Simd>(self, simd: S, w: S::Vector, g: S::Vector, v: S::Vector) -> (S::Vector, S::Vector) {
        let Self { lr, momentum, decay } = self;
        let v = simd.mul_add(simd.splat(momentum), v, simd.mul(simd.splat(1.0 - momentum), g));
        let change = simd.mul_add(simd.splat(decay), w, v);
        (simd.sub(w, simd.mul(simd.splat(lr), change)), v)
    }
}

/// Takes one step with every weight.
pub(super) fn update(isa: Isa, step: impl Step, w: &mut [f32], g: &[f32], v: &mut [f32]) {
    w.par_chunks_mut(BLOCK)
        .zip(g.par_chunks(BLOCK))
        .zip(v.par_chunks_mut(BLOCK))
        .for_each(|((w, g), v)| isa.run(Block { step, w, g, v }));
}

/// Slices of one length.
struct Block<'a, T> {
    step: T,
    w: &'a mut [f32],
    g: &'a [f32],
    v: &'a mut [f32],
}

impl<T: Step> Kernel for Block<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { step, w, g, v } = self;
        let (mut w, mut g, mut v) =
            (w.chunks_exact_mut(S::LANES), g.chunks_exact(S::LANES), v.chunks_exact_mut(S::LANES));
        for ((w, g), v) in w.by_ref().zip(g.by_ref()).zip(v.by_ref()) {
            let (w1, v1) = step.step(simd, simd.load(w), simd.load(g), simd.load(v));
            simd.store(w, w1);
            simd.store(v, v1);
        }
        let (w, g, v) = (w.into_remainder(), g.remainder(), v.into_remainder());
        let load = |from: &[f32]| simd.load_partial(from);
        let (w1, v1) = step.step(simd, load(w), load(g), load(v));
        simd.store_partial(w, w1);
        simd.store_partial(v, v1);
    }
}
