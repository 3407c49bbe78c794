//! Products of 16-bit tiles: what a matrix unit does, and what stands in for one.
//!
//! ```text
//! A tile, 1 KiB    16 rows of A x 32 steps                    row by row
//! B tile, 1 KiB    16 pairs of steps x 16 columns of B        by pairs: both steps of a column side by side ("VNNI")
//! C block          32 rows x 32 columns in f32                four products, 2 x 2, share two tiles of A and two of B
//! ```
//!
//! A [`TileUnit`] multiplies a row of A tile pairs with a column of B tile pairs into one block of C ([`Product`]).
//! Operands are bf16 numbers, the upper halves of floats; sums are f32. [`Amx`] is the unit of CPUs that have one,
//! [`Avx512Bf16`] the instruction `vdpbf16ps` on the same layout, [`Decoded`] ordinary f32 arithmetic on decoded
//! operands, which every CPU has.
//!
//! Relies on [`crate::simd`] for the vectors around the products, and on [`crate::isa`] for which there are.

#[cfg(target_arch = "x86_64")]
mod amx;
#[cfg(target_arch = "x86_64")]
mod avx512bf16;
mod decoded;
#[cfg(target_arch = "x86_64")]
mod pairs;
#[cfg(any(test, feature = "internals"))]
pub mod testing;

#[cfg(target_arch = "x86_64")]
pub use amx::{Amx, Lack};
#[cfg(target_arch = "x86_64")]
pub use avx512bf16::Avx512Bf16;
pub use decoded::Decoded;
#[cfg(all(target_arch = "x86_64", feature = "internals"))]
pub use pairs::{PairDot, multiply_by_pairs, multiply_pairs_in_registers};

use crate::isa::Isa;
use crate::simd::{Kernel, Registers, Simd};

/// Rows of A and columns of B in one tile.
pub const SIDE: usize = 16;

/// Rows and columns of a block of C, and steps of a pair of tiles.
pub const BLOCK: usize = 32;

/// Sixteen rows of 64 bytes, in sixteen cache lines.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(C, align(64))]
pub struct Tile(pub [[u16; BLOCK]; SIDE]);

/// Two tiles: rows 0 to 15 and 16 to 31 of A, or columns 0 to 15 and 16 to 31 of B, over the same 32 steps.
pub type Pair = [Tile; 2];

/// A pair of zeros.
pub const ZERO: Pair = [Tile([[0; BLOCK]; SIDE]); 2];

/// Rows of A whose zeros are known together.
pub const GROUP: usize = 8;

/// Where a pair of A is not zero: for each [`GROUP`] of its rows a bit for each of its 16 pairs of steps, the lowest
/// for the first. A pair of steps without its bit is zero in all rows of the group.
pub type Nonzero = [u16; BLOCK / GROUP];

/// Every pair of steps. For tests and measurements.
#[cfg(any(feature = "cli", feature = "internals"))]
pub const ALL: Nonzero = [u16::MAX; BLOCK / GROUP];

/// One block of C: `C = sum of A[i] B[steps[i]]`, or `C += ` that.
pub struct Product<'a> {
    /// Pairs of A, those of zeros left out.
    pub a: &'a [Pair],
    /// Which pair of B goes with each pair of A.
    pub steps: &'a [u32],
    /// Where each pair of A is not zero, for units that leave out less than whole tiles.
    pub nonzero: &'a [Nonzero],
    /// Pairs of B, all of them.
    pub b: &'a [Pair],
    /// 32 rows of 32 floats, row-major.
    pub c: &'a mut [f32],
    /// Whether the products are added to what C holds.
    pub adds: bool,
    /// The operand that is read once and not again soon: it need not displace the other one in L1.
    pub streamed: Streamed,
}

/// One of the two operands of a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Streamed {
    /// The left one.
    A,
    /// The right one.
    B,
}

impl Product<'_> {
    /// Checks that every step has its tiles; a unit calls this once, at its entrance.
    #[inline(always)]
    fn assert_shapes(&self) {
        assert!(self.a.len() == self.steps.len() && self.a.len() == self.nonzero.len());
        assert!(self.c.len() == BLOCK * BLOCK);
        assert!(self.steps.iter().all(|&step| (step as usize) < self.b.len()));
    }
}

