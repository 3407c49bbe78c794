//! Every tile unit against f64 products of the same bf16 operands, and the conversions against their definition.

use super::*;
use crate::isa::Isa;

/// Numbers that look random and are exact in bf16.
fn operand(seed: u32, count: usize) -> Vec<Pair> {
    let mut state = seed.wrapping_mul(0x9e37_79b9) | 1;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        round_to_bf16((state >> 8) as f32 / (1 << 23) as f32 - 1.0)
    };
    (0..count)
        .map(|_| std::array::from_fn(|_| Tile(std::array::from_fn(|_| std::array::from_fn(|_| next())))))
        .collect()
}

/// Row `i`, step `s` of A.
fn of_a(pair: &Pair, i: usize, s: usize) -> f64 {
    from_bf16(pair[i / SIDE].0[i % SIDE][s]).into()
}

/// Step `s`, column `j` of B.
fn of_b(pair: &Pair, s: usize, j: usize) -> f64 {
    from_bf16(pair[j / SIDE].0[s / 2][2 * (j % SIDE) + s % 2]).into()
}

struct Multiply<'a, U>(U, Product<'a>);

impl<U: TileUnit> Kernel for Multiply<'_, U> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        assert_eq!(S::LANES, BLOCK);
        self.0.multiply(simd, self.1);
    }
}

fn check<U: TileUnit>(unit: U) {
    for (count, of) in [(0, 3), (1, 1), (2, 5), (7, 9), (16, 16)] {
        let (a, b) = (operand(1, count), operand(2, of));
        let steps: Vec<u32> = (0..count).map(|i| (i * of / count.max(1)) as u32).collect();
        for (adds, streamed) in [(false, Streamed::A), (true, Streamed::A), (false, Streamed::B), (true, Streamed::B)] {
            let before: Vec<f32> = (0..BLOCK * BLOCK).map(|i| (i % 7) as f32 - 3.0).collect();
            let mut c = if adds { before.clone() } else { vec![f32::NAN; BLOCK * BLOCK] };
            unit.run(Multiply(unit, Product { a: &a, steps: &steps, b: &b, c: &mut c, adds, streamed }));
            for (at, &found) in c.iter().enumerate() {
                let (i, j) = (at / BLOCK, at % BLOCK);
                let products = a.iter().zip(&steps).flat_map(|(a, &step)| {
                    let b = &b[step as usize];
                    (0..BLOCK).map(move |s| of_a(a, i, s) * of_b(b, s, j))
                });
                let (mut sum, mut magnitude) = if adds { (f64::from(before[at]), 3.0) } else { (0.0, 0.0) };
                for product in products {
                    (sum, magnitude) = (sum + product, magnitude + product.abs());
                }
                // Each of 32 products a step is added in f32, in whatever order: half a unit in the last place each.
                let tolerance = f64::from(f32::EPSILON) * magnitude * (1.0 + (count * BLOCK) as f64 / 2.0);
                assert!((f64::from(found) - sum).abs() <= tolerance, "{} {count} {adds} {i} {j}", unit.name());
            }
        }
    }
}

#[test]
fn decoded_tiles_are_multiplied_on_every_instruction_set() {
    Isa::under_test().into_iter().for_each(|isa| check(Decoded(isa)));
}

#[cfg(target_arch = "x86_64")]
#[test]
fn tiles_are_multiplied_by_the_units_that_this_machine_has() {
    match Amx::new() {
        Ok(unit) => check(unit),
        Err(lack) => println!("amx: not run on silicon: {lack:?}"),
    }
    match Avx512Bf16::new() {
        Some(unit) => check(unit),
        None => println!("avx512bf16: not run on silicon"),
    }
}

#[test]
fn numbers_are_rounded_to_the_nearest_bf16_and_ties_to_even() {
    let bits = |value: f32| round_to_bf16(value);
    assert_eq!([bits(1.0), bits(-2.5), bits(0.0), bits(-0.0)], [0x3f80, 0xc020, 0, 0x8000]);
    // Between 1 and the next number, 1 + 1/128: a tie goes to the even one.
    assert_eq!([bits(1.0 + 1.0 / 256.0), bits(1.0 + 3.0 / 256.0)], [0x3f80, 0x3f82]);
    assert_eq!(bits(1.0 + 1.1 / 256.0), 0x3f81);
    assert_eq!([bits(f32::MAX), bits(f32::INFINITY), bits(f32::NEG_INFINITY)], [0x7f80, 0x7f80, 0xff80]);
    assert_eq!([bits(f32::MIN_POSITIVE / 2.0), bits(-f32::MIN_POSITIVE / 2.0)], [0, 0x8000], "subnormals become zero");
    for nan in [f32::NAN, f32::from_bits(0x7f80_0001), f32::from_bits(0xffff_ffff)] {
        assert!(from_bf16(bits(nan)).is_nan());
    }
    for i in 0..200_000_u32 {
        let value = f32::from_bits(i.wrapping_mul(0x9e37_79b9));
        if value.is_normal() && value.abs() < 1e38 {
            let gap = (f64::from(from_bf16(bits(value))) - f64::from(value)).abs();
            assert!(gap <= f64::from(value.abs()) / 256.0, "{value}");
        }
    }
}
