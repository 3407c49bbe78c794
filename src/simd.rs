//! The vector trait that every kernel is written over, and its implementations.
//!
//! A kernel is written once, generic over [`Simd`], and handed to [`Simd::run`], which compiles it for the
//! instruction set and is the only place where one is switched on.
//!
//! Values of the implementing types are proof tokens: they can only be made where the CPU has the instructions, and
//! every `unsafe` in the x86 file rests on that, and loads and stores on the bounds check before them. A token proves
//! an instruction set and nothing else; a kernel that wants vectors of several registers takes [`Registers`] of it.

mod portable;
mod registers;
#[cfg(target_arch = "x86_64")]
mod x86;

pub use portable::Portable;
pub use registers::Registers;
#[cfg(target_arch = "x86_64")]
pub use x86::{Avx2, Avx512};

/// Floats in a cache line: what is loaded and left out together where operands are sparse.
pub const LINE: usize = 16;

/// Where in `floats` the first cache line begins. No vector of up to a line straddles two lines if it is loaded from a
/// multiple of its length behind that place.
pub fn first_line(floats: &[f32]) -> usize {
    floats.as_ptr().align_offset(LINE * size_of::<f32>())
}

/// The bf16 number nearest to `value` that is not below it, as its bits: an upper bound in half the memory.
///
/// `value` is no NaN.
#[inline(always)]
pub fn round_up_to_bf16(value: f32) -> u16 {
    let bits = value.to_bits();
    // The lower 16 bits are cut off. That lowers the magnitude, which raises a negative number by itself.
    let carry = if value.is_sign_negative() { 0 } else { 0xffff };
    ((bits + carry) >> 16) as u16
}

/// A computation that can be compiled for any instruction set.
pub trait Kernel {
    /// What the computation returns.
    type Output;

    /// The computation. Implementations are `#[inline(always)]`, so that the body is compiled inside the function that
    /// switches the instruction set on.
    fn run<S: Simd>(self, simd: S) -> Self::Output;
}

/// `LANES` floats at a time.
///
/// `splat`, `load`, `store`, `add`, `sub`, `mul`, `div` and `sqrt` give in each lane exactly what IEEE 754 gives for
/// two floats, rounded to the nearest, subnormal numbers included. Which of the many NaNs an operation returns is left
/// open. The other operations promise what is said at each of them.
pub trait Simd: Copy + Send + Sync + 'static {
    /// `LANES` floats in one register or several.
    type Vector: Copy;

    /// The same instruction set with vectors of one register.
    type One: Simd<One = Self::One>;

    /// Floats in one [`Simd::Vector`]; for vectors of one register, a divisor of `LINE`.
    const LANES: usize;

    /// How many of [`Simd::One`]'s vectors the registers of the instruction set hold.
    const REGISTERS: usize;

    /// The token of vectors of one register.
    fn one(self) -> Self::One;

    /// Runs `kernel` with this instruction set switched on.
    fn run<K: Kernel>(self, kernel: K) -> K::Output;

    /// `LANES` copies of `value`.
    fn splat(self, value: f32) -> Self::Vector;

    /// The first `LANES` floats of `from`; panics where it is shorter.
    fn load(self, from: &[f32]) -> Self::Vector;

    /// The first `LANES` bf16 numbers of `from`, as floats; panics where it is shorter.
    fn load_bf16(self, from: &[u16]) -> Self::Vector;

    /// Writes the first `LANES` floats of `to`; panics where it is shorter.
    fn store(self, to: &mut [f32], value: Self::Vector);

    /// `a + b`.
    fn add(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;

    /// `a - b`.
    fn sub(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;

    /// `a * b`.
    fn mul(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;

    /// `a / b`.
    fn div(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;

    /// `a * b + c`: rounded once where the instruction set has a fused form (AVX2 and AVX-512, and the portable one
    /// where the compilation target has it), and otherwise after the product and after the sum. All lanes are rounded
    /// alike.
    fn mul_add(self, a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector;

    /// The larger of each pair. Where one of the pair is NaN, or both are zeros, the result is one of the two: on
    /// x86-64 it is `b`, with every instruction set; elsewhere it depends on the target, so nothing may rely on it.
    fn max(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;

    /// The square root of each, which is NaN for numbers below zero.
    fn sqrt(self, a: Self::Vector) -> Self::Vector;

    /// Each float whose magnitude is not below `least`, NaN included, and zero in place of the others.
    fn flush(self, a: Self::Vector, least: Self::Vector) -> Self::Vector;

    /// The sum of all `LANES` floats, rounded after each addition. The order is one for each implementation and the
    /// same for all values, so equal vectors have equal sums. Each of the LANES - 1 additions may be off by half a unit
    /// in the last place, so the sum is off by at most `(LANES - 1) * EPSILON / 2` times the sum of the magnitudes, to
    /// first order.
    fn sum(self, a: Self::Vector) -> f32;

    /// Bit `i` is set where float `i` is above zero, which NaN is not; LANES is at most 64.
    fn positive(self, a: Self::Vector) -> u64;

    /// Asks for the cache line of the first float of `from` in the first-level cache; does nothing where there is no
    /// such instruction.
    #[inline(always)]
    fn prefetch(self, from: &[f32]) {
        self.prefetch_ahead(from, 0);
    }

    /// [`Simd::prefetch`] of the float `floats` behind the first of `from`. It need not lie inside `from`, nor in any
    /// memory of the program.
    #[inline(always)]
    fn prefetch_ahead(self, _from: &[f32], _floats: usize) {}

    /// Asks for the cache line of the first float of `from` in the second-level cache, where it does not displace what
    /// is being worked on; does nothing where there is no such instruction.
    #[inline(always)]
    fn prefetch_for_later(self, _from: &[f32]) {}

    /// Loads the floats of `from`, at most `LANES`, with zeros behind them.
    #[inline(always)]
    fn load_partial(self, from: &[f32]) -> Self::Vector {
        let mut floats = [0.0; MAX_LANES];
        floats[..from.len()].copy_from_slice(from);
        self.load(&floats)
    }

    /// Writes all of `to`, at most `LANES` floats, with the first floats of `value`.
    #[inline(always)]
    fn store_partial(self, to: &mut [f32], value: Self::Vector) {
        let mut floats = [0.0; MAX_LANES];
        self.store(&mut floats, value);
        to.copy_from_slice(&floats[..to.len()]);
    }
}

/// The largest `LANES` of any implementation.
pub const MAX_LANES: usize = 64;

#[cfg(test)]
mod tests;