/// What multiplies tiles. A value proves that this CPU and operating system have the unit.
pub trait TileUnit: Copy + Send + Sync + 'static {
    /// Whether the unit leaves out the pairs of steps that [`Product::nonzero`] lets it leave out.
    const LEAVES_OUT_PAIRS: bool;

    /// Whether products run beside the vectors, on a unit of their own, so that work of both kinds is worth mixing.
    const RUNS_BESIDE_VECTORS: bool;

    /// What a multiply-add of the fused backend's sparse form costs, in multiply-adds of this unit
    /// (docs/experiments.md).
    const COST_OF_SPARSE: f64;

    /// The name that `FFWD_ISA` takes, or that of the vectors.
    fn name(self) -> &'static str;

    /// Runs `kernel` with the unit ready on this thread, on vectors of [`BLOCK`] floats. The kernel must not hand work
    /// to other threads, nor run another kernel on a unit, which would take the unit away when it ends.
    fn run<K: Kernel>(self, kernel: K) -> K::Output;

    /// Computes one block of C; `simd` is what [`TileUnit::run`] gave the kernel. Elsewhere the CPU refuses the
    /// instructions, which ends the process.
    ///
    /// # Panics
    ///
    /// The slices are not of one shape.
    fn multiply<S: Simd>(self, simd: S, product: Product<'_>);

    /// Multiplies what is in registers, `rounds` times, inside a kernel as [`TileUnit::multiply`]: the most that
    /// products can reach. Returns the operations, two for each multiply-add; 0 where the products are those of the
    /// vectors, whose own multiply-adds are the limit.
    fn multiply_registers(self, rounds: usize) -> u64;
}

/// A tile unit that this machine has.
#[derive(Clone, Copy, Debug)]
pub enum TileTier {
    /// AMX.
    #[cfg(target_arch = "x86_64")]
    Amx(Amx),
    /// `vdpbf16ps`.
    #[cfg(target_arch = "x86_64")]
    Avx512Bf16(Avx512Bf16),
    /// f32 arithmetic on decoded operands.
    Decoded(Decoded),
}

impl TileTier {
    /// The name as `FFWD_ISA` spells it.
    pub fn name(self) -> &'static str {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Amx(unit) => unit.name(),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Bf16(unit) => unit.name(),
            Self::Decoded(unit) => unit.name(),
        }
    }

    /// [`TileUnit::multiply_registers`], with the unit made ready.
    pub fn multiply_registers(self, rounds: usize) -> u64 {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Amx(unit) => unit.run(MultiplyRegisters { unit, rounds }),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Bf16(unit) => unit.run(MultiplyRegisters { unit, rounds }),
            Self::Decoded(unit) => unit.run(MultiplyRegisters { unit, rounds }),
        }
    }
}

/// [`TileUnit::multiply_registers`] as a kernel.
struct MultiplyRegisters<U> {
    unit: U,
    rounds: usize,
}

impl<U: TileUnit> Kernel for MultiplyRegisters<U> {
    type Output = u64;

    #[inline(always)]
    fn run<S: Simd>(self, _: S) -> u64 {
        self.unit.multiply_registers(self.rounds)
    }
}

/// Runs `kernel` on vectors of [`BLOCK`] floats of `isa`.
fn run_on_blocks<K: Kernel>(isa: Isa, kernel: K) -> K::Output {
    match isa {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512(simd) => Registers::<_, 2>(simd).run(kernel),
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2(simd) => Registers::<_, 4>(simd).run(kernel),
        Isa::Portable(simd) => Registers::<_, 4>(simd).run(kernel),
    }
}

/// The bf16 number nearest to `value`, to even on a tie, as the conversion instructions compute it: subnormal numbers
/// become zero, NaN stays NaN.
#[inline(always)]
pub fn round_to_bf16(value: f32) -> u16 {
    let bits = value.to_bits();
    let rounded = bits.wrapping_add(0x7fff + (bits >> 16 & 1)) >> 16;
    let exponent = bits & 0x7f80_0000;
    let flushed = if exponent == 0 { bits >> 16 & 0x8000 } else { rounded };
    (if value.is_nan() { bits >> 16 | 0x40 } else { flushed }) as u16
}

/// The float that a bf16 number is.
#[inline(always)]
pub fn from_bf16(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}

#[cfg(test)]
mod tests;
