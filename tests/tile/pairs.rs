//! `vdpbf16ps` and the conversions: the library's code on a model of the instruction, and both against silicon.

use std::arch::x86_64::*;

use ffwd::internals::{Avx512Bf16, BLOCK, Decoded, PairDot, Product, SIDE, TileUnit};
use ffwd::internals::{multiply_by_pairs, multiply_pairs_in_registers, round_to_bf16};
use ffwd::isa::{Isa, Kernel, Simd};

use crate::model::{vcvtneps2bf16, vdpbf16ps};
use crate::units::{check_rounding, compare, first_element};

/// The instruction as the model has it, in the place of the real one.
#[derive(Clone, Copy)]
struct Model;

impl PairDot for Model {
    type Sums = [f32; SIDE];
    type Pairs = [[u16; 2]; SIDE];

    fn load(self, from: &[f32; SIDE]) -> Self::Sums {
        *from
    }

    fn store(self, to: &mut [f32; SIDE], sums: Self::Sums) {
        *to = sums;
    }

    fn ask_for(self, _: *const [f32; SIDE]) {}

    fn pairs(self, row: &[u16; BLOCK]) -> Self::Pairs {
        std::array::from_fn(|column| [row[2 * column], row[2 * column + 1]])
    }

    fn repeat(self, pair: [u16; 2]) -> Self::Pairs {
        [pair; SIDE]
    }

    fn dot(self, sums: Self::Sums, a: Self::Pairs, b: Self::Pairs) -> Self::Sums {
        std::array::from_fn(|column| vdpbf16ps(sums[column], a[column], b[column]))
    }
}

/// The unit that a CPU would have whose instruction is the model.
impl TileUnit for Model {
    const LEAVES_OUT_PAIRS: bool = true;

    const RUNS_BESIDE_VECTORS: bool = false;

    const COST_OF_SPARSE: f64 = 4.0;

    fn name(self) -> &'static str {
        "model of vdpbf16ps"
    }

    fn run<K: Kernel>(self, kernel: K) -> K::Output {
        Decoded(Isa::best()).run(kernel)
    }

    fn multiply<S: Simd>(self, _: S, product: Product<'_>) {
        multiply_by_pairs(self, product);
    }

    fn multiply_registers(self, rounds: usize) -> u64 {
        multiply_pairs_in_registers(self, rounds)
    }
}

/// The product, one element of C after the other.
fn plainly(product: Product<'_>) {
    let Product { a, steps, b, c, adds, .. } = product;
    for (at, c) in c.iter_mut().enumerate() {
        let (i, j) = (at / BLOCK, at % BLOCK);
        let mut sum = if adds { *c } else { 0.0 };
        for (a, &step) in a.iter().zip(steps) {
            let (row, tile) = (a[i / SIDE].0[i % SIDE], b[step as usize][j / SIDE]);
            for pair in 0..SIDE {
                let of = |row: &[u16; BLOCK], at: usize| [row[2 * at], row[2 * at + 1]];
                sum = vdpbf16ps(sum, of(&row, pair), of(&tile.0[pair], j % SIDE));
            }
        }
        *c = sum;
    }
}

#[test]
fn a_round_in_registers_is_eight_rows_of_two_tiles_and_two_steps() {
    assert_eq!(Model.multiply_registers(3), 3 * (2 * 8 * BLOCK * 2) as u64);
    if let Some(unit) = Avx512Bf16::new() {
        assert_eq!(unit.multiply_registers(3), Model.multiply_registers(3));
    }
}

#[test]
fn the_loops_compute_the_plain_product_on_the_model() {
    compare(Model, plainly);
}

#[test]
fn silicon_computes_the_plain_product_bit_for_bit() {
    if let Some(unit) = Avx512Bf16::new() {
        compare(unit, plainly);
    }
}

fn check_order<U: TileUnit>(unit: U) {
    // A float next to 2^24 has no place for a half.
    let great = 2_f32.powi(24);
    let sum_of = |even: f32, odd: f32| first_element(unit, great, [[even, odd], [0.0; 2]], [[1.0; 2]; 2]);
    assert_eq!([sum_of(0.5, -great), sum_of(-great, 0.5)], [0.5, 0.0], "the odd product comes first");
}

#[test]
fn the_odd_product_is_added_first() {
    check_order(Model);
    if let Some(unit) = Avx512Bf16::new() {
        check_order(unit);
    }
}

#[test]
fn a_product_is_rounded_with_the_sum_once() {
    check_rounding(Model);
    if let Some(unit) = Avx512Bf16::new() {
        check_rounding(unit);
    }
}

/// Every upper half of a float, with lower halves around ties and ends.
fn floats() -> impl Iterator<Item = [f32; 16]> {
    const LOWER: [u32; 16] = [
        0, 1, 2, 0x3fff, 0x4000, 0x7ffe, 0x7fff, 0x8000, 0x8001, 0x8002, 0xbfff, 0xc000, 0xc001, 0xfffd, 0xfffe, 0xffff,
    ];
    (0..=0xffff).map(|upper: u32| LOWER.map(|lower| f32::from_bits(upper << 16 | lower)))
}

#[test]
fn floats_are_rounded_as_the_manual_has_it() {
    for value in floats().flatten() {
        assert_eq!(round_to_bf16(value), vcvtneps2bf16(value), "{:08x}", value.to_bits());
    }
}

/// What `vcvtneps2bf16` makes of the floats, and `vcvtne2ps2bf16` of the same in either place.
#[target_feature(enable = "avx512f,avx512bf16")]
fn converted(floats: &[f32; 16]) -> [[u16; 16]; 3] {
    // SAFETY: the array is a vector long, and the load needs no alignment.
    let vector = unsafe { _mm512_loadu_ps(floats.as_ptr()) };
    let zeros = _mm512_setzero_ps();
    // SAFETY: vectors of 256 and 512 bits, any bits of which are bf16 numbers of 16 bits; the second operand of the
    // conversion of two goes to the lower half.
    unsafe {
        let alone = std::mem::transmute::<__m256bh, [u16; 16]>(_mm512_cvtneps_pbh(vector));
        let lower = std::mem::transmute::<__m512bh, [[u16; 16]; 2]>(_mm512_cvtne2ps_pbh(zeros, vector));
        let upper = std::mem::transmute::<__m512bh, [[u16; 16]; 2]>(_mm512_cvtne2ps_pbh(vector, zeros));
        [alone, lower[0], upper[1]]
    }
}

#[test]
fn floats_are_rounded_as_silicon_rounds_them() {
    if Avx512Bf16::new().is_none() {
        return;
    }
    for floats in floats() {
        let expected = floats.map(round_to_bf16);
        // SAFETY: the CPU has just been seen to have the instructions.
        let found = unsafe { converted(&floats) };
        assert_eq!(found, [expected; 3], "{floats:?}");
    }
}
