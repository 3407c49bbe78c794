//! The arithmetic of Adam and AdamW.

use super::step::{LEAST_MOMENT, Step};
use crate::simd::Simd;

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

/// `m += (g - m)(1 - beta1); v += (g^2 - v)(1 - beta2); w = kept w - alpha m / (sqrt(v) + epsilon)`.
impl Step<2> for Constants {
    #[inline(always)]
    fn step<S: Simd>(self, simd: S, w: S::Vector, g: S::Vector, [m, v]: [S::Vector; 2]) -> (S::Vector, [S::Vector; 2]) {
        let m = simd.mul_add(simd.sub(g, m), simd.splat(self.first_share), m);
        let m = simd.flush(m, simd.splat(LEAST_MOMENT));
        let v = simd.mul_add(simd.sub(simd.mul(g, g), v), simd.splat(self.second_share), v);
        let root = simd.add(simd.sqrt(v), simd.splat(self.epsilon));
        let w = simd.sub(simd.mul(simd.splat(self.kept), w), simd.div(simd.mul(simd.splat(self.alpha), m), root));
        (w, [m, v])
    }
}
