//! The vector trait every kernel is written over, and its three implementations.
//!
//! A kernel is written once, generic over [`Simd`], and handed to [`Simd::run`], which compiles it for the
//! instruction set and is the only place where one is switched on. A vector here is a *row* of one or more registers: a
//! token names how many, and [`Simd::single`] gives the token of rows of one. So a micro-kernel written over rows has the
//! register blocking (MR x NR accumulators) of the token it is run with.
//!
//! Values of the implementing types are proof tokens: they can only be made where the CPU has the instructions, and
//! every `unsafe` in the x86 file rests on that, and loads and stores on the bounds check before them.

mod portable;
#[cfg(target_arch = "x86_64")]
mod x86;

pub use portable::Portable;
#[cfg(target_arch = "x86_64")]
pub use x86::{Avx2, Avx512};

/// Rows of A in one micro-panel: the accumulators of a micro-kernel are `MR` x `NR`.
///
/// Four rows of 4 vectors on AVX-512, or of 2 on AVX2, are at least the 8 accumulators that two FMA pipes of latency 4 need,
/// and four similar rows still share most of their zeros.
pub const MR: usize = 4;

/// A computation that can be compiled for any instruction set.
pub trait Kernel {
    /// What the computation returns.
    type Output;

    /// The computation. Implementations are `#[inline(always)]`, so that the body is compiled inside the function that
    /// switches the instruction set on.
    fn run<S: Simd>(self, simd: S) -> Self::Output;
}

/// `NR` floats at a time. Slices given to [`Simd::load`] and [`Simd::store`] hold at least `NR` floats.
pub trait Simd: Copy + Send + Sync + 'static {
    /// `NR` floats in registers.
    type Lanes: Copy;

    /// The same instruction set with rows of a single register.
    type Single: Simd<Single = Self::Single>;

    /// Floats in one [`Simd::Lanes`].
    const NR: usize;

    /// The token of rows of a single register.
    fn single(self) -> Self::Single;

    /// Runs `kernel` with this instruction set switched on.
    fn run<K: Kernel>(self, kernel: K) -> K::Output;

    /// `NR` copies of `value`.
    fn splat(self, value: f32) -> Self::Lanes;

    /// The first `NR` floats of `from`; panics where it is shorter.
    fn load(self, from: &[f32]) -> Self::Lanes;

    /// Writes the first `NR` floats of `to`; panics where it is shorter.
    fn store(self, to: &mut [f32], value: Self::Lanes);

    /// `a + b`.
    fn add(self, a: Self::Lanes, b: Self::Lanes) -> Self::Lanes;

    /// `a - b`.
    fn sub(self, a: Self::Lanes, b: Self::Lanes) -> Self::Lanes;

    /// `a * b`.
    fn mul(self, a: Self::Lanes, b: Self::Lanes) -> Self::Lanes;

    /// `a / b`.
    fn div(self, a: Self::Lanes, b: Self::Lanes) -> Self::Lanes;

    /// `a * b + c`, rounded once where the instruction set has a fused form.
    fn mul_add(self, a: Self::Lanes, b: Self::Lanes, c: Self::Lanes) -> Self::Lanes;

    /// The larger of each pair.
    fn max(self, a: Self::Lanes, b: Self::Lanes) -> Self::Lanes;

    /// The square root of each.
    fn sqrt(self, a: Self::Lanes) -> Self::Lanes;

    /// The sum of all `NR` floats, always in the same order.
    fn sum(self, a: Self::Lanes) -> f32;

    /// Loads `from`, shorter than `NR`, with zeros behind it.
    #[inline(always)]
    fn load_partial(self, from: &[f32]) -> Self::Lanes {
        let mut row = [0.0; MAX_NR];
        row[..from.len()].copy_from_slice(from);
        self.load(&row)
    }

    /// Stores the first `to.len()` (fewer than `NR`) floats of `value`.
    #[inline(always)]
    fn store_partial(self, to: &mut [f32], value: Self::Lanes) {
        let mut row = [0.0; MAX_NR];
        self.store(&mut row, value);
        to.copy_from_slice(&row[..to.len()]);
    }
}

/// The largest `NR` of any implementation.
pub const MAX_NR: usize = 64;
