//! In-place Adam over the vector trait: four streams in, three out, nothing allocated.

use rayon::prelude::*;

use super::BLOCK;
use crate::isa::Isa;
use crate::simd::{Kernel, Simd};

/// What one step multiplies with.
#[derive(Clone, Copy)]
pub(super) struct Constants {
    /// `lr * sqrt(1 - beta2^t) / (1 - beta1^t)`.
    alpha: f32,
    /// `1 - beta1`.
    first_share: f32,
    /// `1 - beta2`.
    second_share: f32,
    epsilon: f32,
    /// `1 - lr * decay`: what is left of a weight.
    kept: f32,
}

impl Constants {
    /// The constants of step `t`, counted from 1.
    pub fn at_step(t: i32, lr: f64, [beta1, beta2]: [f64; 2], epsilon: f64, decay: f64) -> Self {
        Self {
            alpha: (lr * (1.0 - beta2.powi(t)).sqrt() / (1.0 - beta1.powi(t))) as f32,
            first_share: (1.0 - beta1) as f32,
            second_share: (1.0 - beta2) as f32,
            epsilon: epsilon as f32,
            kept: (1.0 - lr * decay) as f32,
        }
    }
}

/// `m += (g - m)(1 - beta1); v += (g^2 - v)(1 - beta2); w = kept w - alpha m / (sqrt(v) + epsilon)`, elementwise.
pub(super) fn update(isa: Isa, constants: Constants, w: &mut [f32], g: &[f32], m: &mut [f32], v: &mut [f32]) {
    w.par_chunks_mut(BLOCK)
        .zip(g.par_chunks(BLOCK))
        .zip(m.par_chunks_mut(BLOCK).zip(v.par_chunks_mut(BLOCK)))
        .for_each(|((w, g), (m, v))| isa.run(Block { constants, w, g, m, v }));
}

/// Slices of one length.
struct Block<'a> {
    constants: Constants,
    w: &'a mut [f32],
    g: &'a [f32],
    m: &'a mut [f32],
    v: &'a mut [f32],
}

impl Kernel for Block<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { constants, w, g, m, v } = self;
        let (mut w, mut m, mut v) =
            (w.chunks_exact_mut(S::LANES), m.chunks_exact_mut(S::LANES), v.chunks_exact_mut(S::LANES));
        let mut g = g.chunks_exact(S::LANES);
        for (((w, g), m), v) in w.by_ref().zip(g.by_ref()).zip(m.by_ref()).zip(v.by_ref()) {
            let (w1, m1, v1) = step(simd, constants, simd.load(w), simd.load(g), simd.load(m), simd.load(v));
            simd.store(w, w1);
            simd.store(m, m1);
            simd.store(v, v1);
        }
        let (w, g, m, v) = (w.into_remainder(), g.remainder(), m.into_remainder(), v.into_remainder());
        let load = |from: &[f32]| simd.load_partial(from);
        let (w1, m1, v1) = step(simd, constants, load(w), load(g), load(m), load(v));
        simd.store_partial(w, w1);
        simd.store_partial(m, m1);
        simd.store_partial(v, v1);
    }
}

#[inline(always)]
fn step<S: Simd>(
    simd: S,
    constants: Constants,
    w: S::Vector,
    g: S::Vector,
    m: S::Vector,
    v: S::Vector,
) -> (S::Vector, S::Vector, S::Vector) {
    let m = simd.mul_add(simd.sub(g, m), simd.splat(constants.first_share), m);
    let v = simd.mul_add(simd.sub(simd.mul(g, g), v), simd.splat(constants.second_share), v);
    let root = simd.add(simd.sqrt(v), simd.splat(constants.epsilon));
    let w = simd.sub(simd.mul(simd.splat(constants.kept), w), simd.div(simd.mul(simd.splat(constants.alpha), m), root));
    (w, m, v)
}
