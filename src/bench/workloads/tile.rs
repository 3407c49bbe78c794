//! Products of tiles alone: every block of C of a product m x k x n in bf16, from operands that are packed already.

use rayon::prelude::*;

use super::{PreparedKernel, Work, Workload, count, random, shape};
use crate::simd::{Kernel, Simd};
use crate::tile::{ALL, BLOCK, Nonzero, Pair, Product, SIDE, Streamed, TileTier, TileUnit, ZERO, round_to_bf16};

/// m, k and n: the forward product of layer 2 for four strips; B fits into L2, one of its panels into L1.
const SIZES: [usize; 3] = [2048, 512, 512];

/// Bytes of a bf16 number.
const BF16: u64 = 2;

pub(super) fn workloads(units: &[TileTier]) -> Vec<Workload> {
    let [m, k, n] = SIZES;
    let work = Work {
        op: "tile/product".into(),
        shape: shape(&SIZES),
        flops: count(&[2, m, k, n]),
        bytes: BF16 * (count(&[m, k]) + count(&[k, n])) + super::FLOAT * count(&[m, n]),
    };
    let on = |&unit: &TileTier| Workload { dtype: "bf16", ..work.on(unit.name(), move || prepare(unit)) };
    units.iter().map(on).collect()
}

fn prepare(unit: TileTier) -> PreparedKernel {
    match unit {
        #[cfg(target_arch = "x86_64")]
        TileTier::Amx(unit) => prepare_on(unit),
        #[cfg(target_arch = "x86_64")]
        TileTier::Avx512Bf16(unit) => prepare_on(unit),
        TileTier::Decoded(unit) => prepare_on(unit),
    }
}

/// The product with random operands; blocks of 32 rows are computed in parallel.
fn prepare_on(unit: impl TileUnit) -> PreparedKernel {
    let [m, k, n] = SIZES;
    let steps: Vec<u32> = (0..(k / BLOCK) as u32).collect();
    let nonzero = vec![ALL; steps.len()];
    let (a, b) = (pairs(m * k), pairs(k * n));
    let mut c = vec![0.0; m * n];
    Box::new(move || {
        let blocks = a.par_chunks(steps.len()).zip(c.par_chunks_mut(BLOCK * n));
        blocks.for_each(|(a, c)| unit.run(RowOfBlocks { unit, a, steps: &steps, nonzero: &nonzero, b: &b, c }));
    })
}

/// Pairs of tiles of `numbers` random numbers.
fn pairs(numbers: usize) -> Vec<Pair> {
    let tile = BLOCK * SIDE;
    let mut pairs = vec![ZERO; numbers / (2 * tile)];
    let to = pairs.iter_mut().flatten().flat_map(|tile| tile.0.as_flattened_mut());
    to.zip(random(numbers, -1.0..1.0)).for_each(|(to, number)| *to = round_to_bf16(number));
    pairs
}

/// 32 rows of C.
struct RowOfBlocks<'a, U> {
    unit: U,
    a: &'a [Pair],
    steps: &'a [u32],
    nonzero: &'a [Nonzero],
    b: &'a [Pair],
    c: &'a mut [f32],
}

impl<U: TileUnit> Kernel for RowOfBlocks<'_, U> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { unit, a, steps, nonzero, b, c } = self;
        for (b, c) in b.chunks_exact(steps.len()).zip(c.chunks_exact_mut(BLOCK * BLOCK)) {
            unit.multiply(simd, Product { a, steps, nonzero, b, c, adds: false, streamed: Streamed::B });
        }
    }
}
