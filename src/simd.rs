//! The vector trait every kernel is written over, and its three implementations.
//!
//! A kernel is written once, generic over [`Simd`], and handed to [`Simd::run`], which compiles it for the
//! instruction set and is the only place where one is switched on. A vector here is a *row* of one or more registers: a
//! token names how many, and [`Simd::one`] gives the token of rows of one. So a micro-kernel written over rows has
//! the register blocking (MR x NR accumulators) of the token it is run with.
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

/// Floats in a cache line: what is loaded and left out together where operands are sparse.
pub const LINE: usize = 16;

/// Where in `floats` the first cache line begins; vectors loaded from there on straddle no two lines that one would hold.
pub fn first_line(floats: &[f32]) -> usize {
    floats.as_ptr().align_offset(LINE * size_of::<f32>())
}

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

    /// The same instruction set with rows of one register.
    type One: Simd<One = Self::One>;

    /// Floats in one [`Simd::Lanes`]; for rows of one register, a divisor of `LINE`.
    const NR: usize;

    /// Vector registers of the instruction set, counted in what one of `V` takes.
    const REGISTERS: usize;

    /// The token of rows of one register.
    fn one(self) -> Self::One;

    /// Runs `kernel` with this instruction set switched on.
    fn run<K: Kernel>(self, kernel: K) -> K::Output;

    /// `NR` copies of `value`.
    fn splat(self, value: f32) -> Self::Lanes;

    /// The first `NR` floats of `from`; panics where it is shorter.
    fn load(self, from: &[f32]) -> Self::Lanes;

    /// The first `NR` floats of `from`, of which it holds the upper halves (bf16); panics where it is shorter.
    fn load_halves(self, from: &[u16]) -> Self::Lanes;

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

    /// Bit `i` is set where float `i` is above zero; NR is at most 64.
    fn positive(self, a: Self::Lanes) -> u64;

    /// Asks for the cache line of the first float of `from` in the first-level cache; does nothing where there is no such
    /// instruction.
    #[inline(always)]
    fn prefetch(self, _from: &[f32]) {}

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
