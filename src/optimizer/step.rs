//! A step of every weight over the vector trait: elementwise, in place, nothing allocated.

use crate::isa::Isa;
use crate::simd::{Kernel, Simd};

/// A first moment, or a velocity, below this becomes zero. Those of units that are off, and of inputs that are rarely
/// on, fade with every step and would end among the numbers below the normal ones, where a multiplication takes some
/// CPUs 150 cycles. From here on the next step is still among the normal numbers where a quarter or more is kept of a
/// moment. A weight that is not below 1e-23 is the same without it, with an epsilon of 1e-7 or more.
pub const LEAST_MOMENT: f32 = 4.0 * f32::MIN_POSITIVE;

/// Floats one thread updates at a time: the four streams of Adam take 64 KB, inside L2 and long enough to prefetch.
const BLOCK: usize = 4096;

/// What one step makes of a weight and of the `N` numbers that are remembered beside it.
pub trait Step<const N: usize>: Copy + Send + Sync {
    /// The new weight and numbers, elementwise, of `w`, its gradient `g` and the old `moments`. It runs inside a
    /// kernel, so it is `#[inline(always)]`.
    fn step<S: Simd>(self, simd: S, w: S::Vector, g: S::Vector, moments: [S::Vector; N])
    -> (S::Vector, [S::Vector; N]);
}

/// Takes one step with every weight; the slices are of one length.
pub fn take<const N: usize>(isa: Isa, step: impl Step<N>, w: &mut [f32], g: &[f32], moments: [&mut [f32]; N]) {
    if w.len() <= BLOCK {
        return isa.run(Block { step, w, g, moments });
    }
    let middle = (w.len() / 2).next_multiple_of(BLOCK);
    let (w, w_rest) = w.split_at_mut(middle);
    let (g, g_rest) = g.split_at(middle);
    let (moments, moments_rest) = split_each(moments, |moment| moment.split_at_mut(middle));
    rayon::join(|| take(isa, step, w, g, moments), || take(isa, step, w_rest, g_rest, moments_rest));
}

/// The two parts of each.
pub fn split_each<T, const N: usize>(whole: [T; N], split: impl Fn(T) -> (T, T)) -> ([T; N], [T; N]) {
    let mut halves = whole.map(|one| {
        let (left, right) = split(one);
        (Some(left), Some(right))
    });
    let left = halves.each_mut().map(|(left, _)| left.take().expect("just put there"));
    (left, halves.map(|(_, right)| right.expect("just put there")))
}

/// Slices of one length.
struct Block<'a, T, const N: usize> {
    step: T,
    w: &'a mut [f32],
    g: &'a [f32],
    moments: [&'a mut [f32]; N],
}

impl<T: Step<N>, const N: usize> Kernel for Block<'_, T, N> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { step, w, g, mut moments } = self;
        let whole = w.len() / S::LANES * S::LANES;
        for i in (0..whole).step_by(S::LANES) {
            let mut old = [simd.splat(0.0); N];
            for (old, moment) in old.iter_mut().zip(&moments) {
                *old = simd.load(&moment[i..]);
            }
            let (new, learnt) = step.step(simd, simd.load(&w[i..]), simd.load(&g[i..]), old);
            simd.store(&mut w[i..], new);
            for (learnt, moment) in learnt.into_iter().zip(&mut moments) {
                simd.store(&mut moment[i..], learnt);
            }
        }
        let mut old = [simd.splat(0.0); N];
        for (old, moment) in old.iter_mut().zip(&moments) {
            *old = simd.load_partial(&moment[whole..]);
        }
        let (new, learnt) = step.step(simd, simd.load_partial(&w[whole..]), simd.load_partial(&g[whole..]), old);
        simd.store_partial(&mut w[whole..], new);
        for (learnt, moment) in learnt.into_iter().zip(&mut moments) {
            simd.store_partial(&mut moment[whole..], learnt);
        }
    }
}
