//! In-place SGD along a running mean of the gradients, with decoupled weight decay, over the vector trait: three streams
//! in, two out, nothing allocated.

use rayon::prelude::*;

use super::BLOCK;
use crate::isa::Isa;
use crate::simd::{Kernel, Simd};

/// What one step multiplies with.
#[derive(Clone, Copy)]
pub(super) struct Constants {
    pub lr: f32,
    pub momentum: f32,
    pub decay: f32,
}

/// `v = momentum v + (1 - momentum) g; w -= lr (v + decay w)`, elementwise.
pub(super) fn update(isa: Isa, constants: Constants, w: &mut [f32], g: &[f32], v: &mut [f32]) {
    w.par_chunks_mut(BLOCK)
        .zip(g.par_chunks(BLOCK))
        .zip(v.par_chunks_mut(BLOCK))
        .for_each(|((w, g), v)| isa.run(Block { constants, w, g, v }));
}

/// Slices of one length.
struct Block<'a> {
    constants: Constants,
    w: &'a mut [f32],
    g: &'a [f32],
    v: &'a mut [f32],
}

impl Kernel for Block<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { constants, w, g, v } = self;
        let (mut w, mut g, mut v) =
            (w.chunks_exact_mut(S::LANES), g.chunks_exact(S::LANES), v.chunks_exact_mut(S::LANES));
        for ((w, g), v) in w.by_ref().zip(g.by_ref()).zip(v.by_ref()) {
            let (w1, v1) = step(simd, constants, simd.load(w), simd.load(g), simd.load(v));
            simd.store(w, w1);
            simd.store(v, v1);
        }
        let (w, g, v) = (w.into_remainder(), g.remainder(), v.into_remainder());
        let load = |from: &[f32]| simd.load_partial(from);
        let (w1, v1) = step(simd, constants, load(w), load(g), load(v));
        simd.store_partial(w, w1);
        simd.store_partial(v, v1);
    }
}

#[inline(always)]
fn step<S: Simd>(simd: S, constants: Constants, w: S::Vector, g: S::Vector, v: S::Vector) -> (S::Vector, S::Vector) {
    let Constants { lr, momentum, decay } = constants;
    let v = simd.mul_add(simd.splat(momentum), v, simd.mul(simd.splat(1.0 - momentum), g));
    let change = simd.mul_add(simd.splat(decay), w, v);
    (simd.sub(w, simd.mul(simd.splat(lr), change)), v)
}
