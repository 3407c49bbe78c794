//! The tile of each instruction set: which vectors and how many rows the micro-kernel is compiled with.

use crate::isa::Isa;
use crate::simd::{Registers, Simd};

/// Work that is written over the size of a tile: `MR` rows and, as NR columns, the lanes of `S`.
pub(super) trait Tiled {
    /// The work.
    fn run<S: Simd, const MR: usize>(self, simd: S);
}

/// Runs `work` on the tiles of `isa`.
pub(super) fn run_tiled(isa: Isa, work: impl Tiled) {
    match isa {
        // A tile of 14 x 2 registers has 28 accumulators, which with a row of B and a broadcast are 31 of 32 registers.
        // Its 28 FMAs take 16 loads, so that two load pipes keep ahead of two FMA pipes.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512(simd) => work.run::<_, 14>(Registers::<_, 2>(simd)),
        // A tile of 6 x 2 registers has 12 accumulators, which with a row of B and a broadcast are 15 of 16 registers.
        // Its 12 FMAs take 8 loads.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2(simd) => work.run::<_, 6>(Registers::<_, 2>(simd)),
        // A tile of 4 x 8 floats has 8 accumulators on SSE2, which with a row of B, a broadcast and a product are 12 of
        // 16 registers.
        Isa::Portable(simd) => work.run::<_, 4>(simd),
    }
}
