//! The arithmetic of SGD, with momentum or along a running mean of the gradients.

use super::step::{LEAST_MOMENT, Step};
use crate::simd::Simd;

/// `v = momentum v - lr g; w += v`.
#[derive(Clone, Copy)]
pub(super) struct Momentum {
    pub lr: f32,
    pub momentum: f32,
}

impl Step<1> for Momentum {
    #[inline(always)]
    fn step<S: Simd>(self, simd: S, w: S::Vector, g: S::Vector, [v]: [S::Vector; 1]) -> (S::Vector, [S::Vector; 1]) {
        let change = simd.mul(simd.splat(self.lr), g);
        let v = simd.sub(simd.mul(simd.splat(self.momentum), v), change);
        let v = simd.flush(v, simd.splat(LEAST_MOMENT));
        (simd.add(w, v), [v])
    }
}

/// `v = momentum v + (1 - momentum) g; w -= lr (v + decay w)`.
#[derive(Clone, Copy)]
pub(super) struct Averaged {
    pub lr: f32,
    pub momentum: f32,
    pub decay: f32,
}

impl Step<1> for Averaged {
    #[inline(always)]
    fn step<S: Simd>(self, simd: S, w: S::Vector, g: S::Vector, [v]: [S::Vector; 1]) -> (S::Vector, [S::Vector; 1]) {
        let Self { lr, momentum, decay } = self;
        let v = simd.mul_add(simd.splat(momentum), v, simd.mul(simd.splat(1.0 - momentum), g));
        let v = simd.flush(v, simd.splat(LEAST_MOMENT));
        let change = simd.mul_add(simd.splat(decay), w, v);
        (simd.sub(w, simd.mul(simd.splat(lr), change)), [v])
    }
}
